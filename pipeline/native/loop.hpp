// The life of a stage: take an input, let the kernel step, publish, commit; and all that again, exactly
// once, after a kill -9 at any instruction.
//
// All inputs of a stage (its rings, and ticks) are merged into one numbered sequence of steps.
//
//   context   record n (which ring and sequence, the clock, the quote) is published before step n runs
//   outputs   are published as they are emitted, each with its cause: (step, index within the step)
//   state     lies in cells: edited in the slots that are not current, stamped at the end of the batch
//   commit    one store of the batch's last step; the heads of the input rings follow
//
// Recovery starts from the committed step: the cells' current slots are its state, and the cell of
// cursors says how far each input was taken. The steps after it whose contexts were published are run
// again, with those contexts; an output whose cause is not beyond the last one on its ring is out
// already and is dropped. tests/model/exactly_once.py explains why each rule is needed.
//
// A step is taken only when every output ring has room for the most that it may emit, so no step ever
// blocks half-way, and an input whose outputs have no room waits while the others go on. As steps on
// the rings that lead back (executions, outcomes) publish only to rings that lead back, the loops of
// the pipeline cannot deadlock.
#pragma once

#include <csignal>

#include "../../shm/native/breakers.hpp"
#include "../../shm/native/doorbell.hpp"
#include "../../shm/native/metrics.hpp"
#include "../../shm/native/observer.hpp"
#include "../../shm/native/ring.hpp"
#include "../../shm/native/table.hpp"
#include "kernel.hpp"

namespace bot4 {

/// How far a stage has come with its inputs: the runtime's own cell, committed with the stage's.
struct Cursors {
  static constexpr std::size_t kInputs = 6;
  std::uint64_t taken[kInputs];  // records of each input ring
  std::uint64_t ticks;
  std::uint64_t spare;
};

/// The instants at which a test may have a stage kill itself: a process cannot be hit there from
/// outside with any certainty.
enum class CrashPoint : std::uint8_t {
  kNone = 0,
  kInputTaken = 1,        // nothing is out
  kContextPublished = 2,  // and the step not yet run
  kOutputMade = 3,        // and not yet published; only reached by steps that emit, as the next
  kOutputPublished = 4,
  kStamped = 5,           // the batch is done, and not committed
  kCommitted = 6,         // and the heads of the rings not yet stored
  kHeadsStored = 7,
};

/// Rules that can be switched off, to see whether the proof notices.
struct Sabotage {
  bool dedupe = false;   // publish again what is out already
  bool slots = false;    // change the current slots in place
  bool context = false;  // take new contexts in recovery
};

class Loop final : private Emit {
 public:
  struct Input {
    shm::RingHeader* ring;
    shm::Bell producer;                // rung when records are released
    std::vector<std::uint64_t> needs;  // room on each output ring for a step on this input
    shm::HistogramWords* hop;          // stamped by the producer -> taken here, ns
  };
  struct Output {
    shm::RingHeader* ring;
    shm::Bell consumer;
  };
  struct Words {
    shm::Word* committed;
    shm::Word* beat;      // CLOCK_MONOTONIC of the last sign of life
    shm::Word* first_ns;  // of the first record that this process took; 0 until then
    shm::Word* crash;     // [point:8][step:56]: die at this point of this step or a later one
    const shm::Word* halted;
    const shm::Word* mode = nullptr;
  };
  struct Ticks {
    std::int64_t every_ns;
    std::uint64_t instruments;         // steps per tick: one for each, or 1
    std::vector<std::uint64_t> needs;
  };
  struct Latency {
    shm::HistogramWords* through;     // input stamped -> output published, ns
    shm::HistogramWords* end_to_end;  // feed's receive -> end of the step; null but in the last stage
    std::size_t end_to_end_input;
    shm::HistogramWords* step = nullptr;  // context taken -> end of the step; null if not wanted
  };

  static constexpr std::uint64_t kBatch = 64;  // steps; the context ring must hold as many

