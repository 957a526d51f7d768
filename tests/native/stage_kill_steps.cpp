// Kills a stage at every instruction of a batch, and its successor at every instruction of recovery.
//
// A kill leaves nothing but the shared memory as it was after so many instructions. So the victim is
// not killed and forked anew for each: it is stopped, a successor takes over the memory, finishes
// the input and is judged; then the memory is put back as it was, and the victim executes its next
// instruction. Where an instruction has not changed the memory, its kill leaves what the last one's
// left.
//
// The stage's second output ring is also its first input: it hears what it says. Its other output
// ring is short, so ticks, which are always due, fill the rest of the batch until there is no room.
//
// Arguments: the names of the tests to run; without any, all of them.

#include "stage.hpp"
#include "stepping.hpp"
#include "workers/feed/native/publisher.hpp"

using namespace bot4;
using namespace bot4::shm;
using namespace bot4::test;

namespace {

using Memory = std::vector<unsigned char>;

Memory memory_of(const Arena& arena) { return {arena.used().begin(), arena.used().end()}; }
bool is(const Arena& arena, const Memory& memory) {
  return std::memcmp(arena.used().data(), memory.data(), memory.size()) == 0;
}
void put_back(const Arena& arena, const Memory& memory) {
  std::memcpy(arena.used().data(), memory.data(), memory.size());
}

/// Steps through `victim`, and lets `judge` do what it likes with each memory that a kill can leave.
/// Returns these memories; after the first failure there are no more.
template <class Judge>
std::vector<Memory> kill_at_every_instruction(const Arena& arena, void (*victim)(), Judge judge,
                                              std::uint64_t& instructions) {
  std::vector<Memory> memories;
  Stepped stepped(victim);
  do {
    ++instructions;
    if (!memories.empty() && is(arena, memories.back())) continue;
    memories.push_back(memory_of(arena));
    judge(memories.size());
    put_back(arena, memories.back());
  } while (stepped.step() && failures == 0);
  return memories;
}

void report(const char* what, std::uint64_t instructions, std::uint64_t memories) {
  std::printf("%s: %llu instructions, %llu memories taken over\n", what,
              static_cast<unsigned long long>(instructions),
              static_cast<unsigned long long>(memories));
}

// --- A stage ---

constexpr std::uint64_t kSink = 16;

Arena arena(64 * 1024);
RingHeader* const source = arena.place<RingHeader>(16, sizeof(Large));
RingHeader* const sink = arena.place<RingHeader>(kSink, sizeof(Large));
RingHeader* const echo = arena.place<RingHeader>(8, sizeof(Small));
TableHeader* const quotes = arena.place<TableHeader>(kInstruments, sizeof(Quote));
Stage stage(arena, {{echo}, {source}}, {{sink}, {echo}}, {{2, 0}, {1, 1}, {1, 0}}, quotes);

/// What is known of the run so far.
struct History {
  std::vector<Context> contexts;
  Records source{sizeof(Large)}, sink{sizeof(Large)}, echo{sizeof(Small)};

