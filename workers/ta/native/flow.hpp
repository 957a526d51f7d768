// Features of quotes and aggressors, beside those of the bar.
#pragma once

#include "features.hpp"

namespace bot4 {

/// As it was when the bar closed; in ticks and lots.
struct Flow {
  double signed_volume;  // bought minus sold, by the aggressors of the bar's trades
  double volume;         // of the bar
  double bid, bid_quantity, ask, ask_quantity;
};

inline void add_flow(const Flow& flow, Features& row) {
  if (flow.volume > 0.0) {
    set(row, Feature::kSignedVolume, flow.signed_volume);
    set(row, Feature::kSignedVolumeShare, flow.signed_volume / flow.volume);
  }
  const bool has_two_sides = flow.bid_quantity > 0.0 && flow.ask_quantity > 0.0;
  if (!has_two_sides || flow.bid <= 0.0 || flow.bid >= flow.ask) return;
  const double mid = (flow.bid + flow.ask) * 0.5;
  const double total = flow.bid_quantity + flow.ask_quantity;
  const double spread = (flow.ask - flow.bid) / mid;
  const double imbalance = (flow.bid_quantity - flow.ask_quantity) / total;
  set(row, Feature::kSpread, spread);
  set(row, Feature::kImbalance, imbalance);
  // (bid * ask quantity + ask * bid quantity) / total - mid, over mid: with less rounding.
  set(row, Feature::kMicroprice, spread * 0.5 * imbalance);
}

}  // namespace bot4
