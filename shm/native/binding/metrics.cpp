#include "../metrics.hpp"

#include <nanobind/stl/vector.h>

#include "common.hpp"

namespace bot4::binding {

using shm::Buckets;
using shm::HistogramWords;
using shm::Word;

namespace {

class PyCounters : public Role {
 public:
  PyCounters(std::string name, nb::handle mapping, std::uint64_t offset, nb::tuple names,
             nb::object claim)
      : Role(std::move(name), mapping, offset, names.size() * sizeof(Word), std::move(claim)),
        names_(std::move(names)) {}

  void add(nb::handle counter, nb::handle n) {
    const std::uint64_t more = unsigned_word(n, name() + ": what was added");
    shm::add_single_writer(at(counter), more);
  }
  void set(nb::handle counter, nb::handle value) {
    const std::uint64_t word = unsigned_word(value, name() + ": the value set");
    at(counter).store(word, std::memory_order_relaxed);
  }
  std::vector<std::uint64_t> values() const {
    check_open();
    std::vector<std::uint64_t> values(names_.size());
    for (std::size_t i = 0; i < values.size(); ++i)
      values[i] = memory().as<Word>()[i].load(std::memory_order_relaxed);
    return values;
  }

 private:
  Word& at(nb::handle counter) {
    const std::size_t index = names_.index(name(), counter);
    check_open();
    return memory().as<Word>()[index];
  }

  Names names_;
};

class PyHistograms : public Role {
 public:
  PyHistograms(std::string name, nb::handle mapping, std::uint64_t offset, nb::tuple names,
               nb::object claim)
      : Role(std::move(name), mapping, offset, names.size() * sizeof(HistogramWords),
             std::move(claim)),
        names_(std::move(names)) {}

  HistogramWords* at(nb::handle histogram) const {
    const std::size_t index = names_.index(name(), histogram);
    check_open();
    return memory().as<HistogramWords>() + index;
  }

  /// (epoch, sum, low, high, counts as uint64 array); low is 2**64 - 1 while there is nothing.
  nb::tuple read(nb::handle histogram) const {
    const HistogramWords* words = at(histogram);
    shm::HistogramCopy copy;
    shm::copy_histogram(*words, copy);
    npy_intp shape[] = {static_cast<npy_intp>(Buckets::kCount)};
    const nb::object counts = nb::steal(PyArray_SimpleNew(1, shape, NPY_UINT64));
    if (!counts.is_valid()) throw nb::python_error();
    std::memcpy(PyArray_DATA(reinterpret_cast<PyArrayObject*>(counts.ptr())), copy.bucket,
                sizeof copy.bucket);
    return nb::make_tuple(copy.epoch, copy.sum, copy.low, copy.high, counts);
  }

  void reset() {
    check_open();
    for (std::size_t i = 0; i < names_.size(); ++i)
      memory().as<HistogramWords>()[i].wanted_epoch.fetch_add(1, std::memory_order_acq_rel);
  }

  std::size_t size() const { return names_.size(); }

 private:
  Names names_;
};

class PyHistogramWriter : public PyHistograms {
 public:
  PyHistogramWriter(std::string name, nb::handle mapping, std::uint64_t offset, nb::tuple names,
                    nb::object claim)
      : PyHistograms(std::move(name), mapping, offset, std::move(names), std::move(claim)) {
    writers_.reserve(size());
    for (std::size_t i = 0; i < size(); ++i)
      writers_.emplace_back(memory().as<HistogramWords>() + i);
  }

  void record(nb::handle histogram, nb::handle value) {
    const std::uint64_t word = unsigned_word(value, name() + ": the value recorded");
    writer(histogram).record(word);
  }

  void record_many(nb::handle histogram, nb::handle values) {
    shm::HistogramWriter& to = writer(histogram);
    auto* array = reinterpret_cast<PyArrayObject*>(values.ptr());
    if (!PyArray_Check(values.ptr()) || PyArray_TYPE(array) != NPY_UINT64 ||
        !PyArray_ISCARRAY_RO(array))
      fail("RecordError", name() + ": the values must be a contiguous numpy array of uint64");
    const auto* data = static_cast<const std::uint64_t*>(PyArray_DATA(array));
    for (npy_intp i = 0; i < PyArray_SIZE(array); ++i) to.record(data[i]);
  }

 private:
  shm::HistogramWriter& writer(nb::handle histogram) {
    return writers_[static_cast<std::size_t>(at(histogram) - memory().as<HistogramWords>())];
  }

  std::vector<shm::HistogramWriter> writers_;
};

nb::object bucket_limits() {
  npy_intp shape[] = {static_cast<npy_intp>(Buckets::kCount)};
  nb::object limits = nb::steal(PyArray_SimpleNew(1, shape, NPY_UINT64));
  if (!limits.is_valid()) throw nb::python_error();
  auto* to = static_cast<std::uint64_t*>(
      PyArray_DATA(reinterpret_cast<PyArrayObject*>(limits.ptr())));
  for (std::size_t i = 0; i < Buckets::kCount; ++i) to[i] = Buckets::highest(i);
  return limits;
}

template <class T>
nb::class_<T> bind_metrics_role(nb::module_& module, const char* name) {
  return bind_role<T>(module, name)
      .def(nb::init<std::string, nb::handle, std::uint64_t, nb::tuple, nb::object>(), nb::arg(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg().none());
}

}  // namespace

void bind_metrics(nb::module_& module) {
  bind_metrics_role<PyCounters>(module, "Counters")
      .def("add", &PyCounters::add, nb::arg("counter").none(), nb::arg("n").none() = nb::int_(1))
      .def("set", &PyCounters::set, nb::arg("counter").none(), nb::arg("value").none())
      .def("values", &PyCounters::values);
  bind_metrics_role<PyHistograms>(module, "Histograms")
      .def("read", &PyHistograms::read, nb::arg("histogram").none())
      .def("reset", &PyHistograms::reset);
  bind_metrics_role<PyHistogramWriter>(module, "HistogramWriter")
      .def("record", &PyHistogramWriter::record, nb::arg("histogram").none(),
           nb::arg("value").none())
      .def("record_many", &PyHistogramWriter::record_many, nb::arg("histogram").none(),
           nb::arg("values").none());
  module.def("bucket_limits", &bucket_limits);
}

}  // namespace bot4::binding
