// Views of bytes, their order, and little-endian loads and stores.
//
// The file format is little-endian always; loads are unaligned on purpose (inline buckets put pages
// at any address).
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>

namespace hotbolt {

static_assert(std::endian::native == std::endian::little, "only little-endian hosts are supported");

// Bytes that somebody else owns. std::string_view compares as unsigned bytes, which is bbolt's key
// order.
using Bytes = std::string_view;

template <typename Integer>
inline Integer load(const void* from) noexcept {
  Integer value;
  std::memcpy(&value, from, sizeof value);
  return value;
}

template <typename Integer>
inline void store(void* to, Integer value) noexcept {
  std::memcpy(to, &value, sizeof value);
}

// The first 8 bytes of a key as a number that sorts like the key (shorter keys are padded with
// zeros, so equal prefixes still need the full comparison).
inline uint64_t key_prefix(Bytes key) noexcept {
  uint64_t prefix = 0;
  std::memcpy(&prefix, key.data(), key.size() < 8 ? key.size() : 8);
  return __builtin_bswap64(prefix);
}

// "0x6b6579", at most 32 bytes of it.
std::string hex(Bytes bytes);
// A key or name for a message: "ada" in quotes when it is printable ASCII, else its hex digits.
std::string quoted(Bytes bytes);

}  // namespace hotbolt
