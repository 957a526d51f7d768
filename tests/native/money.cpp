// Division by 1e8 in three steps is the division of the library, whatever is divided.
#include "check.hpp"
#include "pipeline/native/money.hpp"
#include "samples.hpp"

using namespace bot4;

int main() {
  test::Random random(8);
  unsigned long long compared = 0;
  const auto compare = [&](Wide value) {
    for (const Wide each : {value, -value}) {
      CHECK(floor_e8(each) == floor_div(each, kE8), static_cast<std::int64_t>(each));
      CHECK(ceil_e8(each) == ceil_div(each, kE8), static_cast<std::int64_t>(each));
      ++compared;
    }
  };
  constexpr Wide kMost = ~(Wide{1} << 127);
  for (int bits = 0; bits < 127; ++bits)
    for (int near = -3; near <= 3; ++near) {
      const Wide power = Wide{1} << bits;
      if (near <= 0 || power <= kMost - near) compare(power + near);
      if (power <= kMost / kE8) compare(power * kE8 + near);
    }
  compare(kSaturated);
  compare(kMost);
  constexpr std::uint64_t kAll = ~std::uint64_t{0};
  for (int i = 0; i < 200'000; ++i) {
    const Wide high = static_cast<Wide>(random.below(kAll) >> 1);
    compare((high << 64 | static_cast<Wide>(random.below(kAll))) >> random.below(127));
  }
  std::printf("%llu values\n", compared);
  return test::verdict();
}
