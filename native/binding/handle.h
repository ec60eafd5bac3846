// Opaque handles: a tagged box behind a JS external. The tag is proven on every use. A handle's
// finalizer drops its reference on the JS thread; everything stays alive until the last handle,
// cursor or task lets go.
#pragma once

#include <memory>

#include "binding/args.h"
#include "binding/store_listener.h"
#include "core/defrag.h"
#include "core/update.h"

namespace hotbolt {

enum class HandleTag : uint32_t {
  kStore = 0x48423031,
  kSnapshot,
  kUpdate,
  kBucket,
  kCursor,
  kDefrag,
  kBackup,
  kImage,
  kTransfer,
  kLeftover,
};

struct Handle {
  explicit Handle(HandleTag tag) : tag(tag) {}
  virtual ~Handle() = default;
  const HandleTag tag;
};

struct StoreHandle : Handle {
  static constexpr HandleTag kTag = HandleTag::kStore;
  StoreHandle(std::shared_ptr<Store> store, std::shared_ptr<JsStoreListener> listener)
      : Handle(kTag), store(std::move(store)), listener(std::move(listener)) {}
  std::shared_ptr<Store> store;
  std::shared_ptr<JsStoreListener> listener;
};

struct SnapshotHandle : Handle {
  static constexpr HandleTag kTag = HandleTag::kSnapshot;
  explicit SnapshotHandle(std::shared_ptr<Snapshot> snapshot)
      : Handle(kTag), snapshot(std::move(snapshot)) {}
  std::shared_ptr<Snapshot> snapshot;
};

struct UpdateHandle : Handle {
  static constexpr HandleTag kTag = HandleTag::kUpdate;
  explicit UpdateHandle(std::shared_ptr<Update> update) : Handle(kTag), update(std::move(update)) {}
  std::shared_ptr<Update> update;
};

struct BucketHandle : Handle {
  static constexpr HandleTag kTag = HandleTag::kBucket;
  BucketHandle() : Handle(kTag) {}
  BucketRef ref;
};

struct DefragHandle : Handle {
  static constexpr HandleTag kTag = HandleTag::kDefrag;
  explicit DefragHandle(std::shared_ptr<Defrag> defrag, std::shared_ptr<Store> store)
      : Handle(kTag), store(std::move(store)), defrag(std::move(defrag)) {}
  std::shared_ptr<Store> store;
  std::shared_ptr<Defrag> defrag;
};

inline napi_value wrap_handle(napi_env env, std::unique_ptr<Handle> handle) {
  napi_value external;
  napi_status status = napi_create_external(
      env, handle.get(), [](napi_env, void* data, void*) { delete static_cast<Handle*>(data); },
      nullptr, &external);
  if (status != napi_ok) throw Error(ErrorCode::ERR_INTERNAL, "could not create a handle");
  handle.release();
  return external;
}

inline Handle& any_handle(napi_env env, napi_value value) {
  void* data = nullptr;
  if (napi_get_value_external(env, value, &data) != napi_ok || data == nullptr)
    throw_argument("a handle of hotbolt");
  return *static_cast<Handle*>(data);
}

template <typename Type>
Type& get_handle(napi_env env, napi_value value) {
  Handle& handle = any_handle(env, value);
  if (handle.tag != Type::kTag) throw_argument("another kind of handle");
  return static_cast<Type&>(handle);
}

}  // namespace hotbolt
