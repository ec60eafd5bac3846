// Lookups and merged iteration over memtables and page file.
#include "core/view.h"

namespace hotbolt {

std::vector<const Memtable*> View::pointers() const {
  std::vector<const Memtable*> pointers;
  pointers.reserve(layers.size());
  for (const auto& layer : layers) pointers.push_back(layer.get());
  return pointers;
}

BucketView BucketView::root(const View& view, ReadAt at) {
  BucketView root;
  root.overlay_ = Overlay(view.pointers(), at.seq);
  if (view.own != nullptr) root.overlay_.cover(*view.own, at.own);
  root.page_ = PageBucket::root(*view.base);
  root.exists_ = true;
  return root;
}

BucketView BucketView::at(const View& view, ReadAt at, const BucketPath& path) {
  BucketView bucket = root(view, at);
  for (const std::string& name : path) bucket = bucket.child(name);
  return bucket;
}

BucketView BucketView::child(Bytes name) const {
  BucketView child;
  if (!exists_) return child;
  switch (overlay_.child(name, child.overlay_)) {
    case Overlay::Child::kBucket:
      child.exists_ = true;
      if (page_ && !child.overlay_.hides_page_file()) child.page_ = page_->child(name);
      break;
    case Overlay::Child::kSilent:
      if (page_) child.page_ = page_->child(name);
      child.exists_ = child.page_.has_value();
      break;
    case Overlay::Child::kDeleted:
    case Overlay::Child::kValue:
      break;
  }
  require_intact();
  return child;
}

NameKind BucketView::kind(Bytes name) const {
  if (const Version* version = overlay_.find(name)) {
    if (version->is_bucket()) return NameKind::kBucket;
    return version->kind == VersionKind::kPut ? NameKind::kValue : NameKind::kMissing;
  }
  if (!page_) return NameKind::kMissing;
  auto item = page_->find(name);
  require_intact();
  if (!item) return NameKind::kMissing;
  return item->is_bucket ? NameKind::kBucket : NameKind::kValue;
}

bool BucketView::has_bucket(Bytes name) const {
  if (overlay_.names_buckets()) return kind(name) == NameKind::kBucket;
  if (!page_) return false;
  const auto item = page_->find(name);
  require_intact();
  return item && item->is_bucket;
}

std::optional<Bytes> BucketView::get(Bytes key) const {
  if (!overlay_.empty()) {
    if (const Version* version = overlay_.find(key)) {
      if (version->kind == VersionKind::kPut) return version->value();
      return std::nullopt;
    }
  }
  if (!page_) return std::nullopt;
  auto item = page_->find(key);
  require_intact();
  if (!item || item->is_bucket) return std::nullopt;
  return item->value;
}

uint64_t BucketView::sequence() const {
  if (auto sequence = overlay_.sequence()) return *sequence;
  return page_ ? page_->sequence() : 0;
}

MergedCursor::MergedCursor(const BucketView& bucket, const Bounds& bounds, bool reverse)
    : overlay_(bucket.overlay()), bounds_(bounds), reverse_(reverse) {
  if (bucket.page()) page_.emplace(*bucket.page());
  start();
}

namespace {

// Positions either kind of cursor at the near end of the bounds.
template <typename Cursor>
void seek_near_end(Cursor& cursor, const Bounds& bounds, bool reverse) {
  if (!reverse) {
    if (!bounds.lower) return cursor.first();
    cursor.seek(*bounds.lower);
    if (!bounds.lower_inclusive && cursor.valid() && cursor.key() == *bounds.lower) cursor.next();
    return;
  }
  if (!bounds.upper) return cursor.last();
  if (bounds.upper_inclusive) {
    cursor.seek(*bounds.upper);
    if (cursor.valid() && cursor.key() == *bounds.upper) return;
  }
  cursor.seek_before(*bounds.upper);
}

}  // namespace

void MergedCursor::start() {
  seek_near_end(overlay_, bounds_, reverse_);
  if (page_) seek_near_end(*page_, bounds_, reverse_);
  settle();
}

bool MergedCursor::in_bounds(Bytes key) const {
  const auto& far_end = reverse_ ? bounds_.lower : bounds_.upper;
  if (!far_end) return true;
  int order = key.compare(*far_end);
  if (order == 0) return reverse_ ? bounds_.lower_inclusive : bounds_.upper_inclusive;
  return reverse_ ? order > 0 : order < 0;
}

void MergedCursor::settle() {
  for (;;) {
    bool has_page = page_ && page_->valid();
    if (!overlay_.valid()) {
      source_ = has_page && in_bounds(page_->key()) ? Source::kPage : Source::kNone;
      both_ = false;
      return;
    }
    int order = -1;
    if (has_page) {
      order = overlay_.key().compare(page_->key());
      if (reverse_) order = -order;
    }
    if (order > 0) {
      source_ = in_bounds(page_->key()) ? Source::kPage : Source::kNone;
      both_ = false;
      return;
    }
    both_ = order == 0;
    VersionKind kind = overlay_.version().kind;
    if (kind != VersionKind::kRemoved && kind != VersionKind::kBucketDeleted) {
      source_ = in_bounds(overlay_.key()) ? Source::kOverlay : Source::kNone;
      return;
    }
    if (!in_bounds(overlay_.key())) {
      source_ = Source::kNone;
      return;
    }
    if (both_) advance_page();
    advance_overlay();
  }
}

void MergedCursor::next() {
  if (source_ == Source::kPage) {
    advance_page();
  } else {
    if (both_) advance_page();
    advance_overlay();
  }
  settle();
}

uint64_t MergedCursor::count_keys(uint64_t limit) {
  HOTBOLT_ASSERT(!reverse_);
  uint64_t keys = 0;
  uint64_t passed = 0;
  while (valid() && passed < limit) {
    if (source_ == Source::kPage) {
      // Up to where a memtable has a say, or the bounds end.
      const bool meets = overlay_.valid() && in_bounds(overlay_.key());
      std::optional<Bytes> end;
      if (meets) end = overlay_.key();
      if (!meets && bounds_.upper) end = *bounds_.upper;
      passed += page_->count_before(end, !meets && bounds_.upper_inclusive, keys);
      settle();
    } else {
      keys += !is_bucket();
      passed++;
      next();
    }
  }
  return keys;
}

}  // namespace hotbolt
