// The ta stage's kernel, and its indicators by themselves: bar by bar, or over an array of bars.
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>

#include <cmath>
#include <cstring>

#include "../ta/native/ta.hpp"
#include "capsule.hpp"

namespace bot4::binding {

namespace {

template <std::size_t kColumns>
using Columns = nb::ndarray<const double, nb::shape<-1, kColumns>, nb::c_contig, nb::device::cpu>;
using Values = nb::ndarray<double, nb::shape<-1, kFeatures>, nb::c_contig, nb::device::cpu>;
using Masks = nb::ndarray<std::uint64_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using View = nb::ndarray<const double, nb::numpy, nb::shape<kFeatures>>;

Windows windows_from(nb::handle settings) {
  Windows windows;
  for (const WindowKey& key : kWindowKeys)
    windows.*key.window = nb::cast<std::uint64_t>(settings[key.name]);
  return windows;
}

BarSettings bars_from(nb::handle settings) {
  const auto kind = nb::cast<std::string>(settings["bar"]);
  BarSettings bars{};
  if (kind == "tick") bars.kind = BarKind::kTick;
  else if (kind == "time") bars.kind = BarKind::kTime;
  else if (kind == "volume") bars.kind = BarKind::kVolume;
  else throw std::invalid_argument("bar was " + kind + ", must be tick, time or volume");
  bars.trades = nb::cast<std::uint64_t>(settings["trades_per_bar"]);
  bars.interval_ns = nb::cast<std::int64_t>(settings["interval_ms"]) * 1'000'000;
  bars.lots = nb::cast<std::int64_t>(settings["lots_per_bar"]);
  bars.flat_bars = nb::cast<std::uint64_t>(settings["flat_bars"]);
  return bars;
}

/// The indicators of one series of bars, with their state.
class PyIndicators {
 public:
  explicit PyIndicators(nb::handle windows) : indicators_(windows_from(windows)) {}

  std::uint64_t update(double high, double low, double close, double volume) {
    if (!std::isfinite(high) || !std::isfinite(low) || !std::isfinite(close) ||
        !std::isfinite(volume))
      throw std::invalid_argument("a bar was not of finite numbers; leave it out");
    row_ = {};
    indicators_.update({high, low, close, volume}, state_, row_);
    return row_.valid;
  }

  const double* values() const { return row_.value; }
  nb::bytes state() const { return nb::bytes(&state_, sizeof state_); }
  void restore(nb::bytes state) {
    if (state.size() != sizeof state_)
      throw std::invalid_argument("a state was " + std::to_string(state.size()) +
                                  " bytes, must be " + std::to_string(sizeof state_));
    std::memcpy(&state_, state.data(), sizeof state_);
  }

 private:
  Indicators indicators_;
  IndicatorState state_{};
  Features row_{};
};

/// Fills in `values` and `valid` for the bars of one series, from its first on.
void batch(nb::handle windows, const Columns<4>& bars, const std::optional<Columns<5>>& flow,
           const Values& values, const Masks& valid) {
  const Indicators indicators(windows_from(windows));
  const std::size_t count = bars.shape(0);
  if (values.shape(0) != count || valid.shape(0) != count || (flow && flow->shape(0) != count))
    throw std::invalid_argument("the arrays must have as many rows as there are bars");
  const nb::gil_scoped_release released;
  IndicatorState state{};
  for (std::size_t n = 0; n < count; ++n) {
    const double* const bar = bars.data() + 4 * n;
    Features row{};
    indicators.update({bar[0], bar[1], bar[2], bar[3]}, state, row);
    if (flow) {
      const double* const of = flow->data() + 5 * n;
      add_flow({of[0], bar[3], of[1], of[2], of[3], of[4]}, row);
    }
    std::memcpy(values.data() + kFeatures * n, row.value, kFeatures * sizeof(double));
    valid.data()[n] = row.valid;
  }
}

}  // namespace

void bind_ta(nb::module_& module) {
  module.def(
      "technical_analysis",
      [](nb::handle settings, std::uint64_t instruments) {
        return capsule(std::make_unique<TechnicalAnalysis>(
            bars_from(settings), windows_from(settings),
            nb::cast<std::int64_t>(settings["correlation_ms"]) * 1'000'000, instruments));
      },
      nb::arg("settings"), nb::arg("instruments"));
  module.def("window_limits", [] {
    nb::dict limits;
    for (const WindowKey& key : kWindowKeys) limits[key.name] = key.most;
    return limits;
  });
  module.def("feature_names", [] {
    nb::list names;
    for (const char* const name : kFeatureNames) names.append(name);
    return names;
  });
  module.attr("FEATURES_VERSION") = kFeaturesVersion;
  module.def("batch", &batch, nb::arg("windows"), nb::arg("bars"), nb::arg("flow").none(),
             nb::arg("values"), nb::arg("valid"));
  nb::class_<PyIndicators>(module, "Indicators")
      .def(nb::init<nb::handle>(), nb::arg("windows"))
      .def("update", &PyIndicators::update, nb::arg("high"), nb::arg("low"), nb::arg("close"),
           nb::arg("volume"))
      .def_prop_ro(
          "values", [](PyIndicators& self) { return View(self.values(), {kFeatures}, nb::find(self)); })
      .def_prop_rw("state", &PyIndicators::state, &PyIndicators::restore);
}

}  // namespace bot4::binding
