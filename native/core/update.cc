// See update.h.
#include "core/update.h"

namespace hotbolt {

namespace {

constexpr uint64_t kGarbageBytesMin = 64 << 10;

}  // namespace

std::optional<RangeRead> OpenRange::so_far() const {
  if (!ended && !reached) return std::nullopt;
  RangeRead part = read;
  if (!ended) {
    (reverse ? part.bounds.lower : part.bounds.upper) = *reached;
    (reverse ? part.bounds.lower_inclusive : part.bounds.upper_inclusive) = true;
  }
  return part;
}

Bounds OpenRange::behind(const std::string& key) const {
  Bounds rest = read.bounds;
  (reverse ? rest.upper : rest.lower) = key;
  (reverse ? rest.upper_inclusive : rest.lower_inclusive) = false;
  return rest;
}

Update::Update(std::shared_ptr<Store> store)
    : store_(std::move(store)),
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
  open_ranges_.clear();
  Garbage garbage{std::move(view_), std::move(own_), std::move(ops_), std::move(reads_)};
  discard(std::move(garbage));
}

// What is small, and the newest state, which others hold, is freed here: a thread would cost more.
void Update::discard(Garbage garbage) noexcept {
  const std::shared_ptr<const View> newest = store_->view();
  const bool is_newest = garbage.view.layers == newest->layers && garbage.view.base == newest->base;
  const uint64_t bytes = garbage.ops.body().size() + garbage.reads.bytes() +
                         (garbage.own == nullptr ? 0 : garbage.own->bytes());
  if (is_newest && bytes < kGarbageBytesMin) return;
  try {
    store_->discard(std::make_shared<Garbage>(std::move(garbage)));
  } catch (const std::bad_alloc&) {
    // It is freed here, on the way out.
  }
}

// --- reads ---

