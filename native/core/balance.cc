// The merge of changes into trees. See balance.h.
#include "core/balance.h"

#include <memory>

namespace hotbolt {

namespace {

// A leaf without entries: the base of a bucket that starts empty.
PageView empty_leaf() {
  static constexpr char kPage[kPageHeaderSize] = {0, 0, 0, 0, 0, 0, 0, 0, kLeafFlag};
  return PageView(kNoPage, {kPage, sizeof kPage});
}

// Levels below `page`.
unsigned height_of(const ReadTx& tx, PageView page) {
  for (unsigned height = 0; height < kTreeDepthMax; ++height) {
    if (page.is_leaf()) return height;
    page = tx.page(page.child(0));
  }
  throw_corrupt(page.id(), "a tree is too deep");
}

// One bucket's merge: a walk that can be left for a nested bucket and taken up again.
class BucketMerge {
 public:
  BucketMerge(WriteTx& tx, std::optional<PageBucket> base, Overlay overlay, bool is_root);
  // Goes on to the end (true) or to a bucket that must be merged first (false: child(), later
  // add_child()).
  bool run();
  std::unique_ptr<BucketMerge> child() { return std::move(child_); }
  void add_child(std::string value);
  std::string finish() { return builder_.finish(sequence()); }
  void finish_root() { tx_.set_root(builder_.finish_root(), sequence()); }
  bool changes_nothing() const { return !changes_.valid() && !overlay_.sequence(); }

 private:
  // A page on the way down; what is in it and below it is smaller than `upper`, if that is set.
  struct Position {
    PageView page;
    uint32_t index = 0;
    std::optional<Bytes> upper;
    uint64_t bytes = 0;     // of a leaf's entries that were kept
    bool is_alone = false;  // a leaf whose only entry is longer than a page
  };

  void start();
  void open(const PageView& page, unsigned level, std::optional<Bytes> upper);
  void next_child(Position& branch);
  bool merge_leaf(Position& leaf);
  bool apply_change(Position& leaf, bool has_old);
  void begin_child(const Position& leaf, bool has_old);
  void add_old(Position& leaf);
  void replace_page(const PageView& page, unsigned level);
  bool change_is_below(const std::optional<Bytes>& upper) const {
    return changes_.valid() && (!upper || changes_.key() < *upper);
  }
  uint64_t sequence() const { return overlay_.sequence().value_or(base_ ? base_->sequence() : 0); }

