// The first page of a segment: what it is, whose it is, and how the rest is laid out.
#pragma once

#include "memory.hpp"

namespace bot4::shm {

inline constexpr std::uint64_t kMagic = 0x314d485334544f42;  // "BOT4SHM1" in memory
inline constexpr std::uint64_t kFormat = 1;                  // raised when any layout here changes

struct SegmentHeader {
  Word magic;  // stored last at creation: a segment without it is not finished
  std::uint64_t format;
  std::uint64_t bytes;             // of the whole file
  std::uint64_t layout_bytes;      // of the layout's description, JSON, right behind this header
  std::uint8_t layout_hash[32];    // SHA-256 of that description
  char run_id[32];
  char boot_id[40];                // CLOCK_MONOTONIC starts anew with each boot
  std::uint64_t time_namespace;    // inode; CLOCK_MONOTONIC differs between time namespaces
  std::uint64_t creator_pid;
  std::uint64_t creator_start;     // clock ticks since boot: with the pid, names one process
  std::uint64_t created_ns;        // CLOCK_MONOTONIC
};

}  // namespace bot4::shm