void Update::index() {
  if (ops_.body().text.size() == indexed_bytes_) return;
  if (own_ == nullptr) view_.own = own_ = std::make_shared<Memtable>();
  OpReader reader(ops_.body(), indexed_bytes_, indexed_path_);
  MemtableWriter writer(view_, *own_, seq_);
  Op op;
  bool changed = false;
  try {
    while (reader.next(op)) writer.apply(op, own_seq_, pinned_, false, changed);
  } catch (const std::bad_alloc&) {
    rollback();  // what is half replayed cannot be read
    throw;
  }
  indexed_bytes_ = ops_.body().text.size();
  indexed_path_ = reader.path();
  if (changed) version_++;
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

OwnBucket Update::own_bucket(const BucketPath& path) const {
  return OwnBucket(own_.get(), own_seq_, path);
}

void Update::read_value(const BucketRef& ref, Bytes key) {
  if (!own_bucket(ref.path).decides(key)) reads_.value(ref.path, key);
}

void Update::read_existence(const BucketRef& ref) {
  if (!own_bucket(ref.path).decides_existence()) reads_.existence(ref.path);
}

void Update::read_sequence(const BucketRef& ref) {
  if (!own_bucket(ref.path).decides_sequence()) reads_.sequence(ref.path);
}

void Update::read_count(const BucketRef& ref, const Bounds& bounds) {
  reads_.range(ref.path, {RangeKind::kCount, bounds, pin()});
}

void Update::read_name(const BucketPath& path, Bytes name) {
  if (!own_bucket(path).decides_name(name)) reads_.name(path, name);
}

// What each name on the path is.
void Update::read_names(const BucketPath& path) {
  for (auto name = path.begin(); name != path.end(); ++name) {
    read_name(BucketPath(path.begin(), name), *name);
  }
}

BucketView Update::open_range(OpenRange& range) {
  require_open();
  index();
  open_ranges_.insert(&range);
  range.read.own = pin();
  return BucketView::at(view_, {seq_, range.read.own}, range.path);
}

void Update::close_range(OpenRange& range) noexcept {
  if (open_ranges_.erase(&range) == 0) return;
  try {
    if (const auto read = range.so_far()) reads_.range(range.path, *read);
  } catch (const std::bad_alloc&) {
    reads_.everything();
  }
}

// --- writes ---

// The first write to a bucket proves that every name on its path is a bucket or nothing, so that it
// is found out here and not at the commit. A refusal says what the names are: that has been read.
void Update::require_path(const BucketPath& path) {
  index();
  try {
    require_buckets({view_, seq_}, path);
  } catch (const Error&) {
    read_names(path);
    throw;
  }
}

template <typename Proof>
void Update::prove_name(const BucketPath& path, Proof&& proof) {
  const BucketPath parent(path.begin(), path.end() - 1);
  try {
    proof(ViewAt{view_, seq_}, parent, path.back());
  } catch (const Error&) {
    read_name(parent, path.back());
    throw;
  }
}

bool Update::path_is_proven(const BucketRef& ref) const {
  return ref.writer_id == id_ && ref.writer_version == deletions_;
}

void Update::set_path_proven(BucketRef& ref) const {
  ref.writer_id = id_;
  ref.writer_version = deletions_;
}

void Update::require_key_is_no_bucket(BucketRef& ref, Bytes key) {
  if (!store_->may_nest() && !nests_) return;
  if (resolve(ref).kind(key) != NameKind::kBucket) return;
  BucketPath path = ref.path;
  path.emplace_back(key);
  read_names(path);
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
  set_path_proven(ref);
  if (ref.path.size() > 1) nests_ = true;
  ops_.put(ref.path, key, value);
}

void Update::remove(BucketRef& ref, Bytes key) {
  require_key_in_bucket(ref, key);
  require_key_is_no_bucket(ref, key);
  // Left out, because there is no bucket: that there is no such key has been read.
  if (!path_is_proven(ref) && !resolve(ref).exists()) return read_name(ref.path, key);
  set_path_proven(ref);
  ops_.remove(ref.path, key);
}

void Update::create_bucket(const BucketRef& ref) {
  require_open();
  store_->require_writable();
  if (ref.path.empty()) throw Error(ErrorCode::ERR_BUCKET_EXISTS, "the root bucket exists always");
  BucketPath parent(ref.path.begin(), ref.path.end() - 1);
  require_path(ref.path);
  prove_name(ref.path, require_missing);
  if (ref.path.size() > 1) nests_ = true;
  creates_ = true;
  ops_.create_bucket(parent, ref.path.back());
}

void Update::delete_bucket(const BucketRef& ref) {
  require_open();
  store_->require_writable();
  if (ref.path.empty()) {
    throw Error(ErrorCode::ERR_INVALID_ARGUMENT, "the root bucket cannot be deleted");
  }
  BucketPath parent(ref.path.begin(), ref.path.end() - 1);
  index();
  prove_name(ref.path, require_bucket);
  ops_.delete_bucket(parent, ref.path.back());
  deletions_++;
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

bool Update::still_reads_the_same() {
  for (const OpenRange* range : open_ranges_) {
    if (const auto read = range->so_far()) reads_.range(range->path, *read);
  }
  return reads_.holds({snapshot_->view(), seq_}, {*store_->view(), kSeqMax}, own_.get());
}

// Whether what others have done can make an operation of this one not apply: only where buckets
// are made or deleted by name, or where keys and buckets can meet, which is inside of buckets.
bool Update::may_contradict() const {
  return creates_ || deletions_ > 0 || nests_ || store_->may_nest();
}

bool Update::still_applies() const {
  View view = *store_->view();
  auto trial = std::make_shared<Memtable>();
  view.own = trial;
  MemtableWriter writer(view, *trial);
  OpReader reader(ops_.body());
  Op op;
  bool changed = false;
  try {
    while (reader.next(op)) writer.apply(op, 1, 0, true, changed);
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
    // What does not apply must not reach the journal: it could not be replayed. Each operation was
    // proven when it was called, in the state that it meets if nothing has moved.
    if (!moved || (still_reads_the_same() && (!may_contradict() || still_applies()))) {
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
