// Logistic regression's score: standardised features times coefficients.
#pragma once

#include "forest.hpp"

namespace bot4 {

class Linear {
 public:
  Linear(std::span<const double> mean, std::span<const double> scale,
         std::span<const double> coefficient, double intercept, std::size_t features)
      : intercept_(intercept) {
    check_length("mean", mean.size(), features);
    check_length("scale", scale.size(), features);
    check_length("coefficient", coefficient.size(), features);
    check_finite("mean", mean);
    check_finite("scale", scale);
    check_finite("coefficient", coefficient);
    check_finite("intercept", {&intercept, 1});
    for (std::size_t i = 0; i < features; ++i) {
      if (!(scale[i] > 0)) refuse_element("scale", i, std::to_string(scale[i]), "> 0");
      terms_.push_back({mean[i], scale[i], coefficient[i]});
    }
  }

  /// The sum in the order of the features, then the intercept. May overflow.
  double score(const double* row) const noexcept {
    double sum = 0.0;
    for (std::size_t i = 0; i < terms_.size(); ++i)
      sum += (row[i] - terms_[i].mean) / terms_[i].scale * terms_[i].coefficient;
    return sum + intercept_;
  }

  std::size_t features() const noexcept { return terms_.size(); }

 private:
  struct Term {
    double mean;
    double scale;
    double coefficient;
  };

  std::vector<Term> terms_;
  double intercept_;
};

}  // namespace bot4
