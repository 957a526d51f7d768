// What a stage's loop and the feed's publisher do, and what they refuse; also two stages as threads,
// for ThreadSanitizer. Meant to be run under sanitizers.
//
// Arguments: the names of the tests to run; without any, all of them.

#include <string>
#include <thread>

#include "processes.hpp"
#include "stage.hpp"
#include "workers/feed/native/publisher.hpp"

using namespace bot4;
using namespace bot4::shm;
using namespace bot4::test;

namespace {

/// A stage that hears what it says on its second ring. By default there is room for a whole test.
struct Bench {
  explicit Bench(std::uint64_t sink_capacity = 256, std::uint64_t echo_capacity = 256,
                 std::vector<Most> most = {{2, 0}, {1, 1}, {1, 0}})
      : sink(arena.place<RingHeader>(sink_capacity, sizeof(Large))),
        echo(arena.place<RingHeader>(echo_capacity, sizeof(Small))),
        stage(arena, {{echo}, {source, bell}}, {{sink}, {echo}}, std::move(most), quotes, 1024) {}

  void push(std::uint64_t count) {
    RingProducer producer(source);
    for (; count != 0; --count) {
      const Large record = source_record(producer.published());
      CHECK(producer.push(&record), producer.published());
    }
  }

  /// Takes what there is, and compares with Replay.
  Harm finish(Loop& loop) {
    while (loop.turn()) {
    }
    std::vector<Context> contexts;
    Records given(sizeof(Large)), echoed(sizeof(Small)), sunk(sizeof(Large));
    add_from(stage.contexts, contexts);
    given.add_from(source);
    echoed.add_from(echo);
    sunk.add_from(sink);
    Reference reference(stage);
    reference.go_on(contexts, {&echoed, &given});
    Harm harm = reference.judge(contexts, {&echoed, &given});
    compare(sunk, reference.outputs[0], harm);
    compare(echoed, reference.outputs[1], harm);
    return harm;
  }

  Cursors cursors() const {
    Cursors cursors{};
    CHECK(stage.cursors->copy(0, stage.committed(), &cursors));
    return cursors;
  }

