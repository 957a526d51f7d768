// The stages' native kernels, as capsules for the runtime, and their states, for numpy.
#define BOT4_IMPORTS_NUMPY
#include "../../pipeline/native/binding/kernel.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include "../../shm/native/binding/described.hpp"
#include "../executor/native/describe.hpp"
#include "../executor/native/executor.hpp"
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

void bind_kernels(nb::module_& module) {
  module.def(
      "moving_average",
      [](std::int64_t weight_bp, std::int64_t threshold_bp, std::int64_t order_notional_e8,
         std::int64_t stop_atr_bp, std::int64_t ttl_ns, nb::handle instruments) {
        return capsule(std::make_unique<MachineLearning<MovingAverage>>(
            MlSettings{weight_bp, threshold_bp, order_notional_e8, stop_atr_bp, ttl_ns},
            instruments_of(instruments)));
      },
      nb::kw_only(), nb::arg("weight_bp"), nb::arg("threshold_bp"), nb::arg("order_notional_e8"),
      nb::arg("stop_atr_bp"), nb::arg("ttl_ns"), nb::arg("instruments"));
  module.def(
      "risk",
      [](std::int64_t equity_e8, std::int64_t position_bp, std::int64_t stale_ns,
         std::int64_t stop_distance_bp, std::int64_t drawdown_bp, std::uint64_t open_orders,
         std::vector<std::uint64_t> venue_masks, std::uint64_t strategy_mask,
         nb::handle instruments) {
        std::vector<Instrument> traded = instruments_of(instruments);
        Admission admission(std::move(venue_masks), strategy_mask, traded.size());
        return capsule(std::make_unique<Risk>(
            RiskSettings{equity_e8, position_bp, stale_ns, stop_distance_bp, drawdown_bp,
                         open_orders},
            std::move(admission), std::move(traded)));
      },
      nb::kw_only(), nb::arg("equity_e8"), nb::arg("position_bp"), nb::arg("stale_ns"),
      nb::arg("stop_distance_bp"), nb::arg("drawdown_bp"), nb::arg("open_orders"),
      nb::arg("venue_masks"), nb::arg("strategy_mask"), nb::arg("instruments"));
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
    layouts["MovingAverageState"] = described<MovingAverageState>();
    layouts["RiskAccount"] = described<RiskAccount>();
    layouts["RiskInstrument"] = described<RiskInstrument>();
    layouts["RiskOrder"] = described<RiskOrder>();
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
