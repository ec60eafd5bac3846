// What one Node environment (the main thread, or one worker thread) holds: the error class, the
// mailbox that other threads post results to, the shared buffers, the open stores.
//
// Lifetime rules:
//  1. There are no globals: everything hangs on the environment's instance data.
//  2. Other threads touch the environment through the Mailbox only, which outlives it by reference
//  count; once the environment
//     is gone, what is posted is dropped.
//  3. The cleanup hook stops the threads of all open stores and thread owners (joining them) before
//  it closes the mailbox, so that no task can run
//     after it. It is registered last and so runs first; finalizers of handles run after it.
//  4. A task's captured handles are released on the JS thread: they travel back through the mailbox
//  with the result.
//  5. Pending work keeps the event loop alive; an idle store does not.
#pragma once

#include <node_api.h>

#include <atomic>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_set>

#include "core/store.h"

namespace hotbolt {

class EnvState;

// Who has a thread that is no store's.
class ThreadOwner {
 public:
  virtual ~ThreadOwner() = default;
  virtual void halt() noexcept = 0;  // cancels, and joins the thread
};

// Those of an environment. A handle may be finalized after the environment's state is gone, so both
// hold the list. JS thread.
using ThreadOwners = std::unordered_set<ThreadOwner*>;

// Throws unless the call succeeded. From the moment in which a thread is terminated Node refuses
// most calls of its environment, the creation of objects included, while the verb that runs goes on
// to its end.
inline void require_ok(napi_status status) {
  if (status != napi_ok) throw Error(ErrorCode::ERR_INTERNAL, "the environment is ending");
}

// For a thread that has nobody to report to: tries again until there is memory. A promise that is
// never settled, or the end of the process, would be worse.
template <typename Call>
void until_there_is_memory(Call&& call) noexcept {
  for (;;) {
    try {
      return call();
    } catch (const std::bad_alloc&) {
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  }
}

// Delivers functions to the JS thread. Any thread may post.
class Mailbox {
 public:
  using Letter = std::function<void(EnvState&)>;
  // Takes the letter, unless the environment is gone: then it is the caller's to destroy.
  void post(Letter&& letter) noexcept;
  void close();

 private:
  friend class EnvState;
  std::mutex mutex_;
  std::deque<Letter> letters_;
  napi_threadsafe_function wake_ = nullptr;
};

class EnvState {
 public:
  static constexpr size_t kScratchBytes = 64 << 10;
  static constexpr size_t kBatchEntries = 1024;

  static EnvState& create(napi_env env);
  static EnvState& of(napi_env env);

  napi_env env() const { return env_; }
  const std::shared_ptr<Mailbox>& mailbox() const { return mailbox_; }
  char* scratch() const { return scratch_; }
  uint32_t* batch_lengths() const { return batch_lengths_; }
  napi_value scratch_value() const;
  napi_value batch_lengths_value() const;

  // A reference that is deleted with the environment unless drop() comes first: Node frees none by
  // itself.
  napi_ref keep(napi_value value);
  void drop(napi_ref reference);

  void set_error_class(napi_value error_class);
  // A HotboltError. Never fails: falls back to a plain Error.
  napi_value make_error(const Error& error);

  // Work in flight keeps the event loop alive. Calls nest.
  void begin_work();
  void end_work();

  void add_store(std::shared_ptr<Store> store) { stores_.insert(std::move(store)); }
  void remove_store(const std::shared_ptr<Store>& store) { stores_.erase(store); }
  const std::shared_ptr<ThreadOwners>& thread_owners() const { return thread_owners_; }
  void add_opener(std::shared_ptr<Worker> worker) { openers_.insert(std::move(worker)); }
  // Set when the environment ends: who waits for a lock gives up.
  const std::shared_ptr<std::atomic<bool>>& ending() const { return ending_; }
  void remove_opener(const std::shared_ptr<Worker>& worker) { openers_.erase(worker); }

 private:
  explicit EnvState(napi_env env);
  static void on_wake(napi_env env, napi_value callback, void* context, void* data);
  static void on_cleanup(void* state);

  const napi_env env_;
  std::shared_ptr<Mailbox> mailbox_ = std::make_shared<Mailbox>();
  napi_ref error_class_ = nullptr;
  napi_ref scratch_ref_ = nullptr;
  napi_ref batch_lengths_ref_ = nullptr;
  char* scratch_ = nullptr;
  uint32_t* batch_lengths_ = nullptr;
  size_t work_ = 0;
  std::unordered_set<napi_ref> references_;
  std::unordered_set<std::shared_ptr<Store>> stores_;
  std::unordered_set<std::shared_ptr<Worker>> openers_;
  const std::shared_ptr<ThreadOwners> thread_owners_ = std::make_shared<ThreadOwners>();
  const std::shared_ptr<std::atomic<bool>> ending_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace hotbolt
