// Fields of a struct as data, so that the numpy dtype of a record is derived from its definition.
//
//     struct Quote { std::int64_t bid; std::int64_t ask; double mid; };
//     BOT4_DESCRIBE(Quote, bid, ask, mid)
//
// At global scope; describe<Quote>() then gives each field's name, numpy format, count and
// offset. Padding needs no mention, fields that Python should see do.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

namespace bot4::shm {

struct Field {
  const char* name;
  const char* format;  // numpy's, e.g. "<u8"; "S" for text, whose length is `count`
  std::size_t count;   // elements; 1 for a scalar
  std::size_t offset;  // bytes
};

template <class T>
struct Element {
  using type = T;
  static constexpr std::size_t count = 1;
};
template <class T, std::size_t N>
struct Element<T[N]> {
  using type = T;
  static constexpr std::size_t count = N;
};

template <class T>
struct Plain {
  using type = T;
};
template <class T>
struct Plain<std::atomic<T>> {
  using type = T;
};

template <class T>
constexpr const char* format_of() {
  if constexpr (std::is_enum_v<T>) return format_of<std::underlying_type_t<T>>();
  else if constexpr (std::is_same_v<T, char>) return "S";
  else if constexpr (std::is_same_v<T, double>) return "<f8";
  else if constexpr (std::is_same_v<T, float>) return "<f4";
  else if constexpr (std::is_same_v<T, std::uint64_t>) return "<u8";
  else if constexpr (std::is_same_v<T, std::int64_t>) return "<i8";
  else if constexpr (std::is_same_v<T, std::uint32_t>) return "<u4";
  else if constexpr (std::is_same_v<T, std::int32_t>) return "<i4";
  else if constexpr (std::is_same_v<T, std::uint16_t>) return "<u2";
  else if constexpr (std::is_same_v<T, std::int16_t>) return "<i2";
  else if constexpr (std::is_same_v<T, std::uint8_t>) return "|u1";
  else if constexpr (std::is_same_v<T, std::int8_t>) return "|i1";
  else static_assert(sizeof(T) == 0, "a field of this type has no numpy format");
}

template <class Member>
constexpr Field field(const char* name, std::size_t offset) {
  using E = Element<Member>;
  return {name, format_of<typename Plain<typename E::type>::type>(), E::count, offset};
}

/// "price" of "header.price": a nested struct's fields are listed as the record's own.
constexpr const char* last_part(const char* member) {
  const char* part = member;
  for (const char* c = member; *c != 0; ++c)
    if (*c == '.') part = c + 1;
  return part;
}

template <class Struct>
struct Description;  // specialised by BOT4_DESCRIBE

template <class Struct>
constexpr const auto& describe() {
  return Description<Struct>::fields;
}

}  // namespace bot4::shm

// A recursive FOR_EACH: each BOT4_EXPAND level rescans four times, which allows for 64 fields.
#define BOT4_PARENS ()
#define BOT4_EXPAND(...) BOT4_EXPAND3(BOT4_EXPAND3(BOT4_EXPAND3(BOT4_EXPAND3(__VA_ARGS__))))
#define BOT4_EXPAND3(...) BOT4_EXPAND2(BOT4_EXPAND2(BOT4_EXPAND2(BOT4_EXPAND2(__VA_ARGS__))))
#define BOT4_EXPAND2(...) BOT4_EXPAND1(BOT4_EXPAND1(BOT4_EXPAND1(BOT4_EXPAND1(__VA_ARGS__))))
#define BOT4_EXPAND1(...) __VA_ARGS__
#define BOT4_EACH_FIELD(type, member, ...)                                                   \
  ::bot4::shm::field<decltype(std::declval<type>().member)>(::bot4::shm::last_part(#member), \
                                                            offsetof(type, member)),         \
      __VA_OPT__(BOT4_NEXT_FIELD BOT4_PARENS(type, __VA_ARGS__))
#define BOT4_NEXT_FIELD() BOT4_EACH_FIELD

#define BOT4_DESCRIBE(type, ...)                                     \
  template <>                                                        \
  struct bot4::shm::Description<type> {                              \
    static_assert(std::is_standard_layout_v<type>);                  \
    static constexpr auto fields =                                   \
        std::to_array<::bot4::shm::Field>({BOT4_EXPAND(BOT4_EACH_FIELD(type, __VA_ARGS__))}); \
  };
