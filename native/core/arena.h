// Memory that is taken in small pieces and given back all at once: what a memtable is made of.
//
// Chunks start at 4 KiB and double up to 1 MiB, so that a store with ten records costs one page and
// a busy one few calls of the allocator. What is larger than a quarter of the next chunk gets an
// allocation of its own, so that it cannot waste the rest of a chunk. Destructors of what is made
// here never run. Not thread-safe.
#pragma once

#include <cstddef>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/memory.h"

namespace hotbolt {

class Arena {
 public:
  // Uninitialised, aligned to 8.
  char* allocate(size_t size) {
    size = (size + 7) & ~size_t{7};
    bytes_ += size;
    if (size > left_) return allocate_elsewhere(size);
    char* piece = next_;
    next_ += size;
    left_ -= size;
    return piece;
  }

  template <typename T, typename... Arguments>
  T* make(Arguments&&... arguments) {
    static_assert(std::is_trivially_destructible_v<T> && alignof(T) <= 8);
    return new (allocate(sizeof(T))) T{std::forward<Arguments>(arguments)...};
  }

  // Of all pieces, alignment included; the unused rest of chunks not.
  size_t bytes() const noexcept { return bytes_; }

 private:
  static constexpr size_t kChunkSizeMin = 4 << 10;
  static constexpr size_t kChunkSizeMax = 1 << 20;

  struct GiveBack {
    size_t size = 0;
    void operator()(char* chunk) const noexcept { free_bytes(chunk, size); }
  };
  using Chunk = std::unique_ptr<char[], GiveBack>;

  char* allocate_elsewhere(size_t size) {
    const bool alone = size > next_chunk_size_ / 4;
    const size_t chunk_size = alone ? size : next_chunk_size_;
    Chunk fresh(allocate_bytes(chunk_size), GiveBack{chunk_size});
    char* chunk = fresh.get();
    chunks_.push_back(std::move(fresh));
    if (next_chunk_size_ < kChunkSizeMax) next_chunk_size_ *= 2;
    if (alone) return chunk;
    next_ = chunk + size;
    left_ = chunk_size - size;
    return chunk;
  }

  std::vector<Chunk> chunks_;
  char* next_ = nullptr;
  size_t left_ = 0;
  size_t next_chunk_size_ = kChunkSizeMin;
  size_t bytes_ = 0;
};

}  // namespace hotbolt
