// Lookups in one bucket of the page file.
#include "core/bucket.h"

namespace hotbolt {

PageBucket PageBucket::root(const ReadTx& tx) {
  PageBucket bucket;
  bucket.tx_ = &tx;
  bucket.root_ = tx.meta().root;
  bucket.sequence_ = tx.meta().root_sequence;
  bucket.found_on_ = tx.meta().root;
  return bucket;
}

PageBucket::PageBucket(const ReadTx& tx, Bytes bytes, PageId found_on)
    : tx_(&tx), found_on_(found_on) {
  if (bytes.size() < kBucketHeaderSize)
    throw_corrupt(found_on, "a bucket is shorter than its header");
  const BucketHeader header = load<BucketHeader>(bytes.data());
  root_ = PageId{header.root};
  sequence_ = header.sequence;
  if (!is_inline()) return;
  inline_page_ = bytes.substr(kBucketHeaderSize);
  if (!top().is_leaf()) throw_corrupt(found_on, "an inline bucket is not a leaf");
}

PageView PageBucket::top() const {
  return is_inline() ? PageView(found_on_, inline_page_) : tx_->page(root_);
}

PageView PageBucket::leaf_for(Bytes key) const {
  HOTBOLT_ASSERT(tx_ != nullptr);
  PageView page = top();
  for (unsigned depth = 1; !page.is_leaf(); depth++) {
    if (depth == kTreeDepthMax) throw_corrupt(page.id(), "the tree is too deep");
    page = tx_->page(page.child(page.child_index(key)));
  }
  return page;
}

std::optional<LeafItem> PageBucket::find(Bytes key) const {
  const PageView leaf = leaf_for(key);
  const uint32_t index = leaf.lower_bound(key);
  if (index == leaf.count()) return std::nullopt;
  const Bytes found = leaf.key(index);
  if (found != key) return std::nullopt;
  return LeafItem{found, leaf.value(index), leaf.is_bucket(index)};
}

std::optional<PageBucket> PageBucket::child(Bytes name) const {
  const PageView leaf = leaf_for(name);
  const uint32_t index = leaf.lower_bound(name);
  if (index == leaf.count() || leaf.key(index) != name || !leaf.is_bucket(index))
    return std::nullopt;
  return PageBucket(*tx_, leaf.value(index), leaf.id());
}

}  // namespace hotbolt
