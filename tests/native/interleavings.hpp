// Runs several actors over the real headers in every order of their accesses to shared words.
//
// To be included before any header of shm/native: the word of the headers becomes one that hands
// over to a scheduler before each access. Each actor is a fiber. The search is depth first; what an
// access has changed (words, the actor's stack) is put back when the search goes back beyond it.
//
// Two reductions, both exact. An access to a word that only one actor touches, or that all only
// read, commutes with everything, so nobody is let in before it; which words these are is found by
// the search itself, which begins again whenever it turns out that a word is shared after all. And
// a state that has been visited is not gone on from again: the words' contents, and for each actor
// what its accesses have returned so far, which is all that it knows.
//
// The order is that of one access after the other (sequential consistency): what the memory orders
// promise beyond that is ThreadSanitizer's concern, in the programs with threads.
#pragma once

#include <algorithm>
#include <atomic>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <ucontext.h>

namespace bot4::test {

class Search;

/// What the headers take for std::atomic<std::uint64_t>.
class ScheduledWord {
 public:
  static constexpr bool is_always_lock_free = true;
  using Order = std::memory_order;

  std::uint64_t load(Order = std::memory_order_seq_cst) const;
  void store(std::uint64_t value, Order = std::memory_order_seq_cst);
  std::uint64_t fetch_add(std::uint64_t n, Order = std::memory_order_seq_cst);
  std::uint64_t fetch_or(std::uint64_t bits, Order = std::memory_order_seq_cst);
  std::uint64_t exchange(std::uint64_t value, Order = std::memory_order_seq_cst);
  bool compare_exchange_strong(std::uint64_t& expected, std::uint64_t wanted,
                               Order = std::memory_order_seq_cst,
                               Order = std::memory_order_seq_cst);
  bool compare_exchange_weak(std::uint64_t& expected, std::uint64_t wanted,
                             Order = std::memory_order_seq_cst,
                             Order = std::memory_order_seq_cst) {
    return compare_exchange_strong(expected, wanted);
  }
  operator std::uint64_t() const { return load(); }
  std::uint64_t operator=(std::uint64_t value) {
    store(value);
    return value;
  }

 private:
  friend class Search;
  std::uint64_t value_;
};

class Search {
 public:
  /// `words`: all that the actors share. It is put back to what it is now in the end.
  Search(ScheduledWord* words, std::size_t count)
      : words_(words), count_(count), access_(count), shared_(count) {
    current = this;
  }
  ~Search() { current = nullptr; }
  Search(const Search&) = delete;
  Search& operator=(const Search&) = delete;

  /// `local`: what the actor has beside its stack. Both are copied, so neither may own anything.
  void add(std::function<void()> actor, std::span<unsigned char> local) {
    fibers_.push_back(std::make_unique<Fiber>());
    fibers_.back()->body = std::move(actor);
    fibers_.back()->local = local;
  }

  /// A word that is only added to, by actors that do not look at the sum: an order of additions is
  /// as good as another. Ends the program if somebody does look.
  void only_adds_up(const ScheduledWord& word) { sum_ = &word; }

  /// Leaves out orders in which actors are interrupted more often than that, all of them together.
  void allow_interruptions(unsigned most) { most_interruptions_ = most; }

  struct Size {
    std::uint64_t states = 0;
    std::uint64_t choices = 0;  // from a state to the next
    std::uint64_t ends = 0;     // states in which all actors were done
    unsigned shared_words = 0;
  };

  /// Calls `begin` before the actors start, `observe(word, before, after, actor)` at each change of
  /// a word, and `end` in each state in which all are done. Stops when `failed()`.
  template <class Begin, class Observe, class End, class Failed>
  Size explore(Begin begin, Observe observe, End end, Failed failed) {
    observe_ = observe;
    for (;;) {
      Size size;
      again_ = false;
      visited_.clear();
      begin();
      start();
      for (bool goes_on = true; goes_on && !again_ && !failed();) {
        if (!visited_.insert(state())) {
          goes_on = go_back();
        } else if (all_are_done()) {
          ++size.ends;
          const std::size_t writes = writes_.size();
          end();
          undo(writes);
          goes_on = go_back();
        } else {
          go(able_to_go_on());
        }
        ++size.choices;
      }
      path_.clear();
      saved_.clear();
      undo(0);
      if (again_ && !failed()) continue;  // a word was found to be shared
      size.states = visited_.size();
      for (const char is : shared_) size.shared_words += is != 0;
      return size;
    }
  }

