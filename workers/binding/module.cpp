// The stages' native kernels, as capsules for the runtime, and their states, for numpy.
#define BOT4_IMPORTS_NUMPY
#include "../../pipeline/native/binding/kernel.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "../../shm/native/binding/described.hpp"
#include "../executor/native/describe.hpp"
#include "../executor/native/executor.hpp"
#include "../ml/native/blend.hpp"
#include "../ml/native/describe.hpp"
#include "../ml/native/ml.hpp"
#include "../ml/native/moving_average.hpp"
#include "../risk/native/describe.hpp"
#include "../risk/native/risk.hpp"
#include "../ta/native/describe.hpp"
#include "capsule.hpp"

namespace bot4::binding {

void bind_correlation(nb::module_& module);
void bind_feed(nb::module_& module);
void bind_models(nb::module_& module);
void bind_publisher(nb::module_& module);
void bind_ta(nb::module_& module);

namespace {

std::vector<Instrument> instruments_of(nb::handle instruments) {
  std::vector<Instrument> result;
  for (const nb::handle each : instruments)
    result.push_back({nb::cast<std::int64_t>(each.attr("tick_e8")),
                      nb::cast<std::int64_t>(each.attr("lot_e8")),
                      nb::cast<std::int64_t>(each.attr("min_notional_e8")),
                      nb::cast<std::int64_t>(each.attr("taker_fee_e8"))});
  return result;
}

MlSettings ml_settings_of(nb::handle settings) {
  const auto value = [&](const char* name) {
    return nb::cast<std::int64_t>(settings.attr(name));
  };
  return {.weight_bp = value("weight_bp"),
          .enter_bp = value("enter_bp"),
          .leave_bp = value("leave_bp"),
          .cost_margin_bp = value("cost_margin_bp"),
          .stop_atr_bp = value("stop_atr_bp"),
          .target_atr_bp = value("target_atr_bp"),
          .volatility_target_bp = value("volatility_target_bp"),
          .kelly_bp = value("kelly_bp"),
          .degraded_size_bp = value("degraded_size_bp"),
          .cluster_cap_bp = value("cluster_cap_bp"),
          .correlation_bp = value("correlation_bp"),
          .correlation_samples = value("correlation_samples"),
          .order_notional_e8 = value("order_notional_e8"),
          .equity_e8 = value("equity_e8"),
          .ttl_ns = value("ttl_ns"),
          .model_until_ns = value("model_until_ns")};
}

std::vector<EntryCaps> entry_caps_of(nb::handle caps) {
  std::vector<EntryCaps> result;
  for (const nb::handle each : caps)
    result.push_back({.notional_e8 = nb::cast<std::int64_t>(each.attr("notional_e8")),
                      .least_lots = nb::cast<std::int64_t>(each.attr("least_lots")),
                      .most_lots = nb::cast<std::int64_t>(each.attr("most_lots")),
                      .step_lots = nb::cast<std::int64_t>(each.attr("step_lots")),
                      .price_step = nb::cast<std::int64_t>(each.attr("price_step")),
                      .converter = nb::cast<std::int64_t>(each.attr("converter")),
                      .is_base = nb::cast<std::int64_t>(each.attr("is_base"))});
  return result;
}

std::optional<MlAsking> asking_of(nb::handle asking) {
  if (asking.is_none()) return std::nullopt;
  return MlAsking{.needed = nb::cast<std::uint64_t>(asking.attr("needed")),
                  .timeout_ns = nb::cast<std::int64_t>(asking.attr("timeout_ns")),
                  .most = nb::cast<std::uint64_t>(asking.attr("most"))};
}

template <class Strategy>
nb::object machine_learning(nb::handle settings, nb::handle caps, const Model* model,
                            nb::handle instruments, nb::handle asking) {
  // A copy of its own: it is evaluated without the GIL, whatever becomes of Python's.
  auto own = model == nullptr ? nullptr : std::make_unique<const Model>(*model);
  return capsule(std::make_unique<MachineLearning<Strategy>>(
      ml_settings_of(settings), entry_caps_of(caps), std::move(own), instruments_of(instruments),
      asking_of(asking)));
}

RiskOpening risk_opening(nb::handle from) {
  RiskOpening to{};
#define BOT4_TAKE(name) to.name = nb::cast<std::int64_t>(from.attr(#name));
  BOT4_RISK_OPENING(BOT4_TAKE)
#undef BOT4_TAKE
  return to;
}

Currencies risk_currencies(nb::handle from) {
  Currencies to;
  to.quoted = nb::cast<std::vector<std::uint32_t>>(from.attr("quoted"));
  to.converts = nb::cast<std::vector<std::uint32_t>>(from.attr("converts"));
  to.is_base = nb::cast<std::vector<std::uint8_t>>(from.attr("is_base"));
  for (const nb::handle each : from.attr("openings"))
    to.openings.push_back({nb::cast<std::int64_t>(each.attr("balance_e8")),
                           nb::cast<std::int64_t>(each.attr("bid_e8")),
                           nb::cast<std::int64_t>(each.attr("ask_e8"))});
  return to;
}

RiskLimits risk_limits(nb::handle settings, nb::handle instruments, nb::handle strategies) {
  RiskLimits limits;
#define BOT4_TAKE(name) to.name = nb::cast<std::int64_t>(from.attr(#name));
  {
    RiskSettings& to = limits.settings;
    const nb::handle from = settings;
    BOT4_RISK_SETTINGS(BOT4_TAKE)
  }
  for (const nb::handle from : instruments) {
    InstrumentLimits& to = limits.instruments.emplace_back();
    BOT4_INSTRUMENT_LIMITS(BOT4_TAKE)
  }
  for (const nb::handle from : strategies) {
    StrategyLimits& to = limits.strategies.emplace_back();
    BOT4_STRATEGY_LIMITS(BOT4_TAKE)
    to.trades = nb::cast<std::vector<std::uint8_t>>(from.attr("trades"));
  }
#undef BOT4_TAKE
  return limits;
}

void bind_kernels(nb::module_& module) {
  module.def("blend", &machine_learning<Blend>, nb::arg("settings"), nb::arg("caps"),
             nb::arg("model").none(), nb::arg("instruments"),
             nb::arg("asking").none() = nb::none());
  module.def("moving_average", &machine_learning<MovingAverage>, nb::arg("settings"),
             nb::arg("caps"), nb::arg("model").none(), nb::arg("instruments"),
             nb::arg("asking").none() = nb::none());
  module.def(
      "risk",
      [](nb::handle opening, nb::handle currencies, nb::handle settings,
         nb::handle instrument_limits,
         nb::handle strategy_limits,
         std::vector<std::uint64_t> venue_masks, std::uint64_t strategy_mask,
         nb::handle instruments) {
        std::vector<Instrument> traded = instruments_of(instruments);
        Admission admission(std::move(venue_masks), strategy_mask, traded.size());
        return capsule(std::make_unique<Risk>(
            risk_opening(opening), risk_currencies(currencies),
            risk_limits(settings, instrument_limits, strategy_limits),
            std::move(admission), std::move(traded)));
      },
      nb::kw_only(), nb::arg("opening"), nb::arg("currencies"), nb::arg("settings"),
      nb::arg("instrument_limits"),
      nb::arg("strategy_limits"), nb::arg("venue_masks"), nb::arg("strategy_mask"),
      nb::arg("instruments"));
  module.def("risk_limit_names", [] {
#define BOT4_NAME(name) #name,
    return std::vector<std::vector<std::string>>{{BOT4_RISK_SETTINGS(BOT4_NAME)},
                                                 {BOT4_INSTRUMENT_LIMITS(BOT4_NAME)},
                                                 {BOT4_STRATEGY_LIMITS(BOT4_NAME)}};
#undef BOT4_NAME
  });
  module.def(
      "paper_executor",
      [](std::int64_t slippage_bp, std::vector<std::uint64_t> venue_masks,
         std::uint64_t strategy_mask, nb::handle instruments) {
        std::vector<Instrument> traded = instruments_of(instruments);
        Admission admission(std::move(venue_masks), strategy_mask, traded.size());
        return capsule(std::make_unique<PaperExecutor>(ExecutorSettings{slippage_bp},
                                                       std::move(admission), std::move(traded)));
      },
      nb::kw_only(), nb::arg("slippage_bp"), nb::arg("venue_masks"), nb::arg("strategy_mask"),
      nb::arg("instruments"));
  module.def("layouts", [] {
    nb::dict layouts;
    layouts["BarState"] = described<BarState>();
    layouts["IndicatorState"] = described<IndicatorState>();
    layouts["SampleClock"] = described<SampleClock>();
    layouts["SampleState"] = described<SampleState>();
    layouts["MlState"] = described<MlState>();
    layouts["MlStage"] = described<MlStage>();
    layouts["MlBook"] = described<MlBook>();
    layouts["MovingAverageState"] = described<MovingAverageState>();
    layouts["RiskAccount"] = described<RiskAccount>();
    layouts["RiskCurrency"] = described<RiskCurrency>();
    layouts["RiskInstrument"] = described<RiskInstrument>();
    layouts["RiskOrder"] = described<RiskOrder>();
    layouts["RiskPart"] = described<RiskPart>();
    layouts["RiskStrategy"] = described<RiskStrategy>();
    layouts["RiskSignal"] = described<RiskSignal>();
    layouts["RiskRecent"] = described<RiskRecent>();
    layouts["RiskSpreads"] = described<RiskSpreads>();
    layouts["RiskLimit"] = described<RiskLimit>();
    layouts["RiskDecision"] = described<RiskDecision>();
    layouts["RiskCodes"] = described<RiskCodes>();
    layouts["ExecutorInstrument"] = described<ExecutorInstrument>();
    layouts["ExecutorStage"] = described<ExecutorStage>();
    return layouts;
  });
}

}  // namespace

}  // namespace bot4::binding

NB_MODULE(_native, module) {
  if (_import_array() < 0) throw nanobind::python_error();
  nanobind::set_leak_warnings(false);
  bot4::binding::bind_kernels(module);
  bot4::binding::bind_correlation(module);
  bot4::binding::bind_feed(module);
  bot4::binding::bind_models(module);
  bot4::binding::bind_publisher(module);
  bot4::binding::bind_ta(module);
}
