// Models: made of a file's arrays, and evaluated for all rows in one call without the GIL.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include "../ml/native/models.hpp"

namespace nb = nanobind;

namespace bot4::binding {

namespace {

template <class T>
using Vector = nb::ndarray<const T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

template <class T>
std::span<const T> elements(const nb::dict& arrays, const char* name) {
  if (!arrays.contains(name))
    throw nb::value_error(("there was no array " + std::string(name) + ", must be one").c_str());
  Vector<T> found;
  if (!nb::try_cast(arrays[name], found, false))
    throw nb::value_error(("the array " + std::string(name) + " was not a vector of " +
                           (std::is_same_v<T, double> ? "float64" : "int32")).c_str());
  return {found.data(), found.size()};  // lives as long as the dictionary does
}

double only(const nb::dict& arrays, const char* name) {
  const std::span<const double> found = elements<double>(arrays, name);
  check_length(name, found.size(), 1);
  return found[0];
}

Forest forest(const nb::dict& arrays, std::size_t features) {
  return Forest(elements<std::int32_t>(arrays, "feature"), elements<double>(arrays, "threshold"),
                elements<std::int32_t>(arrays, "right"), elements<std::int32_t>(arrays, "root"),
                features);
}

Model::Estimator estimator(const std::string& kind, const nb::dict& arrays, std::size_t features) {
  if (kind == "hgb") return BoostedTrees{forest(arrays, features), only(arrays, "base")};
  if (kind == "rf") return RandomForest{forest(arrays, features)};
  if (kind == "lr")
    return Linear(elements<double>(arrays, "mean"), elements<double>(arrays, "scale"),
                  elements<double>(arrays, "coefficient"), only(arrays, "intercept"), features);
  throw nb::value_error(("kind was " + kind + ", must be hgb, rf or lr").c_str());
}

Calibration calibration(const std::string& kind, const std::string& name, const nb::dict& arrays) {
  if (name == "none") return kind == "rf" ? Calibration::identity() : Calibration::log_odds();
  if (name == "sigmoid") {
    const std::span<const double> found = elements<double>(arrays, "sigmoid");
    check_length("sigmoid", found.size(), 2);
    return Calibration::sigmoid(found[0], found[1]);
  }
  if (name == "isotonic")
    return Calibration::isotonic(elements<double>(arrays, "isotonic_x"),
                                 elements<double>(arrays, "isotonic_y"));
  throw nb::value_error(("calibration was " + name + ", must be none, sigmoid or isotonic").c_str());
}

using Values = nb::ndarray<const double, nb::ndim<2>, nb::device::cpu>;
using Words = nb::ndarray<const std::uint64_t, nb::ndim<1>, nb::device::cpu>;
using Probabilities = nb::ndarray<double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Flags = nb::ndarray<bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

void check_count(const char* what, std::size_t count, std::size_t rows) {
  if (count != rows)
    throw nb::value_error(("there were " + std::to_string(count) + " " + what + ", must be " +
                           std::to_string(rows) + ", as there are rows").c_str());
}

std::size_t evaluate(const Model& model, const Values& values, const Words& valid,
                     const Probabilities& probabilities, const Flags& neutral) {
  const std::size_t count = values.shape(0);
  check_count("words of validity", valid.shape(0), count);
  check_count("probabilities", probabilities.shape(0), count);
  check_count("neutral flags", neutral.shape(0), count);
  if (values.shape(1) < model.width())
    throw nb::value_error(("a row was " + std::to_string(values.shape(1)) +
                           " values, must be at least " + std::to_string(model.width())).c_str());
  if (count > 0 && values.shape(1) > 1 && values.stride(1) != 1)
    throw nb::value_error("the values of a row were apart, must be next to each other");
  constexpr std::ptrdiff_t kElement = sizeof(double);  // nanobind counts strides in elements
  static_assert(sizeof(std::uint64_t) == kElement);
  const ModelRows rows{values.data(), values.stride(0) * kElement, valid.data(),
                       valid.stride(0) * kElement, count};
  double* const probability = probabilities.data();
  bool* const is_neutral = neutral.data();
  std::size_t neutrals = 0;
  const nb::gil_scoped_release released;
  model.evaluate(rows, [&](std::size_t i, Prediction prediction) {
    probability[i] = prediction.probability;
    is_neutral[i] = prediction.is_neutral;
    neutrals += prediction.is_neutral;
  });
  return neutrals;
}

}  // namespace

void bind_models(nb::module_& module) {
  nb::class_<Model>(module, "Model")
      .def("__init__",
           [](Model* self, const std::string& kind, const std::string& calibrated,
              std::vector<std::uint32_t> columns, const nb::dict& arrays) {
             new (self) Model(estimator(kind, arrays, columns.size()),
                              calibration(kind, calibrated, arrays), columns);
           },
           nb::kw_only(), nb::arg("kind"), nb::arg("calibration"), nb::arg("columns"),
           nb::arg("arrays"))
      .def("evaluate", &evaluate, nb::arg("values").noconvert(), nb::arg("valid").noconvert(),
           nb::arg("probabilities").noconvert(), nb::arg("neutral").noconvert());
}

}  // namespace bot4::binding
