// The correlation matrix of rows of samples, from scratch: what the rolling one is held against, and
// what is left to do where no state was kept.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

#include "correlation_lanes.hpp"

namespace bot4 {

/// Sums of squares below this count as none: the product of two such may vanish.
inline constexpr double kLeastSquares = 1e-150;

/// 1 / the root of a sum of squares about the mean; 0 without variance, which makes correlations 0.
inline double scale_of(double squares) {
  return squares > kLeastSquares ? 1.0 / std::sqrt(squares) : 0.0;
}

/// Copies the entries below the diagonal of a square matrix above it: in blocks of a cache line, each of
/// which is read and written once.
inline void mirror(double* matrix, std::size_t count) {
  constexpr std::size_t kBlock = lanes::kPad;
  const std::size_t whole = count / kBlock * kBlock;
  for (std::size_t row = kBlock; row < whole; row += kBlock)
    for (std::size_t column = 0; column < row; column += kBlock)
#pragma GCC unroll 8
      for (std::size_t j = 0; j < kBlock; ++j)
#pragma GCC unroll 8
        for (std::size_t i = 0; i < kBlock; ++i)
          matrix[(column + j) * count + row + i] = matrix[(row + i) * count + column + j];
  for (std::size_t i = 0; i < count; ++i)
    for (std::size_t j = i < whole ? i / kBlock * kBlock : 0; j < i; ++j)
      matrix[j * count + i] = matrix[i * count + j];
}

/// Writes x minus its mean, with zeros behind it. All zeros, exactly, if x does not move: its first
/// sample goes first.
inline void centre(const double* x, std::size_t length, double* out, std::size_t padded_length) {
  const double first = length == 0 ? 0.0 : x[0];  // x may be out
  double sum = 0.0;
  for (std::size_t k = 0; k < length; ++k) sum += out[k] = x[k] - first;
  const double mean = length == 0 ? 0.0 : sum / static_cast<double>(length);
  for (std::size_t k = 0; k < length; ++k) out[k] -= mean;
  std::fill(out + length, out + padded_length, 0.0);
}

/// Makes a matrix (count x count) of the correlations of `count` rows of `length` samples. Dots is
/// called with (x, rows, stride, count, length, out).
template <class Dots, class Scale>
void correlate_by(Dots&& dots, Scale&& scale, const double* rows, std::size_t stride,
                  std::size_t count, std::size_t length, double* out) {
  const std::size_t width = lanes::padded(length, lanes::kPartials);
  std::vector<double> centred(count * width), scales(count), none(count, 0.0);
  for (std::size_t i = 0; i < count; ++i) {
    double* const row = centred.data() + i * width;
    centre(rows + i * stride, length, row, width);
    dots(row, centred.data(), width, i + 1, width, out + i * count);
    scales[i] = scale_of(out[i * count + i]);
  }
  for (std::size_t i = 0; i < count; ++i) {
    double* const row = out + i * count;
    scale(row, lanes::Scaling{0.0, scales[i], none.data(), scales.data()}, i, row);
    row[i] = scales[i] != 0.0 ? 1.0 : 0.0;
  }
  mirror(out, count);
}

/// With the fixed lanes.
inline void correlate(const CorrelationLoops& loops, const double* rows, std::size_t stride,
                      std::size_t count, std::size_t length, double* out) {
  correlate_by(loops.dots, loops.scale, rows, stride, count, length, out);
}

/// With sums from left to right, which no compiler may make faster: what the fixed lanes are measured
/// against.
inline void correlate_plainly(const CorrelationLoops& loops, const double* rows, std::size_t stride,
                              std::size_t count, std::size_t length, double* out) {
  const auto dots = [](const double* x, const double* all, std::size_t apart, std::size_t most,
                       std::size_t width, double* products) {
    for (std::size_t r = 0; r < most; ++r) {
      const double* const y = all + r * apart;
      double sum = 0.0;
      for (std::size_t k = 0; k < width; ++k) sum += x[k] * y[k];
      products[r] = sum;
    }
  };
  correlate_by(dots, loops.scale, rows, stride, count, length, out);
}

}  // namespace bot4
