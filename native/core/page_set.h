// A set of page ids as a bitmap: one bit per page below the high-water mark. One thread at a time.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

namespace hotbolt {

class PageSet {
 public:
  PageSet() = default;
  explicit PageSet(uint64_t size) { resize(size); }

  // Ids in [0, size) may be in the set. Growing adds none; shrinking forgets those beyond.
  void resize(uint64_t size) {
    words_.resize((size + 63) / 64, 0);
    size_ = size;
    if (size % 64 != 0) words_.back() &= (uint64_t{1} << (size % 64)) - 1;
  }
  uint64_t size() const { return size_; }

  bool contains(uint64_t id) const { return id < size_ && (words_[id / 64] >> (id % 64) & 1) != 0; }
  // REQUIRES: id < size().
  void add(uint64_t id) { words_[id / 64] |= uint64_t{1} << (id % 64); }
  void remove(uint64_t id) { words_[id / 64] &= ~(uint64_t{1} << (id % 64)); }

  // The first id >= `from` that is in the set (or is not); size() if there is none.
  uint64_t next(uint64_t from) const { return scan<false>(from); }
  uint64_t next_missing(uint64_t from) const { return scan<true>(from); }

 private:
  template <bool kMissing>
  uint64_t scan(uint64_t from) const {
    if (from >= size_) return size_;
    uint64_t index = from / 64;
    uint64_t word = word_at<kMissing>(index) & (~uint64_t{0} << (from % 64));
    while (word == 0) {
      if (++index == words_.size()) return size_;
      word = word_at<kMissing>(index);
    }
    const uint64_t id = index * 64 + static_cast<uint64_t>(std::countr_zero(word));
    return id < size_ ? id : size_;
  }
  template <bool kMissing>
  uint64_t word_at(uint64_t index) const {
    return kMissing ? ~words_[index] : words_[index];
  }

  std::vector<uint64_t> words_;
  uint64_t size_ = 0;
};

}  // namespace hotbolt
