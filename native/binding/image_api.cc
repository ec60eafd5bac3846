// Verbs that read a whole file in pieces, each image on a thread of its own.
#include "core/image.h"

#include <algorithm>

#include "binding/handle.h"
#include "binding/promise_task.h"
#include "binding/verbs.h"

namespace hotbolt::verbs {

namespace {

// What is read is copied on the JS thread: more at a time would hold it up.
constexpr size_t kReadBytesMax = 1 << 20;

// An image and its thread. A read that runs holds on to the image itself.
class ImageReader : public ThreadOwner, public StoreClient {
 public:
  explicit ImageReader(std::shared_ptr<ThreadOwners> owners) : owners_(std::move(owners)) {
    owners_->insert(this);
  }
  ~ImageReader() override {
    halt();
    owners_->erase(this);
    if (store_ != nullptr) store_->remove_client(this);
  }
  void attach(std::shared_ptr<Image> image) { image_ = std::move(image); }
  void attach(std::shared_ptr<Image> image, std::shared_ptr<Store> store) {
    attach(std::move(image));
    store_ = std::move(store);
    store_->add_client(this);
  }
  const std::shared_ptr<Image>& image() const {
    if (image_ == nullptr) throw Error(ErrorCode::ERR_CLOSED, "the image is closed");
    return image_;
  }
  bool closed() const { return image_ == nullptr; }
  Worker& worker() { return worker_; }

  // Lets the image go as soon as no read holds it: an unlinked file is emptied first.
  void close() noexcept {
    auto file = std::dynamic_pointer_cast<FileImage>(image_);
    image_ = nullptr;
    if (file == nullptr) return;
    try {
      worker_.post([this, file] { file->discard(pacer_); });
    } catch (const std::exception&) {
      // The kernel frees its blocks at the last close.
    }
  }
  // On the worker.
  std::string hash(Image& image, uint64_t size) {
    Sha256 hash;
    std::string piece(kWritePieceBytes, '\0');
    for (uint64_t at = 0; at < size;) {
      pacer_.throw_if_cancelled();
      const size_t wanted = std::min<uint64_t>(size - at, piece.size());
      const size_t count = image.read(at, piece.data(), wanted);
      if (count == 0) throw Error(ErrorCode::ERR_TRUNCATED, "the image is shorter");
      hash.update({piece.data(), count});
      at += count;
    }
    return hex_digest(hash.finish());
  }
  void end() noexcept override { close(); }
  void halt() noexcept override {
    pacer_.cancel();
    worker_.stop();
    image_ = nullptr;
  }

 private:
  const std::shared_ptr<ThreadOwners> owners_;
  std::shared_ptr<Store> store_;  // whose state the image is
  std::shared_ptr<Image> image_;  // nullptr: closed
  Pacer pacer_{system_files(), nullptr, 0};
  Worker worker_{Priority::kBackground};
};

struct ImageHandle : Handle {
  static constexpr HandleTag kTag = HandleTag::kImage;
  explicit ImageHandle(std::shared_ptr<ImageReader> reader)
      : Handle(kTag), reader(std::move(reader)) {}
  std::shared_ptr<ImageReader> reader;
};

}  // namespace

napi_value image_of_snapshot(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    const Snapshot& snapshot = *get_handle<SnapshotHandle>(env, handle).snapshot;
    auto reader = std::make_shared<ImageReader>(EnvState::of(env).thread_owners());
    reader->attach(std::make_shared<StoreImage>(snapshot), snapshot.store().shared_from_this());
    return wrap_handle(env, std::make_unique<ImageHandle>(std::move(reader)));
  });
}

napi_value image_of_store(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    auto store = get_handle<StoreHandle>(env, handle).store;
    store->require_open();
    auto reader = std::make_shared<ImageReader>(EnvState::of(env).thread_owners());
    reader->attach(std::make_shared<StoreImage>(store), store);
    return wrap_handle(env, std::make_unique<ImageHandle>(std::move(reader)));
  });
}

napi_value image_of_file(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [path_value, unlink_value] = get_arguments<2>(env, info);
    const std::string path = get_string(env, path_value);
    const bool unlink = get_bool(env, unlink_value);
    auto reader = std::make_shared<ImageReader>(EnvState::of(env).thread_owners());
    auto image = std::make_shared<std::shared_ptr<Image>>();
    auto work = [=] { *image = std::make_shared<FileImage>(system_files(), path, unlink); };
    return run_task(env, reader->worker(), work, [=](napi_env) {
      reader->attach(*image);
      return wrap_handle(env, std::make_unique<ImageHandle>(reader));
    });
  });
}

napi_value image_bytes(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    const auto& image = get_handle<ImageHandle>(env, handle).reader->image();
    return make_number(env, double(image->size_bytes()));
  });
}

napi_value read_image(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle, offset_value, size_value] = get_arguments<3>(env, info);
    auto reader = get_handle<ImageHandle>(env, handle).reader;
    const uint64_t offset = get_unsigned(env, offset_value);
    const size_t size = std::min<uint64_t>(get_unsigned(env, size_value), kReadBytesMax);
    auto image = reader->image();
    auto piece = std::make_shared<std::string>();
    auto work = [=] {
      piece->resize(size);
      piece->resize(image->read(offset, piece->data(), size));
    };
    return run_task(env, reader->worker(), work, [=](napi_env) {
      void* copy = nullptr;
      napi_value buffer;
      if (reader->closed()) throw Error(ErrorCode::ERR_CLOSED, "the image is closed");
      require_ok(napi_create_buffer_copy(env, piece->size(), piece->data(), &copy, &buffer));
      return buffer;
    });
  });
}

napi_value hash_image(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle, size_value] = get_arguments<2>(env, info);
    auto reader = get_handle<ImageHandle>(env, handle).reader;
    const uint64_t size = get_unsigned(env, size_value);
    auto image = reader->image();
    auto digest = std::make_shared<std::string>();
    auto work = [=] { *digest = reader->hash(*image, size); };
    return run_task(env, reader->worker(), work, [=](napi_env) {
      napi_value text;
      require_ok(napi_create_string_utf8(env, digest->data(), digest->size(), &text));
      return text;
    });
  });
}

napi_value close_image(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    get_handle<ImageHandle>(env, handle).reader->close();
    return make_undefined(env);
  });
}

}  // namespace hotbolt::verbs
