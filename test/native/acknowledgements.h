// The listener of a store in tests, which can wait for what it hears. Any thread.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "core/store.h"

namespace hotbolt::testing {

class Acknowledgements : public StoreListener {
 public:
  void on_durable(Seq seq, Seq synced) noexcept override {
    std::lock_guard lock(mutex_);
    durable_ = std::max(durable_, seq);
    synced_ = std::max(synced_, synced);
    calls_++;
    changed_.notify_all();
  }
  void on_failure(const Error&) noexcept override {
    std::lock_guard lock(mutex_);
    failed_ = true;
    changed_.notify_all();
  }
  // Each wait ends when the store has failed, too.
  void wait(Seq seq) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return durable_ >= seq || failed_; });
  }
  // The answer to a forced sync may come although everything was synced before it.
  void wait_synced(Seq seq, uint64_t calls) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return (synced_ >= seq && calls_ >= calls) || failed_; });
  }
  // False: nothing has failed in good time.
  bool wait_for_failure() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] { return failed_; });
  }
  Seq durable() const {
    std::lock_guard lock(mutex_);
    return durable_;
  }
  uint64_t calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }
  // Another store takes over; what it was opened with is durable.
  void restart(Seq seq) {
    std::lock_guard lock(mutex_);
    failed_ = false;
    durable_ = seq;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Seq durable_ = 0;
  Seq synced_ = 0;
  uint64_t calls_ = 0;  // of on_durable()
  bool failed_ = false;
};

}  // namespace hotbolt::testing