  static inline Search* current = nullptr;

 private:
  friend class ScheduledWord;

  static constexpr std::size_t kStack = 64 * 1024;
  static constexpr unsigned kNobody = ~0u, kUnlimited = ~0u;

  struct Fiber {
    std::function<void()> body;
    std::span<unsigned char> local;
    std::unique_ptr<unsigned char[]> stack = std::make_unique<unsigned char[]>(kStack);
    ucontext_t context{};
    std::jmp_buf start{};
    bool is_new = true;
    struct State {
      std::jmp_buf here;
      unsigned char* lowest;  // of the stack's bytes that are in use
      std::uint64_t history;  // of what its accesses have returned
      bool is_done;
    } state{};

    std::span<unsigned char> used() const {
      return {state.lowest, static_cast<std::size_t>(stack.get() + kStack - state.lowest)};
    }
  };
  struct Choice {
    unsigned chosen;
    unsigned left;  // bit i: actor i is to be tried, too
    std::size_t saved, writes;
    std::uint64_t memory;
    unsigned last, interruptions;
  };
  struct Write {
    std::size_t index;
    std::uint64_t before;
  };

  /// Hashes of states. 64 bits: with millions of them, one in a million searches takes two for one.
  class Visited {
   public:
    void clear() {
      slots_.assign(1 << 16, 0);
      size_ = 0;
    }
    bool insert(std::uint64_t hash) {
      if (hash == 0) hash = 1;
      if (2 * size_ > slots_.size()) grow();
      return put(hash);
    }
    std::uint64_t size() const { return size_; }

   private:
    bool put(std::uint64_t hash) {
      const std::size_t mask = slots_.size() - 1;
      std::size_t at = hash & mask;
      for (; slots_[at] != 0; at = (at + 1) & mask)
        if (slots_[at] == hash) return false;
      slots_[at] = hash;
      ++size_;
      return true;
    }
    void grow() {
      std::vector<std::uint64_t> old(4 * slots_.size(), 0);
      old.swap(slots_);
      size_ = 0;
      for (const std::uint64_t hash : old)
        if (hash != 0) put(hash);
    }

    std::vector<std::uint64_t> slots_;
    std::uint64_t size_ = 0;
  };

  static std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
    std::uint64_t x = a * 0x9e3779b97f4a7c15u ^ (b + 0x7f4a7c159e3779b9u);
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
  }

  // --- Fibers ---

  [[gnu::noinline]] void enter(Fiber& fiber) {
    if (_setjmp(scheduler_) != 0) return;
    if (fiber.is_new) {
      fiber.is_new = false;
      getcontext(&fiber.context);
      fiber.context.uc_stack.ss_sp = fiber.stack.get();
      fiber.context.uc_stack.ss_size = kStack;
      makecontext(&fiber.context, &Search::live, 0);
      setcontext(&fiber.context);
    }
    _longjmp(fiber.state.here, 1);
  }
  [[gnu::noinline]] void leave(Fiber& fiber) {
    // With what the compiler puts below the frame.
    fiber.state.lowest = static_cast<unsigned char*>(__builtin_frame_address(0)) - 512;
    if (_setjmp(fiber.state.here) == 0) _longjmp(scheduler_, 1);
  }
  /// Begins again when it is told to, without unwinding.
  static void live() {
    _setjmp(current->fibers_[current->running_]->start);
    current->act();
    std::abort();  // a fiber that is done is not entered again
  }
  [[gnu::noinline]] void act() {
    Fiber& fiber = *fibers_[running_];
    fiber.body();
    fiber.state.is_done = true;
    leave(fiber);
  }

