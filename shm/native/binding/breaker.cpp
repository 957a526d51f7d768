#include "../breakers.hpp"

#include <nanobind/stl/pair.h>
#include <nanobind/stl/tuple.h>
#include <unistd.h>

#include <algorithm>
#include <tuple>

#include "common.hpp"

namespace bot4::binding {

using shm::Breaker;
using shm::BreakerEvent;
using shm::BreakersHeader;
using shm::Owner;
using shm::Permit;
using shm::Tagged;

namespace {

using OptionalTime = std::optional<std::int64_t>;
using OptionalOwner = std::optional<std::pair<std::uint64_t, std::uint64_t>>;

nb::object type_named(const char* name) {
  return nb::module_::import_("shm.breaker_types").attr(name);
}

[[noreturn]] void refuse(const std::string& message) {
  PyErr_SetString(type_named("BreakerError").ptr(), message.c_str());
  throw nb::python_error();
}

std::int64_t or_now(OptionalTime now) { return now ? *now : shm::monotonic_ns(); }

RecordType event_type() { return RecordType(type_named("BREAKER_EVENT")); }

/// What a test, or a caller in Python, says about a process; by default /proc is asked.
class PyIsAlive {
 public:
  explicit PyIsAlive(nb::handle ask) : ask_(ask) {}
  bool operator()(const Owner& owner) const {
    if (ask_.is_none()) return shm::IsAlive()(owner);
    return nb::cast<bool>(ask_(owner.pid, owner.started));
  }

 private:
  nb::handle ask_;
};

class PyBreakers : public Role {
 public:
  /// A shard of -1 is that of one who only looks. The locks are taken by calling them.
  PyBreakers(std::string name, nb::handle mapping, std::uint64_t offset, nb::tuple names, int shard,
             std::uint64_t started, nb::object settings_lock, nb::object events_lock,
             nb::object claim)
      : Role(std::move(name), mapping, offset, BreakersHeader::bytes(names.size()),
             std::move(claim)),
        names_(names),
        index_(names),
        settings_lock_(std::move(settings_lock)),
        events_lock_(std::move(events_lock)),
        all_(memory().as<BreakersHeader>()),
        shard_(shard) {
    if (!group().is_sound(names.size()))
      fail("CorruptRegionError", this->name() + ": its headers are not those of " +
                                     std::to_string(names.size()) +
                                     " breakers; remove the segment");
    if (shard < 0) return;
    const auto mine = static_cast<unsigned>(shard);
    // Sequentially consistent: whoever evaluates after this process's first outcome looks here first.
    group().shards.fetch_or(std::uint64_t{1} << mine);
    self_.emplace(shm::Participant{{static_cast<std::uint64_t>(getpid()), started},
                                   mine,
                                   shm::EventWriter(group().events(mine)),
                                   shm::TableWriter(group().last()),
                                   &group().shards,
                                   &group().changes});
  }

  nb::tuple names() const { return names_; }
  int shard() const { return shard_; }
  std::size_t index(nb::handle breaker) const { return index_.index(name(), breaker); }

  BreakersHeader& group() {
    check_open();
    return all_.group();
  }
  shm::Participant& participant(const char* what) {
    check_open();
    if (!self_)
      refuse(name() + " was attached to observe, and cannot " + what +
             "; attach it without observe=True");
    return *self_;
  }
  shm::Participant* maybe_participant() { return self_ ? &*self_ : nullptr; }

