// A journal over the file system in memory, a listener that can be awaited, and transactions whose
// bytes follow from their sequence number, so that what is read back can be told from what was
// invented.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/journal.h"
#include "core/journal_reader.h"
#include "core/op.h"
#include "harness.h"
#include "sim_file.h"

namespace hotbolt::testing {

inline const std::string kDatabase = "/data/test.db";

// Sizes from a few bytes to a few hundred, every 97th several KiB.
inline std::string body_of(Seq seq) {
  OpWriter writer;
  static const BucketPath path{"bucket"};
  const size_t size = seq % 97 == 0 ? 9000 : seq * 31 % 400;
  writer.put(path, "key" + std::to_string(seq),
             std::string(size, static_cast<char>('a' + seq % 26)));
  return writer.body().flat();
}

class TestListener : public JournalListener {
 public:
  void on_durable(Seq seq) noexcept override {
    std::lock_guard lock(mutex_);
    acked_ = seq;
    calls_++;
    changed_.notify_all();
  }
  void on_failure(const Error& error) noexcept override {
    std::lock_guard lock(mutex_);
    failures_++;
    failure_code_ = error.code();
    changed_.notify_all();
  }

  // False: the journal has failed.
  bool wait_for(Seq seq) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return acked_ >= seq || failures_ > 0; });
    return acked_ >= seq;
  }
  void wait_for_calls(uint64_t calls) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return calls_ >= calls || failures_ > 0; });
  }
  Seq acked() const {
    std::lock_guard lock(mutex_);
    return acked_;
  }
  uint64_t calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }
  int failures() const {
    std::lock_guard lock(mutex_);
    return failures_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  Seq acked_ = 0;
  uint64_t calls_ = 0;
  int failures_ = 0;
  ErrorCode failure_code_{};
};

inline JournalOptions small_segments(SyncMode sync = SyncMode::kAlways) {
  JournalOptions options;
  options.sync = sync;
  options.segment_bytes_min = 8 << 10;
  options.segment_bytes_max = 64 << 10;
  return options;
}

struct JournalFixture {
  SimFileSystem files;
  TestListener listener;
  std::shared_ptr<SyncLatency> latency = std::make_shared<SyncLatency>();
  std::unique_ptr<Journal> journal;
  uint32_t epoch = 0;

  explicit JournalFixture(JournalOptions options = small_segments(), uint64_t seed = 1)
      : files(seed) {
    start(options, 0, 1);
  }
  void start(JournalOptions options, Seq last_seq, uint64_t first_segment) {
    journal = std::make_unique<Journal>(
        files, kDatabase, options, JournalBinding{},
        JournalStart{.last_seq = last_seq, .first_segment = first_segment, .epoch = ++epoch},
        listener, latency);
  }
  // One group.
  void write(size_t count) {
    for (size_t i = 0; i < count; i++) journal->append(body_of(journal->last_seq() + 1));
    journal->submit();
    listener.wait_for(journal->last_seq());
  }
};

// Reads everything newer than `covered`, and proves that it is what was written.
inline JournalEnd read_back(FileSystem& files, Seq covered = 0, Seq until = kSeqMax) {
  Seq next = covered + 1;
  const auto visit = [&](Seq seq, Bytes body) {
    EXPECT_EQ(seq, next++);
    EXPECT_TRUE(body == body_of(seq));
  };
  const JournalEnd end =
      read_journal(files, list_journal(files, kDatabase).segments, covered, until, visit);
  EXPECT_EQ(end.last_seq, next - 1);
  return end;
}

}  // namespace hotbolt::testing