  Arena arena{512 * 1024};
  DoorbellWords* bell = arena.place<DoorbellWords>();
  RingHeader* source = arena.place<RingHeader>(256, sizeof(Large));
  TableHeader* quotes = arena.place<TableHeader>(kInstruments, sizeof(Quote));
  RingHeader* sink;
  RingHeader* echo;
  Stage stage;
};

/// Whether it is refused with this kind of exception, that says so.
template <class Error, class Body>
bool throws(const char* words, Body body) {
  try {
    body();
  } catch (const Error& error) {
    if (std::string(error.what()).find(words) != std::string::npos) return true;
    std::fprintf(stderr, "thrown: %s\n", error.what());
  }
  return false;
}

void normal_operation() {
  Bench bench;
  Quote quote{};
  quote.bid = 42;
  TableWriter(bench.quotes).write(1, &quote);
  bench.push(100);
  Loop loop = bench.stage.loop();
  CHECK(loop.recover() == 0 && loop.suppressed() == 0);
  CHECK(bench.stage.words->first_ns.value == 0);
  CHECK(loop.turn());
  CHECK(bench.source->head + bench.echo->head == Loop::kBatch, bench.source->head.load());
  CHECK(bench.stage.committed() == Loop::kBatch && bench.stage.words->first_ns.value != 0);
  const Harm harm = bench.finish(loop);
  harm.print("normal operation");
  CHECK(!harm.any());
  CHECK(!loop.turn());
  CHECK(loop.steps() == bench.source->tail + bench.echo->tail, loop.steps());
}

void a_wait_ends_by_time_or_by_a_ring() {
  Bench bench;
  bench.push(3);
  Sleeper sleeper(bench.bell);
  Loop loop = bench.stage.loop();
  loop.recover();
  Patience patience(HERE);  // it may not get to sleep in time on a busy machine
  for (; bench.bell->sleeps == 0; patience.rest())
    CHECK(loop.run(sleeper, {}, monotonic_ns() + 1'000'000) == Wake::kTimeout);
  CHECK(bench.source->head == 3, bench.source->head.load());
  CHECK(bench.stage.words->beat.value != 0);
  Bell(bench.bell).ring();
  CHECK(loop.run(sleeper, {}, monotonic_ns() + kNever) == Wake::kRung);
}

void only_what_needs_a_full_ring_waits() {
  // The echo needs room in the sink, the source in the echo.
  Bench bench(4, 8, {{1, 0}, {0, 1}, {1, 0}});
  RingProducer stuff(bench.sink);
  Large large{};
  for (; stuff.has_room(); large.header.sequence = stuff.published()) stuff.push(&large);
  bench.push(100);
  Loop loop = bench.stage.loop(0);
  loop.recover();
  while (loop.turn()) {
  }
  // The source went on until the echo, which cannot be heard, was full.
  CHECK(bench.echo->depth() == 8 && bench.echo->head == 0, bench.echo->depth());
  CHECK(bench.source->head >= 8 && bench.source->head < 100, bench.source->head.load());
  CHECK(bench.cursors().ticks == 0, bench.cursors().ticks);
  const std::uint64_t taken = bench.source->head;

  bench.sink->head = bench.sink->tail.load();
  while (loop.turn()) {
  }
  CHECK(bench.echo->head > 0 && bench.source->head > taken, bench.source->head.load());
}

void a_tick_without_room_sleeps() {
  Bench bench(2, 8);
  RingProducer stuff(bench.sink);
  const Large large{};
  while (stuff.push(&large)) {
  }
  Sleeper sleeper(bench.bell);
  Loop loop = bench.stage.loop(1'000'000);
  loop.recover();
  // Until the tick is due, and then again and again: it must not spin, on a core that others need.
  Patience patience(HERE);
  for (; bench.bell->sleeps < 4; patience.rest())
    CHECK(loop.run(sleeper, {}, monotonic_ns() + 20'000'000) == Wake::kTimeout);
  CHECK(bench.stage.committed() == 0, bench.stage.committed());
}

void ticks_go_around_the_instruments() {
  Bench bench;
  Loop loop = bench.stage.loop(0);
  loop.recover();
  // A tick is one step an instrument, and comes at most once a turn, or nothing else would.
  CHECK(loop.turn());
  CHECK(bench.stage.committed() == kInstruments && bench.cursors().ticks == kInstruments);
  CHECK(loop.turn() && loop.turn());
  CHECK(bench.cursors().ticks == 3 * kInstruments, bench.cursors().ticks);
  std::vector<Context> contexts;
  add_from(bench.stage.contexts, contexts);
  for (std::uint64_t i = 0; i < contexts.size(); ++i)
    CHECK(contexts[i].source == Context::kTick && contexts[i].sequence == i &&
              contexts[i].instrument == i % kInstruments,
          i, contexts[i].instrument);
  // A successor goes on with the next instrument.
  Loop successor = bench.stage.loop();
  successor.recover();
  CHECK(bench.stage.words->first_ns.value == 0);
  CHECK(!bench.finish(successor).any());
}

/// Says what it must not.
class Loud final : public Kernel {
 public:
  enum class Fault { kTooMany, kOtherSize };
  explicit Loud(Fault fault) : fault_(fault) {}

  void step(const Context&, const void*, State&, Emit& emit) override {
    Large large{};
    Small small{};
    if (fault_ == Fault::kOtherSize) emit(0, small);
    for (int i = 0; i < 3; ++i) emit(0, large);
  }

