// Somebody who reads what a snapshot sees on a thread of its own, while reads, writes, checkpoints
// and defragmentations go on.
//
//   make      owner   takes the snapshot's state: the page file's pinned state (base), and what
//                     memtables above it hold; they are sealed, so that another thread may read
//                     them. The snapshot may be closed then.
//   run       thread  reads
#pragma once

#include "core/store.h"

namespace hotbolt {

class StateReader : public StoreClient {
 public:
  // Throws ERR_CLOSED, and ERR_POISONED when the newest transaction is there by half.
  StateReader(Snapshot& snapshot, uint64_t bytes_per_second);
  ~StateReader() override;

  // --- owner ---
  void begin();  // before the thread reads; once
  void end() noexcept override;
  void halt() noexcept override;
  Worker& worker() { return worker_; }

  // --- any thread ---
  void cancel() noexcept { pacer_.cancel(); }

 protected:
  // The last reader of a file that was replaced meanwhile lets it be emptied.
  void release() noexcept;
  // Runs `read` and lets the state go, whatever comes of it.
  template <typename Read>
  auto read_and_release(Read&& read) {
    struct Release {
      StateReader& reader;
      ~Release() { reader.release(); }
    } release{*this};
    return read();
  }

  const std::shared_ptr<Store> store_;
  const Seq seq_;
  // Base and sealed memtables up to seq_. The owner's until begin(), then the thread's.
  std::shared_ptr<const View> state_;
  Pacer pacer_;

 private:
  bool begun_ = false;
  Worker worker_{Priority::kBackground};
};

// Questions about a whole state, or a whole bucket, that are too long for the JS thread.
class Survey : public StateReader {
 public:
  explicit Survey(Snapshot& snapshot) : StateReader(snapshot, 0) {}
  std::string hash();  // content_hash.h, in hexadecimal
  // The number of keys; buckets are not counted.
  uint64_t count(const BucketPath& bucket, const Bounds& bounds);
};

}  // namespace hotbolt
