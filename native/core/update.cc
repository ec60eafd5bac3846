// See update.h.
#include "core/update.h"

namespace hotbolt {

Update::Update(std::shared_ptr<Store> store, bool track_reads)
    : store_(std::move(store)),
      track_reads_(track_reads),
      id_(new_reader_id()),
      snapshot_(store_->snapshot()),
      seq_(snapshot_->seq()),
      view_(snapshot_->view()) {
  store_->add_update(this);
}

void Update::require_open() const {
  store_->require_open();
  if (snapshot_ == nullptr) throw Error(ErrorCode::ERR_TX_CLOSED);
}

void Update::rollback() noexcept {
  if (snapshot_ == nullptr) return;
  store_->remove_update(this);
  snapshot_->close();
  snapshot_ = nullptr;
  view_ = {};
  own_ = nullptr;
  ops_.clear();
}

// --- reads ---

void Update::index() {
  if (ops_.body().text.size() == indexed_bytes_) return;
  if (own_ == nullptr) {
    own_ = std::make_shared<Memtable>();
    view_.layers.insert(view_.layers.begin(), own_);
  }
  OpReader reader(ops_.body(), indexed_bytes_, indexed_path_);
  MemtableWriter writer(view_, *own_, seq_);
  Op op;
  bool changed = false;
  // At the snapshot's own sequence number: visible to this transaction's reads, and to nobody
  // else's.
  try {
    while (reader.next(op)) writer.apply(op, seq_, 0, false, changed);
  } catch (const std::bad_alloc&) {
    rollback();  // what is half replayed cannot be read
    throw;
  }
  indexed_bytes_ = ops_.body().text.size();
  indexed_path_ = reader.path();
  if (changed) version_++;
}

const View& Update::view() {
  require_open();
  index();
  return view_;
}

const BucketView& Update::resolve(BucketRef& ref) {
  require_open();
  index();
  if (ref.reader_id != id_ || ref.reader_version != version_) {
    ref.bucket = BucketView::at(view_, seq_, ref.path);
    ref.reader_id = id_;
    ref.reader_version = version_;
  }
  return ref.bucket;
}

void Update::note(ReadKind kind, const BucketRef& ref, std::string key, Bounds bounds,
                  bool reverse) {
  if (!track_reads_) return;
  if (paths_.empty() || paths_.back() != ref.path) paths_.push_back(ref.path);
  const auto path = static_cast<uint32_t>(paths_.size() - 1);
  reads_.push_back({kind, path, std::move(key), std::move(bounds), reverse});
}

void Update::read_value(const BucketRef& ref, Bytes key) {
  note(ReadKind::kValue, ref, std::string(key), {}, false);
}

void Update::read_bucket(const BucketRef& ref) { note(ReadKind::kBucket, ref, {}, {}, false); }

void Update::read_range(const BucketRef& ref, Bounds bounds, bool reverse) {
  note(ReadKind::kRange, ref, {}, std::move(bounds), reverse);
}

// --- writes ---

// The first write to a bucket proves that every name on its path is a bucket or nothing, so that it
// is found out here and not at the commit.
void Update::require_path(const BucketPath& path) {
  index();
  require_buckets({view_, seq_}, path);
}

void Update::require_key_is_no_bucket(BucketRef& ref, Bytes key) {
  if (!store_->may_nest() && !nests_) return;
  if (resolve(ref).kind(key) != NameKind::kBucket) return;
  read_value(ref, key);
  throw Error(ErrorCode::ERR_INCOMPATIBLE_VALUE, quoted(key) + " is a bucket");
}

void Update::require_key_in_bucket(const BucketRef& ref, Bytes key) const {
  require_open();
  store_->require_writable();
  require_key(key);
  if (!ref.path.empty()) return;
  throw Error(ErrorCode::ERR_INCOMPATIBLE_VALUE, "the root holds buckets only");
}

void Update::put(BucketRef& ref, Bytes key, const Value& value) {
  require_key_in_bucket(ref, key);
  require_value(value.bytes);
  require_key_is_no_bucket(ref, key);
  if (!path_is_proven(ref)) require_path(ref.path);
  ref.writer_id = id_;
  if (ref.path.size() > 1) nests_ = true;
  ops_.put(ref.path, key, value);
}

void Update::remove(BucketRef& ref, Bytes key) {
  require_key_in_bucket(ref, key);
  require_key_is_no_bucket(ref, key);
  if (!path_is_proven(ref)) {
    read_bucket(ref);
    if (!resolve(ref).exists()) return;
  }
  ref.writer_id = id_;
  ops_.remove(ref.path, key);
}

void Update::create_bucket(const BucketRef& ref) {
  require_open();
  store_->require_writable();
  if (ref.path.empty()) throw Error(ErrorCode::ERR_BUCKET_EXISTS, "the root bucket exists always");
  BucketPath parent(ref.path.begin(), ref.path.end() - 1);
  read_bucket(ref);
  require_path(ref.path);
  require_missing({view_, seq_}, parent, ref.path.back());
  if (ref.path.size() > 1) nests_ = true;
  ops_.create_bucket(parent, ref.path.back());
}

void Update::delete_bucket(const BucketRef& ref) {
  require_open();
  store_->require_writable();
  if (ref.path.empty()) {
    throw Error(ErrorCode::ERR_INVALID_ARGUMENT, "the root bucket cannot be deleted");
  }
  BucketPath parent(ref.path.begin(), ref.path.end() - 1);
  read_bucket(ref);
  index();
  require_bucket({view_, seq_}, parent, ref.path.back());
  ops_.delete_bucket(parent, ref.path.back());
  deletes_ = true;
}

void Update::set_sequence(BucketRef& ref, uint64_t value) {
  require_open();
  store_->require_writable();
  if (ref.path.empty()) {
    throw Error(ErrorCode::ERR_INVALID_ARGUMENT, "the root bucket has no sequence");
  }
  require_path(ref.path);
  if (ref.path.size() > 1) nests_ = true;
  ops_.set_sequence(ref.path, value);
}

// --- end ---

bool Update::same_read(const Read& read, const View& now) const {
  BucketView before = BucketView::at(snapshot_->view(), seq_, paths_[read.path]);
  BucketView after = BucketView::at(now, kSeqMax, paths_[read.path]);
  switch (read.kind) {
    case ReadKind::kValue:
      return before.get(read.key) == after.get(read.key) &&
             before.kind(read.key) == after.kind(read.key);
    case ReadKind::kBucket:
      return before.exists() == after.exists() && before.sequence() == after.sequence();
    case ReadKind::kRange:
      break;
  }
  MergedCursor old_cursor(before, read.bounds, read.reverse);
  MergedCursor new_cursor(after, read.bounds, read.reverse);
  while (old_cursor.valid() && new_cursor.valid()) {
    bool same = old_cursor.key() == new_cursor.key() &&
                old_cursor.is_bucket() == new_cursor.is_bucket() &&
                (old_cursor.is_bucket() || old_cursor.value() == new_cursor.value());
    if (!same) return false;
    old_cursor.next();
    new_cursor.next();
  }
  return !old_cursor.valid() && !new_cursor.valid();
}

bool Update::still_reads_the_same() const {
  for (const Read& read : reads_) {
    if (!same_read(read, *store_->view())) return false;
  }
  return true;
}

bool Update::still_applies() const {
  View view = *store_->view();
  auto trial = std::make_shared<Memtable>();
  view.layers.insert(view.layers.begin(), trial);
  MemtableWriter writer(view, *trial);
  OpReader reader(ops_.body());
  Op op;
  bool changed = false;
  try {
    while (reader.next(op)) writer.apply(op, store_->last_seq(), 0, true, changed);
  } catch (const Error& error) {
    if (!does_not_apply(error)) throw;
    return false;
  }
  return true;
}

std::optional<Seq> Update::commit() {
  require_open();
  std::optional<Seq> seq;
  try {
    const bool moved = store_->last_seq() != seq_;
    // What does not apply must not reach the journal: it could not be replayed. An update that
    // deletes buckets can make its own operations contradict each other, so that is proven once
    // more.
    if (deletes_ && !moved) HOTBOLT_ASSERT(still_applies());
    if (!moved || (still_reads_the_same() && still_applies())) {
      // From here on the snapshot pins nothing: versions may be replaced in place.
      snapshot_->close();
      seq = store_->commit(ops_);
    }
  } catch (...) {
    rollback();
    throw;
  }
  rollback();
  return seq;
}

}  // namespace hotbolt
