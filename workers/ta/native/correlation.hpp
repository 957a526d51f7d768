// The rolling correlation of the returns of all instruments, over the last 256 samples.
//
// A sample is a return of each instrument, or none: an instrument may have been without a market. The
// correlation of a pair is of the samples in the window at which both have one, as pandas does it; to
// call a missing return 0 would pull every correlation towards 0. workers/ta/correlation.py is the
// same in slow, obvious Python.
//
// Kept are the sums of products of each pair, about a shift of each row close to its mean; a sample
// adds its products and takes those of the sample that leaves: two multiplications a pair. Such sums
// gather rounding errors, and one bad tick leaves its own behind when it goes. So rows are
// *anchored*, which is to compute their shift and sums anew from the window:
// - one row a sample, in turn;
// - at once each row whose bound of the error, kept beside the sums, is beyond kTolerance of its sum
//   of squares about the mean.
// By Cauchy and Schwarz the error of a pair's sum is within the bounds of its rows, so that of each
// correlation is within 2 kTolerance, always.
//
// Pairs of which a row has a hole in the window are computed from the window when asked for, about
// a microsecond each; holes are rare where a quiet market's return is 0 and only a stale one has none.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>

#include "correlation_matrix.hpp"

namespace bot4 {

/// What the state begins with; behind it lie arrays whose size follows from `instruments`. Plain data:
/// a copy is a snapshot. All zero but for `instruments`: nothing has happened yet.
struct alignas(64) CorrelationHeader {
  std::uint64_t instruments;
  std::uint64_t samples;   // so far; sample n is at n % kWindow
  std::uint64_t turn;      // the next row to be anchored in turn
  std::uint64_t anchored;  // rows, so far
  std::uint64_t spare[4];
};
static_assert(sizeof(CorrelationHeader) == 64);

class Correlation {
 public:
  static constexpr std::size_t kWindow = 256;
  static constexpr std::size_t kMostInstruments = 512;
  static constexpr double kLargest = 1e12;       // return; its square must leave room for sums
  static constexpr double kTolerance = 5e-13;

  struct Pair {
    double value;           // -1 .. 1; 0 if it is not valid
    std::uint32_t samples;  // at which both have a return
    bool is_valid;          // both move in these samples
  };

  static constexpr std::size_t bytes(std::size_t instruments) {
    return sizeof(CorrelationHeader) + doubles(instruments) * sizeof(double);
  }

  /// Over a state of bytes(instruments), aligned to 64, which outlives this. Zero memory is a new one.
  Correlation(void* state, std::size_t instruments, Simd simd = widest_simd())
      : loops_(correlation_loops(simd)), count_(instruments) {
    if (instruments < 1 || instruments > kMostInstruments)
      throw std::invalid_argument("correlation: instruments was " + std::to_string(instruments) +
                                  ", must be in 1 .. " + std::to_string(kMostInstruments));
    head_ = static_cast<CorrelationHeader*>(state);
    if (head_->instruments == 0) head_->instruments = instruments;
    if (head_->instruments != instruments)
      throw std::invalid_argument("correlation: the state was of " +
                                  std::to_string(head_->instruments) + " instruments, must be of " +
                                  std::to_string(instruments));
    const std::size_t width = lanes::padded(instruments, lanes::kPad);
    shift_ = reinterpret_cast<double*>(head_ + 1);
    sum_ = shift_ + width;
    square_ = sum_ + width;
    error_ = square_ + width;
    present_ = reinterpret_cast<std::uint64_t*>(error_ + width);
    valid_ = present_ + width;
    raw_ = reinterpret_cast<double*>(valid_ + width * kMaskWords);
    shifted_ = raw_ + instruments * kStride;
    cross_ = shifted_ + instruments * kStride;
  }

  std::uint64_t samples() const { return head_->samples; }
  std::uint64_t anchored() const { return head_->anchored; }
  std::size_t instruments() const { return count_; }
  /// Throws if there is no such instrument.
  void check_row(std::size_t i) const {
    if (i >= count_)
      throw std::out_of_range("correlation: instrument was " + std::to_string(i) +
                              ", must be below " + std::to_string(count_));
  }

  /// Takes a sample: the return of each instrument, and whether there is one, bit i % 64 of word
  /// i / 64. Throws, and changes nothing, if a return is not finite or beyond kLargest.
  void add(const double* returns, const std::uint64_t* valid) {
    check(returns, valid);
    alignas(64) double entered[kMostInstruments] = {}, left[kMostInstruments] = {};
    const std::size_t slot = head_->samples % kWindow;
    for (std::size_t i = 0; i < count_; ++i) {
      left[i] = take_out(i, slot);
      if (has(valid, i)) entered[i] = put_in(i, slot, returns[i]);
    }
    loops_.slide(cross_, entered, left, count_);
    ++head_->samples;

    std::uint16_t due[kMostInstruments];
    std::size_t due_count = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      const double most = square_[i] + entered[i] * entered[i];
      square_[i] = most - left[i] * left[i];
      sum_[i] = (sum_[i] + entered[i]) - left[i];
      // Two products and two additions here, and as much for what the sum's error does.
      error_[i] += 4.0 * std::numeric_limits<double>::epsilon() * most;
      if (i == head_->turn || error_[i] > kTolerance * squares_about_mean(i))
        due[due_count++] = static_cast<std::uint16_t>(i);
    }
    head_->turn = (head_->turn + 1) % count_;
    anchor(due, due_count);
  }

