// From a strategy's score and a model's probability to intents. workers/ml/reference.py is the same
// in slow, obvious Python.
//
// Long or flat only. What is wanted is kept in the state and compared with what is held whenever a
// row of features arrives, never when an outcome does: outcomes are answered with nothing, so that
// the circle ml -> risk -> ml cannot fill up.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
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

/// How another process is asked for what the model says. workers/ml/settings.py says what each is.
struct MlAsking {
  std::uint64_t needed;     // bit i: the model uses value i of a row
  std::int64_t timeout_ns;
  std::uint64_t most;       // questions under way
};

template <class Strategy>
class MachineLearning final : public Kernel {
 public:
  /// `model` is null if there is none here; with `asking` another process has it.
  MachineLearning(const MlSettings& settings, std::vector<EntryCaps> caps,
                  std::unique_ptr<const Model> model, std::vector<Instrument> instruments,
                  std::optional<MlAsking> asking = {})
      : settings_(settings),
        caps_(std::move(caps)),
        model_(std::move(model)),
        instruments_(std::move(instruments)),
        correlations_(kCorrelations, instruments_.size()),
        asking_(asking),
        features_source_(asking ? kFeaturesOrAnswers + 1 : kFeaturesOrAnswers) {
    if (caps_.size() != instruments_.size())
      throw std::invalid_argument("caps of " + std::to_string(caps_.size()) +
                                  " instruments, must be of " +
                                  std::to_string(instruments_.size()));
  }

  void step(const Context& context, const void* input, State& state, Emit& emit) override {
    if (input == nullptr) {
      if (asking_) take_tick(context, state, emit);
    } else if (context.source == kOutcomes) {
      const Outcome& outcome = *static_cast<const Outcome*>(input);
      check_instrument("outcome", outcome.header);
      take_outcome(outcome, state.edit<MlState>(kInstruments, outcome.header.instrument));
    } else if (context.source == features_source_ + 1) {
      const Correlations& row = *static_cast<const Correlations*>(input);
      check_instrument("correlations row", row.header);
      correlations_.take(row, state);
    } else if (context.source != features_source_) {
      const Answer& answer = *static_cast<const Answer*>(input);
      check_instrument("answer", answer.header);
      take_answer(context, answer, state, emit);
    } else {
      const Features& row = *static_cast<const Features*>(input);
      check_instrument("features row", row.header);
      if (row.version != kFeaturesVersion)
        throw std::invalid_argument(
            "features row " + std::to_string(row.header.sequence) + ": version was " +
            std::to_string(row.version) + ", must be " + std::to_string(kFeaturesVersion));
      if (asking_) ask(context, row, state, emit);
      else decide(context, row, predict(row, state), state, emit);
    }
  }

 private:
  enum Source : std::uint32_t { kOutcomes, kFeaturesOrAnswers };  // then features; then clusters
  enum Group : std::size_t { kInstruments, kStage, kBooks, kStrategy, kCorrelations, kRows };
  enum Book : std::uint64_t { kTaOnly, kMlOnly, kBoth, kBooksEach };
  static constexpr std::size_t kIntents = 0, kQuestions = 1;  // output rings
  static constexpr Prediction kNoAnswer{Model::kNeutral, true};

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

  /// Asks for a row, whose decision then waits for the answer; or decides without one.
  void ask(const Context& context, const Features& row, State& state, Emit& emit) const {
    const std::uint32_t index = row.header.instrument;
    MlState& own = state.edit<MlState>(kInstruments, index);
    MlStage& stage = state.edit<MlStage>(kStage, 0);
    // The next bar is there before the answer: what is asked for it comes too late for this one.
    if (own.question != 0) decide_without(context, false, own, stage, state, emit);
    own.asked += 1;
    if (is_stale(row)) {
      own.stale += 1;
      return decide(context, row, kNoAnswer, state, emit);
    }
    if (!has_all(row)) {
      own.missing += 1;
      return decide(context, row, kNoAnswer, state, emit);
    }
    const std::uint64_t under_way = stage.last_question - stage.last_answer;
    if (under_way >= asking_->most) {
      stage.unasked += 1;
      count_miss(context, false, own, stage);
      return decide(context, row, kNoAnswer, state, emit);
    }
    if (under_way == 0) stage.silent_since_ns = context.now_ns;
    own.question = ++stage.last_question;
    own.asked_ns = context.now_ns;
    state.edit<Features>(kRows, index) = row;
    Question question{};
    question.header.instrument = index;
    question.header.venue_ns = row.header.venue_ns;
    question.header.received_ns = row.header.received_ns;
    question.question_id = own.question;
    question.valid = row.valid;
    std::copy(std::begin(row.value), std::end(row.value), question.value);
    emit(kQuestions, question);
  }

