// See promise_task.h.
#include "binding/promise_task.h"

namespace hotbolt {

namespace {

struct Task {
  std::function<void()> work;
  std::function<napi_value(napi_env)> finish;
  std::optional<Error> error;
  napi_deferred deferred = nullptr;
};

void run(Task& task) noexcept {
  try {
    task.work();
  } catch (...) {
    task.error = current_error();
  }
}

void settle(EnvState& state, Task& task) noexcept {
  napi_env env = state.env();
  napi_value value = nullptr;
  if (!task.error) {
    try {
      value = task.finish(env);
    } catch (...) {
      task.error = current_error();
    }
  }
  if (task.error) {
    napi_reject_deferred(env, task.deferred, state.make_error(*task.error));
  } else {
    napi_resolve_deferred(env, task.deferred, value);
  }
  state.end_work();
}

}  // namespace

napi_value run_task(napi_env env, Worker& worker, std::function<void()> work,
                    std::function<napi_value(napi_env)> finish) {
  EnvState& state = EnvState::of(env);
  auto task = std::make_shared<Task>();
  task->work = std::move(work);
  task->finish = std::move(finish);
  napi_value promise;
  require_ok(napi_create_promise(env, &task->deferred, &promise));
  state.begin_work();
  try {
    const bool posted = worker.post([task, mailbox = state.mailbox()]() mutable {
      run(*task);
      Mailbox::Letter letter;
      until_there_is_memory([&] { letter = [task](EnvState& owner) { settle(owner, *task); }; });
      task.reset();  // the last to let go of a store must not be its own worker
      mailbox->post(std::move(letter));
    });
    if (posted) return promise;
    task->error = Error(ErrorCode::ERR_CLOSED);
  } catch (const std::exception&) {
    // There is no thread to be had, or no memory. Rather late on this one than never: a close must
    // release its file.
    run(*task);
  }
  settle(state, *task);
  return promise;
}

}  // namespace hotbolt