  // --- The search ---

  void start() {
    memory_ = 0;
    last_ = kNobody;
    interruptions_ = 0;
    for (unsigned i = 0; i < fibers_.size(); ++i) {
      Fiber& fiber = *fibers_[i];
      fiber.state.history = 0;
      fiber.state.is_done = false;
      std::memcpy(&fiber.state.here, &fiber.start, sizeof fiber.start);
      // Up to its first access to a shared word each is alone with itself.
      advance(i);
    }
  }

  void advance(unsigned actor) {
    running_ = actor;
    enter(*fibers_[actor]);
    running_ = kNobody;
  }

  bool all_are_done() const {
    return std::all_of(fibers_.begin(), fibers_.end(),
                       [](const auto& fiber) { return fiber->state.is_done; });
  }
  bool may_go_on(unsigned actor) const {
    return actor != kNobody && !fibers_[actor]->state.is_done;
  }
  unsigned able_to_go_on() const {
    if (interruptions_ == most_interruptions_ && may_go_on(last_)) return 1u << last_;
    unsigned able = 0;
    for (unsigned i = 0; i < fibers_.size(); ++i)
      if (!fibers_[i]->state.is_done) able |= 1u << i;
    return able;
  }
  std::uint64_t state() const {
    std::uint64_t state = memory_;
    if (most_interruptions_ != kUnlimited) state = mix(mix(state, last_), interruptions_);
    for (const auto& fiber : fibers_) state = mix(state, fiber->state.history);
    return state;
  }

  /// Lets the first of `able` make its access; the others are for later.
  void go(unsigned able) {
    const auto chosen = static_cast<unsigned>(__builtin_ctz(able));
    path_.push_back({chosen, able & (able - 1), saved_.size(), writes_.size(), memory_, last_,
                     interruptions_});
    interruptions_ += chosen != last_ && may_go_on(last_);
    last_ = chosen;
    const Fiber& fiber = *fibers_[chosen];
    save(&fiber.state, sizeof fiber.state);
    save(fiber.local.data(), fiber.local.size());
    save(fiber.used().data(), fiber.used().size());
    advance(chosen);
  }

  /// Back to the last choice that has an alternative, and on with that; false if there is none.
  bool go_back() {
    while (!path_.empty()) {
      const Choice last = path_.back();
      path_.pop_back();
      Fiber& fiber = *fibers_[last.chosen];
      const unsigned char* from = saved_.data() + last.saved;
      std::memcpy(&fiber.state, from, sizeof fiber.state);
      from += sizeof fiber.state;
      std::memcpy(fiber.local.data(), from, fiber.local.size());
      from += fiber.local.size();
      std::memcpy(fiber.used().data(), from, fiber.used().size());
      saved_.resize(last.saved);
      undo(last.writes);
      memory_ = last.memory;
      last_ = last.last;
      interruptions_ = last.interruptions;
      if (last.left == 0) continue;
      go(last.left);
      return true;
    }
    return false;
  }

  void save(const void* bytes, std::size_t count) {
    const auto* first = static_cast<const unsigned char*>(bytes);
    saved_.insert(saved_.end(), first, first + count);
  }

  void undo(std::size_t until) {
    for (; writes_.size() > until; writes_.pop_back())
      words_[writes_.back().index].value_ = writes_.back().before;
  }

  // --- Accesses ---

