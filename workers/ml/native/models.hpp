// A model: rows of features in, the probabilities of a rise out. workers/ml/models/reference.py is
// the same in slow, obvious Python.
//
// What it is made of is checked when it is made; evaluating it neither allocates nor throws.
#pragma once

#include <cstring>
#include <utility>
#include <variant>

#include "calibration.hpp"
#include "forest.hpp"
#include "linear.hpp"

namespace bot4 {

/// Gradient-boosted trees: the sum of the leaves, from a base, is log odds.
struct BoostedTrees {
  Forest forest;
  double base;

  std::size_t features() const noexcept { return forest.features(); }
};

/// A random forest: the mean of the leaves is a probability. It was grown on float32, so what it
/// looks at is rounded to that first.
struct RandomForest {
  Forest forest;

  std::size_t features() const noexcept { return forest.features(); }
};

struct Prediction {
  double probability;  // of a rise
  bool is_neutral;     // there was none: the probability is 0.5
};

/// Rows in memory of somebody else's, `stride` bytes from one to the next.
struct ModelRows {
  const double* values;
  std::ptrdiff_t stride;
  const std::uint64_t* valid;  // bit i: value i of the row is one
  std::ptrdiff_t valid_stride;
  std::size_t count;
};

class Model {
 public:
  using Estimator = std::variant<BoostedTrees, RandomForest, Linear>;

  static constexpr double kNeutral = 0.5;

  /// `columns[i]` is the place, in a row, of the estimator's feature i.
  Model(Estimator estimator, Calibration calibration, std::vector<std::uint32_t> columns)
      : estimator_(std::move(estimator)),
        calibration_(std::move(calibration)),
        columns_(std::move(columns)) {
    if (columns_.empty() || columns_.size() > kMostModelFeatures)
      throw std::invalid_argument("the number of features was " + std::to_string(columns_.size()) +
                                  ", must be 1 .. " + std::to_string(kMostModelFeatures));
    check_length("columns", columns_.size(),
                 std::visit([](const auto& made) { return made.features(); }, estimator_));
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      if (columns_[i] >= kMostModelFeatures)
        refuse_element("columns", i, std::to_string(columns_[i]),
                       "below " + std::to_string(kMostModelFeatures));
      needed_ |= std::uint64_t{1} << columns_[i];
      width_ = std::max<std::size_t>(width_, columns_[i] + 1);
    }
    if (const auto* boosted = std::get_if<BoostedTrees>(&estimator_))
      check_finite("base", {&boosted->base, 1});
  }

  /// A row has at least so many values.
  std::size_t width() const noexcept { return width_; }

  Prediction evaluate(const double* row, std::uint64_t valid) const noexcept {
    Prediction prediction{};
    evaluate({row, 0, &valid, 0, 1}, [&](std::size_t, Prediction made) { prediction = made; });
    return prediction;
  }

  /// `take(i, prediction)` for each row. One is neutral if a feature of its is invalid or not finite
  /// (for a random forest: beyond float32), or if the estimator's own arithmetic overflows.
  template <class Take>
  void evaluate(const ModelRows& rows, Take&& take) const noexcept {
    // A row's walk through a tree waits for memory and for itself; those of several overlap.
    constexpr std::size_t kBlock = 8;
    ModelRow block[kBlock];
    bool is_usable[kBlock];
    double scores[kBlock];
    for (std::size_t begin = 0; begin < rows.count; begin += kBlock) {
      const std::size_t count = std::min(kBlock, rows.count - begin);
      for (std::size_t i = 0; i < count; ++i)
        is_usable[i] = gather(at(rows.values, rows.stride, begin + i),
                              *at(rows.valid, rows.valid_stride, begin + i), block[i]);
      std::visit([&](const auto& estimator) { score(estimator, block, count, scores); }, estimator_);
      for (std::size_t i = 0; i < count; ++i) {
        const double probability = calibration_(scores[i]);
        const bool is_one = is_usable[i] && std::isfinite(scores[i]) && probability >= 0.0 &&
                            probability <= 1.0;
        take(begin + i, is_one ? Prediction{probability, false} : Prediction{kNeutral, true});
      }
    }
  }

 private:
  template <class T>
  static const T* at(const T* first, std::ptrdiff_t stride, std::size_t index) noexcept {
    return reinterpret_cast<const T*>(reinterpret_cast<const char*>(first) +
                                      stride * static_cast<std::ptrdiff_t>(index));
  }

  /// False if the row cannot be used; what is gathered is finite all the same.
  bool gather(const double* row, std::uint64_t valid, double* gathered) const noexcept {
    const bool rounds = std::holds_alternative<RandomForest>(estimator_);
    const double most = rounds ? std::numeric_limits<float>::max() : std::numeric_limits<double>::max();
    bool is_usable = (valid & needed_) == needed_;
    for (std::size_t i = 0; i < columns_.size(); ++i) {
      double value = row[columns_[i]];
      if (!(std::abs(value) <= most)) {  // false for NaN, too
        is_usable = false;
        value = 0.0;
      }
      gathered[i] = rounds ? static_cast<double>(static_cast<float>(value)) : value;
    }
    return is_usable;
  }

  static void score(const BoostedTrees& boosted, const ModelRow* rows, std::size_t count,
                    double* scores) noexcept {
    std::fill_n(scores, count, boosted.base);
    boosted.forest.add(rows, count, scores);
  }
  static void score(const RandomForest& random, const ModelRow* rows, std::size_t count,
                    double* scores) noexcept {
    std::fill_n(scores, count, 0.0);
    random.forest.add(rows, count, scores);
    for (std::size_t i = 0; i < count; ++i) scores[i] /= static_cast<double>(random.forest.trees());
  }
  static void score(const Linear& linear, const ModelRow* rows, std::size_t count,
                    double* scores) noexcept {
    for (std::size_t i = 0; i < count; ++i) scores[i] = linear.score(rows[i]);
  }

  Estimator estimator_;
  Calibration calibration_;
  std::vector<std::uint32_t> columns_;
  std::uint64_t needed_ = 0;
  std::size_t width_ = 0;
};

}  // namespace bot4
