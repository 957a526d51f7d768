// From a strategy's score to intents: mixed with the model's probability, sized, given a stop, one
// at a time an instrument. workers/ml/reference.py is the same in slow, obvious Python.
//
// Long or flat only. What is wanted is kept in the state and compared with what is held whenever a
// row of features arrives, never when an outcome does: outcomes are answered with nothing, so that
// the circle ml -> risk -> ml cannot fill up.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../pipeline/native/kernel.hpp"
#include "moving_average.hpp"
#include "state.hpp"

namespace bot4 {

struct MlSettings {
  std::int64_t weight_bp;          // of the strategy's score against the model's
  std::int64_t threshold_bp;       // a signal's score is at least this
  std::int64_t order_notional_e8;
  std::int64_t stop_atr_bp;        // distance of the stop, in 1/10,000 of the average true range
  std::int64_t ttl_ns;
};

template <class Strategy>
class MachineLearning final : public Kernel {
 public:
  MachineLearning(const MlSettings& settings, std::vector<Instrument> instruments)
      : settings_(settings), instruments_(std::move(instruments)) {}

  void step(const Context& context, const void* input, State& state, Emit& emit) override {
    if (input == nullptr) return;
    if (context.source == kOutcomes) {
      const Outcome& outcome = *static_cast<const Outcome*>(input);
      check_instrument("outcome", outcome.header);
      take_outcome(outcome, state.edit<MlState>(kInstruments, outcome.header.instrument));
    } else {
      const Features& row = *static_cast<const Features*>(input);
      check_instrument("features row", row.header);
      if (row.version != kFeaturesVersion)
        throw std::invalid_argument(
            "features row " + std::to_string(row.header.sequence) + ": version was " +
            std::to_string(row.version) + ", must be " + std::to_string(kFeaturesVersion));
      take_row(context, row, state, emit);
    }
  }

 private:
  enum Source : std::uint32_t { kOutcomes, kFeaturesRing };
  enum Group : std::size_t { kInstruments, kStage, kStrategy };
  static constexpr std::size_t kIntents = 0;  // output ring
  static constexpr double kProbability = 0.5;  // of a rise; there is no model yet, so neither way

  void check_instrument(const char* what, const Header& header) const {
    if (header.instrument >= instruments_.size())
      throw std::out_of_range(std::string(what) + " " + std::to_string(header.sequence) +
                              ": instrument was " + std::to_string(header.instrument) +
                              ", must be below " + std::to_string(instruments_.size()));
  }

  static void take_outcome(const Outcome& outcome, MlState& own) {
    const bool is_fill = outcome.kind == OutcomeKind::kFill;
    const bool is_refusal = outcome.kind == OutcomeKind::kDenied ||
                            outcome.kind == OutcomeKind::kRejected ||
                            outcome.kind == OutcomeKind::kExpired;
    if (is_fill || outcome.kind == OutcomeKind::kStop) own.position = outcome.position;
    const bool is_over =
        outcome.intent_id == own.pending && (is_refusal || (is_fill && outcome.leaves == 0));
    if (is_over) own.pending = 0;
    // The next signal may enter again. Neither a position that others closed (a stop that was hit,
    // risk that flattens) nor an entry that was refused is a reason to; an exit that was refused is
    // tried again.
    const bool is_entry_refused = is_over && is_refusal && outcome.side == Side::kBuy;
    const bool is_closed =
        outcome.kind == OutcomeKind::kStop || (is_fill && outcome.intent_id == 0);
    if (own.wanted > 0 && (is_entry_refused || is_closed)) own.wanted = 0;
  }

  void take_row(const Context& context, const Features& row, State& state, Emit& emit) const {
    const std::uint32_t index = row.header.instrument;
    MlState& own = state.edit<MlState>(kInstruments, index);
    const std::optional<double> ta_score =
        Strategy::on_features(row, state.edit<typename Strategy::State>(kStrategy, index));
    if (ta_score) {
      const double weight = static_cast<double>(settings_.weight_bp) / 10000.0;
      const double score = weight * *ta_score + (1.0 - weight) * (2.0 * kProbability - 1.0);
      const double threshold = static_cast<double>(settings_.threshold_bp) / 10000.0;
      if (score != 0.0 && std::abs(score) >= threshold) {
        own.wanted = score > 0.0 ? 1 : -1;
        own.score = score;
      }
    }
    if (own.pending != 0) return;

    Intent intent{};
    if (own.wanted > 0 && own.position == 0) {
      if (row.close < 1 || !has(row, Feature::kAtr)) return;  // no size or no stop without them
      intent.side = Side::kBuy;
      intent.quantity = entry_quantity(row.close, instruments_[index]);
      intent.stop = entry_stop(row.close, value_of(row, Feature::kAtr));
    } else if (own.wanted < 0 && own.position > 0) {
      intent.side = Side::kSell;
      intent.reduce_only = 1;
      intent.quantity = own.position;
    } else {
      return;
    }
    intent.header.instrument = index;
    intent.header.venue_ns = row.header.venue_ns;
    intent.header.received_ns = row.header.received_ns;
    intent.intent_id = ++state.edit<MlStage>(kStage, 0).last_intent_id;
    intent.created_ns = context.now_ns;
    intent.ttl_ns = settings_.ttl_ns;
    intent.score = own.score;
    own.pending = intent.intent_id;
    emit(kIntents, intent);
  }

  /// As many whole lots as the notional buys at this price, at least 1.
  std::int64_t entry_quantity(std::int64_t close, const Instrument& instrument) const {
    // 128 bits: a price, a tick and a lot of nine digits each are beyond 64.
    const auto lot_value = static_cast<__int128>(close) * instrument.tick_e8 * instrument.lot_e8;
    const auto lots = static_cast<__int128>(settings_.order_notional_e8) * 100'000'000 / lot_value;
    constexpr __int128 kMost = std::numeric_limits<std::int64_t>::max();
    return static_cast<std::int64_t>(std::clamp<__int128>(lots, 1, kMost));
  }

  /// The tick at or below the distance, but at least 1 away, and no less than 1.
  std::int64_t entry_stop(std::int64_t close, double atr) const {
    const double distance = static_cast<double>(settings_.stop_atr_bp) / 10000.0 * atr;
    // Never below 1 before it becomes an integer: a distance may be larger than one can be.
    const double level = std::max(1.0, std::floor(static_cast<double>(close) - distance));
    return std::max<std::int64_t>(1, std::min(static_cast<std::int64_t>(level), close - 1));
  }

  MlSettings settings_;
  std::vector<Instrument> instruments_;
};

}  // namespace bot4
