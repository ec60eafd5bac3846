// A page of a bbolt file: THE description of the format of branch and leaf pages, and
// bounds-checked views of them.
//
// A file is a row of pages of equal size (1 KiB to 64 KiB, a power of two). A run is one page and
// its overflow pages, contiguous; only the first has a header. All integers are little-endian.
//
//   page header, 16 bytes      id u64 @0 | flags u16 @8 | count u16 @10 | overflow u32 @12
//   branch element, 16 bytes   pos u32 @0 | ksize u32 @4 | child page id u64 @8
//   leaf element, 16 bytes     flags u32 @0 (1: the value is a bucket) | pos u32 @4
//                              ksize u32 @8 | vsize u32 @12
//   bucket header, 16 bytes    root page id u64 @0 | sequence u64 @8
//                              (the first bytes of a bucket's value)
//
// Elements follow the header as an array; keys and values are packed after the array. `pos` counts
// from the element's own address. A leaf's value follows its key. A branch key is at most the
// smallest key of its child (it may be stale-low). A bucket whose root is 0 is inline: a whole leaf
// page with id 0 follows its header inside the value.
//
// Nothing read from a file is trusted: PageView proves the header against the file's bounds when it
// is made, and every element's bounds when it is read. Violations throw ERR_CORRUPT with the page
// id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "core/bytes.h"
#include "core/error.h"

namespace hotbolt {

enum class PageId : uint64_t {};
enum class TxId : uint64_t {};
inline constexpr uint64_t value(PageId id) { return static_cast<uint64_t>(id); }
inline constexpr uint64_t value(TxId id) { return static_cast<uint64_t>(id); }
inline constexpr PageId kNoPage = PageId{0};  // page 0 is a meta page: never the root of a tree

inline constexpr uint32_t kPageSizeMin = 1024;
inline constexpr uint32_t kPageSizeMax = 65536;
inline constexpr size_t kPageHeaderSize = 16;
inline constexpr size_t kElementSize = 16;
inline constexpr size_t kBucketHeaderSize = 16;
inline constexpr size_t kElementsMax = 0xFFFE;  // per page
inline constexpr unsigned kTreeDepthMax = 64;

inline constexpr uint16_t kBranchFlag = 0x01;
inline constexpr uint16_t kLeafFlag = 0x02;
inline constexpr uint16_t kMetaFlag = 0x04;
inline constexpr uint16_t kFreelistFlag = 0x10;
inline constexpr uint32_t kBucketElementFlag = 0x01;

struct PageHeader {
  uint64_t id;
  uint16_t flags;
  uint16_t count;
  uint32_t overflow;
};
static_assert(sizeof(PageHeader) == kPageHeaderSize);

struct BranchElement {
  uint32_t pos;
  uint32_t ksize;
  uint64_t child;
};
static_assert(sizeof(BranchElement) == kElementSize);

struct LeafElement {
  uint32_t flags;
  uint32_t pos;
  uint32_t ksize;
  uint32_t vsize;
};
static_assert(sizeof(LeafElement) == kElementSize);

struct BucketHeader {
  uint64_t root;
  uint64_t sequence;
};
static_assert(sizeof(BucketHeader) == kBucketHeaderSize);

[[noreturn]] void throw_corrupt(PageId page, const std::string& reason);

// A key being searched for: its first 8 bytes as a number decide most comparisons without a call of
// memcmp.
class KeyProbe {
 public:
  explicit KeyProbe(Bytes key) : key_(key), prefix_(key.size() >= 8 ? key_prefix(key) : 0) {}
  // Whether `other` sorts before the searched key.
  bool is_after(Bytes other) const noexcept {
    if (other.size() >= 8 && key_.size() >= 8) {
      const uint64_t prefix = __builtin_bswap64(load<uint64_t>(other.data()));
      if (prefix != prefix_) return prefix < prefix_;
    }
    return other < key_;
  }

 private:
  Bytes key_;
  uint64_t prefix_;
};

// A proven branch or leaf page (a run). Cheap to copy. Valid as long as the bytes are.
class PageView {
 public:
  PageView() = default;
  // `run` is the whole run. Proves flags (branch or leaf), that the element array fits, and that a
  // branch has a child.
  PageView(PageId id, Bytes run);

  PageId id() const { return id_; }
  bool is_leaf() const { return is_leaf_; }
  uint32_t count() const { return count_; }
  uint64_t run_size() const { return run_.size(); }

  Bytes key(uint32_t index) const;
  // Where it begins, counted from the page's start.
  uint64_t key_offset(uint32_t index) const {
    return static_cast<uint64_t>(key(index).data() - run_.data());
  }
  // Leaf only.
  Bytes value(uint32_t index) const;
  bool is_bucket(uint32_t index) const;
  uint32_t element_flags(uint32_t index) const;
  // Leaf only. Throws where the bytes of two elements overlap: then a small page could claim more
  // bytes than there are.
  void require_apart() const;
  // Branch only.
  PageId child(uint32_t index) const;

  // Index of the first key >= `key` (count() if none).
  uint32_t lower_bound(Bytes key) const;
  // Branch: index of the child that covers `key`: the last with a key <= `key`, or 0.
  uint32_t child_index(Bytes key) const;

 private:
  // The fields in front of a key's position differ between the two kinds of elements.
  static constexpr size_t kLeafPosAt = offsetof(LeafElement, pos);
  static constexpr size_t kBranchPosAt = offsetof(BranchElement, pos);

