// The journal: an append-only record of transactions in segment files beside the database, with group commit.
//
// See journal_reader.h for the format. Two roles, two classes of threads:
//   owner (JS) thread: append() copies a transaction into the pending buffer; submit() wakes the journal thread.
//   journal thread: takes everything pending, fills in the checksum chain, writes it with one call, syncs once, and calls
//   the listener. While it syncs the owner goes on appending to the other buffer.
//
// Segments are written full of zeros before they are used (so that a sync commits no metadata) and recycled. The first is
// small; sizes grow with the traffic (256 KiB, 1, 4, 16, up to 64 MiB); the next one is prepared by a helper thread
// when the current one is half full, with bounded dirty pages, so that no append waits for it unless it must.
// An idle journal keeps at most one small segment.
//
// A failed write or sync is final: the listener gets the error once, nothing is appended any more.
#pragma once

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/memtable.h"

namespace hotbolt {

enum class SyncMode : uint8_t { kAlways, kInterval, kNever };

// What ties a journal to its database file (see meta.h for the mark).
struct JournalBinding {
  std::array<char, 16> database_id{};
  uint64_t base_txid = 0;      // of the page file's newest meta when the segment was begun
  uint64_t base_checksum = 0;  // bbolt's checksum of that meta
};

struct JournalOptions {
  SyncMode sync = SyncMode::kAlways;
  uint32_t sync_interval_ms = 100;
  uint64_t segment_bytes_min = 256 << 10;
  uint64_t segment_bytes_max = 64 << 20;
  uint32_t mode = 0600;
};

// Called on the journal thread.
class JournalListener {
 public:
  virtual ~JournalListener() = default;
  virtual void on_durable(Seq seq) noexcept = 0;                // all transactions up to `seq`
  virtual void on_failure(const Error& error) noexcept = 0;     // once
  // How long an acknowledgement is to be held back now (back-pressure), in microseconds.
  virtual uint64_t hold_back_us() noexcept { return 0; }
};

// Sync latency, shared with whoever moves bytes in the background (pacer.h). Lock-free.
struct SyncLatency {
  std::atomic<uint32_t> idle_us{0};    // slow-moving: what a sync takes when nothing else goes on
  std::atomic<uint32_t> recent_us{0};  // the newest few
  std::atomic<uint64_t> count{0};
};

class Journal {
 public:
  // `path` is the database file's resolved path; segments are `<path>-journal-<number, 8 digits>`. Nothing is created
  // before the first append. The next transaction gets `last_seq` + 1. `first_segment` is a number not in use.
  Journal(FileSystem& files, std::string path, JournalOptions options, JournalBinding binding, Seq last_seq,
          uint64_t first_segment, JournalListener& listener, std::shared_ptr<SyncLatency> latency);
  ~Journal();  // stop() if not stopped

  // --- owner thread ---
  // Adds a transaction (an op.h body) and returns its sequence number. Throws ERR_POISONED after a failure.
  // Wakes the thread by itself when 1 MiB is pending.
  Seq append(Bytes body);
  void submit();      // what was appended so far is to be written and synced
  void force_sync();  // the same, and synced even when SyncMode says later or never
  Seq last_seq() const noexcept;
  Seq durable_seq() const noexcept;  // any thread

  // --- any thread ---
  // New segments are bound to this state of the page file from now on.
  void rebind(const JournalBinding& binding);
  // The page file covers everything up to `covered`: segments that hold nothing newer are recycled (at most two are kept)
  // or emptied in steps and removed. Never touches the segment being written, except when everything in it is
  // covered and the journal is idle. May take a while: call from a worker.
  void recycle(Seq covered);
  uint64_t disk_bytes() const noexcept;  // of all segments
  // The segment files that hold frames, oldest first (for a replay while the journal lives; frames up to durable_seq()
  // are complete there).
  std::vector<std::string> segment_paths() const;

  // Waits until everything pending is written and synced (or has failed), then ends the threads.
  void stop();
  // After stop(): removes all segments, oldest first, and syncs the directory. For a clean close.
  void remove_all();

 private:
  // (implementation's own state)
};

}  // namespace hotbolt