  void take_answer(const Context& context, const Answer& answer, State& state, Emit& emit) const {
    const std::uint32_t index = answer.header.instrument;
    MlStage& stage = state.edit<MlStage>(kStage, 0);
    const bool is_new =
        answer.question_id > stage.last_answer && answer.question_id <= stage.last_question;
    if (is_new) {
      stage.last_answer = answer.question_id;
      stage.silent_since_ns = context.now_ns;
    }
    if (!is_new || state.read<MlState>(kInstruments, index).question != answer.question_id) {
      stage.ignored += 1;
      return;
    }
    MlState& own = state.edit<MlState>(kInstruments, index);
    if (context.now_ns - own.asked_ns >= asking_->timeout_ns)
      return decide_without(context, true, own, stage, state, emit);
    own.question = 0;
    const double p = answer.probability;
    // Written so that a NaN is none either.
    const bool is_answer = answer.refusal == Refusal::kNone && p >= 0.0 && p <= 1.0;
    if (!is_answer) {
      own.missing += 1;
      stage.refused += 1;
    }
    decide(context, state.read<Features>(kRows, index),
           is_answer ? Prediction{p, false} : kNoAnswer, state, emit);
  }

  /// Ticks come once for each instrument.
  void take_tick(const Context& context, State& state, Emit& emit) const {
    const MlState& seen = state.read<MlState>(kInstruments, context.instrument);
    if (seen.question == 0 || context.now_ns - seen.asked_ns < asking_->timeout_ns) return;
    decide_without(context, true, state.edit<MlState>(kInstruments, context.instrument),
                   state.edit<MlStage>(kStage, 0), state, emit);
  }

  /// Decides on the row that waits, whose answer is not waited for any longer.
  void decide_without(const Context& context, bool timed_out, MlState& own, MlStage& stage,
                      State& state, Emit& emit) const {
    own.question = 0;
    count_miss(context, timed_out, own, stage);
    decide(context, state.read<Features>(kRows, context.instrument), kNoAnswer, state, emit);
  }

  void count_miss(const Context& context, bool timed_out, MlState& own, MlStage& stage) const {
    own.missing += 1;
    stage.late +=
        timed_out || context.now_ns - stage.silent_since_ns >= asking_->timeout_ns ? 1 : 0;
  }

  bool is_stale(const Features& row) const {
    // A row that does not say when it is of could be of any time.
    const std::int64_t venue_ns = row.header.venue_ns;
    return settings_.model_until_ns != 0 && (venue_ns == 0 || venue_ns > settings_.model_until_ns);
  }

  /// Whether a row has all that the model uses, valid and finite.
  bool has_all(const Features& row) const {
    if ((row.valid & asking_->needed) != asking_->needed) return false;
    for (unsigned i = 0; i < Features::kMost; ++i)
      if ((asking_->needed >> i & 1) != 0 && !std::isfinite(row.value[i])) return false;
    return true;
  }

  void decide(const Context& context, const Features& row, const Prediction& prediction,
              State& state, Emit& emit) const {
    const std::uint32_t index = row.header.instrument;
    const Instrument& instrument = instruments_[index];
    MlState& own = state.edit<MlState>(kInstruments, index);
    const double ml = 2.0 * prediction.probability - 1.0;
    const std::optional<double> ta =
        Strategy::on_features(row, state.edit<typename Strategy::State>(kStrategy, index));
    const double weight = share(settings_.weight_bp);
    std::optional<double> both;
    if (ta) both = weight * *ta + (1.0 - weight) * ml;

    const std::optional<Bracket> entry = bracket(row, settings_, caps_[index], instrument);
    if (row.close >= 1) {
      const std::optional<double> scores[kBooksEach] = {ta, ml, both};
      const double cost = cost_share(row, instrument);
      for (std::uint64_t i = 0; i < kBooksEach; ++i)
        take_into(state.edit<MlBook>(kBooks, index * kBooksEach + i), row.close, cost, scores[i],
                  entry, settings_);
    }
    if (row.close >= 1) own.close = row.close;
    if (entry) own.move = measure(*entry, settings_);
    if (both) want(*both, own);
    if (own.pending != 0) return;

    Intent intent{};
    if (own.wanted > 0 && own.position == 0) {
      if (!entry) return;  // no size and no stop without a price and a range
      intent.quantity = is_worth(own.score, *entry, settings_)
                            ? entry_quantity(own.score, *entry, prediction.is_neutral,
                                             left_of_cluster(index, state), rate(index, state),
                                             settings_, caps_[index], instrument)
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
  Prediction predict(const Features& row, State& state) const {
    if (model_ == nullptr) return {Model::kNeutral, false};
    MlState& own = state.edit<MlState>(kInstruments, row.header.instrument);
    own.asked += 1;
    if (is_stale(row)) {
      own.stale += 1;
      return kNoAnswer;
    }
    const Prediction made = model_->evaluate(row.value, row.valid);
    own.missing += made.is_neutral;
    return made;
  }

  /// What one of the currency of an instrument's prices is in the account's; 0: that is not known.
  double rate(std::uint32_t index, const State& state) const {
    const EntryCaps& caps = caps_[index];
    if (caps.converter < 0) return 1.0;
    const auto by = static_cast<std::size_t>(caps.converter);
    return rate_of(caps, state.read<MlState>(kInstruments, by).close, instruments_[by]);
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
        left -= risk_of(lots, each.move, instruments_[other]) * rate(other, state);
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
  const std::optional<MlAsking> asking_;
  const std::uint32_t features_source_;  // answers, if there are any, come before it
};

}  // namespace bot4