  /// To be called before any of it can be overwritten. Makes room in the sink.
  void go_on() {
    add_from(stage.contexts, contexts);
    source.add_from(::source);
    sink.add_from(::sink);
    echo.add_from(::echo);
    ::sink->head = ::sink->tail.load();
  }
};
History before;

/// The world does not stand still while the stage is dead.
void change_the_world() {
  Quote quote{};
  for (std::uint64_t row = 0; row < kInstruments; ++row) {
    TableReader(quotes).read(row, &quote);
    quote.bid += static_cast<std::int64_t>(row) + 1;
    TableWriter(quotes).write(row, &quote);
  }
  stage.words->halted.value = stage.words->halted.value + 1;
  stage.change_breakers();
}

void push_source(std::uint64_t count) {
  RingProducer producer(source);
  for (; count != 0; --count) {
    const Large record = source_record(producer.published());
    CHECK(producer.push(&record), producer.published());
  }
}

/// Batches until there is no input left. Ticks go on until the sink is full.
void finish(Loop& loop, History& history) {
  for (int turns = 0; source->tail != source->head || echo->tail != echo->head; ++turns) {
    history.go_on();
    loop.turn();
    CHECK(turns < 100, source->head.load(), echo->head.load());
    if (turns == 100) return;
  }
  history.go_on();
}

/// A stage that has been around, with more input waiting than one batch has room for.
void prepare() {
  Loop loop = stage.loop(0);
  loop.recover();
  for (int i = 0; i < 12; ++i) {
    push_source(8);
    change_the_world();
    finish(loop, before);
  }
  loop.turn();  // ticks
  before.go_on();
  push_source(12);
  CHECK(stage.committed() > Loop::kBatch, stage.committed());
  CHECK(sink->tail > 2 * kSink && echo->tail > 2 * echo->capacity, sink->tail.load());
}

std::uint64_t rerun = 0;
std::uint64_t suppressed = 0;

void take_over(std::size_t memory) {
  change_the_world();
  History history = before;
  Harm harm;
  try {
    Loop successor = stage.loop(0);
    rerun += successor.recover();
    suppressed += successor.suppressed();
    finish(successor, history);
    Reference reference(stage);
    reference.go_on(history.contexts, {&history.echo, &history.source});
    harm = reference.judge(history.contexts, {&history.echo, &history.source});
    compare(history.sink, reference.outputs[0], harm);
    compare(history.echo, reference.outputs[1], harm);
  } catch (const std::exception& error) {
    CHECK(false, memory, error.what());
  }
  CHECK(!harm.any(), memory);
  if (harm.any()) harm.print("after a kill");
}

/// A batch, from a memory that has nothing to recover.
void batch() {
  Loop loop = stage.loop(0);
  loop.recover();
  mark();
  loop.turn();
  mark();
}

void recovery() {
  mark();
  Loop loop = stage.loop(0);
  loop.recover();
  mark();
}

std::vector<Memory> a_stage_is_killed() {
  prepare();
  std::uint64_t instructions = 0;
  std::vector<Memory> memories = kill_at_every_instruction(arena, batch, take_over, instructions);
  std::uint64_t taken_over = memories.size();
  if (failures == 0) {
    // And the next one, which works in the other slots.
    put_back(arena, memories.back());
    before.go_on();
    push_source(source->capacity - source->depth());
    memories = kill_at_every_instruction(arena, batch, take_over, instructions);
    taken_over += memories.size();
  }
  report("two batches", instructions, taken_over);
  CHECK(rerun != 0 && suppressed != 0, rerun, suppressed);
  return memories;
}

/// `memories`: what the kills of the stage in its last batch have left.
void its_successor_is_killed(const std::vector<Memory>& memories) {
  // Some of the batch, and more of its commit, which is short.
  std::uint64_t instructions = 0, taken_over = 0;
  for (std::size_t i = 0; i < memories.size() && failures == 0;
       i += i + 96 < memories.size() ? 96 : 12) {
    put_back(arena, memories[i]);
    taken_over += kill_at_every_instruction(arena, recovery, take_over, instructions).size();
  }
  report("recovery", instructions, taken_over);
}

// --- The feed ---

namespace feed {

Arena arena(16 * 1024);
RingHeader* const market = arena.place<RingHeader>(4, sizeof(Market));
RingHeader* const ticks = arena.place<RingHeader>(4, sizeof(Market));
TableHeader* const quotes = arena.place<TableHeader>(kInstruments, sizeof(Quote));
auto* const words = arena.place<Stage::Words>();
Shared through(sizeof(HistogramWords));

Publisher publisher() {
  return Publisher(market, Bell(), ticks, quotes, through.as<HistogramWords>(),
                   {&words->committed.value, &words->beat.value, &words->first_ns.value,
                    &words->crash.value});
}

/// The source's record at a position: quotes, and a trade now and then.
Market record_at(std::uint64_t position) {
  Market record{};
  record.header.instrument = static_cast<std::uint32_t>(position % kInstruments);
  record.header.received_ns = static_cast<std::int64_t>(position) + 1;
  record.kind = position % 4 == 3 ? MarketKind::kTrade : MarketKind::kQuote;
  record.bid = static_cast<std::int64_t>(mix(position, 3) >> 1);
  record.ask_quantity = static_cast<std::int64_t>(mix(position, 4) >> 1);
  record.position = position + 1;
  return record;
}

/// Publishes what comes next, according to what is out already.
void publish_next(Publisher& publisher) {
  Market record = record_at(publisher.position());
  CHECK(publisher.publish(record), publisher.published());
}

void one_record() {
  Publisher publisher = feed::publisher();
  mark();
  publish_next(publisher);
  mark();
}

void take_over(std::size_t memory) {
  Publisher successor = publisher();
  const std::uint64_t published = market->tail;
  CHECK(ticks->tail == published && words->committed.value == published, memory, published,
        ticks->tail.load());
  CHECK(successor.published() == published && successor.position() == published, memory);
  for (std::uint64_t i = published - 3; i < published; ++i) {
    Market expected = record_at(i);
    Market on_market, on_ticks;
    std::memcpy(&on_market, market->slots() + (i & 3) * sizeof(Market), sizeof(Market));
    std::memcpy(&on_ticks, ticks->slots() + (i & 3) * sizeof(Market), sizeof(Market));
    CHECK(std::memcmp(&on_market, &on_ticks, sizeof(Market)) == 0, memory, i);
    expected.header = on_market.header;
    CHECK(std::memcmp(&on_market, &expected, sizeof(Market)) == 0, memory, i);
    CHECK(on_market.header.sequence == i && on_market.header.cause_step == i, memory, i);
    // The latest record of its instrument; a trade leaves the quote as it is.
    Quote quote{};
    TableReader(quotes).read(expected.header.instrument, &quote);
    const bool is_latest = quote.link_ns == expected.header.received_ns;
    CHECK(is_latest, memory, i, quote.link_ns);
    if (expected.kind == MarketKind::kQuote)
      CHECK(quote.bid == expected.bid && quote.ask_quantity == expected.ask_quantity, memory, i);
  }
}

void is_killed() {
  Publisher publisher = feed::publisher();
  for (int i = 0; i < 6; ++i) {
    publish_next(publisher);
    market->head = market->tail.load();
    ticks->head = ticks->tail.load();
  }
  std::uint64_t instructions = 0, taken_over = 0;
  for (int i = 0; i < 2; ++i) {  // a quote, and a trade
    const std::vector<Memory> memories =
        kill_at_every_instruction(arena, one_record, feed::take_over, instructions);
    taken_over += memories.size();
    put_back(arena, memories.back());
  }
  report("the feed", instructions, taken_over);
}

}  // namespace feed

}  // namespace

int main(int count, char** arguments) {
  share_one_core();
  Choice chosen(count, arguments);
  if (chosen.has("batch")) {
    const std::vector<Memory> memories = a_stage_is_killed();
    if (chosen.has("recovery")) its_successor_is_killed(memories);
  }
  if (chosen.has("feed")) feed::is_killed();
  return verdict();
}
