// A native kernel on its way to the runtime.
#pragma once

#include "../../pipeline/native/binding/kernel.hpp"

namespace bot4::binding {

inline nb::object capsule(std::unique_ptr<Kernel> kernel) {
  PyObject* made = PyCapsule_New(kernel.get(), kKernelCapsule, [](PyObject* self) {
    delete static_cast<Kernel*>(PyCapsule_GetPointer(self, kKernelCapsule));
  });
  if (made == nullptr) throw nb::python_error();
  kernel.release();
  return nb::steal(made);
}

}  // namespace bot4::binding
