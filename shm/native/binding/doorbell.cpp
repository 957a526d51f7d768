#include "doorbell.hpp"

#include <nanobind/stl/vector.h>

namespace bot4::binding {

using shm::DoorbellWords;
using shm::Wake;
using shm::WaitSignals;
using shm::WaitStrategy;

PyDoorbell::PyDoorbell(std::string name, nb::handle mapping, std::uint64_t offset, nb::object claim,
                       std::uint32_t spins, std::uint32_t yields, std::uint32_t finally,
                       std::vector<int> signals, int event_fd)
    : Role(std::move(name), mapping, offset, sizeof(DoorbellWords), std::move(claim)),
      sleeper_(memory().as<DoorbellWords>()),
      how_{spins, yields, static_cast<WaitStrategy::Finally>(finally)},
      signals_(std::move(signals)),
      event_fd_(event_fd) {
  for (const int signal : signals_) WaitSignals::watch(signal);
  if (!signals_.empty() && !WaitSignals::add(memory().as<DoorbellWords>()))
    fail("ArgumentError", this->name() + ": " + std::to_string(WaitSignals::kDoorbells) +
                              " doorbells of this process are rung by signals already");
}

void PyDoorbell::close() {
  if (closed()) return;
  check_idle();
  detach();
  Role::close();
}

void PyDoorbell::detach() {
  if (closed()) return;
  WaitSignals::remove(memory().as<DoorbellWords>());
  sources_ = std::make_shared<Sources>();
}

bool PyDoorbell::arm() {
  check_open();
  if (event_fd_ < 0)
    fail("ArgumentError", name() + " was declared without an eventfd (event_loop=True), so it "
                                   "cannot wake an event loop");
  Wake outcome;
  return sleeper_.arm(DoorbellWords::kOnEventFd, [this] { return any_ready(*sources_); }, outcome);
}

void PyDoorbell::disarm() {
  check_open();
  sleeper_.disarm();
  if (event_fd_ < 0) return;
  std::uint64_t count;
  // Non-blocking: nothing to read means that nobody rang.
  [[maybe_unused]] const ssize_t got = read(event_fd_, &count, sizeof count);
}

std::uint64_t PyDoorbell::sleeps() const {
  check_open();
  return memory().as<DoorbellWords>()->sleeps.load(std::memory_order_relaxed);
}

void bind_doorbell(nb::module_& module) {
  nb::enum_<Wake>(module, "Wake")
      .value("READY", Wake::kReady)
      .value("RUNG", Wake::kRung)
      .value("TIMEOUT", Wake::kTimeout)
      .value("SIGNAL", Wake::kSignal);
  bind_role<PyBell>(module, "Bell")
      .def(nb::init<std::string, nb::handle, std::uint64_t, int>())
      .def("ring", &PyBell::ring)
      .def_prop_ro("event_fd", &PyBell::event_fd);
  bind_role<PyDoorbell>(module, "Doorbell")
      .def(nb::init<std::string, nb::handle, std::uint64_t, nb::object, std::uint32_t,
                    std::uint32_t, std::uint32_t, std::vector<int>, int>())
      .def("wait", &PyDoorbell::wait, nb::arg("timeout").none() = nb::none())
      .def("arm", &PyDoorbell::arm)
      .def("disarm", &PyDoorbell::disarm)
      .def_prop_ro("sleeps", &PyDoorbell::sleeps)
      .def_prop_ro("strategy", &PyDoorbell::strategy)
      .def_prop_ro("event_fd", &PyDoorbell::event_fd);
}

}  // namespace bot4::binding