  Loop(Kernel& kernel, std::vector<shm::CellsHeader*> groups, shm::CellsHeader* cursors,
       shm::ObserverHeader* contexts, const std::vector<Input>& inputs,
       const std::vector<Output>& outputs, shm::TableHeader* quotes, shm::BreakersHeader* breakers,
       Words words, Ticks ticks, Latency latency, Sabotage sabotage = {})
      : kernel_(kernel),
        state_(open(groups, *words.committed)),
        cursors_(cursors, *words.committed),
        context_ring_(contexts),
        contexts_(contexts),
        quotes_table_(quotes),
        breakers_(breakers),
        words_(words),
        ticks_(std::move(ticks)),
        latency_{latency, shm::HistogramWriter(latency.through), {}, {}},
        sabotage_(sabotage),
        step_(words.committed->load(std::memory_order_acquire)) {
    if (latency.end_to_end != nullptr) latency_.end_to_end.emplace_back(latency.end_to_end);
    if (latency.step != nullptr) latency_.step.emplace_back(latency.step);
    for (const Input& input : inputs)
      inputs_.push_back({shm::RingConsumer(input.ring, input.producer), input.needs,
                         shm::HistogramWriter(input.hop)});
    for (const Output& output : outputs)
      outputs_.push_back({output.ring, shm::RingProducer(output.ring, output.consumer), {}, {}});
    if (sabotage.slots)
      for (shm::Cells& group : state_.groups()) group.edit_in_place();
  }

  /// Takes over from a predecessor: to be called once, before anything else. Returns how many steps
  /// were run again.
  std::uint64_t recover() {
    const std::uint64_t committed = step_;
    const auto& taken = *static_cast<const Cursors*>(cursors_.read(0));
    for (std::size_t i = 0; i < inputs_.size(); ++i) {
      // The heads are stored after the commit, so they may lag behind it, but never lead.
      shm::RingConsumer& ring = inputs_[i].ring;
      skip(ring, taken.taken[i] - ring.committed());
    }
    for (Out& output : outputs_) output.published_before = last_cause(*output.header);
    replaying_ = true;
    const std::uint64_t last = contexts_.published();
    if (last < step_) corrupt("steps were committed without a context");
    while (step_ < last) {
      Context context;
      read_context(step_ + 1, context);
      if (sabotage_.context) sample(context);
      const void* input = nullptr;
      if (context.source != Context::kTick) {
        if (context.source >= inputs_.size()) corrupt("a context names an input that is none");
        shm::RingConsumer& ring = inputs_[context.source].ring;
        if (ring.position() != context.sequence) corrupt("a context names another record");
        input = take(ring);
      }
      run_step(context, input);
    }
    replaying_ = false;
    if (step_ != committed) commit();
    next_tick_ = shm::monotonic_ns() + ticks_.every_ns;
    return step_ - committed;
  }

  /// Runs until somebody rings the doorbell (signals do) or `until`, in ns of CLOCK_MONOTONIC.
  shm::Wake run(shm::Sleeper& sleeper, const shm::WaitStrategy& how, std::int64_t until) {
    for (;;) {
      const bool busy = turn();
      const std::int64_t now = shm::monotonic_ns();
      words_.beat->store(static_cast<std::uint64_t>(now), std::memory_order_relaxed);
      if (sleeper.rung()) return shm::Wake::kRung;
      if (now >= until) return shm::Wake::kTimeout;
      if (busy) continue;
      const shm::Wake wake = sleeper.wait(how, std::min(next_tick_, until) - now,
                                          [this] { return ready(); });
      if (wake == shm::Wake::kRung || wake == shm::Wake::kSignal) return wake;
    }
  }

  /// Takes what there is to take, up to a batch, and commits it. False if there was nothing.
  bool turn() {
    crash_ = words_.crash->load(std::memory_order_relaxed);
    if (const std::int64_t now = shm::monotonic_ns(); now >= next_tick_) {
      if (ticks_left_ == 0) ticks_left_ = ticks_.instruments;
      // Also while ticks wait for room: a time in the past would keep run() from sleeping.
      next_tick_ = now + ticks_.every_ns;
    }
    const std::uint64_t before = step_;
    while (step_ - before < kBatch && take_one()) {
    }
    if (step_ == before) return false;
    commit();
    return true;
  }

  std::uint64_t steps() const { return step_; }
  std::uint64_t suppressed() const { return suppressed_; }

 private:
  struct In {
    shm::RingConsumer ring;
    std::vector<std::uint64_t> needs;
    shm::HistogramWriter hop;
  };
  struct Cause {
    std::uint64_t step = 0;  // no step has this number: nothing is out
    std::uint32_t index = 0;
    auto operator<=>(const Cause&) const = default;
  };
  struct Out {
    shm::RingHeader* header;
    shm::RingProducer ring;
    Cause published_before;    // the last one that a predecessor published
    std::uint64_t head_seen;   // the consumer's position when last looked at
  };
  struct Latencies {
    Latency where;
    shm::HistogramWriter through;
    std::vector<shm::HistogramWriter> end_to_end, step;  // one each, or none
  };

