// A position in one bucket of the page file: a bounded stack of pages from the root to a leaf.
// Skips empty leaves. Valid while the ReadTx lives. One thread at a time.
//
// Whatever the bytes are, a walk in one direction ends: a move that leaves its leaf looks at no
// more pages than the file has, and arrives at a leaf whose first key lies beyond the old leaf's
// first key, or throws ERR_CORRUPT. And it passes no more bytes than the file has: neither elements
// of a leaf nor leaves share theirs.
#pragma once

#include <vector>

#include "core/bucket.h"

namespace hotbolt {

class PageCursor {
 public:
  explicit PageCursor(const PageBucket& bucket) : bucket_(bucket) {}
  void first();
  void last();
  void seek(Bytes key);         // the first key >= `key`
  void seek_before(Bytes key);  // the last key < `key`
  // Without a position these do nothing; beyond either end there is none.
  void next() {
    if (++index_ >= leaf_.count()) next_leaf();
  }
  void prev() {
    if (index_-- == 0) prev_leaf();
  }
  // Moves past the entries of this leaf that are smaller than `end` (or equal, if that is included)
  // and returns how many they were; those that are no buckets are added to `keys`. REQUIRES:
  // valid(), and the current one is smaller.
  uint64_t count_before(std::optional<Bytes> end, bool end_included, uint64_t& keys);
  bool valid() const { return valid_; }
  Bytes key() const { return leaf_.key(index_); }
  Bytes value() const { return leaf_.value(index_); }
  bool is_bucket() const { return leaf_.is_bucket(index_); }
  LeafItem item() const { return {key(), value(), is_bucket()}; }
  PageId page() const { return leaf_.id(); }  // of the current leaf, for error messages

 private:
  struct Branch {
    PageView page;
    uint32_t index = 0;
  };
  enum class Side : uint8_t { kFirst, kLast };

  void reset();
  void enter(PageView page, Side side);
  template <typename Choose>
  void descend(PageView page, Choose choose);
  void arrive(PageView leaf);
  void next_leaf();
  void prev_leaf();
  // To the next leaf that is not empty on that side; false at the end of the tree.
  bool move_to_leaf(Side side);
  bool step_branches(Side side);
  void prove_order(const PageView& before, const PageView& after) const;

  PageBucket bucket_;
  std::vector<Branch> branches_;  // from the root down
  PageView leaf_;                 // empty without a position
  uint32_t index_ = 0;
  bool valid_ = false;
  uint64_t passed_bytes_ = 0;  // of the leaves that were met
};

}  // namespace hotbolt
