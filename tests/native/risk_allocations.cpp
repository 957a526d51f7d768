// That a step of risk allocates nothing: a stage as a run has it (rings, cells, contexts, the real
// loop) takes intents, executions, correlations, control and ticks, and every allocation and release
// of this process is counted meanwhile. Prints how many steps that was. Under a sanitizer its own
// hooks count, as it has taken malloc for itself.
//
// Argument: how many intents; without it, 100,000.
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <utility>
#include <vector>

#include "stage.hpp"
#include "workers/risk/native/risk.hpp"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
// As in LLVM's sanitizer/allocator_interface.h, which not every compiler brings along.
extern "C" int __sanitizer_install_malloc_and_free_hooks(
    void (*on_malloc)(const volatile void*, std::size_t), void (*on_free)(const volatile void*));
#define BOT4_HAS_HOOKS 1
#else
#define BOT4_HAS_HOOKS 0
#endif

namespace {
std::atomic<bool> counting{false};
std::atomic<unsigned long long> counted{0};

void count() {
  if (counting.load(std::memory_order_relaxed)) counted.fetch_add(1, std::memory_order_relaxed);
}
}  // namespace

#if BOT4_HAS_HOOKS
namespace {
void on_malloc(const volatile void*, std::size_t) { count(); }
void on_free(const volatile void*) { count(); }
}  // namespace
#else
// operator new and delete of the library come here, too.
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

void* malloc(std::size_t bytes) { return count(), __libc_malloc(bytes); }
void* calloc(std::size_t n, std::size_t bytes) { return count(), __libc_calloc(n, bytes); }
void* realloc(void* old, std::size_t bytes) { return count(), __libc_realloc(old, bytes); }
void* memalign(std::size_t to, std::size_t bytes) { return count(), __libc_memalign(to, bytes); }
void* aligned_alloc(std::size_t to, std::size_t bytes) { return memalign(to, bytes); }
int posix_memalign(void** at, std::size_t to, std::size_t bytes) {
  *at = memalign(to, bytes);
  return *at == nullptr ? ENOMEM : 0;
}
void free(void* at) {
  if (at != nullptr) count();
  __libc_free(at);
}
}
#endif

