#include "../loop.hpp"

#include <nanobind/stl/optional.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/tuple.h>
#include <nanobind/stl/vector.h>

#include <optional>
#include <type_traits>

#include "kernel.hpp"

namespace bot4::binding {

namespace {

/// The native loop of a stage, built over the regions of the roles that it is given.
class PyLoop {
 public:
  PyLoop(nb::object kernel, nb::handle groups, nb::handle group_cells, nb::object cursors,
         nb::object contexts, nb::object quotes, nb::object breakers, nb::object words,
         nb::object run_words,
         std::int64_t tick_ns, std::uint64_t tick_steps, std::vector<std::uint64_t> tick_needs,
         nb::object latency, std::size_t through, std::optional<std::size_t> end_to_end,
         std::optional<std::size_t> step, std::size_t end_to_end_input, const std::string& sabotage)
      : groups_(named(groups)),
        contexts_(region<shm::ObserverHeader>(contexts)),
        quotes_(quotes.is_none() ? nullptr : region<shm::TableHeader>(quotes)),
        breakers_(region<shm::BreakersHeader>(breakers)),
        cursors_(region<shm::CellsHeader>(cursors)),
        histograms_(region<shm::HistogramWords>(latency)),
        ticks_{tick_ns, tick_steps, std::move(tick_needs)},
        latency_{histograms_ + through, end_to_end ? histograms_ + *end_to_end : nullptr,
                 end_to_end_input, step ? histograms_ + *step : nullptr},
        sabotage_{sabotage == "dedupe", sabotage == "slots", sabotage == "context"},
        kernel_object_(std::move(kernel)) {
    // In the order of pipeline/topology.py's STAGE_WORDS and RUN_WORDS.
    auto* word = region<shm::PaddedWord>(words);
    auto* run = region<shm::PaddedWord>(run_words);
    words_ = {&word[0].value, &word[1].value, &word[2].value, &word[3].value,
              &run[0].value,  &run[2].value};
    for (const nb::handle cells : group_cells) {
      cells_.push_back(region<shm::CellsHeader>(cells));
      group_owners_.push_back(keep_.back());
    }
  }

  void add_input(nb::object name, nb::object dtype, nb::object ring, nb::object bell,
                 std::vector<std::uint64_t> needs, std::size_t hop) {
    inputs_.push_back({region<shm::RingHeader>(ring), bell_at(bell), std::move(needs),
                       histograms_ + hop});
    input_types_.push_back({std::move(name), std::move(dtype)});
  }

  void add_output(nb::object name, nb::object dtype, nb::object ring, nb::object bell) {
    outputs_.push_back({region<shm::RingHeader>(ring), bell_at(bell)});
    output_types_.push_back({std::move(name), std::move(dtype)});
  }

  /// Takes over. Returns (steps run again, outputs that were out already).
  std::tuple<std::uint64_t, std::uint64_t> recover() {
    if (loop_) fail("ArgumentError", "a stage recovers once, before it runs");
    kernel_.emplace(kernel_object_, input_types_, output_types_, groups_, group_owners_);
    loop_.emplace(*kernel_->kernel, cells_, cursors_, contexts_, inputs_, outputs_, quotes_, breakers_,
                  words_, ticks_, latency_, sabotage_);
    const std::uint64_t replayed = guarded([this] { return loop_->recover(); });
    return {replayed, loop_->suppressed()};
  }

  /// Runs until the doorbell is rung, by a signal too, or for so many ns. True: it was rung.
  bool run(nb::handle doorbell, std::tuple<std::uint32_t, std::uint32_t, std::uint32_t> strategy,
           std::int64_t for_ns) {
    if (!loop_) fail("ArgumentError", "a stage must recover before it runs");
    if (!sleeper_) {
      sleeper_.emplace(from_capsule<shm::DoorbellWords>(doorbell, kRegionCapsule));
      keep_.push_back(nb::borrow(doorbell));
    }
    const auto [spins, yields, finally] = strategy;
    const shm::WaitStrategy how{spins, yields, static_cast<shm::WaitStrategy::Finally>(finally)};
    const std::int64_t until = shm::monotonic_ns() + for_ns;
    return guarded([&] { return loop_->run(*sleeper_, how, until); }) != shm::Wake::kTimeout;
  }

