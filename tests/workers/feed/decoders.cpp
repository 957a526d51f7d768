// Decodes the frames of a file under the sanitizers: `[venue:1][bytes:4][frame]`, one after the other.
//
// Each frame lies in memory of its own and of just its size, so that a read beyond its end is seen.
#include <cstdio>
#include <fstream>
#include <iterator>
#include <memory>

#include "workers/feed/native/binance.hpp"
#include "workers/feed/native/coinbase.hpp"
#include "workers/feed/native/kraken.hpp"
#include "workers/feed/native/kraken_v1.hpp"
#include "workers/feed/native/okx.hpp"

using namespace bot4;

namespace {

std::vector<Listing> listings(const char* first, const char* second, unsigned places) {
  return {{first, 0, Scale(1, places), Scale(1, 8)}, {second, 1, Scale(1, places), Scale(1, 8)}};
}

std::unique_ptr<Decoder> decoder(unsigned venue, QuoteSource quotes) {
  switch (venue) {
    case 0: return std::make_unique<Binance>(listings("BTCUSDT", "ETHUSDT", 2), quotes, false, 1'000'000);
    case 1: return std::make_unique<Binance>(listings("BTCUSDT", "ETHUSDT", 2), quotes, true, 1'000'000);
    case 2: return std::make_unique<Kraken>(listings("BTC/USD", "ETH/USD", 1), quotes, 10);
    case 3: return std::make_unique<KrakenV1>(listings("XBT/USD", "ETH/USD", 5), 10);
    case 4: return std::make_unique<Okx>(listings("BTC-USDT", "ETH-USDT", 1), 400);
    default: return std::make_unique<Coinbase>(listings("BTC-USD", "ETH-USD", 2), quotes);
  }
}

}  // namespace

int main(int, char** arguments) {
  std::ifstream file(arguments[1], std::ios::binary);
  const std::string all{std::istreambuf_iterator<char>(file), {}};
  constexpr std::uint64_t kLife = 40;  // frames of one decoder
  std::uint64_t frames = 0, accepted = 0, given_back = 0;
  std::unique_ptr<Decoder> current;
  Recorder sink;
  for (std::size_t at = 0; at + 5 <= all.size(); ++frames) {
    const unsigned venue = static_cast<unsigned char>(all[at]);
    std::uint32_t bytes;
    std::memcpy(&bytes, &all[at + 1], sizeof bytes);
    const std::unique_ptr<char[]> copy(new char[bytes]);
    std::memcpy(copy.get(), all.data() + at + 5, bytes);
    at += 5 + bytes;
    if (frames % kLife == 0)
      current = decoder(venue, frames / kLife % 2 == 0 ? QuoteSource::kBook : QuoteSource::kTicker);
    const std::string_view text(copy.get(), bytes);
    const auto now = static_cast<std::int64_t>(frames);
    const Verdict verdict = current->decode(text, now, sink);
    accepted += verdict == Verdict::kOk;
    given_back += verdict == Verdict::kFallback;
    if (verdict == Verdict::kFallback) current->decode_again(text, now, sink);
    if (venue < 2) current->snapshot(0, text, now, sink);
    if (frames % 13 == 0) {
      current->lost(StaleReason::kSilence, now, sink);
      current->connected();
    }
    if (current->has_wishes()) current->take_wishes();
    sink.records.clear();
  }
  std::printf("%llu frames, %llu accepted, %llu given back\n", static_cast<unsigned long long>(frames),
              static_cast<unsigned long long>(accepted), static_cast<unsigned long long>(given_back));
}
