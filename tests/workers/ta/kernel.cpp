// Drives the ta kernel with a file of market records under the sanitizers, in two ways: with each step
// committed at once, and in batches, over another copy of the state.
//
// Arguments: the file; as numbers the instruments, the kind of the bars, the seconds between samples
// and the windows; the file for what was emitted: all rows of features, then all of correlations, to
// risk and to ml.
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iterator>
#include <memory>
#include <new>
#include <optional>

#include "check.hpp"
#include "workers/ta/native/ta.hpp"

using namespace bot4;

namespace {

constexpr std::uint64_t kBatch = 7;  // steps

std::int64_t number(const char* text) {
  std::int64_t value = 0;
  std::from_chars(text, text + std::strlen(text), value);
  return value;
}

/// 0: the shortest, 1: the longest, 2: SHORT of market.py.
Windows windows(std::int64_t choice) {
  if (choice == 2) return {2, 5, 3, 6, 3, 4, 5, 3, 4, 5, 2, 6, 5, 4, 3, 7, 4, 4, 6};
  Windows windows{};
  for (const WindowKey& key : kWindowKeys) windows.*key.window = choice == 0 ? 1 : key.most;
  return windows;
}

/// A group of cells in memory of just its size, so that an access beyond its end is seen.
class Group {
 public:
  Group(std::uint64_t count, std::size_t record_bytes) {
    const std::size_t bytes = shm::CellsHeader::bytes(count, record_bytes);
    memory_.reset(static_cast<unsigned char*>(::operator new(bytes, kLine)));
    std::memset(memory_.get(), 0, bytes);
    header()->count = count;
    header()->record_bytes = record_bytes;
  }

  shm::CellsHeader* header() { return reinterpret_cast<shm::CellsHeader*>(memory_.get()); }

 private:
  static constexpr std::align_val_t kLine{64};
  struct Free {
    void operator()(unsigned char* memory) const { ::operator delete(memory, kLine); }
  };

  std::unique_ptr<unsigned char, Free> memory_;
};

/// A kernel with a state, that commits after every `batch` steps.
class Run final : private Emit {
 public:
  Run(const BarSettings& bars, const Windows& windows, std::int64_t sample_ns,
      std::uint64_t instruments, std::uint64_t batch)
      : kernel_(bars, windows, sample_ns, instruments), instruments_(instruments), batch_(batch) {
    // As stage.py declares them.
    const std::pair<std::uint64_t, std::size_t> groups[] = {
        {instruments, sizeof(BarState)},
        {instruments, sizeof(IndicatorState)},
        {1, sizeof(SampleClock)},
        {instruments, sizeof(SampleState)},
        {1, Correlation::bytes(instruments)}};
    for (const auto& [count, bytes] : groups) groups_.emplace_back(count, bytes);
    open();
  }

  void step(std::uint64_t step, const Market& market) {
    // A copy of its own, for an access beyond its end.
    const auto copy = std::make_unique<Market>(market);
    Context context{};
    context.step = step;
    context.now_ns = static_cast<std::int64_t>(step);
    begin_step(context);
    const std::size_t before[] = {features.size(), correlations.size(),
                                  clusters.size()};
    kernel_.step(context, copy.get(), *state_, *this);
    CHECK(features.size() <= before[0] + 1, step);
    CHECK(correlations.size() <= before[1] + 1, step);
    CHECK(clusters.size() - before[2] == correlations.size() - before[1], step);
    if (step % batch_ != 0) return;
    for (shm::Cells& group : state_->groups()) {
      group.stamp(step);
      group.begin_next();
    }
    committed_ = step;
    // A process that begins anew has only what was committed.
    if (step % (batch_ * 97) == 0) open();
  }

  const BarState& bars(std::uint64_t index) const { return state_->read<BarState>(0, index); }
  const IndicatorState& indicators(std::uint64_t index) const {
    return state_->read<IndicatorState>(1, index);
  }

  std::vector<Features> features;
  std::vector<Correlations> correlations, clusters;

 private:
  void open() {
    std::vector<shm::Cells> cells;
    for (Group& group : groups_) cells.emplace_back(group.header(), committed_);
    state_.emplace(std::move(cells));
  }

