#include "../replay.hpp"

#include <nanobind/stl/vector.h>

#include <optional>

#include "kernel.hpp"

namespace bot4::binding {

namespace {

/// Memory of its own for one group of cells, aligned as in a segment.
class Group {
 public:
  Group(std::uint64_t count, std::size_t record_bytes)
      : lines_(shm::CellsHeader::bytes(count, record_bytes) / sizeof(Line)) {
    auto* cells = header();
    cells->count = count;
    cells->record_bytes = record_bytes;
  }
  shm::CellsHeader* header() { return reinterpret_cast<shm::CellsHeader*>(lines_.data()); }

 private:
  struct alignas(shm::kCacheLine) Line {
    unsigned char bytes[shm::kCacheLine];
  };
  std::vector<Line> lines_;
};

class PyReplay {
 public:
  /// `groups`: (name, dtype, count) each; `inputs`, `outputs`: (name, dtype) each.
  PyReplay(nb::object kernel, nb::handle groups, nb::handle inputs, nb::handle outputs)
      : group_types_(named(groups)), inputs_(named(inputs)), outputs_(named(outputs)) {
    std::vector<shm::CellsHeader*> headers;
    std::vector<nb::object> owners;
    for (const nb::handle group : groups) {
      auto memory = std::make_unique<Group>(nb::cast<std::uint64_t>(group[2]),
                                            RecordType(group[1]).bytes());
      memory_.push_back(memory.get());
      headers.push_back(memory->header());
      // Views that a Python kernel keeps may outlive this object; each owns a share of the memory.
      owners.push_back(nb::capsule(memory.release(), [](void* group) noexcept {
        delete static_cast<Group*>(group);
      }));
    }
    owners_ = owners;
    std::vector<std::size_t> bytes;
    for (const Named& output : outputs_) bytes.push_back(RecordType(output.dtype).bytes());
    kernel_.emplace(std::move(kernel), inputs_, outputs_, group_types_, std::move(owners));
    replay_.emplace(*kernel_->kernel, std::move(headers), std::move(bytes));
  }

  /// Runs the steps of `contexts`; `inputs[i]` are the records of ring i from sequence `first[i]` on.
  void run(nb::handle contexts, nb::handle inputs, std::vector<std::uint64_t> first) {
    run_in_batches(contexts, inputs, std::move(first), 1, nullptr);
  }

  /// The same in batches of so many steps; returns how long each took with its commit, in ns.
  std::vector<std::int64_t> time(nb::handle contexts, nb::handle inputs,
                                 std::vector<std::uint64_t> first, std::size_t batch) {
    std::vector<std::int64_t> took;
    run_in_batches(contexts, inputs, std::move(first), std::max<std::size_t>(1, batch), &took);
    return took;
  }

 private:
  void run_in_batches(nb::handle contexts, nb::handle inputs, std::vector<std::uint64_t> first,
                      std::size_t batch, std::vector<std::int64_t>* took) {
    Py_buffer view;
    if (PyObject_GetBuffer(contexts.ptr(), &view, PyBUF_C_CONTIGUOUS) != 0) throw nb::python_error();
    const Buffer steps(view, sizeof(Context), "contexts");
    std::vector<Buffer> records;
    records.reserve(inputs_.size());
    std::size_t i = 0;
    for (const nb::handle input : inputs) {
      if (PyObject_GetBuffer(input.ptr(), &view, PyBUF_C_CONTIGUOUS) != 0) throw nb::python_error();
      records.emplace_back(view, RecordType(inputs_.at(i).dtype).bytes(), text(inputs_[i].name));
      ++i;
    }
    if (records.size() != inputs_.size() || first.size() != inputs_.size())
      fail("ArgumentError", "a replay needs the records of each of its " +
                                std::to_string(inputs_.size()) + " input rings");
    if (took != nullptr) {
      took->reserve(steps.count / batch + 1);
      replay_->reserve(steps.count);
    }
    std::int64_t began = 0;
    for (std::size_t n = 0; n < steps.count; ++n) {
      Context context;
      std::memcpy(&context, steps.record(n), sizeof context);
      const void* input = nullptr;
      if (context.source != Context::kTick) {
        if (context.source >= records.size())
          fail("RecordError", "context of step " + std::to_string(context.step) + " has source " +
                                  std::to_string(context.source) + ", the stage has " +
                                  std::to_string(records.size()) + " inputs");
        const Buffer& ring = records[context.source];
        const std::uint64_t place = context.sequence - first[context.source];
        if (place >= ring.count)
          fail("RecordError", "step " + std::to_string(context.step) + " took record " +
                                  std::to_string(context.sequence) + " of " +
                                  text(inputs_[context.source].name) + ", which was not given");
        input = ring.record(place);
      }
      if (took != nullptr && n % batch == 0) began = shm::monotonic_ns();
      replay_->run(context, input);
      if ((n + 1) % batch != 0 && n + 1 != steps.count) continue;
      replay_->commit(context.step);
      if (took != nullptr) took->push_back(shm::monotonic_ns() - began);
    }
  }

 public:

  /// What was emitted to a ring since the last call, as bytes of records one behind the other.
  nb::bytes take(std::size_t ring) {
    const std::vector<unsigned char> records = replay_->take(ring);
    return nb::bytes(records.data(), records.size());
  }

  /// The committed records of a group of cells, as bytes.
  nb::bytes state(std::size_t group) {
    shm::CellsHeader* cells = memory_.at(group)->header();
    std::string records;
    for (std::uint64_t i = 0; i < cells->count; ++i)
      records.append(
          reinterpret_cast<const char*>(cells->slot(i, cells->current(i, replay_->committed()))),
          cells->record_bytes);
    return nb::bytes(records.data(), records.size());
  }

 private:
  struct Buffer {
    Buffer(Py_buffer buffer, std::size_t record_bytes, const std::string& what)
        : view(buffer), bytes(record_bytes), count(static_cast<std::size_t>(buffer.len) / record_bytes) {
      if (static_cast<std::size_t>(buffer.len) % record_bytes != 0)
        fail("RecordError", what + " were " + std::to_string(buffer.len) +
                                " bytes, must be records of " + std::to_string(record_bytes));
    }
    Buffer(const Buffer&) = delete;
    Buffer(Buffer&& other) noexcept : view(other.view), bytes(other.bytes), count(other.count) {
      other.view = {};
    }
    ~Buffer() { PyBuffer_Release(&view); }
    const void* record(std::size_t i) const {
      return static_cast<const unsigned char*>(view.buf) + i * bytes;
    }
    mutable Py_buffer view;
    std::size_t bytes;
    std::size_t count;
  };

  std::vector<Named> group_types_, inputs_, outputs_;
  std::vector<Group*> memory_;
  std::vector<nb::object> owners_;  // of that memory
  std::optional<HeldKernel> kernel_;
  std::optional<Replay> replay_;
};

}  // namespace

void bind_replay(nb::module_& module) {
  nb::class_<PyReplay>(module, "Replay")
      .def(nb::init<nb::object, nb::handle, nb::handle, nb::handle>(), nb::arg("kernel"),
           nb::arg("groups"), nb::arg("inputs"), nb::arg("outputs"))
      .def("run", &PyReplay::run, nb::arg("contexts"), nb::arg("inputs"), nb::arg("first"))
      .def("time", &PyReplay::time, nb::arg("contexts"), nb::arg("inputs"), nb::arg("first"),
           nb::arg("batch"))
      .def("take", &PyReplay::take, nb::arg("ring"))
      .def("state", &PyReplay::state, nb::arg("group"));
}

}  // namespace bot4::binding