  Pair pair(std::size_t i, std::size_t j) const {
    check_row(i);
    check_row(j);
    if (i < j) std::swap(i, j);  // the bits are those of the lower triangle
    if (has_hole(i) || has_hole(j)) return pair_with_hole(i, j);
    const double scales[2] = {scale(i), scale(j)};
    const bool is_valid = scales[0] != 0.0 && scales[1] != 0.0;
    const lanes::Scaling scaling{mean(i), scales[0], sum_ + j, scales + 1};
    const double value = i == j ? 1.0 : lanes::scaled(cross_[at(i) + j], scaling, 0);
    return {is_valid ? value : 0.0, static_cast<std::uint32_t>(window()), is_valid};
  }

  /// The correlations of an instrument with each: `values` and `samples` have room for all.
  void row(std::size_t i, double* values, std::uint32_t* samples, bool* valid) const {
    check_row(i);
    for (std::size_t j = 0; j < count_; ++j) {
      const Pair one = pair(i, j);
      values[j] = one.value;
      samples[j] = one.samples;
      valid[j] = one.is_valid;
    }
  }

  /// The correlations of all pairs, a full matrix (instruments x instruments).
  void matrix(double* out) const {
    alignas(64) double scales[kMostInstruments];
    for (std::size_t i = 0; i < count_; ++i) scales[i] = has_hole(i) ? 0.0 : scale(i);
    const double* products = cross_;
    for (std::size_t i = 0; i < count_; ++i) {
      double* const values = out + i * count_;
      loops_.scale(products, {mean(i), scales[i], sum_, scales}, i, values);
      values[i] = scales[i] != 0.0 ? 1.0 : 0.0;
      products += lanes::padded(i + 1, lanes::kPad);
    }
    add_holes(out);
    mirror(out, count_);
  }

  /// The same from the window alone.
  void recompute(double* out) const {
    correlate(loops_, raw_, kStride, count_, window(), out);
    add_holes(out);
    mirror(out, count_);
  }

 private:
  static constexpr std::size_t kMaskWords = kWindow / 64;
  // A line more than the window: rows 2 kB apart would share a few sets of the cache.
  static constexpr std::size_t kStride = kWindow + lanes::kPad;

  static constexpr std::size_t at(std::size_t row) {
    const std::size_t groups = row / lanes::kPad;  // of rows of equal length
    return lanes::kPad * (groups + 1) * (groups * lanes::kPad / 2 + row % lanes::kPad);
  }
  static constexpr std::size_t doubles(std::size_t instruments) {
    return (5 + kMaskWords) * lanes::padded(instruments, lanes::kPad) + 2 * instruments * kStride +
           at(instruments);
  }

  void check(const double* returns, const std::uint64_t* valid) const {
    for (std::size_t i = 0; i < count_; ++i)
      if (has(valid, i) && !(std::abs(returns[i]) <= kLargest))
        throw std::invalid_argument("correlation: the return of instrument " + std::to_string(i) +
                                    " was " + std::to_string(returns[i]) +
                                    ", must be finite and within 1e12 of 0");
  }
  static bool has(const std::uint64_t* mask, std::size_t i) {
    return (mask[i / 64] >> (i % 64) & 1) != 0;
  }
  std::uint64_t* valid(std::size_t i) const { return valid_ + i * kMaskWords; }
  std::size_t window() const { return std::min<std::size_t>(head_->samples, kWindow); }
  bool has_hole(std::size_t i) const { return present_[i] != window(); }

  double mean(std::size_t i) const {
    return present_[i] == 0 ? 0.0 : sum_[i] / static_cast<double>(present_[i]);
  }
  double squares_about_mean(std::size_t i) const { return square_[i] - mean(i) * sum_[i]; }
  double scale(std::size_t i) const { return scale_of(squares_about_mean(i)); }

  /// Takes a row's sample out of its slot; returns what it adds to the sums.
  double take_out(std::size_t i, std::size_t slot) {
    if (!has(valid(i), slot)) return 0.0;
    double& shifted = shifted_[i * kStride + slot];
    const double left = shifted;
    raw_[i * kStride + slot] = shifted = 0.0;
    valid(i)[slot / 64] &= ~(std::uint64_t{1} << slot % 64);
    if (--present_[i] > 0) return left;
    clear(i);
    return 0.0;
  }