  const char* element(uint32_t index) const {
    return run_.data() + kPageHeaderSize + size_t{index} * kElementSize;
  }
  template <size_t kPosAt>
  Bytes key_at(uint32_t index) const;
  template <size_t kPosAt>
  uint32_t lower_bound_at(Bytes key) const;
  void prefetch_key(uint32_t index) const;
  [[noreturn]] void corrupt(const char* reason) const;
  [[noreturn]] void throw_bad_header() const;

  PageId id_{};
  Bytes run_;
  uint32_t count_ = 0;
  bool is_leaf_ = false;
};

// Reads a page header at `at`, unaligned.
inline PageHeader load_page_header(const void* at) { return load<PageHeader>(at); }

// --- inline: the path of every lookup and every scan step ---

inline PageView::PageView(PageId id, Bytes run) : id_(id), run_(run) {
  if (run.size() < kPageHeaderSize) throw_bad_header();
  const PageHeader header = load_page_header(run.data());
  is_leaf_ = header.flags == kLeafFlag;
  count_ = header.count;
  const bool known = is_leaf_ || (header.flags == kBranchFlag && header.count > 0);
  const uint64_t array_end = kPageHeaderSize + uint64_t{count_} * kElementSize;
  if (!known || array_end > run.size()) throw_bad_header();
}

template <size_t kPosAt>
inline Bytes PageView::key_at(uint32_t index) const {
  const char* const element = this->element(index);
  const uint64_t pos = load<uint32_t>(element + kPosAt);
  const uint64_t size = load<uint32_t>(element + kPosAt + 4);
  const uint64_t begin = static_cast<uint64_t>(element - run_.data()) + pos;
  if (begin + size > run_.size()) corrupt("a key reaches beyond the page");
  return Bytes(run_.data() + begin, size);
}

inline Bytes PageView::key(uint32_t index) const {
  HOTBOLT_ASSERT(index < count_);
  return is_leaf_ ? key_at<kLeafPosAt>(index) : key_at<kBranchPosAt>(index);
}

inline Bytes PageView::value(uint32_t index) const {
  HOTBOLT_ASSERT(is_leaf_ && index < count_);
  const char* const at = element(index);
  const LeafElement element = load<LeafElement>(at);
  const uint64_t begin = static_cast<uint64_t>(at - run_.data()) + element.pos + element.ksize;
  if (begin + element.vsize > run_.size()) corrupt("a value reaches beyond the page");
  return Bytes(run_.data() + begin, element.vsize);
}

inline void PageView::require_apart() const {
  HOTBOLT_ASSERT(is_leaf_);
  uint64_t end = kPageHeaderSize + uint64_t{count_} * kElementSize;
  bool is_apart = true;
  for (uint32_t index = 0; index < count_; index++) {
    const char* const at = element(index);
    const LeafElement element = load<LeafElement>(at);
    const uint64_t begin = static_cast<uint64_t>(at - run_.data()) + element.pos;
    is_apart = is_apart && begin >= end;
    end = begin + element.ksize + element.vsize;
  }
  if (!is_apart) corrupt("its elements overlap");
}

inline uint32_t PageView::element_flags(uint32_t index) const {
  HOTBOLT_ASSERT(is_leaf_ && index < count_);
  return load<uint32_t>(element(index) + offsetof(LeafElement, flags));
}

inline bool PageView::is_bucket(uint32_t index) const {
  return (element_flags(index) & kBucketElementFlag) != 0;
}

inline PageId PageView::child(uint32_t index) const {
  HOTBOLT_ASSERT(!is_leaf_ && index < count_);
  return PageId{load<uint64_t>(element(index) + offsetof(BranchElement, child))};
}

// In a file larger than the caches every probe of a leaf would wait for memory: the keys of both
// next probes are asked for before this one is compared. Branches are few and stay in the cache.
inline void PageView::prefetch_key(uint32_t index) const {
  const char* const element = this->element(index < count_ ? index : count_ - 1);
  const uint64_t pos = load<uint32_t>(element + kLeafPosAt);
  // As a number, since a damaged position may point anywhere; a prefetch of no matter what never
  // faults.
  __builtin_prefetch(reinterpret_cast<const void*>(reinterpret_cast<uintptr_t>(element) + pos));
}

template <size_t kPosAt>
inline uint32_t PageView::lower_bound_at(Bytes key) const {
  const KeyProbe probe(key);
  uint32_t low = 0;
  uint32_t count = count_;
  while (count > 0) {
    const uint32_t half = count / 2;
    const uint32_t rest = count - half - 1;
    if constexpr (kPosAt == kLeafPosAt) {
      prefetch_key(low + half / 2);
      prefetch_key(low + half + 1 + rest / 2);
    }
    if (probe.is_after(key_at<kPosAt>(low + half))) {
      low += half + 1;
      count = rest;
    } else {
      count = half;
    }
  }
  return low;
}

inline uint32_t PageView::lower_bound(Bytes key) const {
  return is_leaf_ ? lower_bound_at<kLeafPosAt>(key) : lower_bound_at<kBranchPosAt>(key);
}

inline uint32_t PageView::child_index(Bytes key) const {
  HOTBOLT_ASSERT(!is_leaf_);
  const uint32_t index = lower_bound_at<kBranchPosAt>(key);
  if (index < count_ && key_at<kBranchPosAt>(index) == key) return index;
  return index == 0 ? 0 : index - 1;
}

}  // namespace hotbolt
