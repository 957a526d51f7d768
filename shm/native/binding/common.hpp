// What the binding's files share: errors with types, memory that stays mapped while it is used, and
// records checked against the dtype of their ring.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#define NPY_NO_DEPRECATED_API NPY_2_0_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL bot4_shm_numpy
#ifndef BOT4_IMPORTS_NUMPY
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>
#include <numpy/arrayscalars.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "../memory.hpp"

namespace bot4::binding {

namespace nb = nanobind;

/// Raises shm.errors.<type>.
[[noreturn]] inline void fail(const char* type, const std::string& message) {
  const nb::object exception = nb::module_::import_("shm.errors").attr(type);
  PyErr_SetString(exception.ptr(), message.c_str());
  throw nb::python_error();
}

inline std::string text(nb::handle object) { return nb::str(object).c_str(); }
inline std::string representation(nb::handle object) { return nb::repr(object).c_str(); }

/// Seconds from Python, None for "as long as it takes", as ns.
inline std::int64_t nanoseconds(std::optional<double> seconds) {
  constexpr std::int64_t forever = std::numeric_limits<std::int64_t>::max() / 4;
  if (!seconds) return forever;
  if (!(*seconds >= 0))
    fail("ArgumentError", "timeout was " + std::to_string(*seconds) + " s, must be >= 0 or None");
  return *seconds < 1e9 ? static_cast<std::int64_t>(*seconds * 1e9) : forever;
}

inline std::uint64_t unsigned_word(nb::handle value, const std::string& what) {
  // Anything that is an integer, numpy's too.
  const nb::object index = nb::steal(PyNumber_Index(value.ptr()));
  const unsigned long long word = index.is_valid() ? PyLong_AsUnsignedLongLong(index.ptr()) : ~0ull;
  if (word == ~0ull && PyErr_Occurred()) {
    PyErr_Clear();
    fail("ArgumentError",
         what + " was " + representation(value) + ", must be an integer in 0 .. 2**64 - 1");
  }
  return word;
}

/// A part of a segment's mapping, which stays mapped for as long as this lives.
class Memory {
 public:
  Memory(nb::handle mapping, std::uint64_t offset, std::uint64_t bytes) {
    if (PyObject_GetBuffer(mapping.ptr(), &view_, PyBUF_WRITABLE) != 0) throw nb::python_error();
    if (offset % kAlignment != 0 || offset > static_cast<std::uint64_t>(view_.len) ||
        bytes > static_cast<std::uint64_t>(view_.len) - offset) {
      const std::string size = std::to_string(view_.len);
      PyBuffer_Release(&view_);
      fail("LayoutError", "a region of " + std::to_string(bytes) + " bytes at offset " +
                              std::to_string(offset) + " must be aligned to " +
                              std::to_string(kAlignment) + " and inside " + size + " bytes");
    }
    start_ = static_cast<unsigned char*>(view_.buf) + offset;
  }
  ~Memory() { release(); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void release() {
    if (start_ == nullptr) return;
    start_ = nullptr;
    owner_.reset();
    PyBuffer_Release(&view_);
  }

  template <class T>
  T* as() const {
    return reinterpret_cast<T*>(start_);
  }

  /// What a numpy array over this memory keeps alive: not the role that gave it out, which can be
  /// closed while the array is still in use, and not the mapping itself, which numpy would let the
  /// array's user write to.
  nb::object owner() {
    if (!owner_.is_valid()) {
      auto* export_ = new Py_buffer;
      if (PyObject_GetBuffer(view_.obj, export_, PyBUF_WRITABLE) != 0) {
        delete export_;
        throw nb::python_error();
      }
      owner_ = nb::capsule(export_, [](void* held) noexcept {
        PyBuffer_Release(static_cast<Py_buffer*>(held));
        delete static_cast<Py_buffer*>(held);
      });
    }
    return owner_;
  }

  /// The start of this memory for native code of other modules: a capsule that keeps it mapped, and
  /// `role`, with which its lock would be given back.
  nb::object pointer(nb::handle role) {
    constexpr auto let_go = [](PyObject* capsule) {
      Py_DECREF(static_cast<PyObject*>(PyCapsule_GetContext(capsule)));
    };
    nb::object held = nb::make_tuple(owner(), role);
    nb::object capsule = nb::steal(PyCapsule_New(start_, kPointer, let_go));
    if (!capsule.is_valid()) throw nb::python_error();
    PyCapsule_SetContext(capsule.ptr(), held.release().ptr());
    return capsule;
  }

  bool is_open() const { return start_ != nullptr; }

  static constexpr std::uint64_t kAlignment = shm::kCacheLine;
  static constexpr const char* kPointer = "bot4.region";

 private:
  Py_buffer view_;
  nb::object owner_;
  unsigned char* start_ = nullptr;
};

/// One process's end of one region: its memory, and the claim (a lock) that goes with it.
class Role {
 public:
  Role(std::string name, nb::handle mapping, std::uint64_t offset, std::uint64_t bytes,
       nb::object claim)
      : name_(std::move(name)), memory_(mapping, offset, bytes), claim_(std::move(claim)) {}

