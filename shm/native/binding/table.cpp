#include "../table.hpp"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/vector.h>

#include "common.hpp"

namespace bot4::binding {

using shm::TableHeader;

namespace {

class TableRole : public Role {
 public:
  TableRole(std::string name, nb::handle mapping, std::uint64_t offset, nb::handle dtype,
            std::uint64_t rows, nb::object claim)
      : Role(std::move(name), mapping, offset, TableHeader::bytes(rows, RecordType(dtype).bytes()),
             std::move(claim)),
        type_(dtype),
        header_(memory().as<TableHeader>()) {
    if (!header_->is_sound(rows, type_.bytes()))
      fail("CorruptRegionError",
           this->name() + ": its header says " + std::to_string(header_->rows) +
               " rows and record bytes " + std::to_string(header_->record_bytes) + ", must be " +
               std::to_string(rows) + " and " + std::to_string(type_.bytes()) +
               "; remove the segment");
  }

  nb::object dtype() const { return type_.dtype(); }
  std::uint64_t rows() const {
    check_open();
    return header_->rows;
  }
  const RecordType& type() const { return type_; }
  TableHeader* header() const { return header_; }

 private:
  RecordType type_;
  TableHeader* header_;
};

class PyTableWriter : public TableRole {
 public:
  PyTableWriter(std::string name, nb::handle mapping, std::uint64_t offset, nb::handle dtype,
                std::uint64_t rows, std::uint64_t first, std::uint64_t last, nb::object claim)
      : TableRole(std::move(name), mapping, offset, dtype, rows, std::move(claim)),
        first_(first),
        last_(last),
        table_(header()) {}

  void write(std::int64_t row, nb::handle record) {
    check_open();
    if (row < static_cast<std::int64_t>(first_) || row >= static_cast<std::int64_t>(last_))
      fail("ArgumentError", name() + ": row was " + std::to_string(row) +
                                ", must be in this writer's " + std::to_string(first_) + " .. " +
                                std::to_string(last_ - 1));
    table_.write(static_cast<std::uint64_t>(row), type().one(*this, record));
  }

 private:
  std::uint64_t first_;
  std::uint64_t last_;
  shm::TableWriter table_;
};

class PyTableReader : public TableRole {
 public:
  PyTableReader(std::string name, nb::handle mapping, std::uint64_t offset, nb::handle dtype,
                std::uint64_t rows)
      : TableRole(std::move(name), mapping, offset, dtype, rows, nb::none()), table_(header()) {}

  std::pair<std::uint64_t, bool> read(std::int64_t row, nb::handle record) const {
    check_open();
    if (row < 0 || row >= static_cast<std::int64_t>(header()->rows))
      fail("ArgumentError", name() + ": row was " + std::to_string(row) + ", must be in 0 .. " +
                                std::to_string(header()->rows - 1));
    const auto got =
        table_.read(static_cast<std::uint64_t>(row), type().one_output(*this, record));
    return {got.version, got.writing};
  }

  /// Rows with a version begun and not finished.
  std::vector<std::uint64_t> unfinished() const {
    check_open();
    std::vector<std::uint64_t> rows;
    for (std::uint64_t row = 0; row < header()->rows; ++row)
      if (header()->row(row)[0].load(std::memory_order_acquire) & 1) rows.push_back(row);
    return rows;
  }

 private:
  shm::TableReader table_;
};

}  // namespace

void bind_table(nb::module_& module) {
  bind_role<PyTableWriter>(module, "TableWriter")
      .def(nb::init<std::string, nb::handle, std::uint64_t, nb::handle, std::uint64_t,
                    std::uint64_t, std::uint64_t, nb::object>(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
           nb::arg().none())
      .def("write", &PyTableWriter::write, nb::arg("row"), nb::arg("record").none())
      .def_prop_ro("rows", &PyTableWriter::rows)
      .def_prop_ro("dtype", &PyTableWriter::dtype);
  bind_role<PyTableReader>(module, "TableReader")
      .def(nb::init<std::string, nb::handle, std::uint64_t, nb::handle, std::uint64_t>())
      .def("read", &PyTableReader::read, nb::arg("row"), nb::arg("record").none())
      .def("unfinished", &PyTableReader::unfinished)
      .def_prop_ro("rows", &PyTableReader::rows)
      .def_prop_ro("dtype", &PyTableReader::dtype);
}

}  // namespace bot4::binding