  void limits(std::int64_t min_components, std::int64_t open_bp, std::int64_t close_bp, bool live) {
    participant("set limits");
    if (min_components < 1 || min_components > 0xffff)
      refuse("min_components was " + std::to_string(min_components) + ", must be in 1 .. 65535");
    if (open_bp < 1 || open_bp > 10'000)
      refuse("open_bp was " + std::to_string(open_bp) + ", must be in 1 .. 10000");
    if (close_bp < 1 || close_bp >= open_bp)
      refuse("close_bp was " + std::to_string(close_bp) + ", must be in 1 .. " +
             std::to_string(open_bp - 1) + ", below open_bp");
    const shm::GlobalLimits limits{static_cast<std::uint64_t>(min_components),
                                   static_cast<std::uint64_t>(open_bp),
                                   static_cast<std::uint64_t>(close_bp), live};
    group().limits.store(limits.word(), std::memory_order_release);
    group().changes.fetch_add(1, std::memory_order_release);
  }
  nb::object current_limits() {
    const auto limits =
        shm::GlobalLimits::of(group().limits.load(std::memory_order_acquire));
    return type_named("Limits")(limits.min_components, limits.open_bp, limits.close_bp, limits.live);
  }
  bool is_live() {
    return shm::GlobalLimits::of(group().limits.load(std::memory_order_acquire)).live;
  }

  void fed(OptionalTime now) {
    participant("feed it");
    // Release: what was found is in the words before.
    group().fed_ns.store(static_cast<std::uint64_t>(or_now(now)), std::memory_order_release);
  }
  bool latch() { return group().latch.load(std::memory_order_acquire) != 0; }
  void set_latch(bool on) {
    participant("set the latch");
    group().latch.store(on ? 1 : 0, std::memory_order_release);
    group().changes.fetch_add(1, std::memory_order_release);
  }

  int state(OptionalTime now) {
    check_open();
    return static_cast<int>(all_.state(or_now(now), maybe_participant()));
  }
  int derive(OptionalTime now) {
    check_open();
    return static_cast<int>(all_.derive(or_now(now), maybe_participant()));
  }
  std::tuple<std::uint64_t, std::uint64_t, std::uint64_t> view(OptionalTime now) {
    check_open();
    const shm::BreakersView& seen = all_.view(or_now(now));
    return {seen.global, seen.blocked, seen.forced};
  }

  /// Takes the events of all participants.
  nb::object events(std::size_t most) {
    participant("take events");
    if (consumer_.is_none()) consumer_ = events_lock_();
    const RecordType type = event_type();
    std::vector<BreakerEvent> taken;
    for (unsigned i = 0; i < shm::kParticipants && taken.size() < most; ++i) {
      shm::RingConsumer ring(&group().events(i)->ring);
      BreakerEvent event;
      while (taken.size() < most && ring.pop(&event)) taken.push_back(event);
      if (ring.is_corrupt())
        fail("CorruptRegionError", name() + ": the ring of events of participant " +
                                       std::to_string(i) + " is damaged; remove the segment");
      ring.commit(ring.pending());
    }
    std::stable_sort(taken.begin(), taken.end(), [](const BreakerEvent& a, const BreakerEvent& b) {
      return a.time_ns < b.time_ns;
    });
    const nb::object array = type.zeros(taken.size());
    if (!taken.empty())
      std::memcpy(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array.ptr())), taken.data(),
                  taken.size() * sizeof(BreakerEvent));
    return array;
  }

  nb::dict drops() {
    const nb::object kinds = type_named("EventKind");
    nb::dict drops;
    for (const nb::handle kind : kinds) {
      const auto number = nb::cast<std::size_t>(kind.attr("value"));
      std::uint64_t sum = 0;
      for (unsigned i = 0; i < shm::kParticipants; ++i)
        sum += group().events(i)->dropped[number].load(std::memory_order_relaxed);
      drops[kind] = sum;
    }
    return drops;
  }

  const nb::object& settings_lock() const { return settings_lock_; }

  void close() {
    self_.reset();
    if (!consumer_.is_none()) consumer_.attr("release")();
    consumer_ = nb::none();
    Role::close();
  }

 private:
  nb::tuple names_;
  Names index_;
  nb::object settings_lock_, events_lock_;
  nb::object consumer_ = nb::none();
  shm::Breakers all_;
  std::optional<shm::Participant> self_;
  int shard_;
};

/// A lock of the segment, taken by calling it.
class Held {
 public:
  explicit Held(const nb::object& lock) : claim_(lock()) {}
  ~Held() { claim_.attr("release")(); }
  Held(const Held&) = delete;
  Held& operator=(const Held&) = delete;

