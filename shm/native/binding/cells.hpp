#pragma once

#include "../cells.hpp"

#include "common.hpp"

namespace bot4::binding {

/// What the writer and the readers of a group of cells have.
class CellsRole : public Role {
 public:
  CellsRole(std::string name, nb::handle mapping, std::uint64_t offset, nb::handle dtype,
            std::uint64_t count, nb::object claim)
      : Role(std::move(name), mapping, offset,
             shm::CellsHeader::bytes(count, RecordType(dtype).bytes()), std::move(claim)),
        type_(dtype),
        count_(count),
        header_(memory().as<shm::CellsHeader>()) {
    if (!header_->is_sound(count, type_.bytes()))
      fail("CorruptRegionError",
           this->name() + ": its header says " + std::to_string(header_->count) +
               " records of " + std::to_string(header_->record_bytes) + " bytes, must be " +
               std::to_string(count) + " of " + std::to_string(type_.bytes()) +
               "; remove the segment");
  }

  std::uint64_t count() const { return count_; }
  nb::object dtype() const { return type_.dtype(); }
  const RecordType& type() const { return type_; }
  shm::CellsHeader* header() const { return header_; }

 private:
  RecordType type_;
  std::uint64_t count_;
  shm::CellsHeader* header_;
};

/// The header, if all of its cells have a record that was current at that step.
inline shm::CellsHeader* with_records_of(const CellsRole& role, std::uint64_t committed) {
  for (std::uint64_t i = 0; i < role.count(); ++i)
    if (!role.header()->has_current(i, committed))
      fail("CorruptRegionError",
           role.name() + ": record " + std::to_string(i) + " has no contents of step " +
               std::to_string(committed) + " or before; pass the last step that was committed");
  return role.header();
}

class PyCellsWriter : public CellsRole {
 public:
  PyCellsWriter(std::string name, nb::handle mapping, std::uint64_t offset, nb::handle dtype,
                std::uint64_t count, std::uint64_t committed, nb::object claim)
      : CellsRole(std::move(name), mapping, offset, dtype, count, std::move(claim)),
        cells_(with_records_of(*this, committed), committed),
        last_step_(committed),
        stamped_(committed) {}

  nb::object read(std::int64_t index) {
    return type().view(memory(), cells_.read(checked(index)), 1);
  }

  nb::object edit(std::int64_t index) {
    const std::uint64_t cell = checked(index);
    stamped_ = last_step_;
    return type().writable_view(memory(), cells_.edit(cell), 1);
  }

  void stamp(nb::handle step) {
    const std::uint64_t last = unsigned_word(step, name() + ": the step");
    check_open();
    if (last <= last_step_ || last == shm::CellsHeader::kMark)
      fail("ArgumentError", name() + ": the step was " + std::to_string(last) + ", must be > " +
                                std::to_string(last_step_) + ", the last one of the batch before");
    cells_.stamp(last);
    stamped_ = last;
  }

  void begin_next() {
    check_open();
    if (stamped_ == last_step_ && !cells_.touched().empty())
      fail("ArgumentError", name() + ": a batch was begun before the last one was stamped; call "
                                     "stamp(step), store the commit word, then begin_next()");
    cells_.begin_next();
    last_step_ = stamped_;
  }

 private:
  std::uint64_t checked(std::int64_t index) const {
    check_open();
    if (index < 0 || static_cast<std::uint64_t>(index) >= count())
      fail("ArgumentError", name() + ": index was " + std::to_string(index) +
                                ", must be in 0 .. " + std::to_string(count() - 1));
    return static_cast<std::uint64_t>(index);
  }

  shm::Cells cells_;
  std::uint64_t last_step_;  // of the batch before
  std::uint64_t stamped_;    // that of this batch, or last_step_ while there is none
};

class PyCellsReader : public CellsRole {
 public:
  PyCellsReader(std::string name, nb::handle mapping, std::uint64_t offset, nb::handle dtype,
                std::uint64_t count)
      : CellsRole(std::move(name), mapping, offset, dtype, count, nb::none()) {}

  bool read(nb::handle committed, nb::handle records) {
    const std::uint64_t step = unsigned_word(committed, name() + ": the committed step");
    check_open();
    std::size_t room;
    auto* to = static_cast<unsigned char*>(type().output(*this, records, room));
    if (room < count())
      fail("RecordError", name() + ": the array to fill had room for " + std::to_string(room) +
                              " records, must be " + std::to_string(count()));
    for (std::uint64_t i = 0; i < count(); ++i)
      if (!header()->copy(i, step, to + i * type().bytes())) return false;
    return true;
  }
};

template <class T>
nb::class_<T> bind_cells_role(nb::module_& module, const char* name) {
  return bind_role<T>(module, name)
      .def_prop_ro("count", &T::count)
      .def_prop_ro("dtype", &T::dtype);
}

inline void bind_cells(nb::module_& module) {
  bind_cells_role<PyCellsWriter>(module, "CellsWriter")
      .def(nb::init<std::string, nb::handle, std::uint64_t, nb::handle, std::uint64_t,
                    std::uint64_t, nb::object>(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none())
      .def("read", &PyCellsWriter::read, nb::arg("index"))
      .def("edit", &PyCellsWriter::edit, nb::arg("index"))
      .def("stamp", &PyCellsWriter::stamp, nb::arg("step").none())
      .def("begin_next", &PyCellsWriter::begin_next);
  bind_cells_role<PyCellsReader>(module, "CellsReader")
      .def(nb::init<std::string, nb::handle, std::uint64_t, nb::handle, std::uint64_t>())
      .def("read", &PyCellsReader::read, nb::arg("committed").none(), nb::arg("records").none());
}

}  // namespace bot4::binding
