// Memory for what is large and comes and goes: memtables, transactions, journal buffers.
//
// From 1 MiB on it comes from the system itself and goes back to it at once. An allocator keeps
// what is freed between pieces that are in use, and after a few memtables keeps as much as one.
#pragma once

#include <cstddef>
#include <string>

#include "core/file.h"

namespace hotbolt {

inline constexpr size_t kMappedSizeMin = 1 << 20;

// Uninitialised. Throws bad_alloc.
inline char* allocate_bytes(size_t size) {
  return size < kMappedSizeMin ? new char[size] : map_memory(size);
}

inline void free_bytes(char* memory, size_t size) noexcept {
  if (size < kMappedSizeMin)
    delete[] memory;
  else
    unmap_memory(memory, size);
}

// The same as the standard library wants it.
template <typename T>
struct SystemAllocator {
  using value_type = T;
  SystemAllocator() = default;
  template <typename U>
  SystemAllocator(const SystemAllocator<U>&) noexcept {}
  static T* allocate(size_t count) {
    static_assert(sizeof(T) == 1);
    return reinterpret_cast<T*>(allocate_bytes(count));
  }
  static void deallocate(T* memory, size_t count) noexcept {
    free_bytes(reinterpret_cast<char*>(memory), count);
  }
  bool operator==(const SystemAllocator&) const { return true; }
};

using LargeString = std::basic_string<char, std::char_traits<char>, SystemAllocator<char>>;

}  // namespace hotbolt