 private:
  nb::object claim_;
};

class PyBreaker {
 public:
  PyBreaker(nb::handle_t<PyBreakers> group, nb::handle name)
      : owner_(nb::borrow(group)),
        group_(nb::cast<PyBreakers*>(group)),
        index_(static_cast<std::uint32_t>(group_->index(name))),
        name_(nb::cast<std::string>(group_->names()[index_])),
        breaker_(group_->group().breaker(index_), index_, &group_->group().shards,
                 group_->maybe_participant()) {}

  const std::string& name() const { return name_; }
  std::uint32_t index() const { return index_; }

  nb::object acquire(OptionalTime now, OptionalOwner owner) {
    const Owner self = group_->participant("acquire permits").owner;
    return in_python(breaker_.acquire(
        or_now(now), owner ? Owner{owner->first, owner->second} : self, shm::IsAlive()));
  }

  int complete(const Permit& permit, bool ok, OptionalTime now, OptionalTime duration) {
    group_->participant("complete permits");
    const std::int64_t ended = or_now(now);
    return static_cast<int>(
        breaker_.complete(permit, ok, ended, duration ? *duration : ended - permit.issued_ns));
  }

  int fail_once(OptionalTime now) {
    group_->participant("record failures");
    return static_cast<int>(breaker_.fail_once(or_now(now)));
  }

  unsigned reap(OptionalTime now, nb::handle alive) {
    group_->participant("reap");
    return breaker_.reap(or_now(now), PyIsAlive(alive));
  }

  shm::BreakerSettings checked(nb::handle settings) const {
    shm::BreakerSettings words;
    const nb::object values = settings.attr("words")();
    std::uint64_t at[shm::BreakerSettingsWords::kWords];
    if (nb::len(values) != std::size(at))
      refuse("settings of breaker '" + name_ + "' were " + std::to_string(nb::len(values)) +
             " words, must be " + std::to_string(std::size(at)));
    for (std::size_t i = 0; i < std::size(at); ++i)
      at[i] = unsigned_word(values[i], "a setting of breaker '" + name_ + "'");
    std::memcpy(&words, at, sizeof words);
    return words;
  }

  /// Under the lock of the settings.
  void take(const shm::BreakerSettings& settings, OptionalTime now) {
    group_->check_open();
    breaker_.configure(settings, or_now(now));
    group_->group().changes.fetch_add(1, std::memory_order_release);
  }

  void configure(nb::handle settings, OptionalTime now) {
    group_->participant("configure");
    const shm::BreakerSettings words = checked(settings);
    const Held lock(group_->settings_lock());
    take(words, now);
  }

  bool by_hand(Breaker::Manual wanted, const char* verb, OptionalTime now, const std::string& actor,
               const std::string& reason) {
    group_->participant(verb);
    if (actor.empty() || reason.empty())
      refuse("breaker '" + name_ + "': " + verb + " needs an actor and a reason, they were '" +
             actor + "' and '" + reason + "'");
    shm::BreakerSettings settings;
    const bool lessens = wanted == Breaker::Manual::kDisable || wanted == Breaker::Manual::kMetricsOnly;
    if (lessens && group_->is_live() && breaker_.read(settings) && settings.critical != 0)
      refuse("breaker '" + name_ + "': " + verb +
             " is refused, because it is critical and the run trades for real; halt the run instead");
    const Breaker::Answer answer = breaker_.by_hand(wanted, or_now(now), {actor, reason});
    if (answer == Breaker::Answer::kIllegal)
      refuse("breaker '" + name_ + "': " + verb + " is not possible while it is " +
             text(state().attr("name")) + "; reset it first");
    if (answer == Breaker::Answer::kNoSettings)
      refuse("breaker '" + name_ + "': " + verb + " needs settings; configure it first");
    return answer == Breaker::Answer::kDone;
  }

