// The memtable's writers: versions and how they replace each other. The tree they hang in is
// bucket_table.cc.
#include "core/memtable.h"

#include <type_traits>

#include "core/bucket_table.h"
#include "core/error.h"

namespace hotbolt {

static_assert(std::is_trivially_destructible_v<BucketTable>, "the arena runs no destructors");

namespace {

void copy_bytes(char* to, Bytes from) {
  if (!from.empty()) std::memcpy(to, from.data(), from.size());
}

size_t round_up(size_t size) { return (size + 7) & ~size_t{7}; }

// Bytes of a value that lie in the arena.
size_t arena_size(const Value& value) { return value.is_shared() ? 0 : value.bytes.size(); }

// A version that somebody may still look at stays; one that only later readers could see gives way
// to the new one.
bool replaceable(const Version& version, Seq pinned) {
  return version.seq > pinned &&
         (version.kind == VersionKind::kPut || version.kind == VersionKind::kRemoved);
}

}  // namespace

Memtable::Memtable() { root_.is_root_bucket_ = true; }

Memtable::~Memtable() = default;

void Memtable::start_write(Seq seq) {
  HOTBOLT_ASSERT(!sealed_ && seq >= newest_seq_);
  if (!written_) first_seq_ = seq;
  written_ = true;
  newest_seq_ = seq;
}

// The record of `key`, or nullptr and in `path` the place where it belongs.
Record* Memtable::find_for_write(BucketTable& table, Bytes key, TablePath& path) {
  if (table.root_ == nullptr) return nullptr;
  table.descend(key, path);
  return path.record(key);
}

void Memtable::set_value(Version& version, char* room, size_t capacity, const Value& value) {
  if (value.is_shared()) return share_value(version, value);
  copy_bytes(room, value.bytes);
  version.data = room;
  version.size = static_cast<uint32_t>(value.bytes.size());
  version.capacity = static_cast<uint32_t>(capacity);
}

void Memtable::share_value(Version& version, const Value& value) {
  shared_[&version] = value.memory;
  shared_bytes_ += value.bytes.size();
  version.data = const_cast<char*>(value.bytes.data());  // capacity 0: nobody writes there
  version.size = static_cast<uint32_t>(value.bytes.size());
  version.capacity = 0;
}

// Record, version, key and value lie side by side: one piece of the arena, and few cache lines for
// a get.
void Memtable::add_record(BucketTable& table, TablePath& path, Bytes key, const Version& version,
                          const Value& value) {
  const size_t header = sizeof(Record) + sizeof(Version) + key.size();
  const size_t size = round_up(header + arena_size(value));
  char* piece = arena_.allocate(size);
  auto* first = new (piece + sizeof(Record)) Version(version);
  char* key_data = piece + sizeof(Record) + sizeof(Version);
  copy_bytes(key_data, key);
  link_version<Version>(*first, nullptr);
  if (!first->is_bucket()) set_value(*first, piece + header, size - header, value);
  auto* record = new (piece) Record{key_data, static_cast<uint32_t>(key.size()), first};
  record_count_++;
  if (table.root_ == nullptr) {
    table.insert_first(arena_, record);
  } else {
    table.insert(arena_, path, record);
  }
}

void Memtable::add_version(Record& record, const Version& version, const Value& value) {
  const size_t capacity = round_up(arena_size(value));
  char* piece = arena_.allocate(sizeof(Version) + capacity);
  auto* newest = new (piece) Version(version);
  link_version(*newest, record.newest);
  if (!newest->is_bucket()) set_value(*newest, piece + sizeof(Version), capacity, value);
  record.newest = newest;
}

void Memtable::replace(Version& version, VersionKind kind, const Value& value, Seq seq) {
  const size_t size = arena_size(value);
  const bool fits = size <= version.capacity;
  const size_t capacity = fits ? version.capacity : round_up(size);
  char* room = fits ? version.data : arena_.allocate(capacity);
  const size_t unshared = version.is_shared() ? version.size : 0;
  set_value(version, room, capacity, value);
  shared_bytes_ -= unshared;
  if (unshared > 0 && !version.is_shared()) shared_.erase(&version);
  version.kind = kind;
  version.seq = seq;
}

void Memtable::write(BucketTable& table, Bytes key, VersionKind kind, const Value& value, Seq seq,
                     Seq pinned) {
  start_write(seq);
  TablePath path;
  Record* record = find_for_write(table, key, path);
  Version version{};
  version.seq = seq;
  version.kind = kind;
  if (record == nullptr) {
    add_record(table, path, key, version, value);
    return;
  }
  HOTBOLT_ASSERT(!record->newest->is_bucket());
  if (replaceable(*record->newest, pinned)) {
    replace(*record->newest, kind, value, seq);
  } else {
    add_version(*record, version, value);
  }
}

void Memtable::put(BucketTable& table, Bytes key, const Value& value, Seq seq, Seq pinned) {
  write(table, key, VersionKind::kPut, value, seq, pinned);
}

void Memtable::remove(BucketTable& table, Bytes key, Seq seq, Seq pinned) {
  write(table, key, VersionKind::kRemoved, {}, seq, pinned);
}

BucketTable& Memtable::add_bucket(BucketTable& parent, TablePath& path, Record* record, Bytes name,
                                  VersionKind kind, Seq seq) {
  Version version{};
  version.seq = seq;
  version.kind = kind;
  version.bucket = arena_.make<BucketTable>();
  parent.names_buckets_ = true;
  if (!parent.is_root_bucket_) has_nested_buckets_ = true;
  if (record == nullptr) {
    add_record(parent, path, name, version, {});
  } else {
    add_version(*record, version, {});
  }
  return *version.bucket;
}

BucketTable& Memtable::touch_bucket(BucketTable& parent, Bytes name, Seq seq) {
  TablePath path;
  Record* record = find_for_write(parent, name, path);
  if (record != nullptr) {
    HOTBOLT_ASSERT(record->newest->is_bucket());
    return *record->newest->bucket;
  }
  start_write(seq);
  return add_bucket(parent, path, nullptr, name, VersionKind::kBucketTouched, seq);
}

BucketTable& Memtable::create_bucket(BucketTable& parent, Bytes name, Seq seq) {
  start_write(seq);
  TablePath path;
  Record* record = find_for_write(parent, name, path);
  HOTBOLT_ASSERT(record == nullptr || record->newest->kind == VersionKind::kBucketDeleted ||
                 record->newest->kind == VersionKind::kRemoved);
  return add_bucket(parent, path, record, name, VersionKind::kBucketCreated, seq);
}

void Memtable::delete_bucket(BucketTable& parent, Bytes name, Seq seq) {
  start_write(seq);
  parent.names_buckets_ = true;
  TablePath path;
  Record* record = find_for_write(parent, name, path);
  Version version{};
  version.seq = seq;
  version.kind = VersionKind::kBucketDeleted;
  if (record == nullptr) {
    add_record(parent, path, name, version, {});
  } else {
    HOTBOLT_ASSERT(record->newest->is_bucket());
    add_version(*record, version, {});
  }
}

void Memtable::set_sequence(BucketTable& table, uint64_t value, Seq seq, Seq pinned) {
  start_write(seq);
  if (table.sequence_ != nullptr && table.sequence_->seq > pinned) {
    table.sequence_->seq = seq;
    table.sequence_->value = value;
  } else {
    auto* newest = arena_.make<BucketTable::SequenceVersion>();
    newest->seq = seq;
    newest->value = value;
    link_version(*newest, table.sequence_);
    table.sequence_ = newest;
  }
}

void Memtable::seal(Seq last_seq) {
  HOTBOLT_ASSERT(!sealed_ && last_seq >= newest_seq_);
  sealed_ = true;
  last_seq_ = last_seq;
}

}  // namespace hotbolt