  double put_in(std::size_t i, std::size_t slot, double value) {
    if (present_[i]++ == 0) shift_[i] = value;
    valid(i)[slot / 64] |= std::uint64_t{1} << slot % 64;
    raw_[i * kStride + slot] = value;
    return shifted_[i * kStride + slot] = value - shift_[i];
  }

  /// The sums of a row without samples: zero, whatever errors they had.
  void clear(std::size_t i) {
    shift_[i] = sum_[i] = square_[i] = error_[i] = 0.0;
    for (std::size_t j = 0; j < count_; ++j) cross_[j <= i ? at(i) + j : at(j) + i] = 0.0;
  }

  void anchor(const std::uint16_t* rows, std::size_t count) {
    // All shifts before the first product: it is of two rows.
    for (std::size_t r = 0; r < count; ++r) set_shift(rows[r]);
    double products[kMostInstruments];
    for (std::size_t r = 0; r < count; ++r) {
      const std::size_t i = rows[r];
      const double* const own = shifted_ + i * kStride;
      loops_.dots(own, shifted_, kStride, i + 1, kWindow, cross_ + at(i));
      square_[i] = cross_[at(i) + i];
      error_[i] = 0.0;
      if (count == count_) continue;  // the rows below will do the rest
      loops_.dots(own, own + kStride, kStride, count_ - i - 1, kWindow, products);
      for (std::size_t j = i + 1; j < count_; ++j) cross_[at(j) + i] = products[j - i - 1];
    }
    head_->anchored += count;
  }

  /// Moves the shift of a row to its mean: exactly to its value, if all are equal.
  void set_shift(std::size_t i) {
    if (present_[i] == 0) return;
    const double* const raw = raw_ + i * kStride;
    double* const shifted = shifted_ + i * kStride;
    const std::uint64_t* const mask = valid(i);
    std::size_t first = 0;
    while (!has(mask, first)) ++first;
    double sum = 0.0;
    for (std::size_t k = 0; k < kWindow; ++k) sum += has(mask, k) ? raw[k] - raw[first] : 0.0;
    shift_[i] = raw[first] + sum / static_cast<double>(present_[i]);
    sum_[i] = 0.0;
    for (std::size_t k = 0; k < kWindow; ++k)
      sum_[i] += shifted[k] = has(mask, k) ? raw[k] - shift_[i] : 0.0;
  }

  /// The pairs on and below the diagonal of which a row has a hole.
  void add_holes(double* out) const {
    std::uint16_t holes[kMostInstruments];
    std::size_t hole_count = 0;
    for (std::size_t i = 0; i < count_; ++i) {
      if (has_hole(i)) holes[hole_count++] = static_cast<std::uint16_t>(i);
      const std::size_t columns = has_hole(i) ? i + 1 : hole_count;
      for (std::size_t n = 0; n < columns; ++n) {
        const std::size_t j = has_hole(i) ? n : holes[n];
        out[i * count_ + j] = pair_with_hole(i, j).value;
      }
    }
  }

  Pair pair_with_hole(std::size_t i, std::size_t j) const {
    double both[2][kWindow];
    std::size_t count = 0;
    for (std::size_t word = 0; word < kMaskWords; ++word)
      for (std::uint64_t rest = valid(i)[word] & valid(j)[word]; rest != 0; rest &= rest - 1) {
        const std::size_t k = word * 64 + static_cast<std::size_t>(std::countr_zero(rest));
        both[0][count] = raw_[i * kStride + k];
        both[1][count++] = raw_[j * kStride + k];
      }
    const std::size_t width = lanes::padded(count, lanes::kPartials);
    for (double* each : both) centre(each, count, each, width);
    double own, other, product;
    loops_.dots(both[0], both[0], 0, 1, width, &own);
    loops_.dots(both[1], both[1], 0, 1, width, &other);
    loops_.dots(both[0], both[1], 0, 1, width, &product);
    const double scales[2] = {scale_of(own), scale_of(other)};
    const bool is_valid = scales[0] != 0.0 && scales[1] != 0.0;
    const double value = i == j ? 1.0 : lanes::clamped(product * scales[0] * scales[1]);
    return {is_valid ? value : 0.0, static_cast<std::uint32_t>(count), is_valid};
  }

  CorrelationLoops loops_;
  std::size_t count_;
  CorrelationHeader* head_;
  double* shift_;         // of each row
  double* sum_;           // of its samples about the shift
  double* square_;        // of their squares
  double* error_;         // bound of that of each sum of products of the row, since it was anchored
  std::uint64_t* present_;  // samples in the window
  std::uint64_t* valid_;    // kMaskWords a row: whether there is one in each slot
  double* raw_;           // kStride a row: the returns; 0 where there is none
  double* shifted_;       // the same about the shift; 0 where there is none
  double* cross_;         // products of the rows i and j <= i, at(i) + j; each row up to a full line
};

}  // namespace bot4
