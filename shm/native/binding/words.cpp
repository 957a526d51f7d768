#include "common.hpp"

namespace bot4::binding {

using shm::PaddedWord;

namespace {

/// Named atomic words, each on its own cache line, for any number of readers and writers. All
/// operations are sequentially consistent: these are control words, not a hot path.
class PyWords : public Role {
 public:
  PyWords(std::string name, nb::handle mapping, std::uint64_t offset, nb::tuple names)
      : Role(std::move(name), mapping, offset, names.size() * sizeof(PaddedWord), nb::none()),
        names_(std::move(names)) {}

  std::uint64_t load(nb::handle word) { return at(word).load(); }
  // The numbers first: turning an object into one may run code that closes this.
  void store(nb::handle word, nb::handle value) {
    const std::uint64_t desired = number(value);
    at(word).store(desired);
  }
  std::uint64_t fetch_add(nb::handle word, nb::handle n) {
    const std::uint64_t more = number(n);
    return at(word).fetch_add(more);
  }
  std::uint64_t compare_and_swap(nb::handle word, nb::handle expected, nb::handle desired) {
    std::uint64_t seen = number(expected);
    const std::uint64_t wanted = number(desired);
    at(word).compare_exchange_strong(seen, wanted);
    return seen;
  }

 private:
  shm::Word& at(nb::handle word) {
    const std::size_t index = names_.index(name(), word);
    check_open();
    return memory().as<PaddedWord>()[index].value;
  }
  std::uint64_t number(nb::handle value) const {
    return unsigned_word(value, name() + ": a value");
  }

  Names names_;
};

}  // namespace

void bind_words(nb::module_& module) {
  bind_role<PyWords>(module, "Words")
      .def(nb::init<std::string, nb::handle, std::uint64_t, nb::tuple>())
      .def("load", &PyWords::load, nb::arg("word").none())
      .def("store", &PyWords::store, nb::arg("word").none(), nb::arg("value").none())
      .def("fetch_add", &PyWords::fetch_add, nb::arg("word").none(), nb::arg("n").none())
      .def("compare_and_swap", &PyWords::compare_and_swap, nb::arg("word").none(),
           nb::arg("expected").none(), nb::arg("desired").none());
}

}  // namespace bot4::binding
