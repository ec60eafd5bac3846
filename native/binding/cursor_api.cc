// Verbs of iteration: a cursor fills a slab with a batch of entries, so that a scan crosses the
// border once per batch.
#include "binding/handle.h"
#include "binding/verbs.h"

namespace hotbolt::verbs {

namespace {

enum class Mode : uint8_t { kEntries, kKeys, kBuckets };

// Walks a state that its snapshot pins. Closing the store closes the snapshot, and with it the
// ground under `bucket`: every use proves that it is open first.
struct CursorHandle : Handle {
  static constexpr HandleTag kTag = HandleTag::kCursor;
  CursorHandle() : Handle(kTag) {}

  std::shared_ptr<Snapshot> snapshot;
  std::shared_ptr<Update> update;  // when it walks a transaction
  bool owns_snapshot = false;
  BucketView bucket;
  std::optional<MergedCursor> cursor;
  Mode mode = Mode::kEntries;
  bool done = false;
  // What a transaction has read through it, noted when it ends.
  BucketRef ref;
  Bounds bounds;
  bool reverse = false;
  std::string reached;

  ~CursorHandle() override { close(); }

  void close() {
    if (done) return;
    done = true;
    if (snapshot == nullptr) return;  // it was never attached
    if (!snapshot->closed()) note_read();
    cursor.reset();
    bucket = {};
    if (owns_snapshot) snapshot->close();
    snapshot.reset();
    update.reset();
  }

  void note_read() {
    if (update == nullptr || update->closed()) return;
    if (cursor && cursor->valid()) {
      // Read up to here only: the bounds end at the last key that was seen.
      if (reached.empty()) return;
      (reverse ? bounds.lower : bounds.upper) = reached;
      (reverse ? bounds.lower_inclusive : bounds.upper_inclusive) = true;
    }
    update->read_range(ref, bounds, reverse);
  }

  bool wanted() const { return cursor->is_bucket() == (mode == Mode::kBuckets); }
};

Mode get_mode(napi_env env, napi_value value) {
  std::string mode = get_string(env, value);
  if (mode == "entries") return Mode::kEntries;
  if (mode == "keys") return Mode::kKeys;
  if (mode == "buckets") return Mode::kBuckets;
  throw_argument("mode to be 'entries', 'keys' or 'buckets'");
}

void attach(CursorHandle& cursor, Handle& reader) {
  if (reader.tag == HandleTag::kUpdate) {
    cursor.update = static_cast<UpdateHandle&>(reader).update;
    cursor.bucket = BucketView::at(cursor.update->view(), cursor.update->seq(), cursor.ref.path);
    cursor.snapshot = cursor.update->snapshot();
  } else {
    cursor.owns_snapshot = reader.tag == HandleTag::kStore;
    if (reader.tag == HandleTag::kStore) {
      cursor.snapshot = static_cast<StoreHandle&>(reader).store->snapshot();
    } else if (reader.tag == HandleTag::kSnapshot) {
      cursor.snapshot = static_cast<SnapshotHandle&>(reader).snapshot;
    } else {
      throw_argument("a store, snapshot or transaction");
    }
    cursor.bucket =
        BucketView::at(cursor.snapshot->view(), cursor.snapshot->seq(), cursor.ref.path);
  }
  cursor.cursor.emplace(cursor.bucket, cursor.bounds, cursor.reverse);
}

// Entries that fit, as many as wanted. 0 at the end, -n when the next one needs n bytes.
int64_t fill(CursorHandle& handle, WritableBytes slab, uint32_t limit, uint32_t* lengths) {
  MergedCursor& cursor = *handle.cursor;
  uint32_t count = 0;
  size_t used = 0;
  for (; count < limit && cursor.valid(); cursor.next()) {
    if (!handle.wanted()) continue;
    Bytes key = cursor.key();
    Bytes value = handle.mode == Mode::kEntries ? cursor.value() : Bytes();
    size_t size = key.size() + value.size();
    if (used + size > slab.size) {
      if (count == 0) return -static_cast<int64_t>(size);
      break;
    }
    key.copy(slab.data + used, key.size());
    value.copy(slab.data + used + key.size(), value.size());
    lengths[2 * count] = static_cast<uint32_t>(key.size());
    lengths[2 * count + 1] = static_cast<uint32_t>(value.size());
    used += size;
    count++;
  }
  handle.bucket.require_intact();
  if (count > 0 && handle.update != nullptr) {
    handle.reached.assign(slab.data + used - lengths[2 * count - 1] - lengths[2 * count - 2],
                          lengths[2 * count - 2]);
  }
  return count;
}

}  // namespace

napi_value cursor(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [reader, bucket, bounds, reverse, mode] = get_arguments<5>(env, info);
    auto handle = std::make_unique<CursorHandle>();
    handle->ref.path = get_handle<BucketHandle>(env, bucket).ref.path;
    handle->bounds = get_bounds(env, bounds);
    handle->reverse = get_bool(env, reverse);
    handle->mode = get_mode(env, mode);
    attach(*handle, any_handle(env, reader));
    return wrap_handle(env, std::move(handle));
  });
}

napi_value read(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [cursor, slab, limit] = get_arguments<3>(env, info);
    auto& handle = get_handle<CursorHandle>(env, cursor);
    if (handle.done) throw Error(ErrorCode::ERR_CLOSED, "the iterator is closed");
    if (handle.update != nullptr && handle.update->closed()) throw Error(ErrorCode::ERR_TX_CLOSED);
    if (handle.snapshot->closed()) throw Error(ErrorCode::ERR_CLOSED, "the snapshot is closed");
    uint64_t most = std::min<uint64_t>(get_unsigned(env, limit), EnvState::kBatchEntries);
    int64_t count = fill(handle, WritableBytes(env, slab, "slab"), static_cast<uint32_t>(most),
                         EnvState::of(env).batch_lengths());
    return make_number(env, double(count));
  });
}

napi_value close_cursor(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [cursor] = get_arguments<1>(env, info);
    get_handle<CursorHandle>(env, cursor).close();
    return make_undefined(env);
  });
}

}  // namespace hotbolt::verbs