namespace {

using namespace bot4;
using shm::BreakersHeader;
using shm::CellsHeader;
using shm::HistogramWords;
using shm::monotonic_ns;
using shm::ObserverHeader;
using shm::RingConsumer;
using shm::RingHeader;
using shm::RingProducer;
using shm::TableHeader;
using bot4::test::Arena;
using bot4::test::Random;
using bot4::test::Shared;

constexpr std::size_t kMarkets = 50, kStrategies = 8, kOpenOrders = 200, kRoom = 1024, kChunk = 100;
constexpr std::int64_t kBid = 99'990, kAsk = 100'010;
constexpr std::int64_t kMoney = 1'000'000'000 * kE8;
constexpr std::int64_t kLong = 3'600'000'000'000;  // ns

/// Every limit on, and few in the way.
RiskLimits limits() {
  RiskSettings all{};
  all.open_orders = 1000;
  all.symbol_orders = 15;
  all.stale_ns = all.state_stale_ns = kLong;
  all.spread_factor = 3;
  all.collar_bp = 500;
  all.passive_collar_bp = 5000;
  all.slippage_bp = 50;
  all.adv_bp = 100;
  all.dup_count = 8;
  all.dup_ns = 1000;
  all.symbol_ns = all.venue_ns = all.global_ns = 1;
  all.symbol_burst = all.venue_burst = all.global_burst = 1000;
  all.repeated = 1'000'000;
  all.gross_e8 = all.directional_e8 = all.venue_e8 = all.asset_class_e8 = kMoney;
  all.leverage_bp = 30'000;
  all.positions = 1000;
  all.per_symbol = 1'000'000;
  all.concentration_bp = 10'000;
  all.margin_bp = 10'000;
  all.correlated = 1000;
  all.correlation_bp = 7000;
  all.correlation_samples = 20;
  all.stop_required = 1;
  all.daily_e8 = all.weekly_e8 = all.monthly_e8 = kMoney / 2;
  all.drawdown_bp = 9000;
  all.reduce_bp = 8000;
  all.losses = 1'000'000;
  all.losses_ns = 1;
  all.stop_cooldown_ns = 1;
  all.low_profit_trips = 2;
  all.low_profit_ns = 1;
  all.jump_bp = 100;
  const InstrumentLimits market{.venue = 0, .asset_class = 0, .halted = 0, .price_step = 1,
                                .quantity_step = 1, .min_lots = 1, .max_lots = 1'000'000,
                                .position_bp = 10'000, .stop_distance_bp = 400,
                                .order_notional_e8 = 1'000'000 * kE8, .order_lots = 1'000'000,
                                .adv_lots = 1'000'000'000};
  const StrategyLimits strategy{.halted = 0, .order_notional_e8 = 1'000'000 * kE8,
                                .risk_bp = 1000, .rate_ns = 1, .rate_burst = 1000,
                                .trades = std::vector<std::uint8_t>(kMarkets, 1)};
  return {all, std::vector(kMarkets, market), std::vector(kStrategies, strategy)};
}

/// Memory of a risk stage, its loop, and who is at the other ends of its rings.
class Bench {
 public:
  Bench() {
    breakers_->lay_out(1);
    breakers_->breaker(0)->control = shm::Control::make(shm::BreakerState::kClosed, 0, 1, 0).word;
    loop_.recover();
  }

  void correlate() {
    for (std::uint32_t market = 0; market < kMarkets; ++market) {
      Correlations row{};
      row.header.instrument = market;
      row.count = 48;
      for (unsigned i = 0; i < row.count; ++i) row.value[i] = 8000, row.samples[i] = 100;
      push(to_.correlations, row);
      turn();
    }
  }

  void quote() {
    for (std::uint64_t market = 0; market < kMarkets; ++market) {
      const auto moved = static_cast<std::int64_t>(random_.below(20));
      const std::int64_t now = monotonic_ns();
      const Quote quote{kBid - moved, 1'000'000, kAsk - moved, 1'000'000, now, now, 0};
      quotes_writer_.write(market, &quote);
    }
  }

  /// Intents, one of five wrong in some way.
  void ask() {
    for (std::size_t i = 0; i < kChunk; ++i) {
      Intent intent{};
      const bool buys = random_.below(2) == 0;
      intent.intent_id = ++intents_;
      intent.header.instrument = static_cast<std::uint32_t>(random_.below(kMarkets));
      intent.strategy = static_cast<std::uint32_t>(random_.below(kStrategies));
      intent.side = buys ? Side::kBuy : Side::kSell;
      intent.quantity = static_cast<std::int64_t>(10 + random_.below(990));
      const auto away = static_cast<std::int64_t>(30 + random_.below(100));
      intent.limit = buys ? kBid - away : kAsk + away;
      intent.stop = buys ? kBid - 1000 : kAsk + 1000;
      intent.created_ns = monotonic_ns();
      intent.ttl_ns = kLong;
      switch (random_.below(40)) {
        case 0: intent.quantity = 0; break;
        case 1: intent.quantity = 1'000'000'000; break;
        case 2: intent.header.instrument = kMarkets; break;
        case 3: intent.strategy = 99; break;
        case 4: intent.ttl_ns = -1; break;
        case 5: intent.stop = 0; break;
        case 6: intent.limit *= 3; break;
        case 7: intent.intent_id = --intents_; break;  // asked before
        default: break;
      }
      if (intent.intent_id == 0) intent.intent_id = ++intents_;
      push(to_.intents, intent);
    }
    turn();
    Order order;
    while (from_.orders.pop(&order)) {
      if (held_ == orders_.size()) std::abort();
      orders_[(first_ + held_++) % orders_.size()] = order;
    }
    from_.orders.commit(from_.orders.pending());
    Outcome outcome;
    while (from_.outcomes.pop(&outcome))
      ++(outcome.kind == OutcomeKind::kDenied ? denied : approved);
    from_.outcomes.commit(from_.outcomes.pending());
  }

  /// Ends the oldest orders, until there are no more than there shall be.
  void execute() {
    while (held_ > kOpenOrders) {
      const Order order = orders_[first_ % orders_.size()];
      ++first_, --held_;
      Execution execution{};
      execution.header.instrument = order.header.instrument;
      execution.order_id = order.order_id;
      execution.intent_id = order.intent_id;
      execution.strategy = order.strategy;
      execution.side = order.side;
      execution.quantity = order.quantity;
      execution.price = order.limit;
      execution.fee = 100;
      const std::uint64_t draw = random_.below(4);
      execution.kind = draw < 2    ? ExecutionKind::kFill
                       : draw == 2 ? ExecutionKind::kExpired
                                   : ExecutionKind::kRejected;
      if (draw == 1) execution.leaves = order.quantity / 2;
      push(to_.executions, execution);
      ++executions;
      if (draw == 1) {
        execution.kind = ExecutionKind::kExpired;
        push(to_.executions, execution);
        ++executions;
      }
    }
    turn();
    hear();
  }

  void control() {
    for (const auto& [kind, amount] :
         {std::pair{ControlKind::kFlow, kE8}, {ControlKind::kResume, std::int64_t{0}},
          {ControlKind::kReset, std::int64_t{0}}, {ControlKind::kReconciled, std::int64_t{1}}}) {
      Control control{};
      control.kind = kind;
      control.amount = amount;
      push(to_.control, control);
    }
    turn();
  }

  std::uint64_t steps() const { return loop_.steps(); }

  unsigned long long approved = 0, denied = 0, executions = 0;

 private:
  template <class Record>
  static void push(RingProducer& ring, Record& record) {
    record.header.sequence = ring.published();
    CHECK(ring.push(&record), record.header.sequence);
  }
  void turn() {
    const auto is_left = [](const RingHeader* ring) { return ring->head != ring->tail; };
    do loop_.turn();  // not until it has nothing to do: on a slow machine a tick is always due
    while (is_left(executions_) || is_left(intents_ring_) || is_left(correlations_) ||
           is_left(control_));
  }
  void hear() {
    Outcome outcome;
    while (from_.outcomes.pop(&outcome)) {
    }
    from_.outcomes.commit(from_.outcomes.pending());
  }

  template <class Record>
  CellsHeader* cells(std::uint64_t count) {
    return arena_.place<CellsHeader>(count, sizeof(Record));
  }

  Arena arena_{16 << 20};
  RingHeader* ring(std::size_t record_bytes) {
    return arena_.place<RingHeader>(kRoom, record_bytes);
  }
  RingHeader *executions_ = ring(sizeof(Execution)), *intents_ring_ = ring(sizeof(Intent)),
             *correlations_ = ring(sizeof(Correlations)), *control_ = ring(sizeof(Control)),
             *orders_ring_ = ring(sizeof(Order)), *outcomes_ = ring(sizeof(Outcome));
  TableHeader* quotes_ = arena_.place<TableHeader>(kMarkets, sizeof(Quote));
  struct Row {
    std::int16_t value[(kMarkets + 3) / 4 * 4];
    std::uint16_t samples[(kMarkets + 3) / 4 * 4];
  };
  struct Open {
    std::uint64_t longs, shorts;
  };
  // In the order of risk::Group.
  std::vector<CellsHeader*> groups_{
      cells<RiskAccount>(1),         cells<RiskInstrument>(kMarkets), cells<RiskOrder>(1050),
      cells<RiskPart>(1),            cells<RiskPart>(1),              cells<RiskStrategy>(kStrategies),
      cells<RiskSignal>(kStrategies * kMarkets), cells<RiskRecent>(kMarkets),
      cells<RiskSpreads>(kMarkets),  cells<Open>(1),                  cells<Row>(kMarkets),
      cells<RiskDecision>(4096),     cells<RiskCodes>(1),             cells<RiskLimit>(limits().count()),
      cells<RiskCurrency>(1)};
  CellsHeader* cursors_ = cells<Cursors>(1);
  ObserverHeader* contexts_ = arena_.place<ObserverHeader>(kRoom, sizeof(Context));
  test::Stage::Words* words_ = arena_.place<test::Stage::Words>();
  Shared breakers_memory_{BreakersHeader::bytes(1)};
  BreakersHeader* breakers_ = breakers_memory_.as<BreakersHeader>();
  Shared latency_{8 * sizeof(HistogramWords)};
  HistogramWords* histogram_ = latency_.as<HistogramWords>();

  Risk risk_{{.equity_e8 = kMoney, .units = kMoney, .high_water_e12 = kE12, .day = 0, .week = 0,
              .month = 0, .day_open_e8 = kMoney, .week_open_e8 = kMoney, .month_open_e8 = kMoney,
              .losses = 0, .mode = 0, .mode_code = 0, .killed = 0, .drawdown = 0},
             {std::vector<std::uint32_t>(kMarkets), std::vector<std::uint32_t>(kMarkets), {}, {}},
             limits(), Admission(std::vector<std::uint64_t>(kMarkets, 1), 1, kMarkets),
             std::vector<Instrument>(kMarkets, {1'000'000, 100'000, 5 * kE8, 100'000})};
  Loop loop_{risk_,
             groups_,
             cursors_,
             contexts_,
             {{executions_, {}, {0, 1}, histogram_},
              {control_, {}, {0, 0}, histogram_ + 1},
              {intents_ring_, {}, {1, 1}, histogram_ + 2},
              {correlations_, {}, {0, 0}, histogram_ + 3}},
             {{orders_ring_, {}}, {outcomes_, {}}},
             quotes_,
             breakers_,
             {&words_->committed.value, &words_->beat.value, &words_->first_ns.value,
              &words_->crash.value, &words_->halted.value, &words_->mode.value},
             {1'000'000, kMarkets, {1, 0}},
             {histogram_ + 4, nullptr, 0, histogram_ + 5}};
  struct {
    RingProducer executions, intents, correlations, control;
  } to_{RingProducer(executions_), RingProducer(intents_ring_), RingProducer(correlations_),
        RingProducer(control_)};
  struct {
    RingConsumer orders, outcomes;
  } from_{RingConsumer(orders_ring_), RingConsumer(outcomes_)};
  shm::TableWriter quotes_writer_{quotes_};

  Random random_{20261123};
  std::uint64_t intents_ = 0;
  std::array<Order, 2048> orders_{};
  std::size_t first_ = 0, held_ = 0;
};

}  // namespace

int main(int count_of_arguments, char** arguments) {
  const unsigned long long intents =
      count_of_arguments > 1 ? std::strtoull(arguments[1], nullptr, 10) : 100'000;
#if BOT4_HAS_HOOKS
  CHECK(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) != 0);
#endif
  auto bench = std::make_unique<Bench>();
  const auto trade = [&](unsigned long long upto) {
    while (bench->approved + bench->denied < upto) {
      bench->quote();
      bench->ask();
      bench->execute();
      if (bench->executions % 7 == 0) bench->control();
    }
  };
  bench->correlate();
  trade(1000);  // warm

  // A count that sees nothing would prove nothing.
  counting = true;
  static void* volatile seen;
  seen = ::operator new(100);
  ::operator delete(seen);
  counting = false;
  CHECK(counted.exchange(0) == 2);

  const std::uint64_t before = bench->steps();
  counting = true;
  bench->correlate();
  trade(1000 + intents);
  counting = false;
  CHECK(counted == 0, counted.load());
  CHECK(bench->denied > intents / 20 && bench->approved > intents / 2, bench->denied,
        bench->approved);
  std::printf("%llu steps, %llu approved, %llu denied, %llu executions, %llu allocations\n",
              static_cast<unsigned long long>(bench->steps() - before), bench->approved,
              bench->denied, bench->executions, counted.load());
  return test::verdict();
}
