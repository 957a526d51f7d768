// The feed's decoders.
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/unique_ptr.h>
#include <nanobind/stl/vector.h>

#include <tuple>

#include "../feed/native/binance.hpp"
#include "../feed/native/coinbase.hpp"
#include "../feed/native/kraken.hpp"
#include "../feed/native/kraken_v1.hpp"
#include "../feed/native/okx.hpp"

namespace nb = nanobind;

namespace bot4::binding {

namespace {

/// The bytes of an argument, for as long as this lives.
class Text {
 public:
  explicit Text(nb::handle object) {
    if (PyBytes_CheckExact(object.ptr())) {
      text_ = {PyBytes_AS_STRING(object.ptr()), static_cast<std::size_t>(PyBytes_GET_SIZE(object.ptr()))};
      return;
    }
    if (PyObject_GetBuffer(object.ptr(), &view_, PyBUF_SIMPLE) != 0) throw nb::python_error();
    text_ = {static_cast<const char*>(view_.buf), static_cast<std::size_t>(view_.len)};
  }
  Text(const Text&) = delete;
  Text& operator=(const Text&) = delete;
  ~Text() {
    if (view_.obj != nullptr) PyBuffer_Release(&view_);
  }
  std::string_view get() const { return text_; }

 private:
  Py_buffer view_{};
  std::string_view text_;
};

/// In what `decode` returns, beside the verdict: `take_wishes` would not be empty.
constexpr unsigned kWishes = 16;

unsigned with_wishes(const Decoder& decoder, Verdict verdict) {
  return static_cast<unsigned>(verdict) | (decoder.has_wishes() ? kWishes : 0);
}

using Step = std::tuple<std::uint64_t, unsigned>;
using Listed = std::vector<std::tuple<std::string, std::uint32_t, Step, Step>>;

std::vector<Listing> listings_of(const Listed& listed) {
  std::vector<Listing> listings;
  for (const auto& [symbol, instrument, tick, lot] : listed)
    listings.push_back({symbol, instrument, Scale(std::get<0>(tick), std::get<1>(tick)),
                        Scale(std::get<0>(lot), std::get<1>(lot))});
  return listings;
}

QuoteSource source_of(unsigned quotes) {
  if (quotes > 1) throw std::invalid_argument("quotes was " + std::to_string(quotes) + ", must be 0 or 1");
  return static_cast<QuoteSource>(quotes);
}

template <class Side>
std::vector<std::tuple<std::int64_t, std::int64_t>> best(const Side& side, std::size_t levels) {
  std::vector<std::tuple<std::int64_t, std::int64_t>> result;
  for (std::size_t i = 0; i < std::min(levels, side.size()); ++i)
    result.emplace_back(side.best(i).price, side.best(i).quantity);
  return result;
}

nb::dict counts_of(const Counts& counts) {
  nb::dict result;
  const auto set = [&](const char* name, std::uint64_t count) { result[name] = count; };
  set("messages", counts.messages);
  set("trades", counts.trades);
  set("tickers", counts.tickers);
  set("book_updates", counts.book_updates);
  set("snapshots", counts.snapshots);
  set("gaps", counts.gaps);
  set("trade_gaps", counts.trade_gaps);
  set("checksum_ok", counts.checksum_ok);
  set("checksum_failed", counts.checksum_failed);
  set("crossed", counts.crossed);
  set("stales", counts.stales);
  set("resyncs", counts.resyncs);
  set("repeated", counts.repeated);
  set("control", counts.control);
  set("unknown", counts.unknown);
  set("unknown_fields", counts.unknown_fields);
  set("fallback", counts.fallback);
  set("malformed", counts.malformed);
  return result;
}

}  // namespace

void bind_feed(nb::module_& module) {
  nb::class_<Sink>(module, "Sink");
  nb::class_<Recorder, Sink>(module, "Recorder")
      .def(nb::init<>())
      .def("__len__", [](const Recorder& self) { return self.records.size(); })
      .def("take", [](Recorder& self) {
        const nb::bytes records(self.records.data(), self.records.size() * sizeof(Market));
        self.records.clear();
        return records;
      });
  nb::class_<Decoder>(module, "Decoder")
      .def("decode",
           [](Decoder& self, nb::handle text, std::int64_t received_ns, Sink& sink) {
             return with_wishes(self, self.decode(Text(text).get(), received_ns, sink));
           },
           nb::arg("text"), nb::arg("received_ns"), nb::arg("sink"))
      .def("decode_again",
           [](Decoder& self, nb::handle text, std::int64_t received_ns, Sink& sink) {
             return with_wishes(self, self.decode_again(Text(text).get(), received_ns, sink));
           },
           nb::arg("text"), nb::arg("received_ns"), nb::arg("sink"))
      .def("snapshot",
           [](Decoder& self, std::uint32_t instrument, nb::handle text, std::int64_t received_ns,
              Sink& sink) {
             return with_wishes(self, self.snapshot(instrument, Text(text).get(), received_ns, sink));
           },
           nb::arg("instrument"), nb::arg("text"), nb::arg("received_ns"), nb::arg("sink"))
      .def("trade",
           [](Decoder& self, std::uint32_t instrument, std::uint64_t trade_id, std::int64_t price,
              std::int64_t quantity, std::int8_t aggressor, std::int64_t venue_ns,
              std::int64_t received_ns, Sink& sink) {
             return self.trade(instrument, trade_id, price, quantity, static_cast<Side>(aggressor),
                               venue_ns, received_ns, sink);
           },
           nb::arg("instrument"), nb::arg("trade_id"), nb::arg("price"), nb::arg("quantity"),
           nb::arg("aggressor"), nb::arg("venue_ns"), nb::arg("received_ns"), nb::arg("sink"))
      .def("refuse", &Decoder::refuse)
      .def("connected", &Decoder::connected)
      .def("lost",
           [](Decoder& self, std::uint64_t reason, std::int64_t received_ns, Sink& sink) {
             self.lost(static_cast<StaleReason>(reason), received_ns, sink);
           },
           nb::arg("reason"), nb::arg("received_ns"), nb::arg("sink"))
      .def("take_wishes",
           [](Decoder& self) {
             std::vector<std::tuple<unsigned, std::uint32_t, std::uint64_t, std::uint64_t>> wishes;
             for (const Wish& each : self.take_wishes())
               wishes.emplace_back(static_cast<unsigned>(each.kind), each.instrument, each.first,
                                   each.last);
             return wishes;
           })
      .def("counts", [](const Decoder& self) { return counts_of(self.counts()); })
      .def("state",
           [](Decoder& self, std::uint32_t instrument) {
             return static_cast<unsigned>(self.state(instrument));
           },
           nb::arg("instrument"))
      .def("last_trade", &Decoder::last_trade, nb::arg("instrument"))
      .def("book",
           [](Decoder& self, std::uint32_t instrument, std::size_t levels) {
             const Book& book = self.book(instrument);
             return std::tuple(best(book.bids, levels), best(book.asks, levels));
           },
           nb::arg("instrument"), nb::arg("levels"));

  module.def(
      "binance",
      [](const Listed& listings, unsigned quotes, bool futures,
         std::int64_t time_ns) -> std::unique_ptr<Decoder> {
        if (time_ns != 1'000 && time_ns != 1'000'000)
          throw std::invalid_argument("time_ns was " + std::to_string(time_ns) +
                                      ", must be 1000 or 1000000");
        return std::make_unique<Binance>(listings_of(listings), source_of(quotes), futures, time_ns);
      },
      nb::arg("listings"), nb::arg("quotes"), nb::kw_only(), nb::arg("futures"), nb::arg("time_ns"));
  module.def(
      "kraken",
      [](const Listed& listings, unsigned quotes, std::size_t depth) -> std::unique_ptr<Decoder> {
        return std::make_unique<Kraken>(listings_of(listings), source_of(quotes), depth);
      },
      nb::arg("listings"), nb::arg("quotes"), nb::kw_only(), nb::arg("depth"));
  module.def(
      "kraken_v1",
      [](const Listed& listings, std::size_t depth) -> std::unique_ptr<Decoder> {
        return std::make_unique<KrakenV1>(listings_of(listings), depth);
      },
      nb::arg("listings"), nb::kw_only(), nb::arg("depth"));
  module.def(
      "okx",
      [](const Listed& listings, std::size_t depth) -> std::unique_ptr<Decoder> {
        return std::make_unique<Okx>(listings_of(listings), depth);
      },
      nb::arg("listings"), nb::kw_only(), nb::arg("depth"));
  module.def(
      "coinbase",
      [](const Listed& listings, unsigned quotes) -> std::unique_ptr<Decoder> {
        return std::make_unique<Coinbase>(listings_of(listings), source_of(quotes));
      },
      nb::arg("listings"), nb::arg("quotes"));
}

}  // namespace bot4::binding
