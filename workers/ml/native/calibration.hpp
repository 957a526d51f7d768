// From an estimator's score to a probability.
#pragma once

#include <algorithm>

#include "forest.hpp"

namespace bot4 {

/// 1 / (1 + e^-x). libm's exp is the one that scipy's expit calls, so the bits are those of it.
inline double logistic(double x) noexcept { return 1.0 / (1.0 + std::exp(-x)); }

class Calibration {
 public:
  /// The score is a probability already.
  static Calibration identity() { return Calibration(Kind::kIdentity); }
  /// The score is log odds.
  static Calibration log_odds() { return Calibration(Kind::kLogistic); }

  /// Platt's: 1 / (1 + e^(slope * score + offset)).
  static Calibration sigmoid(double slope, double offset) {
    check_finite("sigmoid", std::vector<double>{slope, offset});
    Calibration made(Kind::kSigmoid);
    made.x_ = {slope};
    made.y_ = {offset};
    return made;
  }

  /// Linear between the points, constant beyond the first and the last.
  static Calibration isotonic(std::span<const double> x, std::span<const double> y) {
    if (x.empty()) throw std::invalid_argument("the length of isotonic_x was 0, must be at least 1");
    check_length("isotonic_y", y.size(), x.size());
    check_finite("isotonic_x", x);
    check_finite("isotonic_y", y);
    for (std::size_t i = 0; i < x.size(); ++i) {
      if (!(y[i] >= 0.0 && y[i] <= 1.0))
        refuse_element("isotonic_y", i, std::to_string(y[i]), "0 .. 1");
      if (i > 0 && !(x[i] > x[i - 1]))
        refuse_element("isotonic_x", i, std::to_string(x[i]), "above " + std::to_string(x[i - 1]));
    }
    Calibration made(Kind::kIsotonic);
    made.x_.assign(x.begin(), x.end());
    made.y_.assign(y.begin(), y.end());
    return made;
  }

  double operator()(double score) const noexcept {
    switch (kind_) {
      case Kind::kIdentity: return score;
      case Kind::kLogistic: return logistic(score);
      case Kind::kSigmoid: return logistic(-(x_[0] * score + y_[0]));
      case Kind::kIsotonic: return interpolate(score);
    }
    __builtin_unreachable();
  }

 private:
  enum class Kind : std::uint8_t { kIdentity, kLogistic, kSigmoid, kIsotonic };

  explicit Calibration(Kind kind) : kind_(kind) {}

  /// In the operations of numpy.interp, for its bits.
  double interpolate(double score) const noexcept {
    const auto above = std::upper_bound(x_.begin(), x_.end(), score);
    if (above == x_.begin()) return y_.front();
    const auto i = static_cast<std::size_t>(above - x_.begin()) - 1;
    if (i + 1 == x_.size() || x_[i] == score) return y_[i];
    const double slope = (y_[i + 1] - y_[i]) / (x_[i + 1] - x_[i]);
    // Rounding may lead beyond a probability of 1, which scikit-learn mends in the same way.
    return std::min(1.0, slope * (score - x_[i]) + y_[i]);
  }

  Kind kind_;
  std::vector<double> x_, y_;  // of the sigmoid: slope and offset
};

}  // namespace bot4
