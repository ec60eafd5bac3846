// The log of reads, its coarser form, and the comparison of two states.
//
//   log    := read*
//   read   := kind:u8 path:u32 detail:bytes
//   detail := value, name           the key or name
//           | existence, sequence   nothing
//           | range                 kind:u8 own:u64 lower:bound upper:bound
//   bound  := 0:u8 | (1 exclusive, 2 inclusive):u8 bytes
//   bytes  := length:u32 byte*
#include "core/read_set.h"

#include <algorithm>

#include "core/error.h"
#include "core/give_back.h"

namespace hotbolt {

// --- what the transaction's own writes decide ---

OwnBucket::OwnBucket(const Memtable* own, Seq seq, const BucketPath& path) : seq_(seq) {
  if (own == nullptr) return;
  table_ = &own->root();
  for (const std::string& name : path) {
    const Version* newest = find(name);
    created_ = newest != nullptr && newest->kind == VersionKind::kBucketCreated;
    table_ = newest != nullptr && newest->is_bucket() ? newest->bucket : nullptr;
    if (newest != nullptr && table_ == nullptr) hides_ = true;
    for (const Version* version = newest; version != nullptr; version = version->older) {
      if (version->kind == VersionKind::kBucketDeleted) hides_ = true;
    }
  }
}

const Version* OwnBucket::find(Bytes name) const {
  const Record* record = table_ == nullptr ? nullptr : table_->find(name);
  return record == nullptr ? nullptr : record->visible(seq_);
}

bool OwnBucket::decides_sequence() const {
  return hides_ || (table_ != nullptr && table_->sequence(seq_).has_value());
}

bool OwnBucket::decides(Bytes key) const { return hides_ || find(key) != nullptr; }

// A bucket that was only touched is one because others have made it.
bool OwnBucket::decides_name(Bytes name) const {
  if (hides_) return true;
  const Version* version = find(name);
  return version != nullptr && version->kind != VersionKind::kBucketTouched;
}

// --- the log ---

namespace {

void append_bytes(std::string& to, Bytes bytes) {
  const auto size = static_cast<uint32_t>(bytes.size());
  to.append(reinterpret_cast<const char*>(&size), sizeof size);
  to.append(bytes);
}

void append_bound(std::string& to, const std::optional<std::string>& bound, bool inclusive) {
  to += static_cast<char>(bound ? 1 + inclusive : 0);
  if (bound) append_bytes(to, *bound);
}

std::string encode(const RangeRead& read) {
  std::string detail(1, static_cast<char>(read.kind));
  detail.append(reinterpret_cast<const char*>(&read.own), sizeof read.own);
  append_bound(detail, read.bounds.lower, read.bounds.lower_inclusive);
  append_bound(detail, read.bounds.upper, read.bounds.upper_inclusive);
  return detail;
}

// Takes what was appended off the front. The log is our own: nothing in it is doubted.
template <typename Integer>
Integer take(Bytes& from) {
  const auto value = load<Integer>(from.data());
  from.remove_prefix(sizeof value);
  return value;
}

Bytes take_bytes(Bytes& from) {
  const auto size = take<uint32_t>(from);
  const Bytes bytes = from.substr(0, size);
  from.remove_prefix(size);
  return bytes;
}

void take_bound(Bytes& from, std::optional<std::string>& bound, bool& inclusive) {
  const auto form = take<uint8_t>(from);
  inclusive = form == 2;
  if (form != 0) bound.emplace(take_bytes(from));
}

RangeRead decode(Bytes detail) {
  RangeRead read{};
  read.kind = static_cast<RangeKind>(take<uint8_t>(detail));
  read.own = take<Seq>(detail);
  take_bound(detail, read.bounds.lower, read.bounds.lower_inclusive);
  take_bound(detail, read.bounds.upper, read.bounds.upper_inclusive);
  return read;
}

}  // namespace

class ReadSet::Log {
 public:
  explicit Log(Bytes log) : rest_(log) {}
  bool next() {
    if (rest_.empty()) return false;
    kind = static_cast<Kind>(take<uint8_t>(rest_));
    path = take<uint32_t>(rest_);
    detail = take_bytes(rest_);
    return true;
  }
  Kind kind{};
  uint32_t path = 0;
  Bytes detail;

 private:
  Bytes rest_;
};

uint32_t ReadSet::path_id(const BucketPath& path) {
  if (last_id_ < paths_.size() && *paths_[last_id_] == path) return last_id_;
  if (paths_.size() == paths_.capacity()) paths_.reserve(2 * paths_.size() + 1);
  const auto [entry, added] = ids_.emplace(path, static_cast<uint32_t>(paths_.size()));
  if (added) {
    paths_.push_back(&entry->first);
    path_bytes_ += sizeof *entry;
    for (const std::string& name : path) path_bytes_ += sizeof name + name.size();
  }
  last_id_ = entry->second;
  return last_id_;
}

// All of it or, where memory is wanting, nothing.
void ReadSet::append(Kind kind, uint32_t path, Bytes detail) {
  const size_t needed = log_.size() + 1 + 2 * sizeof(uint32_t) + detail.size();
  if (needed > log_.capacity()) log_.reserve(std::max(needed, 2 * log_.capacity()));
  log_ += static_cast<char>(kind);
  log_.append(reinterpret_cast<const char*>(&path), sizeof path);
  append_bytes(log_, detail);
}

void ReadSet::note(Kind kind, const BucketPath& path, Bytes detail) {
  if (everything_) return;
  append(kind, path_id(path), detail);
  if (bytes() > kReadBytesMax) coarsen();
}

void ReadSet::range(const BucketPath& path, const RangeRead& read) {
  note(Kind::kRange, path, encode(read));
}

// --- the coarser form ---

// All that was read of a bucket.
struct ReadSet::Hull {
  bool existence = false;
  bool sequence = false;
  std::optional<Bounds> bounds;

