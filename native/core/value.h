// A value on its way from the caller to the memtable and the journal.
//
// A large one is copied once, into memory that all who keep it share: the memtable's version and
// the journal's frame that waits to be written. Small ones are copied by everybody, which is
// cheaper than counting references.
#pragma once

#include <concepts>
#include <memory>

#include "core/bytes.h"

namespace hotbolt {

// From here on values are shared.
inline constexpr size_t kSharedValueSize = 64 << 10;

struct Value {
  Value() = default;
  // Bytes that somebody else owns: who keeps them longer than a call copies them.
  template <std::convertible_to<Bytes> Text>
  Value(const Text& bytes) : bytes(bytes) {}
  // Bytes in memory of their own, which never change.
  Value(Bytes bytes, std::shared_ptr<const char[]> memory)
      : bytes(bytes), memory(std::move(memory)) {}

  bool is_shared() const { return memory != nullptr; }
  // The same bytes as those who keep them want them: a large value that is not shared yet is
  // copied.
  Value kept() const {
    if (is_shared() || bytes.size() < kSharedValueSize) return *this;
    std::unique_ptr<char[]> copy(new char[bytes.size()]);
    std::memcpy(copy.get(), bytes.data(), bytes.size());
    return {Bytes(copy.get(), bytes.size()), std::shared_ptr<const char[]>(std::move(copy))};
  }

  Bytes bytes;
  std::shared_ptr<const char[]> memory;  // nullptr: not shared
};

}  // namespace hotbolt