  WriteTx& tx_;
  const std::optional<PageBucket> base_;
  const Overlay overlay_;
  const bool is_root_;
  OverlayCursor changes_;
  TreeBuilder builder_;
  unsigned height_ = 0;
  std::vector<Position> path_;
  std::unique_ptr<BucketMerge> child_;
};

BucketMerge::BucketMerge(WriteTx& tx, std::optional<PageBucket> base, Overlay overlay, bool is_root)
    : tx_(tx),
      base_(std::move(base)),
      overlay_(std::move(overlay)),
      is_root_(is_root),
      changes_(overlay_),
      builder_(tx) {
  changes_.first();
  start();
}

void BucketMerge::start() {
  if (!base_) {
    path_.push_back({empty_leaf(), 0, std::nullopt});
  } else if (base_->is_inline()) {
    path_.push_back({base_->top(), 0, std::nullopt});
  } else if (!changes_.valid()) {
    // Only its sequence changes, if that.
    builder_.keep(base_->top().is_leaf() ? 0 : 1, {}, base_->root_page());
  } else {
    const PageView top = base_->top();
    height_ = height_of(tx_.base(), top);
    open(top, height_, std::nullopt);
  }
}

void BucketMerge::open(const PageView& page, unsigned level, std::optional<Bytes> upper) {
  if (page.is_leaf() != (level == 0)) throw_corrupt(page.id(), "a page is on the wrong level");
  const bool is_long = page.run_size() > tx_.page_size();
  const bool is_alone = page.is_leaf() && is_long && page.count() == 1;
  if (!is_alone) replace_page(page, level);
  path_.push_back({page, 0, upper, 0, is_alone});
}

void BucketMerge::replace_page(const PageView& page, unsigned level) {
  tx_.free(page.id(), page.run_size() / tx_.page_size());
  builder_.replaces_page(level);
}

bool BucketMerge::run() {
  while (!path_.empty()) {
    Position& top = path_.back();
    if (top.page.is_leaf()) {
      if (!merge_leaf(top)) return false;
      path_.pop_back();
    } else if (top.index < top.page.count()) {
      next_child(top);
    } else {
      path_.pop_back();
    }
  }
  return true;
}

void BucketMerge::next_child(Position& branch) {
  const uint32_t index = branch.index++;
  const unsigned level = height_ - static_cast<unsigned>(path_.size());
  const PageView& page = branch.page;
  std::optional<Bytes> upper = branch.upper;
  if (branch.index < page.count()) upper = page.key(branch.index);
  const PageId child = page.child(index);
  if (change_is_below(upper)) {
    open(tx_.base().page(child), level, upper);  // ends the life of `branch`
  } else {
    builder_.keep(level, page.key(index), child);
  }
}

bool BucketMerge::merge_leaf(Position& leaf) {
  const PageView& page = leaf.page;
  builder_.reading(page.id());
  for (;;) {
    const bool has_old = leaf.index < page.count();
    if (!change_is_below(leaf.upper)) {
      while (leaf.index < page.count()) add_old(leaf);
      return true;
    }
    const int order = has_old ? page.key(leaf.index).compare(changes_.key()) : 1;
    if (order < 0) {
      add_old(leaf);
    } else {
      if (!has_old && !leaf.upper) builder_.at_right_edge();
      if (!apply_change(leaf, order == 0)) return false;
    }
  }
}

void BucketMerge::add_old(Position& leaf) {
  const PageView& page = leaf.page;
  const uint32_t index = leaf.index++;
  const LeafEntry entry{page.key(index), page.value(index), page.is_bucket(index)};
  count_entry(page, entry, leaf.bytes);
  if (entry.is_bucket && !is_root_) tx_.saw_nested_bucket();
  // What changes beside a large value leaves it where it is.
  if (leaf.is_alone) return builder_.keep(0, entry.key, page.id());
  builder_.add(entry);
}

// Moves past the change, and past the old entry of the same name if there is one.
bool BucketMerge::apply_change(Position& leaf, bool has_old) {
  if (has_old && leaf.is_alone) replace_page(leaf.page, 0);
  const Version& version = changes_.version();
  if (version.is_bucket()) {
    begin_child(leaf, has_old);
    if (has_old) ++leaf.index;
    return false;
  }
  if (has_old) {
    const PageView& page = leaf.page;
    if (page.is_bucket(leaf.index)) {
      free_bucket(tx_, PageBucket(tx_.base(), page.value(leaf.index), page.id()));
    }
    ++leaf.index;
  }
  if (version.kind == VersionKind::kPut) builder_.add({changes_.key(), version.value(), false});
  changes_.next();
  return true;
}

void BucketMerge::begin_child(const Position& leaf, bool has_old) {
  Overlay overlay;
  const Overlay::Child found = overlay_.child(changes_.key(), overlay);
  HOTBOLT_ASSERT(found == Overlay::Child::kBucket);
  const bool has_old_bucket = has_old && leaf.page.is_bucket(leaf.index);
  // A bucket is laid over a value only after the value was removed, and then it hides it.
  HOTBOLT_ASSERT(!has_old || has_old_bucket || overlay.hides_page_file());
  std::optional<PageBucket> base;
  if (has_old_bucket) {
    base = PageBucket(tx_.base(), leaf.page.value(leaf.index), leaf.page.id());
    if (overlay.hides_page_file()) {
      free_bucket(tx_, *base);
      base.reset();
    }
  }
  child_ = std::make_unique<BucketMerge>(tx_, std::move(base), std::move(overlay), false);
}

void BucketMerge::add_child(std::string value) {
  if (!is_root_) tx_.saw_nested_bucket();
  builder_.add_bucket(changes_.key(), std::move(value));
  changes_.next();
}

// bbolt never nests inline buckets. Those of a hostile file could share their bytes, level by
// level.
void require_no_buckets(const PageBucket& bucket) {
  const PageView page = bucket.top();
  for (uint32_t i = 0; i < page.count(); ++i) {
    if (page.is_bucket(i)) throw_corrupt(page.id(), "inline buckets are nested");
  }
}

// The nested buckets of a leaf that have pages of their own.
void collect_buckets(const ReadTx& tx, const PageView& leaf, std::vector<PageBucket>& buckets) {
  uint64_t inline_bytes = 0;
  for (uint32_t i = 0; i < leaf.count(); ++i) {
    if (!leaf.is_bucket(i)) continue;
    const Bytes value = leaf.value(i);
    const PageBucket bucket(tx, value, leaf.id());
    if (!bucket.is_inline()) {
      buckets.push_back(bucket);
      continue;
    }
    inline_bytes += value.size();
    if (inline_bytes > leaf.run_size()) throw_corrupt(leaf.id(), "values overlap");
    require_no_buckets(bucket);
  }
}

// A page that comes round twice is free already, which ends the walk with ERR_CORRUPT.
void free_page(WriteTx& tx, PageId id, std::vector<PageId>& pages,
               std::vector<PageBucket>& buckets) {
  const PageView page = tx.base().page(id);
  tx.free(id, page.run_size() / tx.page_size());
  if (page.is_leaf()) {
    collect_buckets(tx.base(), page, buckets);
  } else {
    for (uint32_t i = 0; i < page.count(); ++i) pages.push_back(page.child(i));
  }
}

}  // namespace

void free_bucket(WriteTx& tx, const PageBucket& bucket) {
  if (bucket.is_inline()) return require_no_buckets(bucket);
  std::vector<PageBucket> buckets{bucket};
  std::vector<PageId> pages;
  while (!pages.empty() || !buckets.empty()) {
    if (!pages.empty()) {
      const PageId id = pages.back();
      pages.pop_back();
      free_page(tx, id, pages, buckets);
      continue;
    }
    pages.push_back(buckets.back().root_page());
    buckets.pop_back();
  }
}

void merge_into_root(WriteTx& tx, const Overlay& overlay) {
  std::vector<std::unique_ptr<BucketMerge>> stack;
  stack.push_back(std::make_unique<BucketMerge>(tx, PageBucket::root(tx.base()), overlay, true));
  if (stack.back()->changes_nothing()) return;
  for (;;) {
    if (!stack.back()->run()) {
      stack.push_back(stack.back()->child());
    } else if (stack.size() > 1) {
      std::string value = stack.back()->finish();
      stack.pop_back();
      stack.back()->add_child(std::move(value));
    } else {
      break;
    }
  }
  stack.back()->finish_root();
}

}  // namespace hotbolt
