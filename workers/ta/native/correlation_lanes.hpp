// The loops of correlation, with the same bits on every CPU.
//
// A dot product is 16 partial sums, of the elements k, k + 16, k + 32 ... each, which are then added by
// halves: 16 to 8 to 4 to 2 to 1. That order is part of the result, and leaves the compiler's hands
// free where an order from left to right would not: 16 sums are 8 registers of SSE2 (or of aarch64),
// 4 of AVX2, 2 of AVX-512. All else is element by element, where lanes change nothing. It takes
// -ffp-contract=off, as all of this project does.
//
// The widest instructions that the CPU has are chosen at run time, so that one build is fast
// everywhere; nobody can tell by the result which were.
#pragma once

#include <cstddef>

namespace bot4 {

/// Which instructions the loops below use.
enum class Simd { kBaseline, kAvx2, kAvx512 };

inline Simd widest_simd() {
#ifdef __x86_64__
  if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq")) return Simd::kAvx512;
  if (__builtin_cpu_supports("avx2")) return Simd::kAvx2;
#endif
  return Simd::kBaseline;
}

namespace lanes {

inline constexpr std::size_t kPartials = 16;
inline constexpr std::size_t kPad = 8;  // doubles of a cache line; the widest step of a row

constexpr std::size_t padded(std::size_t count, std::size_t to) { return (count + to - 1) / to * to; }

// Arrays are of doubles, so a vector is aligned as one is, and may lie where doubles do.
template <unsigned kLanes>
struct Vector;
template <>
struct Vector<2> {
  typedef double Type __attribute__((vector_size(16), aligned(8), may_alias));
};
template <>
struct Vector<4> {
  typedef double Type __attribute__((vector_size(32), aligned(8), may_alias));
};
template <>
struct Vector<8> {
  typedef double Type __attribute__((vector_size(64), aligned(8), may_alias));
};

/// The dot products of x with `kRows` rows. Several at once, because one alone waits for its additions.
template <unsigned kLanes, unsigned kRows>
[[gnu::always_inline]] inline void dots_at_once(const double* x, const double* rows,
                                                std::size_t stride, std::size_t length,
                                                double* out) {
  using V = typename Vector<kLanes>::Type;
  constexpr unsigned kSums = kPartials / kLanes;
  V sums[kRows][kSums] = {};
  for (std::size_t k = 0; k < length; k += kPartials) {
#pragma GCC unroll 8
    for (unsigned s = 0; s < kSums; ++s) {
      const V left = *reinterpret_cast<const V*>(x + k + s * kLanes);
#pragma GCC unroll 4
      for (unsigned r = 0; r < kRows; ++r)
        sums[r][s] += left * *reinterpret_cast<const V*>(rows + r * stride + k + s * kLanes);
    }
  }
#pragma GCC unroll 4
  for (unsigned r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (unsigned half = kSums / 2; half > 0; half /= 2)
#pragma GCC unroll 4
      for (unsigned s = 0; s < half; ++s) sums[r][s] += sums[r][s + half];
    double last[kLanes];
#pragma GCC unroll 8
    for (unsigned l = 0; l < kLanes; ++l) last[l] = sums[r][0][l];
#pragma GCC unroll 4
    for (unsigned half = kLanes / 2; half > 0; half /= 2)
#pragma GCC unroll 4
      for (unsigned l = 0; l < half; ++l) last[l] += last[l + half];
    out[r] = last[0];
  }
}

/// out[r] = x . row r, of `count` rows. `length` is a multiple of kPartials.
template <unsigned kLanes>
[[gnu::always_inline]] inline void dots(const double* x, const double* rows, std::size_t stride,
                                        std::size_t count, std::size_t length, double* out) {
  constexpr unsigned kRows = kLanes / 2;  // eight registers of sums
  std::size_t r = 0;
  for (; r + kRows <= count; r += kRows)
    dots_at_once<kLanes, kRows>(x, rows + r * stride, stride, length, out + r);
  for (; r < count; ++r) dots_at_once<kLanes, 1>(x, rows + r * stride, stride, length, out + r);
}

/// sums[j] += entering * entered[j] - leaving * left[j], the product that leaves last. `count` is a
/// multiple of kPad.
template <unsigned kLanes>
[[gnu::always_inline]] inline void slide(double* sums, double entering, const double* entered,
                                         double leaving, const double* left, std::size_t count) {
  using V = typename Vector<kLanes>::Type;
  for (std::size_t j = 0; j < count; j += kLanes) {
    V& sum = *reinterpret_cast<V*>(sums + j);
    sum = (sum + entering * *reinterpret_cast<const V*>(entered + j)) -
          leaving * *reinterpret_cast<const V*>(left + j);
  }
}

[[gnu::always_inline]] inline double clamped(double value) {
  return value > 1.0 ? 1.0 : value < -1.0 ? -1.0 : value;
}

/// What makes correlations of the sums of a row of products.
struct Scaling {
  double mean;          // of the row
  double scale;         // 1 / the root of its sum of squares about the mean; 0: it has no variance
  const double* sums;   // of the other rows
  const double* scales;
};

/// The correlation of a pair.
[[gnu::always_inline]] inline double scaled(double product, const Scaling& with, std::size_t j) {
  return clamped((product - with.mean * with.sums[j]) * with.scale * with.scales[j]);
}

/// The same for the first `count` of a row.
template <unsigned kLanes>
[[gnu::always_inline]] inline void scale(const double* products, const Scaling& with,
                                         std::size_t count, double* out) {
  using V = typename Vector<kLanes>::Type;
  std::size_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    const V product = *reinterpret_cast<const V*>(products + j);
    const V about_mean = product - with.mean * *reinterpret_cast<const V*>(with.sums + j);
    V value = about_mean * with.scale * *reinterpret_cast<const V*>(with.scales + j);
    const V one = value * 0.0 + 1.0;
    value = value > one ? one : value;
    value = value < -one ? -one : value;
    *reinterpret_cast<V*>(out + j) = value;
  }
  for (; j < count; ++j) out[j] = scaled(products[j], with, j);
}

// One set of the loops for each kind of instructions: whoever calls one of them asked the CPU before.
#define BOT4_CORRELATION_LOOPS(name, lanes_of, attribute)                                          \
  struct name {                                                                                    \
    attribute static void dots(const double* x, const double* rows, std::size_t stride,            \
                               std::size_t count, std::size_t length, double* out) {               \
      lanes::dots<lanes_of>(x, rows, stride, count, length, out);                                  \
    }                                                                                              \
    attribute static void slide(double* sums, const double* entered, const double* left,           \
                                std::size_t count) {                                               \
      for (std::size_t i = 0; i < count; ++i) {                                                    \
        lanes::slide<lanes_of>(sums, entered[i], entered, left[i], left, padded(i + 1, kPad));     \
        sums += padded(i + 1, kPad);                                                               \
      }                                                                                            \
    }                                                                                              \
    attribute static void scale(const double* products, const Scaling& with, std::size_t count,    \
                                double* out) {                                                     \
      lanes::scale<lanes_of>(products, with, count, out);                                          \
    }                                                                                              \
  };

BOT4_CORRELATION_LOOPS(Baseline, 2, )
#ifdef __x86_64__
BOT4_CORRELATION_LOOPS(Avx2, 4, [[gnu::target("avx2")]])
BOT4_CORRELATION_LOOPS(Avx512, 8, [[gnu::target("avx512f,avx512dq,prefer-vector-width=512")]])
#endif
#undef BOT4_CORRELATION_LOOPS

}  // namespace lanes

/// The loops as pointers, so that the choice is made once.
struct CorrelationLoops {
  void (*dots)(const double* x, const double* rows, std::size_t stride, std::size_t count,
               std::size_t length, double* out);
  void (*slide)(double* sums, const double* entered, const double* left, std::size_t count);
  void (*scale)(const double* products, const lanes::Scaling& with, std::size_t count, double* out);
};

/// Those for a kind of instructions; no more than the CPU has, or the process ends with SIGILL.
inline CorrelationLoops correlation_loops(Simd simd) {
#ifdef __x86_64__
  if (simd == Simd::kAvx512) return {lanes::Avx512::dots, lanes::Avx512::slide, lanes::Avx512::scale};
  if (simd == Simd::kAvx2) return {lanes::Avx2::dots, lanes::Avx2::slide, lanes::Avx2::scale};
#endif
  static_cast<void>(simd);
  return {lanes::Baseline::dots, lanes::Baseline::slide, lanes::Baseline::scale};
}

}  // namespace bot4
