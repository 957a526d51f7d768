// A cursor over JSON of a known shape.
//
// It reads what venues send: no blanks, text in plain ASCII without escapes, numbers without exponents.
// Every function is false on anything else, and then the message is not ours: the library parser gets
// it. So nothing may be done before a message is read to its end. What is true here is JSON.
#pragma once

#include <algorithm>
#include <cstring>
#include <string_view>

#include "decimal.hpp"

namespace bot4 {

class Cursor {
 public:
  explicit Cursor(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}

  bool at_end() const { return at_ == end_; }
  char peek() const { return at_ == end_ ? '\0' : *at_; }

  bool take(char wanted) {
    if (at_ == end_ || *at_ != wanted) return false;
    ++at_;
    return true;
  }

  bool text(std::string_view& out) {
    if (!take('"')) return false;
    const char* const first = at_;
    for (; at_ != end_; ++at_) {
      if (*at_ == '"') {
        out = {first, static_cast<std::size_t>(at_++ - first)};
        return true;
      }
      if (*at_ < ' ' || *at_ > '~' || *at_ == '\\') return false;  // char: bytes above 127 are below ' '
    }
    return false;
  }

  /// A whole number from 0, of at most 18 digits.
  bool whole(std::uint64_t& out) {
    Decimal number;
    if (!scan_decimal(at_, end_, number) || number.decimals != 0) return false;
    out = number.digits;
    return ends_number();
  }

  bool signed_whole(std::int64_t& out) {
    const bool negative = take('-');
    std::uint64_t magnitude;
    if (!whole(magnitude) || (negative && magnitude == 0)) return false;
    out = negative ? -static_cast<std::int64_t>(magnitude) : static_cast<std::int64_t>(magnitude);
    return true;
  }

  bool number(Decimal& out) { return scan_decimal(at_, end_, out) && ends_number(); }

  /// A decimal in quotes.
  bool quoted(Decimal& out) { return take('"') && scan_decimal(at_, end_, out) && take('"'); }

  /// A whole number in quotes.
  bool quoted_whole(std::uint64_t& out) {
    Decimal number;
    if (!quoted(number) || number.decimals != 0) return false;
    out = number.digits;
    return true;
  }

  bool boolean(bool& out) {
    if (literal("true")) return out = true;
    out = false;
    return literal("false");
  }

  /// `member(key)` has to read the value.
  template <class Member>
  bool object(Member&& member) {
    if (!take('{')) return false;
    if (take('}')) return true;
    do {
      std::string_view key;
      if (!text(key) || !take(':') || !member(key)) return false;
    } while (take(','));
    return take('}');
  }

  template <class Element>
  bool array(Element&& element) {
    if (!take('[')) return false;
    if (take(']')) return true;
    do {
      if (!element()) return false;
    } while (take(','));
    return take(']');
  }

  /// Any value.
  bool skip(unsigned depth = 0) {
    constexpr unsigned kDeepest = 32;
    std::string_view ignored;
    switch (peek()) {
      case '"': return text(ignored);
      case '{': return depth < kDeepest && object([&](std::string_view) { return skip(depth + 1); });
      case '[': return depth < kDeepest && array([&] { return skip(depth + 1); });
      case 't': return literal("true");
      case 'f': return literal("false");
      case 'n': return literal("null");
      default: return skip_number();
    }
  }

 private:
  bool literal(std::string_view wanted) {
    if (static_cast<std::size_t>(end_ - at_) < wanted.size() ||
        std::memcmp(at_, wanted.data(), wanted.size()) != 0)
      return false;
    at_ += wanted.size();
    return true;
  }

  /// A number must not go on as one that is not ours: 1e5 is not 1.
  bool ends_number() const { return peek() == ',' || peek() == '}' || peek() == ']'; }

  bool digits() {
    const char* const first = at_;
    while (at_ != end_ && *at_ >= '0' && *at_ <= '9') ++at_;
    return at_ != first;
  }

  bool skip_number() {
    constexpr std::ptrdiff_t kLongest = 64;
    const char* const first = at_;
    take('-');
    if (!take('0') && !digits()) return false;
    if (take('.') && !digits()) return false;
    return ends_number() && at_ - first <= kLongest;
  }

  const char* at_;
  const char* end_;
};

/// The keys of an object that may come once. The library takes the last of two: it shall decide.
class Seen {
 public:
  bool once(unsigned bit) {
    const std::uint32_t flag = std::uint32_t{1} << bit;
    if (flags_ & flag) return false;
    flags_ |= flag;
    return true;
  }
  bool has(unsigned bit) const { return (flags_ >> bit & 1) != 0; }
  template <class... Bits>
  bool all(Bits... bits) const {
    return (has(static_cast<unsigned>(bits)) && ...);
  }

 private:
  std::uint32_t flags_ = 0;
};

}  // namespace bot4
