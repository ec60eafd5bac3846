// A set of page ids below the high-water mark. One thread at a time.
//
// A bitmap in chunks. A chunk that holds none of its ids, or all, has no bits: memory and time go
// by the pages that somebody has dealt with, not by those that a meta claims (a file of a few pages
// may be a sparse one of terabytes). A chunk that has bits keeps them.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <memory>
#include <vector>

namespace hotbolt {

class PageSet {
 public:
  PageSet() = default;
  explicit PageSet(uint64_t size) { resize(size); }

  // Ids in [0, size) may be in the set. Growing adds none; shrinking forgets those beyond.
  void resize(uint64_t size) {
    chunks_.resize((size + kChunkIds - 1) / kChunkIds);
    size_ = size;
    forget_beyond();
  }
  uint64_t size() const { return size_; }

  bool contains(uint64_t id) const {
    return id < size_ && (word_at(id / 64) >> (id % 64) & 1) != 0;
  }
  // REQUIRES: id < size().
  void add(uint64_t id) {
    if (!chunk_of(id).is_full) bits(id / 64) |= uint64_t{1} << (id % 64);
  }
  // Needs no memory where `id` was added by itself.
  void remove(uint64_t id) {
    if (!chunk_of(id).is_empty()) bits(id / 64) &= ~(uint64_t{1} << (id % 64));
  }
  // add() and remove() of these ids need no memory from now on.
  void prepare(uint64_t first, uint64_t count) {
    for (uint64_t id = first; id < first + count; id = (id / kChunkIds + 1) * kChunkIds) {
      bits(id / 64);
    }
  }
  // REQUIRES: first + count <= size().
  void add_run(uint64_t first, uint64_t count) {
    for (uint64_t id = first; id < first + count;) {
      if (id % kChunkIds == 0 && first + count - id >= kChunkIds) {
        chunk_of(id) = {nullptr, true};
        id += kChunkIds;
      } else {
        add(id++);
      }
    }
  }
  void unite(const PageSet& other);  // REQUIRES: equal sizes
  void invert();
  uint64_t count() const;

  // The first id >= `from` that is in the set (or is not; or is in both); size() if there is none.
  uint64_t next(uint64_t from) const {
    return scan(
        from, [this](uint64_t index) { return word_at(index); },
        [](const Chunk& chunk) { return chunk.is_empty(); });
  }
  uint64_t next_missing(uint64_t from) const {
    return scan(
        from, [this](uint64_t index) { return ~word_at(index); },
        [](const Chunk& chunk) { return chunk.is_full; });
  }
  uint64_t next_common(const PageSet& other, uint64_t from) const {
    return scan(
        from, [&](uint64_t index) { return word_at(index) & other.word_at(index); },
        [](const Chunk& chunk) { return chunk.is_empty(); });
  }

 private:
  static constexpr uint64_t kChunkWords = 512;
  static constexpr uint64_t kChunkIds = kChunkWords * 64;
  using Words = std::array<uint64_t, kChunkWords>;

  struct Chunk {
    Chunk() = default;
    Chunk(std::unique_ptr<Words> words, bool full) : words(std::move(words)), is_full(full) {}
    Chunk(const Chunk& other)
        : words(other.words ? std::make_unique<Words>(*other.words) : nullptr),
          is_full(other.is_full) {}
    Chunk(Chunk&&) = default;
    Chunk& operator=(Chunk&&) = default;
    bool is_empty() const { return words == nullptr && !is_full; }

    std::unique_ptr<Words> words;
    bool is_full = false;  // without words, and wholly below size()
  };

  Chunk& chunk_of(uint64_t id) { return chunks_[id / kChunkIds]; }
  uint64_t word_at(uint64_t index) const {
    const uint64_t chunk = index / kChunkWords;
    if (chunk >= chunks_.size()) return 0;
    const Chunk& found = chunks_[chunk];
    if (found.words != nullptr) return (*found.words)[index % kChunkWords];
    return found.is_full ? ~uint64_t{0} : 0;
  }
  uint64_t& bits(uint64_t index) {
    Chunk& chunk = chunks_[index / kChunkWords];
    if (chunk.words == nullptr) {
      chunk.words = std::make_unique<Words>();
      chunk.words->fill(chunk.is_full ? ~uint64_t{0} : 0);
      chunk.is_full = false;
    }
    return (*chunk.words)[index % kChunkWords];
  }
  void forget_beyond();
  template <typename Word, typename Skip>
  uint64_t scan(uint64_t from, Word word_of, Skip skips) const;

  std::vector<Chunk> chunks_;
  uint64_t size_ = 0;
};

inline void PageSet::forget_beyond() {
  if (size_ % kChunkIds == 0 || chunks_.back().is_empty()) return;
  uint64_t index = size_ / 64;
  if (size_ % 64 != 0) bits(index++) &= (uint64_t{1} << (size_ % 64)) - 1;
  for (; index % kChunkWords != 0; index++) bits(index) = 0;
}

inline void PageSet::unite(const PageSet& other) {
  for (size_t i = 0; i < chunks_.size(); i++) {
    const Chunk& added = other.chunks_[i];
    if (added.is_empty() || chunks_[i].is_full) continue;
    if (added.is_full) {
      chunks_[i] = {nullptr, true};
      continue;
    }
    for (uint64_t word = 0; word < kChunkWords; word++) {
      bits(i * kChunkWords + word) |= (*added.words)[word];
    }
  }
}

inline void PageSet::invert() {
  for (Chunk& chunk : chunks_) {
    if (chunk.words == nullptr) {
      chunk.is_full = !chunk.is_full;
    } else {
      for (uint64_t& word : *chunk.words) word = ~word;
    }
  }
  forget_beyond();
}

inline uint64_t PageSet::count() const {
  uint64_t count = 0;
  for (const Chunk& chunk : chunks_) {
    if (chunk.is_full) count += kChunkIds;
    if (chunk.words == nullptr) continue;
    for (const uint64_t word : *chunk.words) count += static_cast<uint64_t>(std::popcount(word));
  }
  return count;
}

template <typename Word, typename Skip>
inline uint64_t PageSet::scan(uint64_t from, Word word_of, Skip skips) const {
  if (from >= size_) return size_;
  const uint64_t end = (size_ + 63) / 64;
  uint64_t index = from / 64;
  uint64_t word = word_of(index) & (~uint64_t{0} << (from % 64));
  while (word == 0) {
    index++;
    while (index % kChunkWords == 0 && index < end && skips(chunks_[index / kChunkWords])) {
      index += kChunkWords;
    }
    if (index >= end) return size_;
    word = word_of(index);
  }
  return std::min(size_, index * 64 + static_cast<uint64_t>(std::countr_zero(word)));
}

}  // namespace hotbolt
