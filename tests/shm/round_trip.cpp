// A record with a field of each kind, for test_describe.py: prints its description, then reads one
// record from standard input, changes each field, and writes it back.
#include "describe.hpp"

#include <cstdio>

struct Sample {
  std::uint8_t u1;
  std::int16_t i2;
  std::uint32_t u4[3];
  double f8[2];
  char text[6];
  std::int64_t i8;
  std::atomic<std::uint64_t> word;
  float f4;
  std::int8_t i1;
  std::uint16_t u2;
  std::int32_t i4;
  std::uint64_t u8;
};
BOT4_DESCRIBE(Sample, u1, i2, u4, f8, text, i8, word, f4, i1, u2, i4, u8)

int main(int argc, char**) {
  if (argc == 1) {
    for (const auto& field : bot4::shm::describe<Sample>())
      std::printf("%s %s %zu %zu\n", field.name, field.format, field.count, field.offset);
    std::printf("%zu\n", sizeof(Sample));
    return 0;
  }
  Sample sample;
  if (std::fread(static_cast<void*>(&sample), sizeof sample, 1, stdin) != 1) return 1;
  sample.u1 += 1;
  sample.i2 = static_cast<std::int16_t>(-sample.i2);
  for (auto& value : sample.u4) value += 1;
  for (auto& value : sample.f8) value *= 2;
  sample.text[0] = 'B';
  sample.i8 = -sample.i8;
  sample.word += 1;
  sample.f4 *= 2;
  sample.i1 = static_cast<std::int8_t>(-sample.i1);
  sample.u2 += 1;
  sample.i4 = -sample.i4;
  sample.u8 += 1;
  return std::fwrite(&sample, sizeof sample, 1, stdout) == 1 ? 0 : 1;
}