  bool initialise(OptionalTime now) {
    group_->participant("initialise");
    const Breaker::Answer answer = breaker_.by_hand(Breaker::Manual::kInitialise, or_now(now), {});
    if (answer == Breaker::Answer::kNoSettings)
      refuse("breaker '" + name_ + "' needs settings before it is initialised; configure it first");
    return answer == Breaker::Answer::kDone;
  }

  nb::object settings() const {
    group_->check_open();
    shm::BreakerSettings settings;
    if (!breaker_.read(settings)) return nb::none();
    std::uint64_t at[shm::BreakerSettingsWords::kWords];
    std::memcpy(at, &settings, sizeof at);
    nb::list words;
    for (const std::uint64_t word : at) words.append(word);
    return nb::module_::import_("shm.breaker_settings").attr("BreakerSettings").attr("from_words")(words);
  }

  std::uint64_t word() const { return seen().word; }
  nb::object state() const { return type_named("State")(static_cast<int>(seen().state())); }
  std::uint64_t generation() const { return seen().generation(); }
  unsigned attempt() const { return seen().attempt(); }

  std::int64_t since_ns() const {
    const std::uint64_t since = words().since.load(std::memory_order_relaxed);
    return Tagged::generation(since) == generation()
               ? static_cast<std::int64_t>(Tagged::value(since)) * shm::kTickNs
               : 0;
  }
  std::int64_t deadline_ns() const {
    const shm::Control now = seen();
    return now.state() == shm::BreakerState::kOpen
               ? static_cast<std::int64_t>(now.payload()) * shm::kTickNs
               : 0;
  }
  nb::object probes() const {
    const shm::Control now = seen();
    if (now.state() != shm::BreakerState::kHalfOpen) return nb::none();
    const shm::Probes probes = now.probes();
    return nb::make_tuple(probes.issued, probes.done, probes.succeeded, probes.failed);
  }
  unsigned in_flight() const {
    const shm::Control now = seen();
    return now.state() == shm::BreakerState::kHalfOpen ? now.probes().in_flight() : 0;
  }

  nb::object counts(OptionalTime now) const {
    group_->check_open();
    const shm::Counts counts = breaker_.counts(or_now(now));
    return type_named("Counts")(counts.tally.calls, counts.tally.failures, counts.tally.slow,
                                counts.consecutive,
                                type_named("Verdict")(static_cast<int>(counts.verdict)));
  }

  nb::dict totals() const {
    nb::dict totals;
    const auto sum = [&](const char* name, shm::Word shm::BreakerShard::* word) {
      std::uint64_t of_all = 0;
      for (const shm::BreakerShard& shard : words().shard)
        of_all += (shard.*word).load(std::memory_order_relaxed);
      totals[name] = of_all;
    };
    sum("admitted", &shm::BreakerShard::admitted);
    sum("rejected", &shm::BreakerShard::rejected);
    sum("succeeded", &shm::BreakerShard::succeeded);
    sum("failed", &shm::BreakerShard::failed);
    sum("slow", &shm::BreakerShard::slow);
    sum("stale", &shm::BreakerShard::stale);
    sum("uncounted", &shm::BreakerShard::uncounted);
    return totals;
  }

  /// The last transition, if it led to the state that there is.
  nb::object last() const {
    const std::uint64_t current = generation();
    const shm::TableReader table(group_->group().last());
    std::optional<BreakerEvent> found;
    for (unsigned i = 0; i < shm::kParticipants; ++i) {
      BreakerEvent event;
      if (table.read(index_ * shm::kParticipants + i, &event).version == 0) continue;
      if (shm::Control{event.after}.generation() != current) continue;
      if (!found || event.time_ns > found->time_ns) found = event;
    }
    if (!found) return nb::none();
    const nb::object array = event_type().zeros(1);
    std::memcpy(PyArray_DATA(reinterpret_cast<PyArrayObject*>(array.ptr())), &*found, sizeof *found);
    return array[0];
  }

