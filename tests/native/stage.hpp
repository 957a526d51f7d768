// A stage for the programs to kill, and the comparison that decides whether it has kept its promise.
//
// The kernel is small, and everything that it does depends on everything that it may read: an output
// or a state that came about in any other way than by the recorded steps, once each and in order, is
// another number. What a stage has left behind is compared bit for bit with the same kernel driven by
// Replay, over the recorded contexts and inputs.
#pragma once

#include <array>
#include <span>
#include <vector>

#include "check.hpp"
#include "pipeline/native/loop.hpp"
#include "pipeline/native/replay.hpp"
#include "samples.hpp"

namespace bot4::test {

inline constexpr std::uint64_t kInstruments = 3;
inline constexpr std::int64_t kNever = 3'600'000'000'000;  // ns between ticks

inline std::uint64_t mix(std::uint64_t a, std::uint64_t b) { return Sample<16>::word_of(a, b); }

// --- The kernel ---

/// The records of output ring 0 and of output ring 1.
struct Large {
  Header header;
  std::uint64_t value;
  std::uint64_t rest[9];
};
struct Small {
  Header header;
  std::uint64_t value;
  std::uint64_t rest;
};
static_assert(sizeof(Large) == 128 && sizeof(Small) == 64);

/// State: one an instrument, in the first group, and one of the stage, in the second.
struct Account {
  std::uint64_t steps, sum, last[6];
};
struct Total {
  std::uint64_t steps, sum;
};

/// The most that a step emits on each output ring.
using Most = std::array<std::uint64_t, 2>;

class Mill final : public Kernel {
 public:
  /// `most`: for each input ring, and for ticks behind them. A tick emits that much, always.
  explicit Mill(std::vector<Most> most) : most_(std::move(most)) {}

  void step(const Context& context, const void* input, State& state, Emit& emit) override {
    const bool is_tick = input == nullptr;
    const std::uint64_t value =
        is_tick ? context.sequence : static_cast<const Small*>(input)->value;
    const std::uint64_t before = state.read<Total>(1, 0).sum;
    auto& account = state.edit<Account>(0, context.instrument % state.count(0));
    const auto now = static_cast<std::uint64_t>(context.now_ns);
    account.sum = mix(mix(account.sum, value), mix(before, now));
    account.sum = mix(account.sum, static_cast<std::uint64_t>(context.quote.bid) + context.halted);
    account.sum = mix(mix(account.sum, context.mode), context.global);
    account.sum = mix(mix(account.sum, context.blocked), context.forced);
    account.last[account.steps++ % std::size(account.last)] = value;
    auto& total = state.edit<Total>(1, 0);
    total.sum = mix(before, account.sum);
    ++total.steps;

    const Most& most = is_tick ? most_.back() : most_[context.source];
    std::uint64_t draw = total.sum;
    const auto wanted = [&] { return is_tick || ((draw >>= 1) & 1) != 0; };
    for (std::uint64_t i = 0; i < most[0]; ++i) {
      if (!wanted()) continue;
      Large large{};
      large.header.instrument = context.instrument;
      large.value = mix(total.sum, i);
      for (std::uint64_t& word : large.rest) word = mix(large.value, account.sum);
      emit(0, large);
    }
    for (std::uint64_t i = 0; i < most[1]; ++i) {
      if (!wanted()) continue;
      Small small{};
      small.header.instrument = (context.instrument + 1) % kInstruments;
      small.value = mix(account.sum, i);
      small.rest = total.steps;
      emit.emit_bytes(1, &small, sizeof small);
    }
  }

 private:
  std::vector<Most> most_;
};

/// Record number `sequence` of whoever feeds the first stage.
inline Large source_record(std::uint64_t sequence) {
  Large record{};
  record.header.sequence = sequence;
  record.header.instrument = static_cast<std::uint32_t>(mix(sequence, 1) % kInstruments);
  record.value = mix(sequence, 2);
  return record;
}

// --- Its memory ---

/// Shared memory in which structures lie one behind the other, as in a segment.
class Arena {
 public:
  explicit Arena(std::size_t bytes) : memory_(bytes), bytes_(bytes) {}