  void include(const Bounds& other) {
    if (!bounds) bounds = other;
    auto& [lower, lower_inclusive, upper, upper_inclusive] = *bounds;
    if (lower && (!other.lower || *other.lower < *lower)) lower = other.lower;
    if (upper && (!other.upper || *other.upper > *upper)) upper = other.upper;
    lower_inclusive = upper_inclusive = true;
  }

  void include(const Log& read) {
    switch (read.kind) {
      case Kind::kExistence:
        existence = true;
        break;
      case Kind::kSequence:
        sequence = true;
        break;
      case Kind::kRange:
        include(decode(read.detail).bounds);
        break;
      case Kind::kValue:
      case Kind::kName: {
        const std::string key(read.detail);
        include(Bounds{key, true, key, true});
      }
    }
  }
};

void ReadSet::coarsen() {
  std::map<uint32_t, Hull> hulls;
  for (Log log(log_); log.next();) hulls[log.path].include(log);
  give_back(log_);
  for (const auto& [path, hull] : hulls) {
    if (hull.existence) append(Kind::kExistence, path, {});
    if (hull.sequence) append(Kind::kSequence, path, {});
    if (hull.bounds) {
      append(Kind::kRange, path, encode({RangeKind::kEverything, *hull.bounds, 0}));
    }
  }
  if (bytes() <= kReadBytesMax / 2) return;
  everything();
}

void ReadSet::everything() noexcept {
  everything_ = true;
  give_back(log_);
  paths_.clear();
  ids_.clear();
  path_bytes_ = 0;
}

// --- the comparison ---

class ReadSet::Comparison {
 public:
  Comparison(const StateBelow& before, const StateBelow& after, const Memtable* own,
             const BucketPath& path)
      : path_(path),
        own_(own),
        before_(BucketView::at(before.view, before.seq, path)),
        after_(BucketView::at(after.view, after.seq, path)) {}

  bool same(Kind kind, Bytes detail) const {
    switch (kind) {
      case Kind::kValue:
        return before_.get(detail) == after_.get(detail);
      case Kind::kName:
        return before_.kind(detail) == after_.kind(detail);
      case Kind::kExistence:
        return before_.exists() == after_.exists();
      case Kind::kSequence:
        return before_.sequence() == after_.sequence();
      case Kind::kRange:
        break;
    }
    return same_range(decode(detail));
  }

 private:
  bool same_range(const RangeRead& read) const {
    const OwnBucket own(own_, read.own, path_);
    if (own.hides()) return true;
    MergedCursor before(before_, read.bounds, false);
    MergedCursor after(after_, read.bounds, false);
    if (read.kind == RangeKind::kCount) return count(before, own) == count(after, own);
    for (;; before.next(), after.next()) {
      find_read(before, read.kind, own);
      find_read(after, read.kind, own);
      if (!before.valid() || !after.valid()) return before.valid() == after.valid();
      if (!same_entry(before, after, read.kind)) return false;
    }
  }

  static uint64_t count(MergedCursor& cursor, const OwnBucket& own) {
    uint64_t keys = 0;
    for (;; cursor.next(), keys++) {
      find_read(cursor, RangeKind::kCount, own);
      if (!cursor.valid()) return keys;
    }
  }

  // Passes over what was not read there.
  static void find_read(MergedCursor& cursor, RangeKind kind, const OwnBucket& own) {
    while (cursor.valid() && !was_read(cursor, kind, own)) cursor.next();
  }

  static bool was_read(const MergedCursor& cursor, RangeKind kind, const OwnBucket& own) {
    if (kind == RangeKind::kEverything) return true;
    if (kind == RangeKind::kBuckets) return cursor.is_bucket() && !own.decides_name(cursor.key());
    return !cursor.is_bucket() && !own.decides(cursor.key());
  }

  static bool same_entry(const MergedCursor& before, const MergedCursor& after, RangeKind kind) {
    if (before.key() != after.key() || before.is_bucket() != after.is_bucket()) return false;
    const bool has_value = kind == RangeKind::kEntries || kind == RangeKind::kEverything;
    return !has_value || before.is_bucket() || before.value() == after.value();
  }

  const BucketPath& path_;
  const Memtable* own_;
  const BucketView before_;
  const BucketView after_;
};

bool ReadSet::holds(const StateBelow& before, const StateBelow& after, const Memtable* own) const {
  if (everything_) return false;
  std::optional<Comparison> bucket;
  uint32_t path = 0;
  for (Log log(log_); log.next();) {
    if (!bucket || log.path != path) bucket.emplace(before, after, own, *paths_[log.path]);
    path = log.path;
    if (!bucket->same(log.kind, log.detail)) return false;
  }
  before.view.base->require_intact();
  after.view.base->require_intact();
  return true;
}

}  // namespace hotbolt