 private:
  const shm::BreakerWords& words() const {
    group_->check_open();
    return breaker_.words();
  }
  shm::Control seen() const {
    group_->check_open();
    return breaker_.control();
  }

  /// In an object that was given out before, if nobody has kept it: a new one takes longer than the
  /// permit. Two take turns, for the last one is often kept until there is a next.
  nb::object in_python(const Permit& permit) {
    std::swap(permits_[0], permits_[1]);
    nb::object& object = permits_[0];
    if (object.is_valid() && Py_REFCNT(object.ptr()) == 1) *nb::inst_ptr<Permit>(object) = permit;
    else object = nb::cast(permit);
    return object;
  }

  nb::object owner_;  // keeps the group
  PyBreakers* group_;
  std::uint32_t index_;
  std::string name_;
  Breaker breaker_;
  nb::object permits_[2];
};

/// All settings are checked before the first is replaced, and nobody replaces them at the same time.
void configure_all(nb::handle_t<PyBreakers> self, nb::dict settings, nb::object limits,
                   OptionalTime now) {
  auto& group = nb::cast<PyBreakers&>(self);
  group.participant("configure");
  std::vector<std::pair<std::unique_ptr<PyBreaker>, shm::BreakerSettings>> all;
  for (const auto [name, each] : settings) {
    auto breaker = std::make_unique<PyBreaker>(self, name);
    const shm::BreakerSettings words = breaker->checked(each);
    all.emplace_back(std::move(breaker), words);
  }
  const Held lock(group.settings_lock());
  if (!limits.is_none())
    group.limits(nb::cast<std::int64_t>(limits[0]), nb::cast<std::int64_t>(limits[1]),
                 nb::cast<std::int64_t>(limits[2]), nb::cast<bool>(limits[3]));
  for (auto& [breaker, words] : all) breaker->take(words, now);
}

using Manual = Breaker::Manual;

/// A method for each thing that is done by hand.
template <Manual kManual>
void bind_by_hand(nb::class_<PyBreaker>& type, const char* name, const char* verb) {
  type.def(
      name,
      [verb](PyBreaker& self, OptionalTime now, const std::string& actor, const std::string& reason) {
        return self.by_hand(kManual, verb, now, actor, reason);
      },
      nb::arg("now_ns") = nb::none(), nb::kw_only(), nb::arg("actor"), nb::arg("reason"));
}

/// What the region of so many breakers begins with: all of it, when it is new.
nb::bytes breakers_contents(std::size_t count) {
  const std::size_t bytes = BreakersHeader::bytes(count);
  std::vector<unsigned char> memory(bytes + shm::kCacheLine);
  const auto address = reinterpret_cast<std::uintptr_t>(memory.data());
  auto* start = memory.data() + (shm::round_up(address, shm::kCacheLine) - address);
  reinterpret_cast<BreakersHeader*>(start)->lay_out(count);
  return nb::bytes(start, bytes);
}

}  // namespace