  template <class T>
  T* place(std::size_t bytes = sizeof(T)) {
    T* const here = reinterpret_cast<T*>(memory_.as<unsigned char>() + used_);
    used_ += shm::round_up(bytes, shm::kCacheLine);
    if (used_ > bytes_) {
      std::fprintf(stderr, "an arena of %zu bytes was too small\n", bytes_);
      std::abort();
    }
    return here;
  }
  template <class T>
  T* place(std::uint64_t count, std::uint64_t record_bytes) {
    T* const structure = place<T>(T::bytes(count, record_bytes));
    if constexpr (requires(T header) { header.capacity; }) structure->capacity = count;
    else if constexpr (requires(T header) { header.rows; }) structure->rows = count;
    else structure->count = count;
    structure->record_bytes = record_bytes;
    return structure;
  }

  std::span<unsigned char> used() const { return {memory_.as<unsigned char>(), used_}; }

 private:
  Shared memory_;
  std::size_t bytes_;
  std::size_t used_ = 0;
};

/// One stage: all of its memory but the rings, which belong to two stages each.
class Stage {
 public:
  struct Words {
    shm::PaddedWord committed, beat, first_ns, crash, halted, mode;
    shm::PaddedWord rerun, suppressed;  // what all recoveries came to
  };
  struct End {
    shm::RingHeader* ring;
    shm::DoorbellWords* other = nullptr;  // of who is at the other end
  };

  Stage(Arena& arena, std::vector<End> inputs, std::vector<End> outputs, std::vector<Most> most,
        shm::TableHeader* quotes, std::uint64_t contexts = Loop::kBatch)
      : words(arena.place<Words>()),
        accounts(arena.place<shm::CellsHeader>(kInstruments, sizeof(Account))),
        total(arena.place<shm::CellsHeader>(1, sizeof(Total))),
        cursors(arena.place<shm::CellsHeader>(1, sizeof(Cursors))),
        contexts(arena.place<shm::ObserverHeader>(contexts, sizeof(Context))),
        inputs(std::move(inputs)),
        outputs(std::move(outputs)),
        most(most),
        mill(std::move(most)),
        quotes_(quotes) {
    breakers()->lay_out(1);
  }

  Loop loop(std::int64_t tick_every = kNever, Sabotage sabotage = {}) {
    return loop(mill, tick_every, sabotage);
  }
  Loop loop(Kernel& kernel, std::int64_t tick_every, Sabotage sabotage = {}) {
    const auto needs = [&](std::size_t source) {
      return std::vector<std::uint64_t>(most[source].begin(), most[source].end());
    };
    auto* const histograms = latency_.as<shm::HistogramWords>();
    std::vector<Loop::Input> in;
    for (std::size_t i = 0; i < inputs.size(); ++i)
      in.push_back({inputs[i].ring, shm::Bell(inputs[i].other), needs(i), histograms});
    std::vector<Loop::Output> out;
    for (const End& output : outputs) out.push_back({output.ring, shm::Bell(output.other)});
    return Loop(kernel, {accounts, total}, cursors, contexts, in, out, quotes_, breakers(),
                {&words->committed.value, &words->beat.value, &words->first_ns.value,
                 &words->crash.value, &words->halted.value, &words->mode.value},
                {tick_every, kInstruments, needs(inputs.size())},
                {histograms + 1, histograms + 2, inputs.size() - 1}, sabotage);
  }

  /// A stage's process: takes over, and works until somebody rings.
  void live(shm::DoorbellWords* bell, std::int64_t tick_every) {
    shm::Sleeper sleeper(bell);
    Loop stage = loop(tick_every);
    shm::add_single_writer(words->rerun.value, stage.recover());
    shm::add_single_writer(words->suppressed.value, stage.suppressed());
    stage.run(sleeper, {0, 100, shm::WaitStrategy::kSleep}, shm::monotonic_ns() + kNever);
  }