  /// Before an access; returns whether it is one that others can tell the order of.
  bool before(const ScheduledWord* word, bool writes, bool adds = false) {
    const auto index = static_cast<std::size_t>(word - words_);
    if (running_ == kNobody || index >= count_) return false;
    if (word == sum_) {
      if (!adds) std::abort();
      return false;
    }
    Access& access = access_[index];
    const auto me = static_cast<unsigned char>(1u << running_);
    access.all |= me;
    if (writes) access.writers |= me;
    if (!shared_[index] && access.writers != 0 && (access.all & (access.all - 1)) != 0) {
      shared_[index] = 1;
      again_ = true;
    }
    if (!shared_[index]) return false;
    if (!again_) leave(*fibers_[running_]);
    return true;
  }
  void after(bool is_shared, std::uint64_t returned) {
    if (!is_shared) return;
    std::uint64_t& history = fibers_[running_]->state.history;
    history = mix(history + 1, returned);
  }
  void wrote(const ScheduledWord* word, std::uint64_t before, std::uint64_t after) {
    const auto index = static_cast<std::size_t>(word - words_);
    if (index >= count_) return;
    writes_.push_back({index, before});
    if (running_ == kNobody) return;
    // The sum is the same in the end, and nobody looks before.
    if (word == sum_) return;
    if (before != after) memory_ ^= mix(index, before) ^ mix(index, after);
    observe_(word, before, after, running_);
  }

  struct Access {
    unsigned char all = 0, writers = 0;  // bit i: actor i
  };

  ScheduledWord* words_;
  std::size_t count_;
  std::vector<Access> access_;
  std::vector<char> shared_;
  const ScheduledWord* sum_ = nullptr;
  std::vector<std::unique_ptr<Fiber>> fibers_;
  std::function<void(const ScheduledWord*, std::uint64_t, std::uint64_t, unsigned)> observe_;
  Visited visited_;
  std::vector<Choice> path_;
  std::vector<unsigned char> saved_;  // what choices have changed, beside the words
  std::vector<Write> writes_;
  std::jmp_buf scheduler_{};
  std::uint64_t memory_ = 0;
  unsigned running_ = kNobody, last_ = kNobody;
  unsigned interruptions_ = 0, most_interruptions_ = kUnlimited;
  bool again_ = false;
};

inline std::uint64_t ScheduledWord::load(Order) const {
  if (Search* const search = Search::current) {
    const bool shared = search->before(this, false);
    search->after(shared, value_);
  }
  return value_;
}
inline void ScheduledWord::store(std::uint64_t value, Order) {
  if (Search* const search = Search::current) {
    const bool shared = search->before(this, true);
    search->after(shared, 0);
    search->wrote(this, value_, value);
  }
  value_ = value;
}
inline std::uint64_t ScheduledWord::exchange(std::uint64_t value, Order) {
  bool shared = false;
  Search* const search = Search::current;
  if (search != nullptr) shared = search->before(this, true);
  const std::uint64_t was = value_;
  if (search != nullptr) {
    search->after(shared, was);
    search->wrote(this, was, value);
  }
  value_ = value;
  return was;
}
inline std::uint64_t ScheduledWord::fetch_add(std::uint64_t n, Order) {
  bool shared = false;
  Search* const search = Search::current;
  if (search != nullptr) shared = search->before(this, true, true);
  const std::uint64_t was = value_;
  if (search != nullptr) {
    search->after(shared, was);
    search->wrote(this, was, was + n);
  }
  value_ = was + n;
  return was;
}
inline std::uint64_t ScheduledWord::fetch_or(std::uint64_t bits, Order) {
  bool shared = false;
  Search* const search = Search::current;
  if (search != nullptr) shared = search->before(this, true);
  const std::uint64_t was = value_;
  if (search != nullptr) {
    search->after(shared, was);
    search->wrote(this, was, was | bits);
  }
  value_ = was | bits;
  return was;
}
inline bool ScheduledWord::compare_exchange_strong(std::uint64_t& expected, std::uint64_t wanted,
                                                   Order, Order) {
  bool shared = false;
  Search* const search = Search::current;
  if (search != nullptr) shared = search->before(this, true);
  const bool swapped = value_ == expected;
  if (search != nullptr) {
    search->after(shared, value_);
    if (swapped) search->wrote(this, value_, wanted);
  }
  if (swapped) value_ = wanted;
  else expected = value_;
  return swapped;
}

}  // namespace bot4::test

#define BOT4_WORD ::bot4::test::ScheduledWord
