#include "kernel.hpp"

#include "../../../shm/native/binding/described.hpp"
#include "../describe.hpp"

namespace bot4::binding {

namespace {

PyArray_Descr* descr(nb::handle dtype) { return reinterpret_cast<PyArray_Descr*>(dtype.ptr()); }

/// A numpy void scalar over memory that `owner` keeps alive.
nb::object scalar(nb::handle dtype, void* memory, nb::object owner, int flags) {
  npy_intp shape[] = {1};
  Py_INCREF(dtype.ptr());  // NewFromDescr takes it
  nb::object array = nb::steal(
      PyArray_NewFromDescr(&PyArray_Type, descr(dtype), 1, shape, nullptr, memory, flags, nullptr));
  if (!array.is_valid()) throw nb::python_error();
  if (owner.is_valid() && PyArray_SetBaseObject(reinterpret_cast<PyArrayObject*>(array.ptr()),
                                                owner.release().ptr()) != 0)
    throw nb::python_error();
  // A void scalar is a view of its array, so what is written to it arrives.
  nb::object view = nb::steal(PySequence_GetItem(array.ptr(), 0));
  if (!view.is_valid()) throw nb::python_error();
  return view;
}

std::size_t index_of(const std::vector<Named>& entries, nb::handle name, const char* what) {
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (entries[i].name.ptr() == name.ptr()) return i;
  std::string known;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (PyUnicode_Check(name.ptr()) && PyUnicode_Compare(entries[i].name.ptr(), name.ptr()) == 0)
      return i;
    known += (i == 0 ? "" : ", ") + text(entries[i].name);
  }
  fail("ArgumentError", std::string(what) + " was " + representation(name) + ", must be one of " +
                            (known.empty() ? "none" : known));
}

}  // namespace

nb::object record_copy(nb::handle dtype, const void* record) {
  npy_intp shape[] = {1};
  Py_INCREF(dtype.ptr());
  nb::object array = nb::steal(PyArray_NewFromDescr(&PyArray_Type, descr(dtype), 1, shape, nullptr,
                                                    nullptr, 0, nullptr));
  if (!array.is_valid()) throw nb::python_error();
  std::memcpy(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array.ptr())), record,
              static_cast<std::size_t>(PyDataType_ELSIZE(descr(dtype))));
  nb::object view = nb::steal(PySequence_GetItem(array.ptr(), 0));
  if (!view.is_valid()) throw nb::python_error();
  return view;
}

std::size_t PyState::find(nb::handle group, std::uint64_t index) const {
  if (state_ == nullptr) fail("ClosedError", "state was used outside of a step");
  const std::size_t found = index_of(groups_, group, "group of cells");
  if (index >= state_->count(found))
    fail("ArgumentError", "index of a cell of " + text(group) + " was " + std::to_string(index) +
                              ", must be in 0 .. " + std::to_string(state_->count(found) - 1));
  return found;
}

nb::object PyState::read(nb::handle group, std::uint64_t index) const {
  const std::size_t found = find(group, index);
  return record_copy(groups_[found].dtype, &state_->read<char>(found, index));
}

nb::object PyState::edit(nb::handle group, std::uint64_t index) {
  const std::size_t found = find(group, index);
  return scalar(groups_[found].dtype, &state_->edit<char>(found, index), owners_[found],
                NPY_ARRAY_CARRAY);
}

