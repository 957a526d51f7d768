#include "../ring.hpp"

#include <nanobind/stl/pair.h>

#include "doorbell.hpp"

namespace bot4::binding {

using shm::RingConsumer;
using shm::RingFollower;
using shm::RingHeader;
using shm::RingProducer;

namespace {

[[noreturn]] void refuse_ring(const Role& role, std::uint64_t capacity,
                              std::uint64_t record_bytes) {
  const auto* ring = role.memory().as<RingHeader>();
  fail("CorruptRegionError",
       role.name() + ": its header says capacity " + std::to_string(ring->capacity) +
           ", record bytes " + std::to_string(ring->record_bytes) + ", tail " +
           std::to_string(ring->tail.load()) + ", head " + std::to_string(ring->head.load()) +
           ", which no ring of " + std::to_string(capacity) + " records of " +
           std::to_string(record_bytes) + " bytes can have; remove the segment");
}

/// For its ends.
RingHeader* sound_ring(const Role& role, std::uint64_t capacity, std::uint64_t record_bytes) {
  auto* ring = role.memory().as<RingHeader>();
  if (!ring->is_sound(capacity, record_bytes)) refuse_ring(role, capacity, record_bytes);
  return ring;
}

/// For those who follow it, while both ends may be getting on.
RingHeader* shaped_ring(const Role& role, std::uint64_t capacity, std::uint64_t record_bytes) {
  auto* ring = role.memory().as<RingHeader>();
  if (!ring->has_shape(capacity, record_bytes)) refuse_ring(role, capacity, record_bytes);
  return ring;
}

/// What both ends of a ring have: the region, its dtype and its header.
class RingRole : public Role {
 public:
  RingRole(std::string name, nb::handle mapping, std::uint64_t offset, nb::handle dtype,
           std::uint64_t capacity, nb::object claim)
      : Role(std::move(name), mapping, offset,
             RingHeader::bytes(capacity, RecordType(dtype).bytes()), std::move(claim)),
        type_(dtype),
        header_(sound_ring(*this, capacity, type_.bytes())) {}

  std::uint64_t depth() const { return header().depth(); }
  std::uint64_t high_water() const { return header().high_water.load(std::memory_order_relaxed); }
  std::uint64_t refused() const { return header().refused.load(std::memory_order_relaxed); }
  std::uint64_t capacity() const { return header().capacity; }
  nb::object dtype() const { return type_.dtype(); }
  const RecordType& type() const { return type_; }

 protected:
  RingHeader* header_pointer() const { return header_; }

  void check_sound(bool is_corrupt) const {
    if (is_corrupt) [[unlikely]]
      fail("CorruptRegionError", name() + ": the other end's position was found where it cannot be "
                                          "(tail " + std::to_string(header_->tail.load()) +
                                     ", head " + std::to_string(header_->head.load()) +
                                     "); something has overwritten it, remove the segment");
  }

 private:
  const RingHeader& header() const {
    check_open();
    return *header_;
  }

  RecordType type_;
  RingHeader* header_;
};

class PyProducer : public RingRole {
 public:
  PyProducer(std::string name, nb::handle mapping, std::uint64_t offset, nb::handle dtype,
             std::uint64_t capacity, nb::object claim, nb::object consumer_bell,
             nb::object doorbell)
      : RingRole(std::move(name), mapping, offset, dtype, capacity, std::move(claim)),
        ring_(header_pointer(), bell_or_none(consumer_bell)),
        bell_object_(std::move(consumer_bell)),
        doorbell_object_(std::move(doorbell)),
        doorbell_(doorbell_object_.is_none() ? nullptr
                                             : nb::cast<PyDoorbell*>(doorbell_object_)) {}

  bool push(nb::handle record, std::optional<double> timeout) {
    check_open();
    const std::int64_t patience = nanoseconds(timeout);
    const void* data = type().one(*this, record);
    if (ring_.push(data)) [[likely]]
      return true;
    return blocked_push(data, 1, patience) == 1;
  }

  std::size_t push_many(nb::handle records, std::optional<double> timeout) {
    check_open();
    const std::int64_t patience = nanoseconds(timeout);
    std::size_t count;
    const auto* data = static_cast<const unsigned char*>(type().many(*this, records, count));
    const std::size_t pushed = ring_.push_many(data, count);
    if (pushed == count) return pushed;
    return pushed + blocked_push(data + pushed * type().bytes(), count - pushed, patience);
  }

