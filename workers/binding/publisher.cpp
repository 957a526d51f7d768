// The feed's way to the rings: the publisher, what is kept for it, and the lines that share it.
#include "../../pipeline/native/binding/kernel.hpp"

#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <tuple>

#include "../feed/native/arbiter.hpp"
#include "../feed/native/publisher.hpp"

namespace bot4::binding {

namespace {

/// A copy of a market record, whose bytes any object may hold.
Market market_of(nb::handle record) {
  Py_buffer bytes;
  if (PyObject_GetBuffer(record.ptr(), &bytes, PyBUF_SIMPLE) != 0) throw nb::python_error();
  const Py_ssize_t size = bytes.len;
  Market copy;
  if (size == sizeof copy) std::memcpy(&copy, bytes.buf, sizeof copy);
  PyBuffer_Release(&bytes);
  if (size != sizeof copy)
    throw nb::value_error(("a market record was " + std::to_string(size) + " bytes, must be " +
                           std::to_string(sizeof copy)).c_str());
  return copy;
}

nb::dict counts_of(const Arbiter::Counts& counts) {
  nb::dict result;
  result["trades"] = counts.trades;
  result["quotes"] = counts.quotes;
  result["stales"] = counts.stales;
  result["resyncs"] = counts.resyncs;
  result["repeated"] = counts.repeated;
  result["takeovers"] = counts.takeovers;
  return result;
}

/// The feed's publisher, over the regions whose roles Python holds.
class PyPublisher {
 public:
  PyPublisher(nb::object market, nb::object ta, nb::object ticks, nb::object quotes,
              nb::object latency, nb::object words)
      : keep_{market, ta, ticks, quotes, latency, words},
        publisher_(region<shm::RingHeader>(market), shm::Bell(region<shm::DoorbellWords>(ta)),
                   region<shm::RingHeader>(ticks), region<shm::TableHeader>(quotes),
                   region<shm::HistogramWords>(latency), words_of(words)) {}

  void heard(std::int64_t ns, const std::vector<std::uint32_t>& instruments) {
    publisher_.heard(ns, instruments);
  }
  bool is_quoted(std::uint32_t instrument) const { return publisher_.quote(instrument).received_ns != 0; }
  bool is_stale(std::uint32_t instrument) const { return publisher_.quote(instrument).stale != 0; }
  std::uint64_t last_trade(std::uint32_t instrument) { return publisher_.last_trade(instrument); }
  Publisher& native() { return publisher_; }
  /// False if there is no room. All but the sequence, the cause and the stamp is the caller's.
  bool publish(nb::handle record) {
    Market copy = market_of(record);
    return publisher_.publish(copy);
  }
  bool has_room() const { return publisher_.has_room(); }
  std::uint64_t published() const { return publisher_.published(); }
  std::uint64_t position() { return publisher_.position(); }
  std::uint64_t told_there() { return publisher_.told_there(); }

 private:
  template <class T>
  static T* region(nb::handle pointer) {
    return from_capsule<T>(pointer, kRegionCapsule);
  }
  static Publisher::Words words_of(nb::handle pointer) {
    auto* word = region<shm::PaddedWord>(pointer);
    return {&word[0].value, &word[1].value, &word[2].value, &word[3].value};
  }

  std::vector<nb::object> keep_;
  Publisher publisher_;
};

}  // namespace

void bind_publisher(nb::module_& module) {
  nb::class_<PyPublisher>(module, "Publisher")
      .def(nb::init<nb::object, nb::object, nb::object, nb::object, nb::object, nb::object>(),
           nb::kw_only(), nb::arg("market"), nb::arg("ta"), nb::arg("ticks"), nb::arg("quotes"),
           nb::arg("latency"), nb::arg("words"))
      .def("heard", &PyPublisher::heard, nb::arg("ns"), nb::arg("instruments"))
      .def("is_quoted", &PyPublisher::is_quoted, nb::arg("instrument"))
      .def("is_stale", &PyPublisher::is_stale, nb::arg("instrument"))
      .def("last_trade", &PyPublisher::last_trade, nb::arg("instrument"))
      .def("publish", &PyPublisher::publish, nb::arg("record"))
      .def("has_room", &PyPublisher::has_room)
      .def_prop_ro("published", &PyPublisher::published)
      .def_prop_ro("position", &PyPublisher::position)
      .def_prop_ro("told_there", &PyPublisher::told_there);
  // Each of these reads or writes what it was made of.
  nb::class_<Outbox, Sink>(module, "Outbox")
      .def("__init__",
           [](Outbox* self, PyPublisher& publisher) { new (self) Outbox(publisher.native()); },
           nb::arg("publisher"), nb::keep_alive<1, 2>())
      .def("flush", &Outbox::flush)
      .def("resume", &Outbox::resume, nb::arg("position"), nb::arg("records"))
      .def("begin", &Outbox::begin)
      .def("at", &Outbox::at, nb::arg("position"))
      .def_prop_ro("kept", &Outbox::kept)
      .def("dropped",
           [](const Outbox& self) {
             nb::dict result;
             result["trades"] = self.dropped().trades;
             result["quotes"] = self.dropped().quotes;
             return result;
           })
      .def_prop_ro("position", &Outbox::position);
  nb::class_<Arbiter>(module, "Arbiter")
      .def(nb::init<Sink&, std::size_t, bool>(), nb::arg("out"), nb::arg("instruments"), nb::kw_only(),
           nb::arg("comparable"), nb::keep_alive<1, 2>())
      .def("resume", &Arbiter::resume, nb::arg("instrument"), nb::arg("last_trade"), nb::arg("stale"))
      .def("doubt",
           [](Arbiter& self, std::uint32_t instrument, std::uint64_t reason, std::int64_t received_ns) {
             self.doubt(instrument, static_cast<StaleReason>(reason), received_ns);
           },
           nb::arg("instrument"), nb::arg("reason"), nb::arg("received_ns"))
      .def("is_stale", &Arbiter::is_stale, nb::arg("instrument"))
      .def("last_trade", &Arbiter::last_trade, nb::arg("instrument"))
      .def("take_gaps",
           [](Arbiter& self) {
             std::vector<std::tuple<std::uint32_t, std::uint64_t, std::uint64_t>> gaps;
             for (const Arbiter::Gap& each : self.take_gaps())
               gaps.emplace_back(each.instrument, each.first, each.last);
             return gaps;
           })
      .def("counts", [](const Arbiter& self) { return counts_of(self.counts()); });
  nb::class_<Arbiter::Line, Sink>(module, "Line")
      .def(nb::init<Arbiter&>(), nb::arg("arbiter"), nb::keep_alive<1, 2>())
      .def("tell",
           [](Arbiter::Line& self, nb::handle record) {
             Market copy = market_of(record);
             self.check(copy);
             self.tell(copy);
           },
           nb::arg("record"));
}

}  // namespace bot4::binding