  /// One batch. False if there was nothing to take.
  bool turn() {
    if (!loop_) fail("ArgumentError", "a stage must recover before it runs");
    return guarded([this] { return loop_->turn(); });
  }

  std::uint64_t steps() const { return loop_ ? loop_->steps() : 0; }

 private:
  /// The memory of a role. The role itself is kept with it: one that is dropped gives its lock back,
  /// and a second process could take it while this loop goes on.
  template <class T>
  T* region(nb::handle role) {
    keep_.push_back(nb::borrow(role));
    keep_.push_back(role.attr("pointer"));
    return from_capsule<T>(keep_.back(), kRegionCapsule);
  }
  shm::Bell bell_at(nb::handle bell) {
    return bell.is_none() ? shm::Bell{} : shm::Bell(region<shm::DoorbellWords>(bell));
  }

  /// Lets other threads run meanwhile. A step that fails leaves half of a batch behind, from which
  /// only a recovery may go on.
  template <class Call>
  std::invoke_result_t<Call> guarded(Call call) {
    const nb::gil_scoped_release others_may_run;
    try {
      return call();
    } catch (...) {
      loop_.reset();
      throw;
    }
  }

  std::vector<Named> groups_, input_types_, output_types_;
  std::vector<nb::object> group_owners_, keep_;
  std::vector<shm::CellsHeader*> cells_;
  std::vector<Loop::Input> inputs_;
  std::vector<Loop::Output> outputs_;
  shm::ObserverHeader* contexts_;
  shm::TableHeader* quotes_;
  shm::BreakersHeader* breakers_;
  shm::CellsHeader* cursors_;
  shm::HistogramWords* histograms_;
  Loop::Words words_;
  Loop::Ticks ticks_;
  Loop::Latency latency_;
  Sabotage sabotage_;
  nb::object kernel_object_;
  std::optional<HeldKernel> kernel_;
  std::optional<Loop> loop_;
  std::optional<shm::Sleeper> sleeper_;
};

}  // namespace

void bind_loop(nb::module_& module) {
  nb::class_<PyLoop>(module, "Loop")
      .def(nb::init<nb::object, nb::handle, nb::handle, nb::object, nb::object, nb::object,
                    nb::object, nb::object, nb::object, std::int64_t, std::uint64_t,
                    std::vector<std::uint64_t>, nb::object, std::size_t,
                    std::optional<std::size_t>, std::optional<std::size_t>, std::size_t,
                    const std::string&>(),
           nb::kw_only(), nb::arg("kernel"), nb::arg("groups"), nb::arg("group_cells"),
           nb::arg("cursors"), nb::arg("contexts"), nb::arg("quotes").none(), nb::arg("breakers"), nb::arg("words"),
           nb::arg("run_words"), nb::arg("tick_ns"), nb::arg("tick_steps"), nb::arg("tick_needs"),
           nb::arg("latency"), nb::arg("through"), nb::arg("end_to_end").none(),
           nb::arg("step").none(),
           nb::arg("end_to_end_input"), nb::arg("sabotage"))
      .def("add_input", &PyLoop::add_input, nb::arg("name"), nb::arg("dtype"), nb::arg("ring"),
           nb::arg("bell").none(), nb::arg("needs"), nb::arg("hop"))
      .def("add_output", &PyLoop::add_output, nb::arg("name"), nb::arg("dtype"), nb::arg("ring"),
           nb::arg("bell").none())
      .def("recover", &PyLoop::recover)
      .def("run", &PyLoop::run, nb::arg("doorbell"), nb::arg("strategy"), nb::arg("for_ns"))
      .def("turn", &PyLoop::turn)
      .def_prop_ro("steps", &PyLoop::steps);
}

}  // namespace bot4::binding
