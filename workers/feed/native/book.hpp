// A book of price levels in integer ticks and lots, and the checksums that venues make of it.
#pragma once

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <string_view>
#include <vector>

#include "decimal.hpp"

namespace bot4 {

/// A quantity at a price. With how many decimals each was written is kept for checksums.
struct Level {
  std::int64_t price;
  std::int64_t quantity;
  std::uint8_t price_decimals;
  std::uint8_t quantity_decimals;
};

/// One side of a book. The best level is the last: nearly all that happens, happens there.
template <bool kBids>
class Ladder {
 public:
  void clear() { levels_.clear(); }
  std::size_t size() const { return levels_.size(); }

  /// The level `n` places behind the best.
  const Level& best(std::size_t n = 0) const { return levels_[levels_.size() - 1 - n]; }

  /// A quantity of 0 removes.
  void set(const Level& level) {
    constexpr std::size_t kNear = 16;
    std::size_t place = levels_.size();
    for (std::size_t i = 0; i < kNear && place != 0 && better(levels_[place - 1].price, level.price); ++i)
      --place;
    if (place != 0 && better(levels_[place - 1].price, level.price)) {
      const auto found = std::partition_point(
          levels_.begin(), levels_.begin() + static_cast<std::ptrdiff_t>(place),
          [&](const Level& each) { return !better(each.price, level.price); });
      place = static_cast<std::size_t>(found - levels_.begin());
    }
    // All before `place` are as good or worse.
    const bool there = place != 0 && levels_[place - 1].price == level.price;
    const auto at = levels_.begin() + static_cast<std::ptrdiff_t>(place);
    if (level.quantity == 0) {
      if (there) levels_.erase(at - 1);
    } else if (there) {
      *(at - 1) = level;
    } else {
      levels_.insert(at, level);
    }
  }

  /// Keeps the best so many.
  void truncate(std::size_t depth) {
    if (levels_.size() > depth)
      levels_.erase(levels_.begin(), levels_.end() - static_cast<std::ptrdiff_t>(depth));
  }

 private:
  static bool better(std::int64_t a, std::int64_t b) { return kBids ? a > b : a < b; }

  std::vector<Level> levels_;
};

/// CRC-32 as of zlib and Ethernet.
class Crc32 {
 public:
  void add(char character) {
    state_ = kTable[(state_ ^ static_cast<unsigned char>(character)) & 0xff] ^ (state_ >> 8);
  }
  void add(std::string_view text) {
    for (const char each : text) add(each);
  }
  std::uint32_t value() const { return ~state_; }

 private:
  static constexpr std::array<std::uint32_t, 256> kTable = [] {
    std::array<std::uint32_t, 256> table{};
    for (std::uint32_t i = 0; i < 256; ++i) {
      std::uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value & 1 ? 0xedb8'8320u : 0u) ^ (value >> 1);
      table[i] = value;
    }
    return table;
  }();

  std::uint32_t state_ = 0xffff'ffff;
};

class Book {
 public:
  Ladder<true> bids;
  Ladder<false> asks;

  void clear() {
    bids.clear();
    asks.clear();
  }
  void truncate(std::size_t depth) {
    bids.truncate(depth);
    asks.truncate(depth);
  }
  bool crossed() const {
    return bids.size() != 0 && asks.size() != 0 && bids.best().price >= asks.best().price;
  }

  /// Kraken's: the best 10 asks, then the best 10 bids, price and quantity without point and without
  /// zeros in front.
  std::uint32_t kraken_checksum(const Scale& ticks, const Scale& lots) const {
    Crc32 crc;
    const auto add = [&](const auto& side) {
      for (std::size_t i = 0; i < std::min<std::size_t>(side.size(), 10); ++i) {
        const Level& level = side.best(i);
        add_digits(crc, ticks.digits(level.price, level.price_decimals));
        add_digits(crc, lots.digits(level.quantity, level.quantity_decimals));
      }
    };
    add(asks);
    add(bids);
    return crc.value();
  }

  /// OKX's: `price:quantity` of the best 25, bid and ask in turn, all with colons between them.
  std::int32_t okx_checksum(const Scale& ticks, const Scale& lots) const {
    Crc32 crc;
    bool first = true;
    const auto add = [&](const Level& level) {
      if (!first) crc.add(':');
      first = false;
      add_decimal(crc, {ticks.digits(level.price, level.price_decimals), level.price_decimals});
      crc.add(':');
      add_decimal(crc, {lots.digits(level.quantity, level.quantity_decimals), level.quantity_decimals});
    };
    for (std::size_t i = 0; i < 25; ++i) {
      if (i < bids.size()) add(bids.best(i));
      if (i < asks.size()) add(asks.best(i));
    }
    return static_cast<std::int32_t>(crc.value());
  }

 private:
  using Text = std::array<char, 24>;

  static std::string_view written(Text& text, std::uint64_t digits) {
    const char* const end = std::to_chars(text.data(), text.data() + text.size(), digits).ptr;
    return {text.data(), static_cast<std::size_t>(end - text.data())};
  }

  static void add_digits(Crc32& crc, std::uint64_t digits) {
    Text text;
    crc.add(written(text, digits));
  }

  static void add_decimal(Crc32& crc, Decimal decimal) {
    Text text;
    const std::uint64_t one = kPowersOfTen[decimal.decimals];
    crc.add(written(text, decimal.digits / one));
    if (decimal.decimals == 0) return;
    crc.add('.');
    const std::string_view fraction = written(text, decimal.digits % one);
    for (std::size_t i = fraction.size(); i < decimal.decimals; ++i) crc.add('0');
    crc.add(fraction);
  }
};

}  // namespace bot4