  /// Gives the breaker another word, and `mode` another value.
  void change_breakers() {
    const auto state = static_cast<shm::BreakerState>(++changes_ % 7);
    breakers()->breaker(0)->control = shm::Control::make(state, 0, changes_, 0).word;
    ++breakers()->changes;
    words->mode.value = changes_ & 3;
  }

  void crash_at(CrashPoint point, std::uint64_t step) const {
    words->crash.value = static_cast<std::uint64_t>(point) << 56 | step;
  }
  std::uint64_t committed() const { return words->committed.value; }

  Words* words;
  shm::CellsHeader* accounts;
  shm::CellsHeader* total;
  shm::CellsHeader* cursors;
  shm::ObserverHeader* contexts;
  std::vector<End> inputs;
  std::vector<End> outputs;
  std::vector<Most> most;
  Mill mill;

 private:
  shm::TableHeader* quotes_;
  shm::BreakersHeader* breakers() { return breakers_.as<shm::BreakersHeader>(); }

  // Apart from the rest: nobody's promise, and the world around it.
  Shared latency_{3 * sizeof(shm::HistogramWords)};
  Shared breakers_{shm::BreakersHeader::bytes(1)};
  std::uint64_t changes_ = 0;
};

// --- What it left behind ---

/// All records of a ring, end to end.
class Records {
 public:
  explicit Records(std::size_t record_bytes) : record_bytes_(record_bytes) {}

  std::size_t count() const { return bytes_.size() / record_bytes_; }
  const unsigned char* at(std::size_t i) const { return &bytes_[i * record_bytes_]; }
  Header header(std::size_t i) const {
    Header header;
    std::memcpy(&header, at(i), sizeof header);
    return header;
  }
  bool same(std::size_t i, const Records& other, std::size_t k) const {
    return std::memcmp(at(i), other.at(k), record_bytes_) == 0;
  }
  void add(std::span<const unsigned char> bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
  }

  /// Those that were published since the last time; they must still be in the ring.
  void add_from(shm::RingHeader* ring) {
    const std::uint64_t tail = ring->tail;
    CHECK(tail - count() <= ring->capacity, tail, count());
    while (count() < tail)
      add({ring->slots() + (count() & (ring->capacity - 1)) * record_bytes_, record_bytes_});
  }

 private:
  std::size_t record_bytes_;
  std::vector<unsigned char> bytes_;
};

/// The contexts that were published since the last time; they must still be there.
inline void add_from(shm::ObserverHeader* ring, std::vector<Context>& contexts) {
  shm::ObserverReader reader(ring, shm::ObserverReader::Start::kOldest);
  reader.seek(contexts.size());
  std::uint64_t lost = 0;
  Context context;
  while (reader.read(&context, 1, lost) == 1) contexts.push_back(context);
  CHECK(lost == 0, lost);
}

/// What is wrong with a stage. A step that did not take the next record of its input is a misstep.
struct Harm {
  std::uint64_t missteps = 0, lost = 0, duplicated = 0, changed = 0, state = 0;

