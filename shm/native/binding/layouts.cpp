// The layouts of what lies in a segment, as data: numpy dtypes and the reference implementations
// are made from these, so each offset is written down once, in C++.
#include "../breakers.hpp"
#include "../cells.hpp"
#include "../describe.hpp"
#include "../doorbell.hpp"
#include "../metrics.hpp"
#include "../observer.hpp"
#include "../ring.hpp"
#include "../segment.hpp"
#include "../signals.hpp"
#include "../table.hpp"
#include "common.hpp"
#include "described.hpp"

BOT4_DESCRIBE(bot4::shm::SegmentHeader, magic, format, bytes, layout_bytes, layout_hash, run_id,
              boot_id, time_namespace, creator_pid, creator_start, created_ns)
BOT4_DESCRIBE(bot4::shm::RingHeader, capacity, record_bytes, tail, high_water, refused, head)
BOT4_DESCRIBE(bot4::shm::ObserverHeader, capacity, record_bytes, tail)
BOT4_DESCRIBE(bot4::shm::TableHeader, rows, record_bytes)
BOT4_DESCRIBE(bot4::shm::CellsHeader, count, record_bytes)
BOT4_DESCRIBE(bot4::shm::DoorbellWords, bell, sleeping, sleeps)
BOT4_DESCRIBE(bot4::shm::HistogramWords, wanted_epoch, epoch, sum, low, high, bucket)
BOT4_DESCRIBE(bot4::shm::PaddedWord, value)
BOT4_DESCRIBE(bot4::shm::BreakersHeader, count, global, changes, latch, limits, shards, fed_ns)
BOT4_DESCRIBE(bot4::shm::BreakerWords, control, since, consecutive, told, reaped_ns)
BOT4_DESCRIBE(bot4::shm::BreakerEvent, time_ns, before, after, breaker, kind, cause, pid, spare,
              calls, failures, slow, consecutive, settings_version, sequence, actor, reason)

namespace bot4::binding {

namespace {

/// Stores the word that makes a segment valid, after everything else in it (release).
void publish_magic(nb::handle mapping) {
  const Memory memory(mapping, 0, sizeof(shm::SegmentHeader));
  memory.as<shm::SegmentHeader>()->magic.store(shm::kMagic, std::memory_order_release);
}

}  // namespace

void bind_layouts(nb::module_& module) {
  module.def("layouts", [] {
    nb::dict layouts;
    layouts["SegmentHeader"] = described<shm::SegmentHeader>();
    layouts["RingHeader"] = described<shm::RingHeader>();
    layouts["ObserverHeader"] = described<shm::ObserverHeader>();
    layouts["TableHeader"] = described<shm::TableHeader>();
    layouts["CellsHeader"] = described<shm::CellsHeader>();
    layouts["DoorbellWords"] = described<shm::DoorbellWords>();
    layouts["HistogramWords"] = described<shm::HistogramWords>();
    layouts["PaddedWord"] = described<shm::PaddedWord>();
    layouts["BreakersHeader"] = described<shm::BreakersHeader>();
    layouts["BreakerWords"] = described<shm::BreakerWords>();
    layouts["BreakerEvent"] = described<shm::BreakerEvent>();
    return layouts;
  });
  module.def("ring_bytes", &shm::RingHeader::bytes);
  module.def("observer_bytes", &shm::ObserverHeader::bytes);
  module.def("table_bytes",
             static_cast<std::size_t (*)(std::uint64_t, std::uint64_t)>(&shm::TableHeader::bytes));
  module.def("cells_bytes", &shm::CellsHeader::bytes);
  module.def("cell_slot_bytes", &shm::CellsHeader::slot_bytes);
  module.def("forget_other_threads", &shm::WaitSignals::forget_other_threads);
  module.def("publish_magic", &publish_magic);
  module.attr("MAGIC") = shm::kMagic;
  module.attr("FORMAT") = shm::kFormat;
  module.attr("CACHE_LINE") = shm::kCacheLine;
}

}  // namespace bot4::binding
