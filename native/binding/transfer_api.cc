// Verbs that copy and hash whole files, on a thread of each handle's own.
#include "core/transfer.h"

#include "binding/handle.h"
#include "binding/promise_task.h"
#include "binding/verbs.h"

namespace hotbolt::verbs {

namespace {

// A transfer and its thread.
class Mover : public ThreadOwner {
 public:
  Mover(std::shared_ptr<ThreadOwners> owners, uint64_t bytes_per_second)
      : transfer(system_files(), bytes_per_second), owners_(std::move(owners)) {
    owners_->insert(this);
  }
  ~Mover() override {
    halt();
    owners_->erase(this);
  }
  void halt() noexcept override {
    transfer.cancel();
    worker.stop();
  }
  // Does not wait for what runs.
  void close() noexcept {
    transfer.cancel();
    closed_ = true;
    if (calls_ == 0) worker.stop();
  }

  // A call, until its promise is settled.
  class Call {
   public:
    explicit Call(std::shared_ptr<Mover> mover) : mover_(std::move(mover)) { mover_->calls_++; }
    ~Call() {
      if (--mover_->calls_ == 0 && mover_->closed_) mover_->worker.stop();
    }

   private:
    const std::shared_ptr<Mover> mover_;
  };

  Transfer transfer;
  Worker worker{Priority::kBackground};

 private:
  const std::shared_ptr<ThreadOwners> owners_;
  size_t calls_ = 0;
  bool closed_ = false;
};

struct TransferHandle : Handle {
  static constexpr HandleTag kTag = HandleTag::kTransfer;
  explicit TransferHandle(std::shared_ptr<Mover> mover) : Handle(kTag), mover(std::move(mover)) {}
  std::shared_ptr<Mover> mover;
};

std::string get_path(napi_env env, napi_value value) {
  std::string path = get_string(env, value);
  if (path.empty() || path.find('\0') != std::string::npos) throw_argument("a path without NUL");
  return path;
}

napi_value run(napi_env env, std::shared_ptr<Mover> mover,
               std::function<CopiedFile(Transfer&)> move) {
  auto result = std::make_shared<CopiedFile>();
  auto call = std::make_shared<Mover::Call>(mover);
  auto work = [=] { *result = move(mover->transfer); };
  return run_task(env, mover->worker, work, [=, call = std::move(call)](napi_env) {
    return ObjectBuilder(env)
        .number("sizeBytes", double(result->size_bytes))
        .string("sha256", result->sha256)
        .object();
  });
}

}  // namespace

napi_value transfer(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [rate] = get_arguments<1>(env, info);
    auto mover =
        std::make_shared<Mover>(EnvState::of(env).thread_owners(), get_unsigned(env, rate));
    return wrap_handle(env, std::make_unique<TransferHandle>(std::move(mover)));
  });
}

napi_value transfer_copy(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle, source_value, target_value] = get_arguments<3>(env, info);
    auto mover = get_handle<TransferHandle>(env, handle).mover;
    const std::string source = get_path(env, source_value);
    const std::string target = get_path(env, target_value);
    return run(env, mover, [=](Transfer& transfer) { return transfer.copy(source, target); });
  });
}

napi_value transfer_hash(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle, path_value, size_value] = get_arguments<3>(env, info);
    auto mover = get_handle<TransferHandle>(env, handle).mover;
    const std::string path = get_path(env, path_value);
    std::optional<uint64_t> size_bytes;
    if (!is_undefined(env, size_value)) size_bytes = get_unsigned(env, size_value);
    return run(env, mover, [=](Transfer& transfer) { return transfer.hash(path, size_bytes); });
  });
}

napi_value transfer_progress(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    return make_number(env,
                       double(get_handle<TransferHandle>(env, handle).mover->transfer.bytes()));
  });
}

napi_value transfer_cancel(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    get_handle<TransferHandle>(env, handle).mover->transfer.cancel();
    return make_undefined(env);
  });
}

napi_value transfer_close(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    get_handle<TransferHandle>(env, handle).mover->close();
    return make_undefined(env);
  });
}

}  // namespace hotbolt::verbs
