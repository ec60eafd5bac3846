// Looking through a stack of memtables: lookups, child buckets, and the merge of their cursors.
#include "core/overlay.h"

#include <algorithm>

#include "core/error.h"

namespace hotbolt {

Overlay::Overlay(const std::vector<const Memtable*>& newest_first, Seq seq) {
  layers_.reserve(newest_first.size());
  for (const Memtable* memtable : newest_first) layers_.push_back({&memtable->root(), seq});
}

void Overlay::cover(const Memtable& newest, Seq seq) {
  layers_.insert(layers_.begin(), {&newest.root(), seq});
}

const Version* Overlay::find(Bytes key) const {
  for (const auto& [table, seq] : layers_) {
    const Record* record = table->find(key);
    if (record == nullptr) continue;
    if (const Version* version = record->visible(seq)) return version;
  }
  return nullptr;
}

bool Overlay::names_buckets() const {
  return std::any_of(layers_.begin(), layers_.end(),
                     [](const auto& layer) { return layer.table->names_buckets(); });
}

Overlay::Child Overlay::child(Bytes name, Overlay& child) const {
  HOTBOLT_ASSERT(&child != this);
  child.layers_.clear();
  child.hides_page_file_ = hides_page_file_;
  for (const auto& [table, seq] : layers_) {
    const Record* record = table->find(name);
    const Version* version = record == nullptr ? nullptr : record->visible(seq);
    if (version == nullptr) continue;
    if (version->is_bucket()) child.layers_.push_back({version->bucket, seq});
    if (version->kind == VersionKind::kBucketTouched) continue;
    // Everything else ends the search: it says all there is to say of the name.
    if (child.layers_.empty()) {
      return version->kind == VersionKind::kPut ? Child::kValue : Child::kDeleted;
    }
    child.hides_page_file_ = true;
    break;
  }
  return child.layers_.empty() ? Child::kSilent : Child::kBucket;
}

std::optional<uint64_t> Overlay::sequence() const {
  for (const auto& [table, seq] : layers_) {
    if (const std::optional<uint64_t> value = table->sequence(seq)) return value;
  }
  if (hides_page_file_) return 0;
  return std::nullopt;
}

OverlayCursor::OverlayCursor(const Overlay& overlay) : overlay_(&overlay) {
  cursors_.reserve(overlay.layers().size());
  for (const auto& layer : overlay.layers()) cursors_.emplace_back(*layer.table);
}

void OverlayCursor::first() {
  for (BucketTable::Cursor& cursor : cursors_) cursor.first();
  settle(true);
}

void OverlayCursor::last() {
  for (BucketTable::Cursor& cursor : cursors_) cursor.last();
  settle(false);
}

void OverlayCursor::seek(Bytes key) {
  for (BucketTable::Cursor& cursor : cursors_) cursor.seek(key);
  settle(true);
}

void OverlayCursor::seek_before(Bytes key) {
  for (BucketTable::Cursor& cursor : cursors_) cursor.seek_before(key);
  settle(false);
}

void OverlayCursor::next() { move(true); }

void OverlayCursor::prev() { move(false); }

void OverlayCursor::move(bool forward) {
  HOTBOLT_ASSERT(valid());
  if (forward_ != forward) {
    turn(forward);
  } else {
    step_past(name_, forward);
  }
  settle(forward);
}

// Brings all cursors to the other side of the current name.
void OverlayCursor::turn(bool forward) {
  for (BucketTable::Cursor& cursor : cursors_) {
    if (!forward) {
      cursor.seek_before(name_);
      continue;
    }
    cursor.seek(name_);
    if (cursor.valid() && cursor.record()->key() == name_) cursor.next();
  }
}

// Moves every cursor that stands at `name`.
void OverlayCursor::step_past(Bytes name, bool forward) {
  for (BucketTable::Cursor& cursor : cursors_) {
    if (!cursor.valid() || cursor.record()->key() != name) continue;
    if (forward) {
      cursor.next();
    } else {
      cursor.prev();
    }
  }
}

// Moves on in one direction until the nearest name has a visible version.
void OverlayCursor::settle(bool forward) {
  forward_ = forward;
  version_ = nullptr;
  while (const Record* record = nearest(forward)) {
    if (decide(record->key())) return;
    step_past(record->key(), forward);
  }
}

const Record* OverlayCursor::nearest(bool forward) const {
  const Record* best = nullptr;
  for (const BucketTable::Cursor& cursor : cursors_) {
    if (!cursor.valid()) continue;
    const Record* record = cursor.record();
    if (best == nullptr) {
      best = record;
      continue;
    }
    const int order = record->key().compare(best->key());
    if (forward ? order < 0 : order > 0) best = record;
  }
  return best;
}

// Takes the newest table's visible version of `name`, if there is one.
bool OverlayCursor::decide(Bytes name) {
  for (size_t i = 0; i < cursors_.size(); i++) {
    const BucketTable::Cursor& cursor = cursors_[i];
    if (!cursor.valid() || cursor.record()->key() != name) continue;
    version_ = cursor.record()->visible(overlay_->layers()[i].seq);
    if (version_ == nullptr) continue;
    name_ = name;
    return true;
  }
  return false;
}

}  // namespace hotbolt
