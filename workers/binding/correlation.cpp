// Rolling correlations over a state that Python may copy, and matrices from scratch.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "../ta/native/correlation_record.hpp"

namespace nb = nanobind;

namespace bot4::binding {

namespace {

using Row = nb::ndarray<const double, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Flags = nb::ndarray<const bool, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Rows = nb::ndarray<const double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Matrix = nb::ndarray<double, nb::ndim<2>, nb::c_contig, nb::device::cpu>;

constexpr std::pair<const char*, Simd> kSimd[] = {
    {"baseline", Simd::kBaseline}, {"avx2", Simd::kAvx2}, {"avx512", Simd::kAvx512}};

std::vector<std::string> simd_names() {
  std::vector<std::string> names;
  for (const auto& [name, simd] : kSimd)
    if (simd <= widest_simd()) names.emplace_back(name);
  return names;
}

Simd simd_of(const nb::object& chosen) {
  if (chosen.is_none()) return widest_simd();
  const auto wanted = nb::cast<std::string>(chosen);
  std::string known;
  for (const std::string& name : simd_names()) {
    if (name == wanted)
      for (const auto& [each, simd] : kSimd)
        if (wanted == each) return simd;
    known += (known.empty() ? "" : ", ") + name;
  }
  throw nb::value_error(("simd was " + wanted + ", must be of " + known).c_str());
}

template <class T>
nb::ndarray<nb::numpy, T> array_of(std::vector<std::size_t> shape, T*& data) {
  std::size_t size = 1;
  for (const std::size_t each : shape) size *= each;
  data = new T[size];
  nb::capsule owner(data, [](void* self) noexcept { delete[] static_cast<T*>(self); });
  return {data, shape.size(), shape.data(), owner};
}

void check_shape(const char* what, const std::vector<std::size_t>& was,
                 const std::vector<std::size_t>& wanted) {
  if (was == wanted) return;
  const auto text = [](const std::vector<std::size_t>& shape) {
    std::string result;
    for (const std::size_t each : shape)
      result += (result.empty() ? "" : " x ") + std::to_string(each);
    return result;
  };
  throw nb::value_error(
      (std::string(what) + " was " + text(was) + ", must be " + text(wanted)).c_str());
}

class PyCorrelation {
 public:
  PyCorrelation(std::size_t instruments, const nb::object& simd)
      : memory_(allocate(instruments)), native_(memory_.get(), instruments, simd_of(simd)) {}

  void add(const Row& returns, const std::optional<Flags>& valid) {
    const std::size_t count = native_.instruments();
    check_shape("returns", {returns.size()}, {count});
    std::array<std::uint64_t, Correlation::kMostInstruments / 64> mask;
    mask.fill(~std::uint64_t{0});
    if (valid) {
      check_shape("valid", {valid->size()}, {count});
      mask.fill(0);
      for (std::size_t i = 0; i < count; ++i)
        mask[i / 64] |= std::uint64_t{valid->data()[i]} << i % 64;
    }
    native_.add(returns.data(), mask.data());
  }

  std::tuple<double, std::uint32_t, bool> pair(std::size_t i, std::size_t j) const {
    const Correlation::Pair found = native_.pair(i, j);
    return {found.value, found.samples, found.is_valid};
  }

  nb::tuple row(std::size_t i) const {
    double* values;
    std::uint32_t* samples;
    bool* valid;
    const std::size_t count = native_.instruments();
    auto result = nb::make_tuple(array_of<double>({count}, values),
                                 array_of<std::uint32_t>({count}, samples),
                                 array_of<bool>({count}, valid));
    native_.row(i, values, samples, valid);
    return result;
  }

  nb::bytes record(std::uint32_t instrument, std::uint32_t first) const {
    Correlations row{};
    fill(native_, instrument, first, row);
    return nb::bytes(&row, sizeof row);
  }

  void matrix(const Matrix& out) const { native_.matrix(checked(out)); }
  void recompute(const Matrix& out) const { native_.recompute(checked(out)); }

  nb::bytes snapshot() const { return nb::bytes(memory_.get(), size()); }

  void restore(const nb::bytes& state) {
    check_shape("the state's bytes", {state.size()}, {size()});
    CorrelationHeader head;
    std::memcpy(&head, state.c_str(), sizeof head);
    check_shape("the state's instruments", {head.instruments}, {native_.instruments()});
    std::memcpy(memory_.get(), state.c_str(), size());
  }

  std::size_t size() const { return Correlation::bytes(native_.instruments()); }
  std::size_t instruments() const { return native_.instruments(); }
  std::uint64_t samples() const { return native_.samples(); }
  std::uint64_t anchored() const { return native_.anchored(); }

 private:
  struct Free {
    void operator()(void* memory) const { ::operator delete(memory, std::align_val_t{64}); }
  };
  using Memory = std::unique_ptr<void, Free>;

  static Memory allocate(std::size_t instruments) {
    // The constructor of Correlation refuses other numbers, and names them.
    const std::size_t most = std::min(instruments, Correlation::kMostInstruments);
    Memory memory(::operator new(Correlation::bytes(most), std::align_val_t{64}));
    std::memset(memory.get(), 0, Correlation::bytes(most));
    return memory;
  }

  double* checked(const Matrix& out) const {
    const std::size_t count = native_.instruments();
    check_shape("out", {out.shape(0), out.shape(1)}, {count, count});
    return out.data();
  }

  Memory memory_;
  Correlation native_;
};

template <class Correlate>
void correlate_into(Correlate correlate, const Rows& rows, const Matrix& out,
                    const nb::object& simd) {
  const std::size_t count = rows.shape(0);
  check_shape("out", {out.shape(0), out.shape(1)}, {count, count});
  correlate(correlation_loops(simd_of(simd)), rows.data(), rows.shape(1), count, rows.shape(1),
            out.data());
}

}  // namespace

void bind_correlation(nb::module_& module) {
  nb::class_<PyCorrelation>(module, "Correlation")
      .def(nb::init<std::size_t, nb::object>(), nb::arg("instruments"), nb::kw_only(),
           nb::arg("simd") = nb::none())
      .def("add", &PyCorrelation::add, nb::arg("returns"), nb::arg("valid") = nb::none())
      .def("pair", &PyCorrelation::pair, nb::arg("i"), nb::arg("j"))
      .def("row", &PyCorrelation::row, nb::arg("i"))
      .def("record", &PyCorrelation::record, nb::arg("instrument"), nb::arg("first") = 0)
      .def("matrix", &PyCorrelation::matrix, nb::arg("out").noconvert())
      .def("recompute", &PyCorrelation::recompute, nb::arg("out").noconvert())
      .def("snapshot", &PyCorrelation::snapshot)
      .def("restore", &PyCorrelation::restore, nb::arg("state"))
      .def_prop_ro("size", &PyCorrelation::size)
      .def_prop_ro("instruments", &PyCorrelation::instruments)
      .def_prop_ro("samples", &PyCorrelation::samples)
      .def_prop_ro("anchored", &PyCorrelation::anchored);
  module.def("simd_names", &simd_names);
  module.def(
      "correlate",
      [](const Rows& rows, const Matrix& out, const nb::object& simd) {
        correlate_into(correlate, rows, out, simd);
      },
      nb::arg("rows"), nb::arg("out").noconvert(), nb::kw_only(), nb::arg("simd") = nb::none());
  module.def(
      "correlate_plainly",
      [](const Rows& rows, const Matrix& out) {
        correlate_into(correlate_plainly, rows, out, nb::none());
      },
      nb::arg("rows"), nb::arg("out").noconvert());
}

}  // namespace bot4::binding