  static State open(const std::vector<shm::CellsHeader*>& groups, std::uint64_t committed) {
    std::vector<shm::Cells> cells;
    for (shm::CellsHeader* group : groups) cells.emplace_back(group, committed);
    return State(std::move(cells));
  }

  /// Takes one input: a tick that is due, or the next record of the first ring that has one and
  /// whose outputs have room. False if there is none.
  bool take_one() {
    if (ticks_left_ != 0 && has_room(ticks_.needs)) {
      --ticks_left_;
      Context context{};
      context.source = Context::kTick;
      context.sequence = static_cast<const Cursors*>(cursors_.read(0))->ticks;
      context.instrument = static_cast<std::uint32_t>(context.sequence % ticks_.instruments);
      publish_context(context);
      run_step(context, nullptr);
      return true;
    }
    for (std::uint32_t i = 0; i < inputs_.size(); ++i) {
      In& input = inputs_[i];
      if (!input.ring.has_unread() || !has_room(input.needs)) continue;
      Context context{};
      context.sequence = input.ring.position();
      const auto* header = static_cast<const Header*>(take(input.ring));
      crash_if(CrashPoint::kInputTaken);
      context.source = i;
      context.instrument = header->instrument;
      publish_context(context);
      input.hop.record(elapsed(header->stamped_ns, context.now_ns));
      run_step(context, header);
      if (!latency_.step.empty())
        latency_.step[0].record(elapsed(context.now_ns, shm::monotonic_ns()));
      if (!latency_.end_to_end.empty() && i == latency_.where.end_to_end_input)
        latency_.end_to_end[0].record(elapsed(header->received_ns, shm::monotonic_ns()));
      took_record_ = true;
      return true;
    }
    return false;
  }

  void publish_context(Context& context) {
    context.step = step_ + 1;
    sample(context);
    contexts_.push(&context);
    crash_if(CrashPoint::kContextPublished);
  }

  void sample(Context& context) {
    if (quotes_table_ != nullptr && context.instrument < quotes_table_->rows)
      shm::TableReader(quotes_table_).read(context.instrument, &context.quote);
    context.now_ns = shm::monotonic_ns();
    if (breakers_.has_group()) {
      const shm::BreakersView& seen = breakers_.view(context.now_ns);
      context.global = seen.global;
      context.blocked = seen.blocked;
      context.forced = seen.forced;
    }
    if (words_.mode != nullptr) context.mode = words_.mode->load(std::memory_order_acquire);
    // Last: what is sent in this step is sent under this reading. Acquire: whoever halts has
    // written the reason before.
    context.halted = words_.halted->load(std::memory_order_acquire);
  }

  void run_step(const Context& context, const void* input) {
    auto& cursors = cursors_now();
    if (input == nullptr) ++cursors.ticks;
    else ++cursors.taken[context.source];
    input_stamp_ = input == nullptr ? 0 : static_cast<const Header*>(input)->stamped_ns;
    begin_step(context);
    kernel_.step(context, input, state_, *this);
    step_ = context.step;
  }

  void publish(std::size_t ring, Header& header, const void* record, std::size_t bytes) override {
    Out& output = outputs_.at(ring);
    if (bytes != output.ring.record_bytes())
      throw std::logic_error("a record of " + std::to_string(bytes) + " bytes was emitted, the ring's have " +
                             std::to_string(output.ring.record_bytes()));
    if (replaying_ && !sabotage_.dedupe &&
        Cause{header.cause_step, header.cause_index} <= output.published_before) {
      ++suppressed_;
      return;
    }
    header.sequence = output.ring.published();
    crash_if(CrashPoint::kOutputMade);
    if (!output.ring.push(record))
      throw std::logic_error("step " + std::to_string(header.cause_step) +
                             " emitted more than its stage declares: an output ring is full");
    if (input_stamp_ != 0 && !replaying_)
      latency_.through.record(elapsed(input_stamp_, shm::monotonic_ns()));
    crash_if(CrashPoint::kOutputPublished);
  }