 private:
  Fault fault_;
};

void a_kernel_that_breaks_its_word_is_stopped() {
  for (const auto& [fault, words] : {std::pair(Loud::Fault::kTooMany, "emitted more than"),
                                     std::pair(Loud::Fault::kOtherSize, "a record of 64 bytes")}) {
    Bench bench(2);
    bench.push(1);
    Loud loud(fault);
    Loop loop = bench.stage.loop(loud, kNever);
    loop.recover();
    CHECK(throws<std::logic_error>(words, [&] { loop.turn(); }), words);
    CHECK(bench.stage.committed() == 0, bench.stage.committed());
  }
  Bench bench;
  Loud loud(Loud::Fault::kOtherSize);
  Replay replay(loud, {bench.stage.accounts, bench.stage.total}, {sizeof(Large), sizeof(Small)});
  CHECK(replay.outputs() == 2);
  CHECK(throws<std::logic_error>("a record of 64 bytes", [&] { replay.step({}, nullptr); }));
}

/// Lets a process of the stage kill itself, the first batch being half done.
void crash(Bench& bench, CrashPoint point, Sabotage sabotage = {}) {
  constexpr std::uint64_t kStep = 20;
  bench.push(40);
  bench.stage.crash_at(point, kStep);
  Child process([&] {
    Loop loop = bench.stage.loop(kNever, sabotage);
    loop.recover();
    loop.turn();
  });
  CHECK(!process.succeeds(), point);
  CHECK(bench.stage.words->crash.value == 0, point);
  CHECK(bench.stage.contexts->tail >= kStep - 1, point, bench.stage.contexts->tail.load());
}

void a_crash_at_each_point_is_recovered_from() {
  for (unsigned p = 1; p <= static_cast<unsigned>(CrashPoint::kHeadsStored); ++p) {
    const auto point = static_cast<CrashPoint>(p);
    Bench bench;
    crash(bench, point);
    const std::uint64_t committed = bench.stage.committed();
    const std::uint64_t published = bench.stage.contexts->tail;
    const std::uint64_t outputs = bench.sink->tail + bench.echo->tail;
    CHECK((committed == 0) == (point < CrashPoint::kCommitted), p, committed);
    Loop successor = bench.stage.loop();
    CHECK(successor.recover() == published - committed, p, published, committed);
    // Of the steps that were not committed, all had said what they had to, but for the last.
    CHECK(successor.suppressed() == (committed == 0 ? outputs : 0), p, successor.suppressed());
    CHECK(!bench.finish(successor).any(), p);
  }
}

void sabotage_is_noticed() {
  const auto harm_of = [](const char* what, Sabotage sabotage) {
    Bench bench;
    crash(bench, CrashPoint::kStamped, sabotage);
    Loop successor = bench.stage.loop(kNever, sabotage);
    successor.recover();
    const Harm harm = bench.finish(successor);
    harm.print(what);
    return harm;
  };
  CHECK(!harm_of("no sabotage", {}).any());
  CHECK(harm_of("no dedupe", {.dedupe = true}).duplicated != 0);
  CHECK(harm_of("no slots", {.slots = true}).state != 0);
  CHECK(harm_of("new contexts", {.context = true}).state != 0);
}

void what_something_has_overwritten_is_refused() {
  {
    Bench bench;
    crash(bench, CrashPoint::kContextPublished);
    bench.stage.contexts->slot(3)[1] = 77;  // the step of the fourth context
    Loop successor = bench.stage.loop();
    CHECK(throws<std::runtime_error>("context of step 4 is that of step 77",
                                     [&] { successor.recover(); }));
  }
  {
    Bench bench;
    crash(bench, CrashPoint::kCommitted);
    bench.source->slots()[0] ^= 1;  // the first record, which was taken and not given back
    Loop successor = bench.stage.loop();
    CHECK(throws<std::runtime_error>("record 0 of an input ring", [&] { successor.recover(); }));
  }
  {
    Bench bench;
    bench.push(1);
    bench.source->tail = 1 + bench.source->capacity;
    Loop loop = bench.stage.loop();
    loop.recover();
    CHECK(throws<std::runtime_error>("is missing", [&] { loop.turn(); }));
  }
}

// --- The feed ---

struct Feed {
  explicit Feed(std::uint64_t capacity = 4)
      : market(arena.place<RingHeader>(capacity, sizeof(Market))),
        ticks(arena.place<RingHeader>(capacity, sizeof(Market))) {}

  Publisher publisher() {
    return Publisher(market, Bell(), ticks, quotes, through.as<HistogramWords>(),
                     {&words->committed.value, &words->beat.value, &words->first_ns.value,
                      &words->crash.value});
  }
  /// The source's next record, of the only instrument that there is.
  static Market record_after(Publisher& publisher) {
    Market record{};
    record.kind = MarketKind::kQuote;
    record.position = publisher.position() + 1;
    record.bid = static_cast<std::int64_t>(100 + record.position);
    record.header.received_ns = static_cast<std::int64_t>(record.position);
    return record;
  }
  std::int64_t bid() {
    Quote quote{};
    TableReader(quotes).read(0, &quote);
    return quote.bid;
  }