  void publish(std::size_t ring, Header& header, const void* record, std::size_t bytes) override {
    if (ring == 0) {
      CHECK(bytes == sizeof(Features), bytes);
      header.sequence = features.size();
      check(features.emplace_back(*static_cast<const Features*>(record)));
    } else {
      CHECK((ring == 1 || ring == 2) && bytes == sizeof(Correlations), ring, bytes);
      auto& rows = ring == 1 ? correlations : clusters;
      header.sequence = rows.size();
      check(rows.emplace_back(*static_cast<const Correlations*>(record)));
    }
  }

  void check(const Features& row) const {
    CHECK(row.header.instrument < instruments_, row.header.instrument);
    CHECK(row.valid >> kFeatures == 0, row.valid);
    CHECK(row.close > 0, row.close);
    for (std::size_t i = 0; i < Features::kMost; ++i) {
      const bool is_valid = (row.valid >> i & 1) != 0;
      CHECK(std::isfinite(row.value[i]) && (is_valid || row.value[i] == 0.0), row.header.sequence, i);
    }
  }

  void check(const Correlations& row) const {
    CHECK(row.header.instrument < instruments_, row.header.instrument);
    CHECK(row.count <= Correlations::kMost && row.first + row.count <= instruments_, row.first,
          row.count);
    for (std::size_t n = 0; n < Correlations::kMost; ++n) {
      const bool is_valid = row.samples[n] != 0;
      CHECK(std::abs(row.value[n]) <= 10'000 && (is_valid || row.value[n] == 0), row.value[n]);
      CHECK(row.samples[n] <= Correlation::kWindow && (n < row.count || !is_valid), row.samples[n]);
      if (row.first + n == row.header.instrument && is_valid) CHECK(row.value[n] == 10'000, n);
    }
  }

  TechnicalAnalysis kernel_;
  std::uint64_t instruments_;
  std::uint64_t batch_;
  std::uint64_t committed_ = 0;
  std::vector<Group> groups_;
  std::optional<State> state_;
};

void check_finite(const IndicatorState& own) {
  // But for the count, which comes first, it is doubles only.
  double values[sizeof own / sizeof(double)];
  std::memcpy(values, &own, sizeof own);
  for (std::size_t i = 1; i < std::size(values); ++i) CHECK(std::isfinite(values[i]), i);
}

template <class Record>
bool are_equal(const std::vector<Record>& one, const std::vector<Record>& other) {
  // Of none, data() may be null, which memcmp must not be given.
  return one.size() == other.size() &&
         (one.empty() || std::memcmp(one.data(), other.data(), one.size() * sizeof(Record)) == 0);
}

}  // namespace

int main(int, char** arguments) {
  std::ifstream file(arguments[1], std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  std::vector<Market> market(all.size() / sizeof(Market));
  std::memcpy(market.data(), all.data(), market.size() * sizeof(Market));

  const auto instruments = static_cast<std::uint64_t>(number(arguments[2]));
  const BarSettings bars = {static_cast<BarKind>(number(arguments[3])), 3, 700'000'000, 2'000'000, 3};
  const std::int64_t sample_ns = number(arguments[4]) * 1'000'000'000;
  const Windows chosen = windows(number(arguments[5]));
  Run single(bars, chosen, sample_ns, instruments, 1);
  Run batched(bars, chosen, sample_ns, instruments, kBatch);
  for (std::size_t n = 0; n < market.size(); ++n)
    for (Run* const run : {&single, &batched}) run->step(n + 1, market[n]);
  CHECK(are_equal(single.features, batched.features));
  CHECK(are_equal(single.correlations, batched.correlations));
  CHECK(are_equal(single.clusters, batched.clusters));
  for (std::uint64_t i = 0; i < instruments; ++i) {
    CHECK(std::memcmp(&single.bars(i), &batched.bars(i), sizeof(BarState)) == 0, i);
    check_finite(single.indicators(i));
  }

  std::ofstream emitted(arguments[6], std::ios::binary);
  const auto write = [&emitted](const auto& rows) {
    emitted.write(reinterpret_cast<const char*>(rows.data()),
                  static_cast<std::streamsize>(rows.size() * sizeof rows[0]));
  };
  write(single.features);
  write(single.correlations);
  write(single.clusters);
  std::printf("%zu steps, %zu features, %zu correlations\n", market.size(), single.features.size(),
              single.correlations.size());
  return test::verdict();
}