  void commit() {
    for (shm::Cells& group : state_.groups()) group.stamp(step_);
    cursors_.stamp(step_);
    crash_if(CrashPoint::kStamped);
    // Release: everything before it is what it makes current.
    words_.committed->store(step_, std::memory_order_release);
    // A release lets later stores come earlier: those of the next batch go to slots that are current
    // until this store. (Only the compiler could: a killed process's stores happen in program order.)
    std::atomic_signal_fence(std::memory_order_seq_cst);
    crash_if(CrashPoint::kCommitted);
    for (In& input : inputs_)
      if (input.ring.pending() != 0) input.ring.commit(input.ring.pending());
    crash_if(CrashPoint::kHeadsStored);
    for (shm::Cells& group : state_.groups()) group.begin_next();
    cursors_.begin_next();
    if (took_record_) {
      took_record_ = false;
      if (words_.first_ns->load(std::memory_order_relaxed) == 0)
        words_.first_ns->store(static_cast<std::uint64_t>(shm::monotonic_ns()),
                               std::memory_order_relaxed);
    }
  }

  /// What a sleeper looks for. Sequentially consistent loads, as doorbell.hpp demands.
  bool ready() {
    for (In& input : inputs_)
      if (input.ring.has_unread() && has_room(input.needs)) return true;
    return ticks_left_ != 0 && has_room(ticks_.needs);
  }

  bool has_room(const std::vector<std::uint64_t>& needs) {
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      Out& output = outputs_[i];
      const std::uint64_t most = output.header->capacity - needs[i];
      if (output.ring.published() - output.head_seen <= most) continue;
      output.head_seen = output.header->head.load(std::memory_order_seq_cst);
      if (output.ring.published() - output.head_seen > most) return false;
    }
    return true;
  }

  static const void* take(shm::RingConsumer& ring) {
    std::size_t count = 1;
    const std::uint64_t position = ring.position();
    const unsigned char* record = ring.view(count);
    if (count != 1 || reinterpret_cast<const Header*>(record)->sequence != position)
      corrupt("record " + std::to_string(position) +
              " of an input ring is missing or carries another sequence");
    return record;
  }

  static void skip(shm::RingConsumer& ring, std::uint64_t records) {
    for (std::uint64_t i = 0; i < records; ++i) take(ring);
    if (records != 0) ring.commit(records);
  }

  void read_context(std::uint64_t step, Context& context) {
    shm::Word* slot = context_ring_->slot(step - 1);
    shm::load_record(&context, slot + 1, sizeof context);
    if (context.step != step)
      corrupt("the context of step " + std::to_string(step) + " is that of step " +
              std::to_string(context.step));
  }

  [[noreturn]] static void corrupt(const std::string& what) {
    throw std::runtime_error(what + "; something has overwritten the segment, remove it");
  }

  static Cause last_cause(shm::RingHeader& ring) {
    const std::uint64_t tail = ring.tail.load(std::memory_order_acquire);
    if (tail == 0) return {};
    const auto* last = reinterpret_cast<const Header*>(
        ring.slots() + ((tail - 1) & (ring.capacity - 1)) * ring.record_bytes);
    return {last->cause_step, last->cause_index};
  }

  Cursors& cursors_now() { return *static_cast<Cursors*>(cursors_.edit(0)); }

  static std::uint64_t elapsed(std::int64_t from, std::int64_t to) {
    return to > from ? static_cast<std::uint64_t>(to - from) : 0;
  }

  void crash_if(CrashPoint point) {
    if (crash_ == 0) [[likely]]
      return;
    const std::uint64_t step = crash_ & ((std::uint64_t{1} << 56) - 1);
    if (step_ + 1 < step || static_cast<CrashPoint>(crash_ >> 56) != point) return;
    words_.crash->store(0, std::memory_order_relaxed);
    kill(getpid(), SIGKILL);
  }

  Kernel& kernel_;
  State state_;
  shm::Cells cursors_;
  shm::ObserverHeader* context_ring_;
  shm::ObserverProducer contexts_;
  shm::TableHeader* quotes_table_;
  shm::Breakers breakers_;
  Words words_;
  Ticks ticks_;
  Latencies latency_;
  Sabotage sabotage_;
  std::vector<In> inputs_;
  std::vector<Out> outputs_;
  std::uint64_t step_;  // the last one that was run
  std::uint64_t crash_ = 0;
  std::uint64_t suppressed_ = 0;
  std::uint64_t ticks_left_ = 0;
  std::int64_t next_tick_ = 0;
  std::int64_t input_stamp_ = 0;
  bool replaying_ = false;
  bool took_record_ = false;
};

}  // namespace bot4
