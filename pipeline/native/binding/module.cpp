#define BOT4_IMPORTS_NUMPY
#include "kernel.hpp"

NB_MODULE(_native, module) {
  if (_import_array() < 0) throw nanobind::python_error();
  nanobind::set_leak_warnings(false);  // a stage's loop lives until the interpreter ends
  bot4::binding::bind_kernel(module);
  bot4::binding::bind_loop(module);
  bot4::binding::bind_replay(module);
}
