// The buckets of the page file that a walk over a view has entered: each once. In a damaged file
// buckets may lead round in circles, or along 2^60 ways through a few pages. One thread at a time.
#pragma once

#include "core/page_set.h"
#include "core/view.h"

namespace hotbolt {

class EnteredBuckets {
 public:
  explicit EnteredBuckets(const ReadTx& tx) : roots_(tx.meta().high_water) {}
  // Throws ERR_CORRUPT when its root page is that of a bucket before.
  void enter(const BucketView& bucket) {
    const std::optional<PageBucket>& page = bucket.page();
    if (!page || page->is_inline()) return;
    const PageId root = page->top().id();
    if (roots_.contains(value(root))) throw_corrupt(root, "it is reached twice");
    roots_.add(value(root));
  }

 private:
  PageSet roots_;
};

}  // namespace hotbolt
