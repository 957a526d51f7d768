// A struct's fields as numpy takes them.
#pragma once

#include "../describe.hpp"
#include "common.hpp"

namespace bot4::binding {

/// {"names": [...], "formats": [...], "offsets": [...], "itemsize": n}, as numpy.dtype takes it.
template <class Struct>
nb::dict described() {
  nb::list names, formats, offsets;
  for (const shm::Field& field : shm::describe<Struct>()) {
    names.append(field.name);
    offsets.append(field.offset);
    const bool is_text = field.format[0] == 'S';
    const nb::str format((field.format + (is_text ? std::to_string(field.count) : "")).c_str());
    if (is_text || field.count == 1) formats.append(format);
    else formats.append(nb::make_tuple(format, nb::make_tuple(field.count)));
  }
  nb::dict layout;
  layout["names"] = names;
  layout["formats"] = formats;
  layout["offsets"] = offsets;
  layout["itemsize"] = sizeof(Struct);
  return layout;
}

}  // namespace bot4::binding