  std::uint64_t published() const {
    check_open();
    return ring_.published();
  }

 private:
  std::size_t blocked_push(const void* records, std::size_t count, std::int64_t timeout);
  bool wait_for_room(std::int64_t deadline);

  RingProducer ring_;
  nb::object bell_object_;  // keeps the bell's memory
  nb::object doorbell_object_;
  PyDoorbell* doorbell_;
};

std::size_t PyProducer::blocked_push(const void* records, std::size_t count,
                                     std::int64_t timeout) {
  check_sound(ring_.is_corrupt());
  if (timeout == 0) return 0;
  const std::int64_t deadline = shm::monotonic_ns() + timeout;
  const auto* next = static_cast<const unsigned char*>(records);
  std::size_t pushed = 0;
  while (pushed < count && wait_for_room(deadline)) {
    check_open();  // a signal's handler may have closed it
    pushed += ring_.push_many(next + pushed * type().bytes(), count - pushed);
    check_sound(ring_.is_corrupt());
  }
  return pushed;
}

/// False at the deadline, and when a signal or a ring asks for the caller's attention.
bool PyProducer::wait_for_room(std::int64_t deadline) {
  const Waiting here(*this);
  if (doorbell_ != nullptr) {
    const auto room = [this] { return ring_.has_room(); };
    return doorbell_->wait_until(room, deadline - shm::monotonic_ns()) == shm::Wake::kReady;
  }
  // Without a doorbell of its own: yield for about a millisecond, then look every 50 us.
  for (int looks = 0; !ring_.has_room(); ++looks) {
    if (shm::monotonic_ns() >= deadline) return false;
    bool interrupted = false;
    {
      nb::gil_scoped_release others_may_run;
      const timespec nap{0, 50'000};
      if (looks < 1'000) sched_yield();
      else interrupted = nanosleep(&nap, nullptr) != 0;
    }
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (interrupted) return false;
  }
  return true;
}

class PyConsumer : public RingRole {
 public:
  PyConsumer(std::string name, nb::handle mapping, std::uint64_t offset, nb::handle dtype,
             std::uint64_t capacity, nb::object claim, nb::object producer_bell,
             nb::object doorbell)
      : RingRole(std::move(name), mapping, offset, dtype, capacity, std::move(claim)),
        ring_(std::make_shared<RingConsumer>(header_pointer(), bell_or_none(producer_bell))),
        bell_object_(std::move(producer_bell)),
        doorbell_object_(std::move(doorbell)),
        doorbell_(doorbell_object_.is_none() ? nullptr
                                             : nb::cast<PyDoorbell*>(doorbell_object_)) {
    if (doorbell_ != nullptr) doorbell_->add(ring_);
  }
  ~PyConsumer() { detach(); }

  void close() {
    if (closed()) return;
    if (doorbell_ != nullptr) doorbell_->check_idle();
    detach();
    Role::close();
  }

  bool pop(nb::handle record) {
    check_open();
    const bool popped = ring_->pop(type().one_output(*this, record));
    check_sound(ring_->is_corrupt());
    return popped;
  }

  std::size_t drain(nb::handle records) {
    check_open();
    std::size_t count;
    void* data = type().output(*this, records, count);
    count = ring_->drain(data, count);
    check_sound(ring_->is_corrupt());
    return count;
  }

  nb::object view(std::optional<std::int64_t> limit) {
    check_open();
    std::size_t count =
        count_or(limit, std::numeric_limits<std::size_t>::max(), *this, "limit");
    const unsigned char* records = ring_->view(count);
    check_sound(ring_->is_corrupt());
    return type().view(memory(), records, count);
  }

  void commit(std::optional<std::int64_t> limit) {
    check_open();
    const std::uint64_t pending = ring_->pending();
    const std::uint64_t count = count_or(limit, pending, *this, "count");
    if (count > pending)
      fail("ArgumentError", name() + ": commit of " + std::to_string(count) +
                                " records, but only " + std::to_string(pending) +
                                " were read and not committed");
    ring_->commit(count);
  }

  void rewind() {
    check_open();
    ring_->rewind();
  }
  std::uint64_t pending() const {
    check_open();
    return ring_->pending();
  }
  std::uint64_t committed() const {
    check_open();
    return ring_->committed();
  }

 private:
  // Destructors may run while a Python exception is on its way: no Python in here.
  void detach() {
    if (doorbell_ != nullptr) doorbell_->remove(ring_.get());
    doorbell_ = nullptr;
  }

  std::shared_ptr<RingConsumer> ring_;
  nb::object bell_object_;
  nb::object doorbell_object_;
  PyDoorbell* doorbell_;
};

class PyRingFollower : public Role {
 public:
  PyRingFollower(std::string name, nb::handle mapping, std::uint64_t offset, nb::handle dtype,
                 std::uint64_t capacity, bool from_oldest)
      : Role(std::move(name), mapping, offset,
             RingHeader::bytes(capacity, RecordType(dtype).bytes()), nb::none()),
        type_(dtype),
        ring_(shaped_ring(*this, capacity, type_.bytes()),
              from_oldest ? RingFollower::Start::kOldest : RingFollower::Start::kNewest) {}

  std::pair<std::size_t, std::uint64_t> read(nb::handle records) {
    check_open();
    std::size_t count;
    void* data = type_.output(*this, records, count);
    std::uint64_t lost = 0;
    const std::size_t copied = ring_.read(data, count, lost);
    lost_ += lost;
    return {copied, lost};
  }

  nb::object last() {
    check_open();
    nb::object record = type_.zeros(1);
    std::size_t count;
    if (!ring_.last(type_.output(*this, record, count))) return nb::none();
    return record;
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
  std::uint64_t published() const {
    check_open();
    return ring_.published();
  }
  std::uint64_t lost() const { return lost_; }
  nb::object dtype() const { return type_.dtype(); }

 private:
  RecordType type_;
  RingFollower ring_;
  std::uint64_t lost_ = 0;
};

template <class T>
nb::class_<T> bind_ring_role(nb::module_& module, const char* name) {
  return bind_role<T>(module, name)
      .def(nb::init<std::string, nb::handle, std::uint64_t, nb::handle, std::uint64_t, nb::object,
                    nb::object, nb::object>(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg().none(),
           nb::arg().none(), nb::arg().none())
      .def_prop_ro("depth", &T::depth)
      .def_prop_ro("high_water", &T::high_water)
      .def_prop_ro("refused", &T::refused)
      .def_prop_ro("capacity", &T::capacity)
      .def_prop_ro("dtype", &T::dtype);
}

}  // namespace

void bind_ring(nb::module_& module) {
  bind_ring_role<PyProducer>(module, "Producer")
      .def("push", &PyProducer::push, nb::arg("record").none(), nb::arg("timeout").none() = 0.0)
      .def("push_many", &PyProducer::push_many, nb::arg("records").none(),
           nb::arg("timeout").none() = 0.0)
      .def_prop_ro("published", &PyProducer::published);
  bind_ring_role<PyConsumer>(module, "Consumer")
      .def("pop", &PyConsumer::pop, nb::arg("record").none())
      .def("drain", &PyConsumer::drain, nb::arg("records").none())
      .def("view", &PyConsumer::view, nb::arg("limit").none() = nb::none())
      .def("commit", &PyConsumer::commit, nb::arg("count").none() = nb::none())
      .def("rewind", &PyConsumer::rewind)
      .def_prop_ro("pending", &PyConsumer::pending)
      .def_prop_ro("committed", &PyConsumer::committed);
  bind_role<PyRingFollower>(module, "RingFollower")
      .def(nb::init<std::string, nb::handle, std::uint64_t, nb::handle, std::uint64_t, bool>())
      .def("read", &PyRingFollower::read, nb::arg("records").none())
      .def("last", &PyRingFollower::last)
      .def("seek", &PyRingFollower::seek, nb::arg("sequence").none())
      .def_prop_ro("position", &PyRingFollower::position)
      .def_prop_ro("oldest", &PyRingFollower::oldest)
      .def_prop_ro("published", &PyRingFollower::published)
      .def_prop_ro("lost", &PyRingFollower::lost)
      .def_prop_ro("dtype", &PyRingFollower::dtype);
}

}  // namespace bot4::binding
