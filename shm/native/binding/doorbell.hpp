#pragma once

#include <algorithm>
#include <memory>
#include <vector>

#include "../doorbell.hpp"
#include "../ring.hpp"
#include "../signals.hpp"
#include "common.hpp"

namespace bot4::binding {

class PyBell : public Role {
 public:
  PyBell(std::string name, nb::handle mapping, std::uint64_t offset, int event_fd)
      : Role(std::move(name), mapping, offset, sizeof(shm::DoorbellWords), nb::none()),
        bell_(memory().as<shm::DoorbellWords>(), event_fd),
        event_fd_(event_fd) {}

  void ring() {
    check_open();
    bell_.ring();
  }
  shm::Bell bell() const { return bell_; }
  int event_fd() const { return event_fd_; }

 private:
  shm::Bell bell_;
  int event_fd_;
};

/// None, or a bell.
inline shm::Bell bell_or_none(nb::handle bell) {
  return bell.is_none() ? shm::Bell{} : nb::cast<PyBell&>(bell).bell();
}

/// The rings that a doorbell's owner waits for. Never changed, only replaced: a thread that waits
/// keeps the list that it began with, and with it the consumers' positions.
using Sources = std::vector<std::shared_ptr<const shm::RingConsumer>>;

class PyDoorbell : public Role {
 public:
  PyDoorbell(std::string name, nb::handle mapping, std::uint64_t offset, nb::object claim,
             std::uint32_t spins, std::uint32_t yields, std::uint32_t finally,
             std::vector<int> signals, int event_fd);
  ~PyDoorbell() { detach(); }
  void close();

  shm::Wake wait(std::optional<double> timeout) {
    return wait_until([sources = sources_] { return any_ready(*sources); }, nanoseconds(timeout));
  }

  /// Waits for another condition than its sources, e.g. for room in a full ring.
  template <class Ready>
  shm::Wake wait_until(Ready&& ready, std::int64_t timeout);

  bool arm();
  void disarm();
  std::uint64_t sleeps() const;
  int event_fd() const { return event_fd_; }
  nb::tuple strategy() const {
    return nb::make_tuple(how_.spins, how_.yields, static_cast<std::uint32_t>(how_.finally));
  }

  void add(std::shared_ptr<const shm::RingConsumer> source) {
    auto sources = std::make_shared<Sources>(*sources_);
    sources->push_back(std::move(source));
    sources_ = std::move(sources);
  }
  void remove(const shm::RingConsumer* source) {
    auto sources = std::make_shared<Sources>(*sources_);
    std::erase_if(*sources, [source](const auto& each) { return each.get() == source; });
    sources_ = std::move(sources);
  }

 private:
  // Destructors may run while a Python exception is on its way: no Python in here.
  void detach();
  static bool any_ready(const Sources& sources) {
    return std::ranges::any_of(sources, [](const auto& each) { return each->has_unread(); });
  }

  shm::Sleeper sleeper_;
  shm::WaitStrategy how_;
  std::vector<int> signals_;
  std::shared_ptr<const Sources> sources_ = std::make_shared<Sources>();
  std::uint64_t signals_seen_ = shm::WaitSignals::seen();
  int event_fd_;
};

template <class Ready>
shm::Wake PyDoorbell::wait_until(Ready&& ready, std::int64_t timeout) {
  check_open();
  // Something to do already: not worth letting go of the interpreter.
  if (ready()) return shm::Wake::kReady;
  shm::Wake wake;
  {
    const Waiting here(*this);
    nb::gil_scoped_release others_may_run;
    wake = sleeper_.wait(how_, timeout, ready, [this] {
      // Two system calls, for the case that a handler was set since the doorbell was made.
      for (const int signal : signals_) shm::WaitSignals::watch(signal);
    });
  }
  // A signal rings too, also one that came between two waits.
  const std::uint64_t signals = shm::WaitSignals::seen();
  if (wake == shm::Wake::kRung && signals != signals_seen_) wake = shm::Wake::kSignal;
  signals_seen_ = signals;
  // Python's own handlers run here; what they raise ends the wait.
  if (PyErr_CheckSignals() != 0) throw nb::python_error();
  return wake;
}

}  // namespace bot4::binding
