// From a strategy's score and a model's probability to intents. workers/ml/reference.py is the same
// in slow, obvious Python.
//
// Long or flat only. What is wanted is kept in the state and compared with what is held whenever a
// row of features arrives, never when an outcome does: outcomes are answered with nothing, so that
// the circle ml -> risk -> ml cannot fill up.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "../../../pipeline/native/kernel.hpp"
#include "../../ta/native/kept_correlations.hpp"
#include "models.hpp"
#include "rules.hpp"
#include "state.hpp"

namespace bot4 {

template <class Strategy>
class MachineLearning final : public Kernel {
 public:
  /// `model` is null if there is none.
  MachineLearning(const MlSettings& settings, std::vector<EntryCaps> caps,
                  std::unique_ptr<const Model> model, std::vector<Instrument> instruments)
      : settings_(settings),
        caps_(std::move(caps)),
        model_(std::move(model)),
        instruments_(std::move(instruments)),
        correlations_(kCorrelations, instruments_.size()) {
    if (caps_.size() != instruments_.size())
      throw std::invalid_argument("caps of " + std::to_string(caps_.size()) +
                                  " instruments, must be of " +
                                  std::to_string(instruments_.size()));
  }

  void step(const Context& context, const void* input, State& state, Emit& emit) override {
    if (input == nullptr) return;
    if (context.source == kOutcomes) {
      const Outcome& outcome = *static_cast<const Outcome*>(input);
      check_instrument("outcome", outcome.header);
      take_outcome(outcome, state.edit<MlState>(kInstruments, outcome.header.instrument));
    } else if (context.source == kClusters) {
      const Correlations& row = *static_cast<const Correlations*>(input);
      check_instrument("correlations row", row.header);
      correlations_.take(row, state);
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
  enum Source : std::uint32_t { kOutcomes, kFeaturesRing, kClusters };
  enum Group : std::size_t { kInstruments, kStage, kBooks, kStrategy, kCorrelations };
  enum Book : std::uint64_t { kTaOnly, kMlOnly, kBoth, kBooksEach };
  static constexpr std::size_t kIntents = 0;  // output ring

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
    if (outcome.intent_id == own.pending && is_fill && own.entering != 0)
      own.entering = outcome.leaves;
    if (is_over) own.pending = own.entering = 0;
    // The next signal may enter again. Neither a position that others closed (its stop or target,
    // risk that flattens) nor an entry that was refused is a reason to; an exit that was refused is
    // tried again.
    const bool is_entry_refused = is_over && is_refusal && outcome.side == Side::kBuy;
    const bool is_closed =
        outcome.kind == OutcomeKind::kStop || (is_fill && outcome.intent_id == 0);
    if (own.wanted > 0 && (is_entry_refused || is_closed)) {
      own.wanted = 0;
      own.spent = 1;
    }
  }

  void take_row(const Context& context, const Features& row, State& state, Emit& emit) const {
    const std::uint32_t index = row.header.instrument;
    const Instrument& instrument = instruments_[index];
    MlState& own = state.edit<MlState>(kInstruments, index);
    const Prediction prediction = predict(row, own);
    const double ml = 2.0 * prediction.probability - 1.0;
    const std::optional<double> ta =
        Strategy::on_features(row, state.edit<typename Strategy::State>(kStrategy, index));
    const double weight = share(settings_.weight_bp);
    std::optional<double> both;
    if (ta) both = weight * *ta + (1.0 - weight) * ml;

    const std::optional<Bracket> entry = bracket(row, settings_, instrument);
    if (row.close >= 1) {
      const std::optional<double> scores[kBooksEach] = {ta, ml, both};
      const double cost = cost_share(row, instrument);
      for (std::uint64_t i = 0; i < kBooksEach; ++i)
        take_into(state.edit<MlBook>(kBooks, index * kBooksEach + i), row.close, cost, scores[i],
                  entry, settings_);
    }
    if (entry) own.move = measure(*entry, settings_);
    if (both) want(*both, own);
    if (own.pending != 0) return;

    Intent intent{};
    if (own.wanted > 0 && own.position == 0) {
      if (!entry) return;  // no size and no stop without a price and a range
      intent.quantity = is_worth(own.score, *entry, settings_)
                            ? entry_quantity(own.score, *entry, prediction.is_neutral,
                                             left_of_cluster(index, state), settings_,
                                             caps_[index], instrument)
                            : 0;
      if (intent.quantity == 0) {
        own.wanted = 0;
        return;
      }
      own.entering = intent.quantity;
      intent.side = Side::kBuy;
      intent.stop = entry->stop;
      intent.target = entry->target;
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

  /// Neutral only if there is a model, and no answer of it.
  Prediction predict(const Features& row, MlState& own) const {
    if (model_ == nullptr) return {Model::kNeutral, false};
    own.asked += 1;
    // A row that does not say when it is of could be of any time.
    const std::int64_t venue_ns = row.header.venue_ns;
    if (settings_.model_until_ns != 0 && (venue_ns == 0 || venue_ns > settings_.model_until_ns)) {
      own.stale += 1;
      return {Model::kNeutral, true};
    }
    const Prediction made = model_->evaluate(row.value, row.valid);
    own.missing += made.is_neutral;
    return made;
  }

  /// What a long position may risk yet, beside those that move with it, in 1e-8.
  double left_of_cluster(std::uint32_t index, const State& state) const {
    double left = cluster_cap(settings_);
    const std::int16_t* rho = correlations_.values(index, state);
    const std::uint16_t* samples = correlations_.samples(index, state);
    for (std::uint32_t other = 0; other < instruments_.size(); ++other) {
      const MlState& each = state.read<MlState>(kInstruments, other);
      // As doubles, whose sum cannot overflow.
      const double lots = static_cast<double>(each.position) + static_cast<double>(each.entering);
      const std::int64_t together = lots > 0.0 ? rho[other] : -rho[other];
      if (other != index && lots != 0.0 && together > settings_.correlation_bp &&
          samples[other] >= settings_.correlation_samples)
        left -= risk_of(lots, each.move, instruments_[other]);
    }
    return left;
  }

  void want(double score, MlState& own) const {
    if (score >= share(settings_.enter_bp)) {
      if (own.spent != 0) return;
      own.wanted = 1;
      own.score = score;
      return;
    }
    own.spent = 0;
    if (score <= share(settings_.leave_bp)) {
      own.wanted = -1;
      own.score = score;
    } else if (own.position == 0) {
      own.wanted = 0;  // what was not entered is not wanted any more
    }
  }

  const MlSettings settings_;
  const std::vector<EntryCaps> caps_;
  const std::unique_ptr<const Model> model_;
  const std::vector<Instrument> instruments_;
  const KeptCorrelations correlations_;
};

}  // namespace bot4