  Arena arena{64 * 1024};
  TableHeader* quotes = arena.place<TableHeader>(1, sizeof(Quote));
  Stage::Words* words = arena.place<Stage::Words>();
  RingHeader* market;
  RingHeader* ticks;
  Shared through{sizeof(HistogramWords)};
};

void a_crash_of_the_feed_is_mended() {
  for (std::uint64_t point = 1; point <= 4; ++point) {
    Feed feed;
    feed.words->crash.value = point << 56 | 2;
    Child process([&] {
      Publisher publisher = feed.publisher();
      for (int i = 0; i < 3; ++i) {
        Market record = Feed::record_after(publisher);
        publisher.publish(record);
      }
    });
    CHECK(!process.succeeds(), point);
    CHECK(feed.words->crash.value == 0, point);
    const std::uint64_t before = feed.market->tail;
    CHECK(before >= 2 && feed.ticks->tail <= before, point, before, feed.ticks->tail.load());
    Publisher successor = feed.publisher();
    CHECK(feed.ticks->tail == before && feed.words->committed.value == before, point, before);
    CHECK(successor.position() == before, point, successor.position());
    const std::size_t bytes = before * sizeof(Market);
    CHECK(std::memcmp(feed.market->slots(), feed.ticks->slots(), bytes) == 0, point);
    const std::int64_t bid = feed.bid();
    CHECK(bid == static_cast<std::int64_t>(100 + before), point, bid);
  }
}

void a_link_that_is_heard_keeps_its_quotes_fresh() {
  Feed feed;
  Publisher publisher = feed.publisher();
  Quote quote{};
  publisher.heard(50);
  TableReader(feed.quotes).read(0, &quote);
  CHECK(quote.link_ns == 0, quote.link_ns);  // there is no quote yet
  Market record = Feed::record_after(publisher);
  CHECK(publisher.publish(record));
  publisher.heard(50);
  publisher.heard(40);
  TableReader(feed.quotes).read(0, &quote);
  CHECK(quote.link_ns == 50 && quote.bid == 101 && quote.received_ns == 1, quote.link_ns);
}

void a_quote_that_the_feed_does_not_stand_by_is_stale_until_it_does() {
  Feed feed;
  Publisher publisher = feed.publisher();
  const auto publish = [&](MarketKind kind, std::uint64_t reason) {
    Market record = Feed::record_after(publisher);
    record.kind = kind;
    record.venue_sequence = reason;
    CHECK(publisher.publish(record));
    Quote quote{};
    TableReader(feed.quotes).read(record.header.instrument, &quote);
    return quote;
  };
  const std::int64_t bid = publish(MarketKind::kQuote, 0).bid;
  const Quote stale = publish(MarketKind::kStale, 3);
  CHECK(stale.stale == 3 && stale.bid == bid, stale.stale, stale.bid);
  CHECK(publish(MarketKind::kQuote, 0).stale == 3);  // on the way back, and not there yet
  CHECK(publish(MarketKind::kResync, 0).stale == 0);
}

void a_feed_that_cannot_be_mended_says_so() {
  Feed feed(2);
  feed.market->tail = 3;
  feed.market->head = 3;  // so `ticks` should have three, of which it holds two
  CHECK(throws<std::runtime_error>("no room", [&] { feed.publisher(); }));
}

void what_finds_no_room_is_kept_in_order() {
  Feed feed(2);
  Publisher publisher = feed.publisher();
  Outbox outbox(publisher);
  for (std::uint64_t i = 1; i <= 5; ++i) {
    Market record{};
    record.kind = MarketKind::kTrade;
    record.venue_sequence = i;
    record.position = i == 5 ? 0 : 10 * i;
    outbox.tell(record);
  }
  CHECK(publisher.published() == 2 && outbox.kept() == 3 && !outbox.flush(), outbox.kept());
  // The last one has no position of its own.
  CHECK(outbox.position() == 40 && publisher.position() == 20, outbox.position());
  CHECK(publisher.last_trade(0) == 2, publisher.last_trade(0));
  for (std::uint64_t read = 1; read <= 3; ++read) {
    feed.market->head = feed.ticks->head = read;
    CHECK(outbox.flush() == (read == 3), read);
    CHECK(publisher.published() == read + 2 && publisher.last_trade(0) == read + 2, read);
  }
  CHECK(outbox.kept() == 0 && publisher.position() == 40, publisher.position());
}

void a_source_that_begins_anew_repeats_nothing() {
  Feed feed(64);
  const auto send = [](Outbox& outbox, std::uint64_t position, std::uint64_t records) {
    outbox.at(position);
    for (std::uint64_t i = 1; i <= records; ++i) {
      Market record{};
      record.kind = MarketKind::kTrade;
      record.venue_sequence = 100 * position + i;
      outbox.tell(record);
    }
  };
  const auto say = [](Outbox& outbox, MarketKind kind) {
    Market record{};
    record.kind = kind;
    outbox.tell(record);
  };
  {
    Publisher publisher = feed.publisher();
    Outbox outbox(publisher);
    CHECK(outbox.begin() == 0);
    send(outbox, 1, 2);
    send(outbox, 2, 0);
    say(outbox, MarketKind::kStale);
    CHECK(publisher.published() == 3 && publisher.position() == 2, publisher.position());
    CHECK(outbox.begin() == 2);  // the whole second message was told, though it said nothing
    for (const std::uint64_t position : {1, 2}) send(outbox, position, 2 - 2 * (position - 1));
    say(outbox, MarketKind::kResync);  // at once, and it is not taken for a part of what was before
    CHECK(publisher.published() == 4 && publisher.position() == 3, publisher.position());
    CHECK(outbox.begin() == 2);  // it was lost before it came so far
    for (const std::uint64_t position : {1, 2}) send(outbox, position, 2 - 2 * (position - 1));
    send(outbox, 3, 3);
    CHECK(publisher.published() == 7 && publisher.told_there() == 3, publisher.published());
  }
  // Killed with one record of the fourth message published, of two.
  Publisher publisher = feed.publisher();
  Market part{};
  part.kind = MarketKind::kTrade;
  part.position = 4;
  part.venue_sequence = 401;
  CHECK(publisher.publish(part));
  Outbox outbox(publisher);
  say(outbox, MarketKind::kStale);
  CHECK(publisher.told_there() == 1 && publisher.position() == 4, publisher.told_there());
  outbox.resume(publisher.position(), publisher.told_there());
  CHECK(outbox.begin() == 3);
  const std::uint64_t before = publisher.published();
  for (const std::uint64_t position : {1, 2, 3}) send(outbox, position, 3);
  send(outbox, 4, 2);
  CHECK(publisher.published() == before + 1 && publisher.last_trade(0) == 402, publisher.published());
  send(outbox, 5, 1);
  CHECK(publisher.published() == before + 2 && publisher.position() == 5, publisher.published());
  CHECK(outbox.dropped().trades == 10 && outbox.dropped().quotes == 0, outbox.dropped().trades);
}

void a_full_ring_lets_the_feed_publish_nothing() {
  for (const bool market_is_read : {false, true}) {
    Feed feed(2);
    feed.words->crash.value = std::uint64_t{1} << 56 | 1'000;  // not yet
    Publisher publisher = feed.publisher();
    CHECK(publisher.position() == 0);
    for (int i = 0; i < 2; ++i) {
      Market record = Feed::record_after(publisher);
      CHECK(publisher.publish(record), i);
    }
    CHECK(feed.words->first_ns.value != 0 && feed.words->beat.value != 0);
    RingHeader* const read = market_is_read ? feed.market : feed.ticks;
    read->head = 2;
    Market record = Feed::record_after(publisher);
    CHECK(!publisher.has_room() && !publisher.publish(record), market_is_read);
    CHECK(feed.market->tail == 2 && feed.ticks->tail == 2 && feed.bid() == 102, feed.bid());
    CHECK(feed.words->committed.value == 2, feed.words->committed.value.load());
    (market_is_read ? feed.ticks : feed.market)->head = 2;
    CHECK(publisher.publish(record) && publisher.published() == 3, market_is_read);
    // A trade says that the link is alive, and nothing of the quote.
    record.kind = MarketKind::kTrade;
    record.bid = 0;
    CHECK(publisher.publish(record) && feed.bid() == 103, feed.bid());
  }
}

// --- Threads ---

void two_stages_go_on_at_once() {
  constexpr std::uint64_t kRecords = 3'000;
  Arena arena(8 * 1024 * 1024);
  auto* const bells = arena.place<DoorbellWords>(2 * sizeof(DoorbellWords));
  auto* const source = arena.place<RingHeader>(16, sizeof(Large));
  auto* const forward = arena.place<RingHeader>(8, sizeof(Large));
  auto* const back = arena.place<RingHeader>(8, sizeof(Small));
  auto* const notes = arena.place<RingHeader>(16'384, sizeof(Small));
  auto* const sink = arena.place<RingHeader>(8'192, sizeof(Large));
  auto* const quotes = arena.place<TableHeader>(kInstruments, sizeof(Quote));
  Stage first(arena, {{back, &bells[1]}, {source}}, {{forward, &bells[1]}, {notes}},
              {{0, 1}, {1, 1}, {1, 0}}, quotes, 8'192);
  Stage second(arena, {{forward, &bells[0]}}, {{sink}, {back, &bells[0]}}, {{1, 1}, {1, 0}}, quotes,
               8'192);
  std::thread stages[] = {std::thread([&] { first.live(&bells[0], kNever); }),
                          std::thread([&] { second.live(&bells[1], kNever); })};
  RingProducer producer(source, Bell(&bells[0]));
  Records given(sizeof(Large));
  Patience patience(HERE);
  while (producer.published() < kRecords) {
    const Large record = source_record(producer.published());
    Quote quote{};
    quote.bid = static_cast<std::int64_t>(record.value >> 1);
    TableWriter(quotes).write(record.header.instrument, &quote);
    while (!producer.push(&record)) patience.rest();
    given.add({reinterpret_cast<const unsigned char*>(&record), sizeof record});
  }
  const auto is_empty = [](RingHeader* ring) { return ring->head == ring->tail; };
  // In the order of the way: what has been given back has said all that it had to.
  while (!is_empty(source) || !is_empty(forward) || !is_empty(back)) patience.rest();
  for (int i = 0; i < 2; ++i) {
    Bell(&bells[i]).ring();
    stages[i].join();
  }
  std::vector<Context> contexts[2];
  add_from(first.contexts, contexts[0]);
  add_from(second.contexts, contexts[1]);
  Records sunk(sizeof(Large)), noted(sizeof(Small));
  sunk.add_from(sink);
  noted.add_from(notes);
  Reference firsts(first), seconds(second);
  const std::vector<const Records*> to_first = {&seconds.outputs[1], &given};
  const std::vector<const Records*> to_second = {&firsts.outputs[0]};
  while (firsts.go_on(contexts[0], to_first) | seconds.go_on(contexts[1], to_second)) {
  }
  Harm harm = firsts.judge(contexts[0], to_first);
  harm.add(seconds.judge(contexts[1], to_second));
  compare(sunk, seconds.outputs[0], harm);
  compare(noted, firsts.outputs[1], harm);
  harm.print("two threads");
  CHECK(!harm.any());
}

}  // namespace

int main(int count, char** arguments) {
  Choice chosen(count, arguments);
  if (chosen.has("normal operation")) normal_operation();
  if (chosen.has("waits")) a_wait_ends_by_time_or_by_a_ring();
  if (chosen.has("back-pressure")) only_what_needs_a_full_ring_waits();
  if (chosen.has("blocked ticks")) a_tick_without_room_sleeps();
  if (chosen.has("ticks")) ticks_go_around_the_instruments();
  if (chosen.has("broken words")) a_kernel_that_breaks_its_word_is_stopped();
  if (chosen.has("crash points")) a_crash_at_each_point_is_recovered_from();
  if (chosen.has("sabotage")) sabotage_is_noticed();
  if (chosen.has("overwritten")) what_something_has_overwritten_is_refused();
  if (chosen.has("feed crashes")) a_crash_of_the_feed_is_mended();
  if (chosen.has("feed link")) a_link_that_is_heard_keeps_its_quotes_fresh();
  if (chosen.has("feed stale")) a_quote_that_the_feed_does_not_stand_by_is_stale_until_it_does();
  if (chosen.has("feed beyond mending")) a_feed_that_cannot_be_mended_says_so();
  if (chosen.has("feed outbox")) what_finds_no_room_is_kept_in_order();
  if (chosen.has("feed anew")) a_source_that_begins_anew_repeats_nothing();
  if (chosen.has("feed rooms")) a_full_ring_lets_the_feed_publish_nothing();
  // Last: a process that has threads had better not fork.
  if (chosen.has("threads")) two_stages_go_on_at_once();
  return verdict();
}
