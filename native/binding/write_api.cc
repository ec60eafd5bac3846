// Verbs that write: through a store (a transaction each) or into a transaction that is being built.
#include "binding/handle.h"
#include "binding/verbs.h"

namespace hotbolt::verbs {

namespace {

// Calls `verb` with what the writer handle holds, a Store or an Update. Returns the sequence
// number, 0 inside an update.
template <typename StoreVerb, typename UpdateVerb>
napi_value write_through(napi_env env, napi_value writer, StoreVerb&& store_verb,
                         UpdateVerb&& update_verb) {
  Handle& handle = any_handle(env, writer);
  Seq seq = 0;
  if (handle.tag == HandleTag::kStore) {
    seq = store_verb(*static_cast<StoreHandle&>(handle).store);
  } else if (handle.tag == HandleTag::kUpdate) {
    update_verb(*static_cast<UpdateHandle&>(handle).update);
  } else {
    throw_argument("a store or a transaction");
  }
  return make_number(env, double(seq));
}

}  // namespace

napi_value put(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [writer, bucket, key_value, value_value] = get_arguments<4>(env, info);
    BucketRef& ref = get_handle<BucketHandle>(env, bucket).ref;
    BytesArgument key(env, key_value);
    BytesArgument value(env, value_value);
    return write_through(
        env, writer, [&](Store& store) { return store.put(ref, key.bytes(), value.value()); },
        [&](Update& update) { update.put(ref, key.bytes(), value.value()); });
  });
}

napi_value remove(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [writer, bucket, key_value] = get_arguments<3>(env, info);
    BucketRef& ref = get_handle<BucketHandle>(env, bucket).ref;
    BytesArgument key(env, key_value);
    return write_through(
        env, writer, [&](Store& store) { return store.remove(ref, key.bytes()); },
        [&](Update& update) { update.remove(ref, key.bytes()); });
  });
}

napi_value create_bucket(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [writer, bucket] = get_arguments<2>(env, info);
    BucketRef& ref = get_handle<BucketHandle>(env, bucket).ref;
    return write_through(
        env, writer, [&](Store& store) { return store.create_bucket(ref); },
        [&](Update& update) { update.create_bucket(ref); });
  });
}

napi_value delete_bucket(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [writer, bucket] = get_arguments<2>(env, info);
    BucketRef& ref = get_handle<BucketHandle>(env, bucket).ref;
    return write_through(
        env, writer, [&](Store& store) { return store.delete_bucket(ref); },
        [&](Update& update) { update.delete_bucket(ref); });
  });
}

napi_value set_sequence(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [writer, bucket, value] = get_arguments<3>(env, info);
    BucketRef& ref = get_handle<BucketHandle>(env, bucket).ref;
    uint64_t sequence = get_bigint(env, value);
    return write_through(
        env, writer, [&](Store& store) { return store.set_sequence(ref, sequence); },
        [&](Update& update) { update.set_sequence(ref, sequence); });
  });
}

napi_value begin(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [store_value, track_reads] = get_arguments<2>(env, info);
    auto store = get_handle<StoreHandle>(env, store_value).store;
    store->require_writable();
    auto update = std::make_shared<Update>(store, get_bool(env, track_reads));
    return wrap_handle(env, std::make_unique<UpdateHandle>(std::move(update)));
  });
}

napi_value commit(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    std::optional<Seq> seq = get_handle<UpdateHandle>(env, handle).update->commit();
    return make_number(env, seq ? double(*seq) : -1);
  });
}

napi_value rollback(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    get_handle<UpdateHandle>(env, handle).update->rollback();
    return make_undefined(env);
  });
}

}  // namespace hotbolt::verbs
