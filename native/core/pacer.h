// Keeps those who move bytes in the background (copier, checkpoint, replayer, emptying of old
// files) out of the way of the journal's syncs: after each piece it looks at the journal's sync
// latency and sleeps while that is above a small multiple of its idle value, unless it is in a
// hurry; and it keeps to `bytes_per_second` when that is set. Any thread; one Pacer per operation.
#pragma once

#include <atomic>
#include <functional>
#include <memory>

#include "core/file.h"
#include "core/journal.h"

namespace hotbolt {

class Pacer {
 public:
  // bytes_per_second 0: no limit of its own. `latency` may be null.
  Pacer(FileSystem& files, std::shared_ptr<const SyncLatency> latency, uint64_t bytes_per_second);
  // Called after `bytes` were moved. Sleeps as needed, in slices of at most 50 ms; throws
  // ERR_ABORTED when cancelled.
  void moved(uint64_t bytes);
  void cancel() noexcept { cancelled_ = true; }
  // While others wait for this work it does not wait for their syncs.
  void hurry(bool on) noexcept { in_hurry_ = on; }
  // Called after each piece, and while it sleeps; what it throws ends the work. Before the work
  // begins.
  void watch(std::function<void()> watcher) { watcher_ = std::move(watcher); }
  bool cancelled() const noexcept { return cancelled_; }
  void throw_if_cancelled() const;

 private:
  void keep_to_rate(uint64_t bytes);
  void yield_to_syncs();
  void sleep(uint64_t duration_us);

  FileSystem& files_;
  std::shared_ptr<const SyncLatency> latency_;
  const uint64_t bytes_per_second_;
  uint64_t due_us_ = 0;
  uint64_t seen_count_ = 0;  // of syncs, at the last look
  std::atomic<bool> cancelled_{false};
  std::atomic<bool> in_hurry_{false};
  std::function<void()> watcher_;
};

}  // namespace hotbolt
