// The bits of rolling and recomputed correlations on a stream from a seed: the same whatever this was
// compiled for, and whichever instructions are chosen at run time. Prints the hash of each choice that
// the CPU has, one a line.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "workers/ta/native/correlation.hpp"

namespace {

using bot4::Correlation;
using bot4::Simd;

constexpr std::size_t kInstruments = 37;  // no multiple of any vector's length
constexpr int kSamples = 700;

class Hash {  // FNV-1a
 public:
  void add(const void* bytes, std::size_t count) {
    for (std::size_t i = 0; i < count; ++i)
      value_ = (value_ ^ static_cast<const unsigned char*>(bytes)[i]) * 0x100000001b3;
  }
  unsigned long long value() const { return value_; }

 private:
  unsigned long long value_ = 0xcbf29ce484222325;
};

class Stream {  // splitmix64
 public:
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  /// -1 .. 1
  double unit() { return static_cast<double>(next() >> 11) * 0x1p-52 - 1.0; }

 private:
  std::uint64_t state_ = 6;
};

unsigned long long bits(Simd simd) {
  const std::size_t bytes = Correlation::bytes(kInstruments);
  void* const state = std::aligned_alloc(64, bot4::lanes::padded(bytes, 64));
  std::memset(state, 0, bytes);
  Correlation correlation(state, kInstruments, simd);
  Stream stream;
  Hash hash;
  std::vector<double> matrix(kInstruments * kInstruments);
  for (int t = 0; t < kSamples; ++t) {
    double returns[kInstruments];
    const double common = stream.unit();
    for (double& each : returns) each = 1e-3 * (common + stream.unit());
    if (t == 300) returns[5] = 1e9;
    const bool has_hole = t > 100 && t < 140;
    const std::uint64_t valid = ~std::uint64_t{0} ^ (has_hole ? stream.next() & 0xff : 0);
    correlation.add(returns, &valid);
    correlation.matrix(matrix.data());
    hash.add(matrix.data(), matrix.size() * sizeof(double));
    if (t % 50 != 0) continue;
    correlation.recompute(matrix.data());
    hash.add(matrix.data(), matrix.size() * sizeof(double));
  }
  hash.add(state, bytes);
  std::free(state);
  return hash.value();
}

}  // namespace

int main() {
  for (const Simd simd : {Simd::kBaseline, Simd::kAvx2, Simd::kAvx512})
    if (simd <= bot4::widest_simd())
      std::printf("%d %016llx\n", static_cast<int>(simd), bits(simd));
}
