#include "../observer.hpp"

#include <nanobind/stl/pair.h>

#include "common.hpp"

namespace bot4::binding {

using shm::ObserverHeader;

namespace {

class ObserverRole : public Role {
 public:
  ObserverRole(std::string name, nb::handle mapping, std::uint64_t offset, nb::handle dtype,
               std::uint64_t capacity, nb::object claim)
      : Role(std::move(name), mapping, offset,
             ObserverHeader::bytes(capacity, RecordType(dtype).bytes()), std::move(claim)),
        type_(dtype),
        header_(memory().as<ObserverHeader>()) {
    if (!header_->is_sound(capacity, type_.bytes()))
      fail("CorruptRegionError",
           this->name() + ": its header says capacity " + std::to_string(header_->capacity) +
               " and record bytes " + std::to_string(header_->record_bytes) + ", must be " +
               std::to_string(capacity) + " and " + std::to_string(type_.bytes()) +
               "; remove the segment");
  }

  std::uint64_t published() const {
    check_open();
    return header_->tail.load(std::memory_order_acquire);
  }
  nb::object dtype() const { return type_.dtype(); }
  const RecordType& type() const { return type_; }
  ObserverHeader* header() const { return header_; }

 private:
  RecordType type_;
  ObserverHeader* header_;
};

class PyObserverProducer : public ObserverRole {
 public:
  PyObserverProducer(std::string name, nb::handle mapping, std::uint64_t offset, nb::handle dtype,
                     std::uint64_t capacity, nb::object claim)
      : ObserverRole(std::move(name), mapping, offset, dtype, capacity, std::move(claim)),
        ring_(header()) {}

  void push(nb::handle record) {
    check_open();
    ring_.push(type().one(*this, record));
  }
  void push_many(nb::handle records) {
    check_open();
    std::size_t count;
    const void* data = type().many(*this, records, count);
    ring_.push_many(data, count);
  }

 private:
  shm::ObserverProducer ring_;
};

class PyObserverReader : public ObserverRole {
 public:
  PyObserverReader(std::string name, nb::handle mapping, std::uint64_t offset, nb::handle dtype,
                   std::uint64_t capacity, bool from_oldest)
      : ObserverRole(std::move(name), mapping, offset, dtype, capacity, nb::none()),
        ring_(header(), from_oldest ? shm::ObserverReader::Start::kOldest
                                    : shm::ObserverReader::Start::kNewest) {}

  std::pair<std::size_t, std::uint64_t> read(nb::handle records) {
    check_open();
    std::size_t count;
    void* data = type().output(*this, records, count);
    std::uint64_t lost = 0;
    const std::size_t copied = ring_.read(data, count, lost);
    lost_ += lost;
    return {copied, lost};
  }
  void seek(nb::handle sequence) { ring_.seek(sequence_up_to(published(), sequence, *this)); }
  std::uint64_t position() const {
    check_open();
    return ring_.position();
  }
  std::uint64_t oldest() const {
    check_open();
    return ring_.oldest();
  }
  std::uint64_t lost() const { return lost_; }

 private:
  shm::ObserverReader ring_;
  std::uint64_t lost_ = 0;
};

template <class T>
nb::class_<T> bind_observer_role(nb::module_& module, const char* name) {
  return bind_role<T>(module, name)
      .def_prop_ro("published", &T::published)
      .def_prop_ro("dtype", &T::dtype);
}

}  // namespace

void bind_observer(nb::module_& module) {
  bind_observer_role<PyObserverProducer>(module, "ObserverProducer")
      .def(nb::init<std::string, nb::handle, std::uint64_t, nb::handle, std::uint64_t,
                    nb::object>(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none())
      .def("push", &PyObserverProducer::push, nb::arg("record").none())
      .def("push_many", &PyObserverProducer::push_many, nb::arg("records").none());
  bind_observer_role<PyObserverReader>(module, "ObserverReader")
      .def(nb::init<std::string, nb::handle, std::uint64_t, nb::handle, std::uint64_t, bool>())
      .def("read", &PyObserverReader::read, nb::arg("records").none())
      .def("seek", &PyObserverReader::seek, nb::arg("sequence").none())
      .def_prop_ro("position", &PyObserverReader::position)
      .def_prop_ro("oldest", &PyObserverReader::oldest)
      .def_prop_ro("lost", &PyObserverReader::lost);
}

}  // namespace bot4::binding
