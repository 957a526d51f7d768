// Makes models of the arrays in a file, and evaluates those that are accepted, under the sanitizers.
//
// A model is `[kind:1][calibration:1][features:1]` and its arrays, each `[count:4]` and its elements,
// in the order in which they are read here. Each array lies in memory of its own and of just its
// size, so that a read beyond its end is seen.
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>

#include "workers/ml/native/models.hpp"

using namespace bot4;

namespace {

std::size_t allocations = 0;

class Reader {
 public:
  explicit Reader(const char* path) {
    std::ifstream file(path, std::ios::binary);
    all_.assign(std::istreambuf_iterator<char>(file), {});
  }

  bool is_at_end() const { return at_ == all_.size(); }
  unsigned byte() { return static_cast<unsigned char>(all_[at_++]); }

  template <class T>
  std::span<const T> elements() {
    std::uint32_t count;
    std::memcpy(&count, &all_[at_], sizeof count);
    at_ += sizeof count;
    auto* copy = new T[count];
    owned_.emplace_back(copy, [](void* memory) { delete[] static_cast<T*>(memory); });
    std::memcpy(copy, all_.data() + at_, count * sizeof(T));
    at_ += count * sizeof(T);
    return {copy, count};
  }
  void forget() { owned_.clear(); }

 private:
  std::string all_;
  std::size_t at_ = 0;
  std::vector<std::shared_ptr<void>> owned_;
};

struct Arrays {
  std::span<const std::int32_t> feature, right, root;
  std::span<const double> threshold, base, mean, scale, coefficient, x, y;
};

Arrays read(Reader& file, unsigned kind, unsigned calibration) {
  Arrays arrays;
  if (kind == 2) {
    arrays.mean = file.elements<double>();
    arrays.scale = file.elements<double>();
    arrays.coefficient = file.elements<double>();
    arrays.base = file.elements<double>();
  } else {
    arrays.feature = file.elements<std::int32_t>();
    arrays.threshold = file.elements<double>();
    arrays.right = file.elements<std::int32_t>();
    arrays.root = file.elements<std::int32_t>();
    if (kind == 0) arrays.base = file.elements<double>();
  }
  if (calibration != 0) arrays.x = file.elements<double>();
  if (calibration == 2) arrays.y = file.elements<double>();
  return arrays;
}

Model model(const Arrays& arrays, unsigned kind, unsigned calibration, std::size_t features) {
  const auto estimator = [&]() -> Model::Estimator {
    if (kind != 1) check_length("base", arrays.base.size(), 1);
    if (kind == 2)
      return Linear(arrays.mean, arrays.scale, arrays.coefficient, arrays.base[0], features);
    Forest forest(arrays.feature, arrays.threshold, arrays.right, arrays.root, features);
    if (kind == 0) return BoostedTrees{std::move(forest), arrays.base[0]};
    return RandomForest{std::move(forest)};
  };
  const auto calibrated = [&] {
    if (calibration == 0) return kind == 1 ? Calibration::identity() : Calibration::log_odds();
    if (calibration == 2) return Calibration::isotonic(arrays.x, arrays.y);
    check_length("sigmoid", arrays.x.size(), 2);
    return Calibration::sigmoid(arrays.x[0], arrays.x[1]);
  };
  std::vector<std::uint32_t> columns;
  for (std::uint32_t i = 0; i < features; ++i) columns.push_back(i);
  return Model(estimator(), calibrated(), std::move(columns));
}

/// Rows of which the last are odd: beyond float32, infinite, not numbers.
std::vector<double> rows_of(std::size_t count, std::size_t features) {
  constexpr double kOdd[] = {1e39, -1e300, HUGE_VAL, -HUGE_VAL, NAN, 5e-324};
  std::vector<double> rows(count * features);
  std::uint64_t random = 1;
  for (double& value : rows) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    value = static_cast<double>(random >> 40) / 2097152.0 - 4.0;
  }
  for (std::size_t i = 0; i < std::size(kOdd); ++i)
    rows[(count - 1 - i) * features + i % features] = kOdd[i];
  return rows;
}

}  // namespace

void* operator new(std::size_t bytes) {
  ++allocations;
  if (void* memory = std::malloc(bytes == 0 ? 1 : bytes)) return memory;
  throw std::bad_alloc();
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

int main(int, char** arguments) {
  Reader file(arguments[1]);
  std::uint64_t models = 0, accepted = 0, predictions = 0, wrong = 0;
  for (; !file.is_at_end(); ++models, file.forget()) {
    const unsigned kind = file.byte(), calibration = file.byte(), features = file.byte();
    const Arrays arrays = read(file, kind, calibration);
    try {
      const Model made = model(arrays, kind, calibration, features);
      file.forget();  // a model keeps nothing of what it was made of
      ++accepted;
      constexpr std::size_t kRows = 21;
      const std::vector<double> rows = rows_of(kRows, features);
      const std::vector<std::uint64_t> valid(kRows, ~std::uint64_t{0});
      const ModelRows all{rows.data(), static_cast<std::ptrdiff_t>(features * sizeof(double)),
                          valid.data(), sizeof(std::uint64_t), kRows};
      const std::size_t before = allocations;
      made.evaluate(all, [&](std::size_t, Prediction prediction) {
        ++predictions;
        wrong += !(prediction.probability >= 0.0 && prediction.probability <= 1.0);
      });
      wrong += allocations != before;
    } catch (const std::invalid_argument&) {
    }
  }
  std::printf("%llu models, %llu accepted, %llu predictions, %llu wrong\n",
              static_cast<unsigned long long>(models), static_cast<unsigned long long>(accepted),
              static_cast<unsigned long long>(predictions), static_cast<unsigned long long>(wrong));
}
