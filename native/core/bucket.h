// A bucket inside the page file, for reading: its header, its tree or inline page, lookups. See
// page.h for the format.
#pragma once

#include <optional>

#include "core/page_file.h"

namespace hotbolt {

struct LeafItem {
  Bytes key;
  Bytes value;  // of a bucket: header and, when inline, the page
  bool is_bucket = false;
};

// Cheap to copy. Valid while the ReadTx lives.
class PageBucket {
 public:
  PageBucket() = default;
  static PageBucket root(const ReadTx& tx);
  // From a leaf element's value. Throws ERR_CORRUPT when it is shorter than a header or its inline
  // page is malformed.
  PageBucket(const ReadTx& tx, Bytes value, PageId found_on);

  const ReadTx* tx() const { return tx_; }
  PageId root_page() const { return root_; }  // kNoPage: inline
  bool is_inline() const { return root_ == kNoPage; }
  uint64_t sequence() const { return sequence_; }
  PageView top() const;  // the root page, or the inline page

  std::optional<LeafItem> find(Bytes key) const;      // bounded descent
  std::optional<PageBucket> child(Bytes name) const;  // nullopt: missing, or not a bucket

 private:
  PageView leaf_for(Bytes key) const;

  const ReadTx* tx_ = nullptr;
  PageId root_ = kNoPage;
  uint64_t sequence_ = 0;
  Bytes inline_page_;
  PageId found_on_{};  // the page whose leaf holds the inline page: for error messages
};

}  // namespace hotbolt