  /// Lets go of the memory and of the claim, in this order. May be repeated.
  void close() {
    if (!memory_.is_open()) return;
    check_idle();
    memory_.release();
    if (!claim_.is_none()) claim_.attr("release")();
    claim_ = nb::none();
  }

  void check_open() const {
    if (!memory_.is_open()) [[unlikely]]
      fail("ClosedError", name_ + " was used after it was closed");
  }

  /// Closes it in the child of a fork, where the threads that waited do not exist.
  void forget_waits() { waiting_ = 0; }

  /// A wait lets other threads run; none of them may take its memory away.
  void check_idle() const {
    if (waiting_ != 0)
      fail("ClosedError", name_ + " was to be closed while another thread waits in it; "
                                  "end the wait first");
  }
  class Waiting {
   public:
    explicit Waiting(Role& role) : role_(role) { ++role_.waiting_; }
    ~Waiting() { --role_.waiting_; }
    Waiting(const Waiting&) = delete;
    Waiting& operator=(const Waiting&) = delete;

   private:
    Role& role_;
  };

  const std::string& name() const { return name_; }
  const Memory& memory() const { return memory_; }
  Memory& memory() { return memory_; }
  bool closed() const { return !memory_.is_open(); }

 private:
  std::string name_;
  Memory memory_;
  nb::object claim_;
  int waiting_ = 0;  // changed under the interpreter's lock only
};

/// A count of records, None for no limit.
inline std::uint64_t count_or(std::optional<std::int64_t> count, std::uint64_t otherwise,
                              const Role& role, const char* what) {
  if (count && *count < 0)
    fail("ArgumentError", role.name() + ": " + what + " was " + std::to_string(*count) +
                              ", must be >= 0 or None");
  return count ? static_cast<std::uint64_t>(*count) : otherwise;
}

/// The dtype of a region's records, and the checks that an array has it.
class RecordType {
 public:
  explicit RecordType(nb::handle dtype) : dtype_(nb::borrow(dtype)) {
    if (!PyArray_DescrCheck(dtype.ptr()))
      fail("LayoutError", "dtype was " + representation(dtype) + ", must be a numpy dtype");
    bytes_ = static_cast<std::size_t>(PyDataType_ELSIZE(descr()));
  }

  std::size_t bytes() const { return bytes_; }
  const nb::object& dtype() const { return dtype_; }

  /// One record: an array of one element, or a scalar taken from an array.
  const void* one(const Role& role, nb::handle record) const {
    if (PyArray_Check(record.ptr())) {
      std::size_t count;
      const void* data = many(role, record, count);
      if (count != 1) [[unlikely]]
        fail("RecordError", role.name() + ": the array held " + std::to_string(count) +
                                " records, must be 1; use the call for many");
      return data;
    }
    if (PyArray_IsScalar(record.ptr(), Void)) {
      auto* scalar = reinterpret_cast<PyVoidScalarObject*>(record.ptr());
      check_dtype(role, reinterpret_cast<PyObject*>(scalar->descr));
      return scalar->obval;
    }
    refuse(role, record);
  }

  /// Any number of records: an array of any shape, contiguous.
  void* many(const Role& role, nb::handle records, std::size_t& count) const {
    if (!PyArray_Check(records.ptr())) [[unlikely]]
      refuse(role, records);
    auto* array = reinterpret_cast<PyArrayObject*>(records.ptr());
    check_dtype(role, reinterpret_cast<PyObject*>(PyArray_DESCR(array)));
    if (!PyArray_IS_C_CONTIGUOUS(array)) [[unlikely]]
      fail("RecordError", role.name() + ": the array was not contiguous (strides " +
                              text(records.attr("strides")) +
                              "); pass numpy.ascontiguousarray(it)");
    count = static_cast<std::size_t>(PyArray_SIZE(array));
    return PyArray_DATA(array);
  }

  /// The same, to be written to.
  void* output(const Role& role, nb::handle records, std::size_t& count) const {
    void* data = many(role, records, count);
    if (!PyArray_ISWRITEABLE(reinterpret_cast<PyArrayObject*>(records.ptr()))) [[unlikely]]
      fail("RecordError", role.name() + ": the array to fill was read-only");
    return data;
  }

  void* one_output(const Role& role, nb::handle record) const {
    std::size_t count;
    void* data = output(role, record, count);
    if (count < 1) [[unlikely]]
      fail("RecordError", role.name() + ": the array to fill had no room for a record");
    return data;
  }

  /// A new array of `count` records, all zero.
  nb::object zeros(std::size_t count) const {
    npy_intp shape[] = {static_cast<npy_intp>(count)};
    Py_INCREF(dtype_.ptr());  // PyArray_Zeros takes it
    nb::object array = nb::steal(PyArray_Zeros(1, shape, descr(), 0));
    if (!array.is_valid()) throw nb::python_error();
    return array;
  }