  bool any() const { return (missteps | lost | duplicated | changed | state) != 0; }
  void add(const Harm& other) {
    missteps += other.missteps;
    lost += other.lost;
    duplicated += other.duplicated;
    changed += other.changed;
    state += other.state;
  }
  void print(const char* what) const {
    const auto number = [](std::uint64_t n) { return static_cast<unsigned long long>(n); };
    std::printf("%s: %llu missteps, %llu lost, %llu duplicated, %llu changed, %llu wrong cells\n",
                what, number(missteps), number(lost), number(duplicated), number(changed),
                number(state));
  }
};

/// Compares the outputs on one ring with those that should be there; by cause, as sequences are
/// shifted by what is missing.
inline void compare(const Records& actual, const Records& expected, Harm& harm) {
  const auto cause = [](const Header& header) {
    return std::pair(header.cause_step, header.cause_index);
  };
  std::size_t next = 0;
  for (std::size_t i = 0; i < actual.count(); ++i) {
    const auto is = cause(actual.header(i));
    if (i != 0 && is <= cause(actual.header(i - 1))) {
      ++harm.duplicated;
      continue;
    }
    for (; next < expected.count() && cause(expected.header(next)) < is; ++next) ++harm.lost;
    if (next == expected.count() || cause(expected.header(next)) != is) ++harm.changed;
    else if (!actual.same(i, expected, next++)) ++harm.changed;
  }
  harm.lost += expected.count() - next;
}

/// A stage's run on its own, by Replay: what it should have left behind.
class Reference {
 public:
  explicit Reference(const Stage& stage)
      : stage_(stage),
        accounts_(kInstruments, sizeof(Account)),
        total_(1, sizeof(Total)),
        mill_(stage.most),
        replay_(mill_, {accounts_.get(), total_.get()}, {sizeof(Large), sizeof(Small)}) {}

  /// Takes the recorded steps, as far as there are inputs: what is on each of its rings, or would be.
  /// False if there was nothing to take.
  bool go_on(const std::vector<Context>& contexts, const std::vector<const Records*>& inputs) {
    taken_.resize(inputs.size());
    const std::uint64_t before = replay_.committed();
    while (replay_.committed() < contexts.size()) {
      const Context& context = contexts[replay_.committed()];
      const bool is_tick = context.source == Context::kTick;
      if (!is_tick && context.source >= inputs.size()) break;
      std::uint64_t& next = is_tick ? ticks_ : taken_[context.source];
      if (context.step != replay_.committed() + 1 || context.sequence != next) break;
      if (!is_tick && next >= inputs[context.source]->count()) break;
      replay_.step(context, is_tick ? nullptr : inputs[context.source]->at(next));
      ++next;
      for (std::size_t ring = 0; ring < outputs.size(); ++ring)
        outputs[ring].add(replay_.take(ring));
    }
    return replay_.committed() != before;
  }

  /// At the end, when all has been taken.
  Harm judge(const std::vector<Context>& contexts,
             const std::vector<const Records*>& inputs) const {
    Harm harm;
    harm.missteps += contexts.size() - replay_.committed();
    harm.missteps += stage_.committed() != contexts.size();
    Cursors cursors{};
    stage_.cursors->copy(0, stage_.committed(), &cursors);
    harm.state += cursors.ticks != ticks_;
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const shm::RingHeader& ring = *stage_.inputs[i].ring;
      harm.missteps += taken_[i] != inputs[i]->count();
      harm.missteps += ring.tail != taken_[i] || ring.head != taken_[i];  // and given back
      harm.state += cursors.taken[i] != taken_[i];
    }
    harm.state += wrong_cells(stage_.accounts, accounts_.get());
    harm.state += wrong_cells(stage_.total, total_.get());
    return harm;
  }

  std::array<Records, 2> outputs{Records(sizeof(Large)), Records(sizeof(Small))};

 private:
  std::uint64_t wrong_cells(shm::CellsHeader* actual, shm::CellsHeader* expected) const {
    std::uint64_t wrong = 0;
    std::vector<unsigned char> is(actual->record_bytes), should_be(actual->record_bytes);
    for (std::uint64_t i = 0; i < actual->count; ++i) {
      const bool has_both = actual->copy(i, stage_.committed(), is.data()) &&
                            expected->copy(i, replay_.committed(), should_be.data());
      wrong += !has_both || is != should_be;
    }
    return wrong;
  }

  const Stage& stage_;
  Laid<shm::CellsHeader> accounts_;
  Laid<shm::CellsHeader> total_;
  Mill mill_;
  Replay replay_;
  std::vector<std::uint64_t> taken_;
  std::uint64_t ticks_ = 0;
};

}  // namespace bot4::test
