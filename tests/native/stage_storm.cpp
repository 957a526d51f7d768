// Two neighbouring stages, killed at random moments, hundreds of times, and restarted at once.
//
//     source --> first --forward--> second --> sink
//       log <--- first <---back---- second
//
// This process is both ends. What the stages have taken, said and become is compared with what they
// must have: nothing lost, nothing twice, nothing changed.

#include "processes.hpp"
#include "stage.hpp"

using namespace bot4;
using namespace bot4::shm;
using namespace bot4::test;

namespace {

constexpr std::uint64_t kKills = 600;
constexpr std::uint64_t kSourceRecords = 60'000;
constexpr std::int64_t kTickEvery = 1'000'000;  // ns
constexpr std::uint64_t kContexts = 1 << 15;    // enough for this process to be off its core a while

Arena arena(16 * 1024 * 1024);
auto* const first_bell = arena.place<DoorbellWords>();
auto* const second_bell = arena.place<DoorbellWords>();
RingHeader* const source = arena.place<RingHeader>(256, sizeof(Large));
RingHeader* const forward = arena.place<RingHeader>(32, sizeof(Large));
RingHeader* const back = arena.place<RingHeader>(16, sizeof(Small));
RingHeader* const sink = arena.place<RingHeader>(128, sizeof(Large));
RingHeader* const notes = arena.place<RingHeader>(128, sizeof(Small));
TableHeader* const quotes = arena.place<TableHeader>(kInstruments, sizeof(Quote));
// What comes back leads to notes only, so the two can always go on.
Stage first(arena, {{back, second_bell}, {source}}, {{forward, second_bell}, {notes}},
            {{0, 1}, {1, 1}, {1, 0}}, quotes, kContexts);
Stage second(arena, {{forward, first_bell}}, {{sink}, {back, first_bell}}, {{1, 1}, {1, 0}}, quotes,
             kContexts);

/// The ends of the pipeline, and what they have seen.
class Ends {
 public:
  /// Gives the first stage records up to this one, as far as there is room; takes what there is.
  void work(std::uint64_t until) {
    while (producer_.published() < until && producer_.has_room()) {
      const Large record = source_record(producer_.published());
      producer_.push(&record);
      given.add({reinterpret_cast<const unsigned char*>(&record), sizeof record});
      if (producer_.published() % 64 == 0) change_a_quote();
    }
    take(to_sink_, sunk);
    take(to_notes_, noted);
    add_from(first.contexts, first_contexts);
    add_from(second.contexts, second_contexts);
  }

  std::uint64_t published() const { return producer_.published(); }

  Records given{sizeof(Large)}, sunk{sizeof(Large)}, noted{sizeof(Small)};
  std::vector<Context> first_contexts, second_contexts;

 private:
  void take(RingConsumer& ring, Records& records) {
    Large record{};
    while (ring.pop(&record))
      records.add({reinterpret_cast<const unsigned char*>(&record), ring.record_bytes()});
    if (ring.pending() != 0) ring.commit(ring.pending());
  }
  void change_a_quote() {
    Quote quote{};
    quote.bid = static_cast<std::int64_t>(producer_.published());
    TableWriter(quotes).write(producer_.published() % kInstruments, &quote);
  }

  RingProducer producer_{source, Bell(first_bell)};
  RingConsumer to_sink_{sink, Bell(second_bell)};
  RingConsumer to_notes_{notes, Bell(first_bell)};
};

/// When a process is killed is what this test varies; nothing is waited for.
void let_some_time_pass(Random& random) {
  const timespec nap{0, static_cast<long>(random.below(150'000))};
  nanosleep(&nap, nullptr);
}

void storm(Ends& ends) {
  const auto begin = [](Stage& stage, DoorbellWords* bell) {
    return Child([&stage, bell] { stage.live(bell, kTickEvery); });
  };
  Child processes[] = {begin(first, first_bell), begin(second, second_bell)};
  Random random(6);
  Patience patience(HERE);
  for (std::uint64_t kill = 0; kill < kKills; ++kill) {
    const std::uint64_t until = (kill + 1) * kSourceRecords / kKills;
    while (ends.published() < until) {
      ends.work(std::min(until + 256, kSourceRecords));
      patience.rest();
    }
    let_some_time_pass(random);
    // One of them, the other, and now and then both at the same moment.
    const bool both = kill % 5 == 0;
    if (both || kill % 2 == 0) processes[0].kill();
    if (both || kill % 2 == 1) processes[1].kill();
    if (processes[0].pid() == 0) processes[0] = begin(first, first_bell);
    if (processes[1].pid() == 0) processes[1] = begin(second, second_bell);
  }
}

/// Both are dead: takes over from them, until nothing is on its way.
void finish(Ends& ends) {
  Loop loops[] = {first.loop(), second.loop()};
  for (Loop& loop : loops) loop.recover();
  Patience patience(HERE);
  do {
    ends.work(kSourceRecords);
    for (bool busy = true; busy;) busy = loops[0].turn() | loops[1].turn();
    ends.work(kSourceRecords);
    patience.rest();
  } while (source->tail != kSourceRecords || source->head != source->tail ||
           forward->head != forward->tail || back->head != back->tail);
}

/// Each stage by itself: what the second takes is what the first must have said, and the other way.
void compare_with_replay(const Ends& ends) {
  Reference firsts(first), seconds(second);
  const std::vector<const Records*> to_first = {&seconds.outputs[1], &ends.given};
  const std::vector<const Records*> to_second = {&firsts.outputs[0]};
  while (firsts.go_on(ends.first_contexts, to_first) |
         seconds.go_on(ends.second_contexts, to_second)) {
  }
  Harm harm = firsts.judge(ends.first_contexts, to_first);
  harm.add(seconds.judge(ends.second_contexts, to_second));
  compare(ends.noted, firsts.outputs[1], harm);
  compare(ends.sunk, seconds.outputs[0], harm);
  harm.print("harm");
  CHECK(!harm.any());

  const std::uint64_t rerun = first.words->rerun.value + second.words->rerun.value;
  const std::uint64_t suppressed = first.words->suppressed.value + second.words->suppressed.value;
  std::uint64_t records = 0;
  for (RingHeader* ring : {source, forward, back, sink, notes}) records += ring->tail;
  const auto number = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
  std::printf("%llu kills, %llu records, %llu steps, %llu of them run again, "
              "%llu outputs suppressed\n",
              number(kKills), number(records), number(first.committed() + second.committed()),
              number(rerun), number(suppressed));
  CHECK(rerun != 0 && suppressed != 0, rerun, suppressed);
}

}  // namespace

int main() {
  Ends ends;
  storm(ends);
  finish(ends);
  compare_with_replay(ends);
  return verdict();
}
