// Kernels from Python's side: a capsule around a native one, or any object with a `step`.
#pragma once

#include <memory>

#include "../../../shm/native/binding/common.hpp"
#include "../kernel.hpp"

namespace bot4::binding {

inline constexpr const char* kKernelCapsule = "bot4.kernel";
inline constexpr const char* kRegionCapsule = "bot4.region";

/// What the capsule of another module, or of a role, points to.
template <class T>
T* from_capsule(nb::handle capsule, const char* kind) {
  void* pointer = PyCapsule_GetPointer(capsule.ptr(), kind);
  if (pointer == nullptr) throw nb::python_error();
  return static_cast<T*>(pointer);
}

/// A copy of a record as a numpy scalar, which the receiver may keep.
nb::object record_copy(nb::handle dtype, const void* record);

/// A named dtype: of an input, an output or a group of cells.
struct Named {
  nb::object name;
  nb::object dtype;
};

/// The cells as a Python kernel sees them, for the time of one step.
class PyState {
 public:
  PyState(std::vector<Named> groups, std::vector<nb::object> owners)
      : groups_(std::move(groups)), owners_(std::move(owners)) {}

  nb::object read(nb::handle group, std::uint64_t index) const;
  nb::object edit(nb::handle group, std::uint64_t index);
  void lend(State* state) { state_ = state; }

 private:
  std::size_t find(nb::handle group, std::uint64_t index) const;

  std::vector<Named> groups_;
  std::vector<nb::object> owners_;  // of each group's memory
  State* state_ = nullptr;
};

/// Where a Python kernel's outputs go, for the time of one step.
class PyEmit {
 public:
  explicit PyEmit(std::vector<Named> outputs) : outputs_(std::move(outputs)) {}

  void emit(nb::handle ring, nb::handle record);
  void lend(Emit* emit) { emit_ = emit; }

 private:
  std::vector<Named> outputs_;
  Emit* emit_ = nullptr;
};

/// A kernel written in Python: `step(context, event, state, emit)`.
class PythonKernel final : public Kernel {
 public:
  PythonKernel(nb::object object, std::vector<Named> inputs, std::vector<Named> outputs,
               std::vector<Named> groups, std::vector<nb::object> owners);
  void step(const Context& context, const void* input, State& state, Emit& emit) override;

 private:
  nb::object step_;
  std::vector<Named> inputs_;
  nb::object context_dtype_;
  nb::object state_object_;
  nb::object emit_object_;
  PyState* state_;
  PyEmit* emit_;
};

/// A kernel given as a capsule or as a Python object, and whatever keeps it alive.
struct HeldKernel {
  HeldKernel(nb::object object, std::vector<Named> inputs, std::vector<Named> outputs,
             std::vector<Named> groups, std::vector<nb::object> owners)
      : object(std::move(object)) {
    if (PyCapsule_CheckExact(this->object.ptr())) {
      kernel = from_capsule<Kernel>(this->object, kKernelCapsule);
    } else {
      python = std::make_unique<PythonKernel>(this->object, std::move(inputs), std::move(outputs),
                                              std::move(groups), std::move(owners));
      kernel = python.get();
    }
  }

  nb::object object;
  std::unique_ptr<PythonKernel> python;
  Kernel* kernel;
};

std::vector<Named> named(nb::handle pairs);

void bind_kernel(nb::module_& module);
void bind_loop(nb::module_& module);
void bind_replay(nb::module_& module);

}  // namespace bot4::binding
