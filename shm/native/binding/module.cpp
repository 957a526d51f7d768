#define BOT4_IMPORTS_NUMPY
#include "cells.hpp"
#include "common.hpp"

NB_MODULE(_native, module) {
  if (_import_array() < 0) throw nanobind::python_error();
  // Roles live as long as their segment, which may well be until the interpreter ends.
  nanobind::set_leak_warnings(false);
  bot4::binding::bind_layouts(module);
  bot4::binding::bind_doorbell(module);
  bot4::binding::bind_ring(module);
  bot4::binding::bind_observer(module);
  bot4::binding::bind_table(module);
  bot4::binding::bind_cells(module);
  bot4::binding::bind_metrics(module);
  bot4::binding::bind_words(module);
  bot4::binding::bind_breaker(module);
}