  /// `count` records where they lie, read-only.
  nb::object view(Memory& memory, const void* records, std::size_t count) const {
    return array_over(memory, const_cast<void*>(records), count, NPY_ARRAY_CARRAY_RO);
  }

  /// The same, to be written to.
  nb::object writable_view(Memory& memory, void* records, std::size_t count) const {
    return array_over(memory, records, count, NPY_ARRAY_CARRAY);
  }

 private:
  PyArray_Descr* descr() const { return reinterpret_cast<PyArray_Descr*>(dtype_.ptr()); }

  nb::object array_over(Memory& memory, void* records, std::size_t count, int flags) const {
    npy_intp shape[] = {static_cast<npy_intp>(count)};
    Py_INCREF(dtype_.ptr());  // NewFromDescr takes it
    nb::object array = nb::steal(PyArray_NewFromDescr(&PyArray_Type, descr(), 1, shape, nullptr,
                                                      records, flags, nullptr));
    if (!array.is_valid()) throw nb::python_error();
    if (PyArray_SetBaseObject(reinterpret_cast<PyArrayObject*>(array.ptr()),
                              memory.owner().release().ptr()) != 0)
      throw nb::python_error();
    return array;
  }

  void check_dtype(const Role& role, PyObject* found) const {
    if (found == dtype_.ptr() || found == twin_.ptr()) [[likely]]
      return;
    if (PyArray_EquivTypes(reinterpret_cast<PyArray_Descr*>(found), descr())) {
      twin_ = nb::borrow(found);
      return;
    }
    fail("RecordError", role.name() + ": the record's dtype was " + text(found) + ", must be " +
                            text(dtype_));
  }

  [[noreturn]] void refuse(const Role& role, nb::handle found) const {
    fail("RecordError", role.name() + ": a record was of type " +
                            text(found.type().attr("__name__")) +
                            ", must be a numpy array or scalar of dtype " + text(dtype_));
  }

  nb::object dtype_;
  // The last dtype that was found to be equal: comparing field by field takes longer than a push.
  mutable nb::object twin_;
  std::size_t bytes_;
};

/// Finds a name's index; the names of a region are few, so a scan of interned strings is enough.
class Names {
 public:
  explicit Names(nb::tuple names) : names_(std::move(names)) {}

  std::size_t size() const { return names_.size(); }

  std::size_t index(const std::string& region, nb::handle name) const {
    // Interned strings nearly always, so identity decides. Only real strings are compared: a
    // subclass could run code of its own, and close the region meanwhile.
    for (std::size_t i = 0; i < names_.size(); ++i)
      if (at(i) == name.ptr()) return i;
    if (PyUnicode_CheckExact(name.ptr()))
      for (std::size_t i = 0; i < names_.size(); ++i)
        if (PyUnicode_Compare(at(i), name.ptr()) == 0) return i;
    fail("ArgumentError", region + " has no " + representation(name) + ", only " + text(names_));
  }

 private:
  PyObject* at(std::size_t i) const {
    return PyTuple_GET_ITEM(names_.ptr(), static_cast<Py_ssize_t>(i));
  }

  nb::tuple names_;
};

void bind_layouts(nb::module_& module);
void bind_doorbell(nb::module_& module);
void bind_ring(nb::module_& module);
void bind_observer(nb::module_& module);
void bind_table(nb::module_& module);
void bind_metrics(nb::module_& module);
void bind_words(nb::module_& module);
void bind_breaker(nb::module_& module);

/// A sequence for a reader to go on with: not beyond what is published.
inline std::uint64_t sequence_up_to(std::uint64_t published, nb::handle sequence,
                                    const Role& role) {
  const std::uint64_t word = unsigned_word(sequence, role.name() + ": the sequence");
  role.check_open();  // turning an object into a number may run code that closes it
  if (word > published)
    fail("ArgumentError", role.name() + ": the sequence was " + std::to_string(word) +
                              ", must be in 0 .. " + std::to_string(published) +
                              ", what is published");
  return word;
}

/// What every role has in common.
template <class T>
nb::class_<T> bind_role(nb::module_& module, const char* name) {
  return nb::class_<T>(module, name, nb::is_weak_referenceable())
      .def("close", [](T& self) { self.close(); })
      .def("close_after_fork",
           [](T& self) {
             self.forget_waits();
             self.close();
           })
      .def_prop_ro("closed", [](const T& self) { return self.closed(); })
      .def_prop_ro("name", [](const T& self) { return self.name(); })
      .def_prop_ro("pointer", [](nb::handle_t<T> role) {
        T& self = nb::cast<T&>(role);
        self.check_open();
        return self.memory().pointer(role);
      });
}

}  // namespace bot4::binding