void bind_breaker(nb::module_& module) {
  module.def("breakers_bytes", &BreakersHeader::bytes);
  module.def("breakers_contents", &breakers_contents);

  nb::class_<Permit>(module, "Permit")
      .def("__init__",
           [](Permit* self, std::uint64_t generation, std::int32_t index, std::int64_t issued_ns) {
             new (self) Permit{generation, index, shm::Rejection::kNone, true, issued_ns};
           },
           nb::arg("generation"), nb::arg("index"), nb::arg("issued_ns"))
      .def("__bool__", [](const Permit& self) { return static_cast<bool>(self); })
      .def_ro("generation", &Permit::generation)
      .def_ro("index", &Permit::index)
      .def_ro("issued_ns", &Permit::issued_ns)
      .def_ro("counted", &Permit::counted)
      .def_prop_ro("rejection", [](const Permit& self) {
        return type_named("Rejection")(static_cast<int>(self.rejection));
      });

  bind_role<PyBreakers>(module, "Breakers")
      .def(nb::init<std::string, nb::handle, std::uint64_t, nb::tuple, int, std::uint64_t,
                    nb::object, nb::object, nb::object>(),
           nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(), nb::arg(),
           nb::arg().none())
      .def_prop_ro("names", &PyBreakers::names)
      .def_prop_ro("shard", &PyBreakers::shard)
      .def("breaker",
           [](nb::handle_t<PyBreakers> self, nb::handle name) { return PyBreaker(self, name); },
           nb::arg("name"))
      .def("limits", &PyBreakers::limits, nb::arg("min_components"), nb::arg("open_bp"),
           nb::arg("close_bp"), nb::arg("live") = false)
      .def_prop_ro("current_limits", &PyBreakers::current_limits)
      .def_prop_ro("latch", &PyBreakers::latch)
      .def("configure", &configure_all, nb::arg("settings"), nb::arg("limits") = nb::none(),
           nb::arg("now_ns") = nb::none())
      .def("fed", &PyBreakers::fed, nb::arg("now_ns") = nb::none())
      .def("set_latch", &PyBreakers::set_latch, nb::arg("on"))
      .def("state", &PyBreakers::state, nb::arg("now_ns") = nb::none())
      .def("derive", &PyBreakers::derive, nb::arg("now_ns") = nb::none())
      .def("view", &PyBreakers::view, nb::arg("now_ns") = nb::none())
      .def("events", &PyBreakers::events, nb::arg("most") = 1024)
      .def("drops", &PyBreakers::drops);

  nb::class_<PyBreaker> breaker(module, "Breaker");
  breaker.def_prop_ro("name", &PyBreaker::name)
      .def_prop_ro("index", &PyBreaker::index)
      .def_prop_ro("settings", &PyBreaker::settings)
      .def_prop_ro("word", &PyBreaker::word)
      .def_prop_ro("state", &PyBreaker::state)
      .def_prop_ro("generation", &PyBreaker::generation)
      .def_prop_ro("attempt", &PyBreaker::attempt)
      .def_prop_ro("since_ns", &PyBreaker::since_ns)
      .def_prop_ro("deadline_ns", &PyBreaker::deadline_ns)
      .def_prop_ro("in_flight", &PyBreaker::in_flight)
      .def("probes", &PyBreaker::probes)
      .def("counts", &PyBreaker::counts, nb::arg("now_ns") = nb::none())
      .def("totals", &PyBreaker::totals)
      .def("last", &PyBreaker::last)
      .def("configure", &PyBreaker::configure, nb::arg("settings"), nb::arg("now_ns") = nb::none())
      .def("initialise", &PyBreaker::initialise, nb::arg("now_ns") = nb::none())
      .def("acquire", &PyBreaker::acquire, nb::arg("now_ns") = nb::none(),
           nb::arg("owner") = nb::none())
      .def("complete", &PyBreaker::complete, nb::arg("permit"), nb::arg("ok"),
           nb::arg("now_ns") = nb::none(), nb::arg("duration_ns") = nb::none())
      .def("fail_once", &PyBreaker::fail_once, nb::arg("now_ns") = nb::none())
      .def("reap", &PyBreaker::reap, nb::arg("now_ns") = nb::none(), nb::arg("alive") = nb::none());
  bind_by_hand<Manual::kReset>(breaker, "reset", "reset");
  bind_by_hand<Manual::kTrip>(breaker, "trip", "trip");
  bind_by_hand<Manual::kForceOpen>(breaker, "force_open", "force open");
  bind_by_hand<Manual::kDisable>(breaker, "disable", "disable");
  bind_by_hand<Manual::kMetricsOnly>(breaker, "metrics_only", "metrics only");
}

}  // namespace bot4::binding
