// Binary trees in flat arrays, and the sum of the leaves that rows of features come to.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace bot4 {

/// A row of features of one instrument fits this; its validity fits a word.
inline constexpr std::size_t kMostModelFeatures = 64;
using ModelRow = double[kMostModelFeatures];

/// Throws that `name[index]` was `was`.
[[noreturn]] inline void refuse_element(std::string_view name, std::size_t index,
                                        const std::string& was, const std::string& limit) {
  throw std::invalid_argument(std::string(name) + "[" + std::to_string(index) + "] was " + was +
                              ", must be " + limit);
}

inline void check_length(std::string_view name, std::size_t length, std::size_t expected) {
  if (length != expected)
    throw std::invalid_argument("the length of " + std::string(name) + " was " +
                                std::to_string(length) + ", must be " + std::to_string(expected));
}

inline void check_finite(std::string_view name, std::span<const double> values) {
  for (std::size_t i = 0; i < values.size(); ++i)
    if (!std::isfinite(values[i])) refuse_element(name, i, std::to_string(values[i]), "finite");
}

/// The nodes of a tree follow each other in preorder: where a row's feature is at most the threshold
/// the next node is its left child, else `right` says which. So every step goes forward and a walk
/// ends, whatever a file says: that is checked here, once, and not in the walk.
class Forest {
 public:
  /// Node i asks for `feature[i]`, or is a leaf if that is -1; then `right[i]` is -1, and
  /// `threshold[i]` its value. Tree t begins at node `root[t]`.
  Forest(std::span<const std::int32_t> feature, std::span<const double> threshold,
         std::span<const std::int32_t> right, std::span<const std::int32_t> root,
         std::size_t features)
      : features_(features) {
    constexpr std::size_t kMostNodes = std::numeric_limits<std::int32_t>::max();
    const std::size_t nodes = feature.size();
    if (nodes == 0 || nodes > kMostNodes)
      throw std::invalid_argument("the length of feature was " + std::to_string(nodes) +
                                  ", must be 1 .. 2**31 - 1");
    check_length("threshold", threshold.size(), nodes);
    check_length("right", right.size(), nodes);
    check_finite("threshold", threshold);
    if (root.empty()) throw std::invalid_argument("the length of root was 0, must be at least 1");
    nodes_.reserve(nodes);
    roots_.reserve(root.size());
    check_range("root", 0, root[0], 0, 0);
    for (std::size_t tree = 0; tree < root.size(); ++tree) {
      const std::size_t begin = nodes_.size();
      std::size_t end = nodes;
      if (tree + 1 < root.size()) {
        check_range("root", tree + 1, root[tree + 1], begin + 1, nodes - 1);
        end = static_cast<std::size_t>(root[tree + 1]);
      }
      roots_.push_back(static_cast<std::uint32_t>(begin));
      for (std::size_t i = begin; i < end; ++i) {
        const bool is_leaf = feature[i] == kLeaf;
        if (is_leaf) {
          if (right[i] != kLeaf)
            refuse_element("right", i, std::to_string(right[i]), "-1 in a leaf");
        } else {
          check_range("feature", i, feature[i], 0, features - 1);
          if (i + 2 >= end)
            refuse_element("feature", i, std::to_string(feature[i]),
                           "-1 so near to the end of its tree, " + std::to_string(end));
          check_range("right", i, right[i], i + 2, end - 1);
        }
        nodes_.push_back({threshold[i], right[i], feature[i]});
      }
    }
  }

  /// Adds the leaves of each row to its sum, in the order of the trees.
  void add(const ModelRow* rows, std::size_t count, double* sums) const noexcept {
    // Trees outside: a tree stays in the cache for all the rows, and their walks overlap.
    for (const std::uint32_t root : roots_)
      for (std::size_t row = 0; row < count; ++row) sums[row] += leaf(root, rows[row]);
  }

  std::size_t trees() const noexcept { return roots_.size(); }
  std::size_t features() const noexcept { return features_; }

 private:
  static constexpr std::int32_t kLeaf = -1;

  struct Node {
    double threshold;
    std::int32_t right;
    std::int32_t feature;
  };
  static_assert(sizeof(Node) == 16);

  static void check_range(std::string_view name, std::size_t index, std::int32_t value,
                          std::size_t low, std::size_t high) {
    if (value < 0 || static_cast<std::size_t>(value) < low || static_cast<std::size_t>(value) > high)
      refuse_element(name, index, std::to_string(value),
                     low == high ? std::to_string(low)
                                 : std::to_string(low) + " .. " + std::to_string(high));
  }

  double leaf(std::uint32_t root, const double* row) const noexcept {
    const Node* nodes = nodes_.data();
    std::uint32_t at = root;
    while (nodes[at].feature >= 0) {
      const Node& node = nodes[at];
      at = row[node.feature] <= node.threshold ? at + 1 : static_cast<std::uint32_t>(node.right);
    }
    return nodes[at].threshold;
  }

  std::vector<Node> nodes_;
  std::vector<std::uint32_t> roots_;
  std::size_t features_;
};

}  // namespace bot4
