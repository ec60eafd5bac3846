// Verbs that read: through the newest state, a snapshot, or a transaction.
#include "binding/handle.h"
#include "binding/verbs.h"

namespace hotbolt::verbs {

namespace {

// The bucket as the reader sees it.
const BucketView& resolve(Handle& reader, BucketRef& ref) {
  switch (reader.tag) {
    case HandleTag::kStore:
      return static_cast<StoreHandle&>(reader).store->resolve(ref);
    case HandleTag::kSnapshot:
      return static_cast<SnapshotHandle&>(reader).snapshot->resolve(ref);
    case HandleTag::kUpdate:
      return static_cast<UpdateHandle&>(reader).update->resolve(ref);
    default:
      throw_argument("a store, snapshot or transaction");
  }
}

// Transactions remember what they have looked at.
template <typename Note>
void note_read(Handle& reader, Note&& note) {
  if (reader.tag == HandleTag::kUpdate) note(*static_cast<UpdateHandle&>(reader).update);
}

struct Found {
  const BucketView& bucket;
  std::optional<Bytes> value;
};

Found look_up(napi_env env, napi_value reader_value, napi_value bucket_value,
              napi_value key_value) {
  Handle& reader = any_handle(env, reader_value);
  BucketRef& ref = get_handle<BucketHandle>(env, bucket_value).ref;
  BytesArgument key(env, key_value, "key");
  const BucketView& bucket = resolve(reader, ref);
  note_read(reader, [&](Update& update) { update.read_value(ref, key.bytes()); });
  if (key.bytes().empty()) return {bucket, std::nullopt};
  return {bucket, bucket.get(key.bytes())};
}

}  // namespace

napi_value bucket(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [parent, name] = get_arguments<2>(env, info);
    auto handle = std::make_unique<BucketHandle>();
    if (!is_undefined(env, parent))
      handle->ref.path = get_handle<BucketHandle>(env, parent).ref.path;
    BytesArgument bytes(env, name, "name");
    if (bytes.bytes().empty()) throw Error(ErrorCode::ERR_KEY_REQUIRED);
    if (bytes.bytes().size() > kNameSizeMax) {
      throw Error(ErrorCode::ERR_KEY_TOO_LARGE,
                  "a bucket name of " + std::to_string(bytes.bytes().size()) +
                      " bytes is longer than " + std::to_string(kNameSizeMax));
    }
    if (handle->ref.path.size() == kDepthMax)
      throw_argument("at most 254 buckets inside each other");
    handle->ref.path.emplace_back(bytes.bytes());
    return wrap_handle(env, std::move(handle));
  });
}

napi_value root_bucket(napi_env env, napi_callback_info) {
  return guard(env, [&] { return wrap_handle(env, std::make_unique<BucketHandle>()); });
}

napi_value snapshot(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [store] = get_arguments<1>(env, info);
    return wrap_handle(env, std::make_unique<SnapshotHandle>(
                                get_handle<StoreHandle>(env, store).store->snapshot()));
  });
}

napi_value close_snapshot(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    get_handle<SnapshotHandle>(env, handle).snapshot->close();
    return make_undefined(env);
  });
}

napi_value get(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [reader, bucket, key] = get_arguments<3>(env, info);
    const auto& [view, value] = look_up(env, reader, bucket, key);
    napi_value result;
    if (value && value->size() > EnvState::kScratchBytes) {
      if (napi_create_buffer_copy(env, value->size(), value->data(), nullptr, &result) != napi_ok) {
        throw Error(ErrorCode::ERR_OUT_OF_MEMORY);
      }
      view.require_intact();
      return result;
    }
    if (value) value->copy(EnvState::of(env).scratch(), value->size());
    view.require_intact();
    napi_create_int32(env, value ? static_cast<int32_t>(value->size()) : -1, &result);
    return result;
  });
}

napi_value get_into(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [reader, bucket, key, target_value] = get_arguments<4>(env, info);
    WritableBytes target(env, target_value, "target");
    const auto& [view, value] = look_up(env, reader, bucket, key);
    if (value && target.size > 0) value->copy(target.data, target.size);
    view.require_intact();
    return make_number(env, value ? double(value->size()) : -1);
  });
}

napi_value has(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [reader, bucket, key] = get_arguments<3>(env, info);
    return make_bool(env, look_up(env, reader, bucket, key).value.has_value());
  });
}

napi_value bucket_exists(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [reader_value, bucket_value] = get_arguments<2>(env, info);
    Handle& reader = any_handle(env, reader_value);
    BucketRef& ref = get_handle<BucketHandle>(env, bucket_value).ref;
    const bool exists = resolve(reader, ref).exists();
    note_read(reader, [&](Update& update) { update.read_existence(ref); });
    return make_bool(env, exists);
  });
}

napi_value sequence(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [reader_value, bucket_value] = get_arguments<2>(env, info);
    Handle& reader = any_handle(env, reader_value);
    BucketRef& ref = get_handle<BucketHandle>(env, bucket_value).ref;
    const uint64_t sequence = resolve(reader, ref).sequence();
    note_read(reader, [&](Update& update) { update.read_sequence(ref); });
    napi_value result;
    napi_create_bigint_uint64(env, sequence, &result);
    return result;
  });
}

napi_value bucket_root(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [reader, bucket] = get_arguments<2>(env, info);
    BucketRef& ref = get_handle<BucketHandle>(env, bucket).ref;
    const std::optional<PageBucket> page = resolve(any_handle(env, reader), ref).page();
    if (!page) return make_number(env, 0);
    return make_number(env, page->is_inline() ? -1 : double(value(page->root_page())));
  });
}

napi_value count(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [reader_value, bucket_value, bounds_value] = get_arguments<3>(env, info);
    Handle& reader = any_handle(env, reader_value);
    BucketRef& ref = get_handle<BucketHandle>(env, bucket_value).ref;
    Bounds bounds = get_bounds(env, bounds_value);
    const BucketView& view = resolve(reader, ref);
    const uint64_t keys = MergedCursor(view, bounds, false).count_keys(~uint64_t{0});
    view.require_intact();
    note_read(reader, [&](Update& update) { update.read_count(ref, bounds); });
    return make_number(env, double(keys));
  });
}

}  // namespace hotbolt::verbs
