// Verbs of iteration: a cursor fills a slab with a batch of entries, so that a scan crosses the
// border once per batch.
#include "binding/handle.h"
#include "binding/verbs.h"

namespace hotbolt::verbs {

namespace {

// How many entries of the other kind one call passes over.
constexpr uint32_t kPassedMax = 4096;
constexpr int64_t kEnd = -1;

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
  bool done = false;
  OpenRange range;  // what is walked; a transaction knows it
  // Of the newest batch: its entries, and the last key before it.
  uint32_t batch_entries = 0;
  std::optional<std::string> reached_before;

  ~CursorHandle() override { close(); }

  void close() {
    if (done) return;
    done = true;
    if (update != nullptr) update->close_range(range);
    cursor.reset();
    bucket = {};
    if (owns_snapshot && snapshot != nullptr) snapshot->close();
    snapshot.reset();
    update.reset();
  }

  // The last entries of the newest batch were not looked at: they have not been read.
  void give_back(uint64_t unread) {
    if (update == nullptr || update->closed() || unread == 0 || unread > batch_entries) return;
    MergedCursor again(bucket, reached_before ? range.behind(*reached_before) : range.read.bounds,
                       range.reverse);
    range.reached = reached_before;
    for (uint64_t left = batch_entries - unread; left > 0; again.next()) {
      if (!wanted(again)) continue;
      range.reached = again.key();
      left--;
    }
  }

  bool wanted(const MergedCursor& at) const {
    return at.is_bucket() == (range.read.kind == RangeKind::kBuckets);
  }
};

RangeKind get_kind(napi_env env, napi_value value) {
  std::string mode = get_string(env, value);
  if (mode == "entries") return RangeKind::kEntries;
  if (mode == "keys") return RangeKind::kKeys;
  if (mode == "buckets") return RangeKind::kBuckets;
  throw_argument("mode to be 'entries', 'keys' or 'buckets'");
}

void attach(CursorHandle& cursor, Handle& reader) {
  if (reader.tag == HandleTag::kUpdate) {
    cursor.update = static_cast<UpdateHandle&>(reader).update;
    cursor.bucket = cursor.update->open_range(cursor.range);
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
        BucketView::at(cursor.snapshot->view(), cursor.snapshot->seq(), cursor.range.path);
  }
  cursor.cursor.emplace(cursor.bucket, cursor.range.read.bounds, cursor.range.reverse);
}

// A transaction has read as far as the batch goes, or, where that is empty, as far as was looked.
void note_batch(CursorHandle& handle, uint32_t entries, Bytes last_key) {
  const MergedCursor& cursor = *handle.cursor;
  handle.batch_entries = entries;
  handle.reached_before = handle.range.reached;
  if (entries > 0) {
    handle.range.reached = last_key;
  } else if (cursor.valid()) {
    handle.range.reached = cursor.key();
  } else {
    handle.range.ended = true;
  }
}

// Entries that fit, as many as wanted. kEnd at the end, -n when the next one needs n bytes, 0 when
// there may be more behind the many that were passed over.
int64_t fill(CursorHandle& handle, WritableBytes slab, uint32_t limit, uint32_t* lengths) {
  MergedCursor& cursor = *handle.cursor;
  uint32_t count = 0;
  uint32_t passed = 0;
  size_t used = 0;
  Bytes last_key;
  for (; count < limit && cursor.valid(); cursor.next()) {
    if (!handle.wanted(cursor)) {
      if (passed++ == kPassedMax) break;
      continue;
    }
    Bytes key = cursor.key();
    Bytes value = handle.range.read.kind == RangeKind::kEntries ? cursor.value() : Bytes();
    size_t size = key.size() + value.size();
    if (used + size > slab.size) {
      if (count == 0) return -static_cast<int64_t>(size);
      break;
    }
    key.copy(slab.data + used, key.size());
    value.copy(slab.data + used + key.size(), value.size());
    last_key = Bytes(slab.data + used, key.size());
    lengths[2 * count] = static_cast<uint32_t>(key.size());
    lengths[2 * count + 1] = static_cast<uint32_t>(value.size());
    used += size;
    count++;
  }
  handle.bucket.require_intact();
  if (handle.update != nullptr) note_batch(handle, count, last_key);
  return count == 0 && !cursor.valid() ? kEnd : count;
}

}  // namespace

napi_value cursor(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [reader, bucket, bounds, reverse, mode] = get_arguments<5>(env, info);
    auto handle = std::make_unique<CursorHandle>();
    handle->range.path = get_handle<BucketHandle>(env, bucket).ref.path;
    handle->range.read = {get_kind(env, mode), get_bounds(env, bounds), 0};
    handle->range.reverse = get_bool(env, reverse);
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
    auto [cursor, unread] = get_arguments<2>(env, info);
    auto& handle = get_handle<CursorHandle>(env, cursor);
    if (!handle.done) handle.give_back(get_unsigned(env, unread));
    handle.close();
    return make_undefined(env);
  });
}

}  // namespace hotbolt::verbs