void PyEmit::emit(nb::handle ring, nb::handle record) {
  if (emit_ == nullptr) fail("ClosedError", "emit was called outside of a step");
  const std::size_t found = index_of(outputs_, ring, "output ring");
  nb::handle dtype;
  const void* data = nullptr;
  if (PyArray_Check(record.ptr())) {
    auto* array = reinterpret_cast<PyArrayObject*>(record.ptr());
    if (PyArray_SIZE(array) == 1 && PyArray_IS_C_CONTIGUOUS(array)) {
      dtype = reinterpret_cast<PyObject*>(PyArray_DESCR(array));
      data = PyArray_DATA(array);
    }
  } else if (PyArray_IsScalar(record.ptr(), Void)) {
    auto* view = reinterpret_cast<PyVoidScalarObject*>(record.ptr());
    dtype = reinterpret_cast<PyObject*>(view->descr);
    data = view->obval;
  }
  if (data == nullptr || !PyArray_EquivTypes(descr(dtype), descr(outputs_[found].dtype)))
    fail("RecordError", "a record emitted to " + text(ring) + " was " + representation(record) +
                            ", must be one record of dtype " + text(outputs_[found].dtype));
  const auto bytes = static_cast<std::size_t>(PyDataType_ELSIZE(descr(dtype)));
  // A copy: the caller's record stays as it was.
  std::vector<unsigned char> copy(static_cast<const unsigned char*>(data),
                                  static_cast<const unsigned char*>(data) + bytes);
  emit_->emit_bytes(found, copy.data(), bytes);
}

PythonKernel::PythonKernel(nb::object object, std::vector<Named> inputs,
                           std::vector<Named> outputs, std::vector<Named> groups,
                           std::vector<nb::object> owners)
    : step_(nb::getattr(object, "step")),
      inputs_(std::move(inputs)),
      context_dtype_(nb::module_::import_("numpy").attr("dtype")(described<Context>())),
      state_object_(nb::cast(new PyState(std::move(groups), std::move(owners)),
                             nb::rv_policy::take_ownership)),
      emit_object_(nb::cast(new PyEmit(std::move(outputs)), nb::rv_policy::take_ownership)),
      state_(nb::cast<PyState*>(state_object_)),
      emit_(nb::cast<PyEmit*>(emit_object_)) {}

void PythonKernel::step(const Context& context, const void* input, State& state, Emit& emit) {
  const nb::gil_scoped_acquire python;
  struct Lent {
    PythonKernel& kernel;
    ~Lent() {
      kernel.state_->lend(nullptr);
      kernel.emit_->lend(nullptr);
    }
  } const lent{*this};
  state_->lend(&state);
  emit_->lend(&emit);
  nb::object event = nb::none();
  if (input != nullptr) event = record_copy(inputs_.at(context.source).dtype, input);
  step_(record_copy(context_dtype_, &context), event, state_object_, emit_object_);
}

std::vector<Named> named(nb::handle pairs) {
  std::vector<Named> result;
  for (const nb::handle pair : pairs) result.push_back({nb::borrow(pair[0]), nb::borrow(pair[1])});
  for (const Named& entry : result)
    if (!PyArray_DescrCheck(entry.dtype.ptr()))
      fail("LayoutError", "dtype of " + text(entry.name) + " was " + representation(entry.dtype) +
                              ", must be a numpy dtype");
  return result;
}

void bind_kernel(nb::module_& module) {
  nb::class_<PyState>(module, "State")
      .def("read", &PyState::read, nb::arg("group"), nb::arg("index"))
      .def("edit", &PyState::edit, nb::arg("group"), nb::arg("index"));
  nb::class_<PyEmit>(module, "Emit")
      .def("__call__", &PyEmit::emit, nb::arg("ring"), nb::arg("record"));
  module.def("layouts", [] {
    nb::dict layouts;
    layouts["Market"] = described<Market>();
    layouts["Quote"] = described<Quote>();
    layouts["Context"] = described<Context>();
    layouts["Features"] = described<Features>();
    layouts["Question"] = described<Question>();
    layouts["Answer"] = described<Answer>();
    layouts["Correlations"] = described<Correlations>();
    layouts["Intent"] = described<Intent>();
    layouts["Order"] = described<Order>();
    layouts["Execution"] = described<Execution>();
    layouts["Outcome"] = described<Outcome>();
    layouts["Control"] = described<Control>();
    layouts["Cursors"] = described<Cursors>();
    return layouts;
  });
  module.attr("TICK") = Context::kTick;
  module.attr("BATCH") = Loop::kBatch;
}

}  // namespace bot4::binding
