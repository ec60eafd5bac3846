// The journal: an append-only record of transactions in segment files beside the database, with
// group commit.
//
// See journal_reader.h for the format. Two roles, two classes of threads:
//   owner (JS) thread: append() copies a transaction into the pending buffer, but for large values,
//     which it shares with the memtable; submit() wakes the journal thread.
//   journal thread: takes everything pending, fills in the checksum chain, writes it with one call,
//     syncs once, and calls the listener. While it syncs the owner goes on appending to the other
//     buffer.
//
// Segments are written full of zeros before they are used, but for where one large frame goes, so
// that a sync commits no metadata; and they are recycled. The first is small; sizes grow with the
// traffic (256 KiB, 1, 4, up to 16 MiB); the next one is prepared by a helper thread when the
// current one is half full, with bounded dirty pages, so that no append waits for it unless it
// must. An idle journal keeps at most one small segment, no thread (after a few seconds) and no
// buffers.
//
// A frame is appended only when the place where it will be written exists: append() goes by the
// same rule as the journal thread (the segment begun last if it fits, else the next one), and where
// no segment is prepared it makes one, as far as the disk must be asked for space. So a full disk
// is ERR_NO_SPACE before anything has happened, and not a failed write. A reserve of that space is
// for removals only, so that a program can go on to delete.
//
// A group, step by step (journal thread):
//   1. take the pending buffer, under the mutex; the owner goes on with the other buffer
//   2. chain the frames: synced sequence number, CRCs
//   3. one write per segment it goes to, mostly one; a new segment's header is part of its first
//      write
//   4. sync every segment written since the last sync; SyncMode says when, a forced group always
//   5. on_durable()
//
// A failed write or sync is final: the listener gets the error once, nothing is appended any more.
// A segment that cannot be made for a frame is not: that frame is refused, and nothing has
// happened.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"
#include "core/memtable.h"
#include "core/op.h"
#include "core/worker.h"

namespace hotbolt {

enum class SyncMode : uint8_t { kAlways, kInterval, kNever };

// What ties a journal to its database file (see meta.h for the mark).
struct JournalBinding {
  std::array<char, 16> database_id{};
  // Of the page file's newest meta when the segment was begun, unless that has a mark: then 0.
  uint64_t base_txid = 0;
  uint64_t base_checksum = 0;  // bbolt's checksum of that meta
  uint32_t origin_epoch = 0;   // journal_reader.h
};

struct JournalOptions {
  SyncMode sync = SyncMode::kAlways;
  uint32_t sync_interval_ms = 100;
  uint64_t segment_bytes_min = 256 << 10;
  uint64_t segment_bytes_max = 16 << 20;
  // Its files have this mode and owner. None: 0600, and the process's.
  std::optional<FileStatus> like;
};

// on_durable() is called on the journal thread, on_failure() on whichever thread met it.
class JournalListener {
 public:
  virtual ~JournalListener() = default;
  // All transactions up to `seq` have survived what SyncMode promises. A forced sync calls it too,
  // maybe with the same `seq` again: then Journal::synced_seq() has reached it.
  virtual void on_durable(Seq seq) noexcept = 0;
  virtual void on_failure(const Error& error) noexcept = 0;  // once
};

// Sync latency, shared with whoever moves bytes in the background (pacer.h). Lock-free.
struct SyncLatency {
  std::atomic<uint32_t> idle_us{0};    // slow-moving: what a sync takes when nothing else goes on
  std::atomic<uint32_t> recent_us{0};  // the newest few
  std::atomic<uint64_t> count{0};
};

struct Segment;
class JournalSegments;  // journal_segments.h
class FrameBuffer;      // frame_buffer.h
struct FramePlace;

// Where a journal goes on.
struct JournalStart {
  Seq last_seq = 0;            // the next transaction gets the number after it
  uint64_t first_segment = 1;  // no segment has this number or a higher one
  uint32_t epoch = 0;          // of the frames that follow
  uint32_t chain = 0;          // header CRC of the newest frame; 0: there is none
  std::vector<std::shared_ptr<Segment>> earlier{};  // full ones of epochs before, oldest first
};

// What a transaction does to the space that the database takes. kShrinks: it only removes.
enum class Growth : uint8_t { kGrows, kShrinks };

class Journal {
 public:
  // `path` is the database file's resolved path; segments are `<path>-journal-<number, 8 digits>`.
  // Nothing is created before the first append.
  Journal(FileSystem& files, std::string path, JournalOptions options, JournalBinding binding,
          JournalStart start, JournalListener& listener, std::shared_ptr<SyncLatency> latency);
  ~Journal();  // stop() if not stopped

  // --- owner thread ---
  // Adds a transaction (op.h) and returns its sequence number. Wakes the thread by itself
  // when 1 MiB is pending. Throws ERR_POISONED after a failure, ERR_NO_SPACE when there is no place
  // for it, and what the file system throws when a segment cannot be made: then it was not added,
  // and the next call tries again.
  Seq append(const Body& body, Growth growth = Growth::kGrows);
  // Takes the reserve for removals, if the disk has it, before anything is appended.
  void take_reserve() noexcept;
  void submit();      // what was appended so far is to be written and synced
  void force_sync();  // the same, and synced even when SyncMode says later or never
  Seq last_seq() const noexcept;
  // Any thread: what on_durable() was called with last; and up to where everything is synced,
  // whatever SyncMode says.
  Seq durable_seq() const noexcept;
  Seq synced_seq() const noexcept;

  // --- any thread ---
  // New segments are bound to this state of the page file from now on.
  void rebind(const JournalBinding& binding);
  // The page file covers everything up to `covered`: segments that hold nothing newer are recycled
  // (at most two are kept) or removed, large ones in steps and later. Never touches the segment
  // being written, except when everything in it is covered and the journal is idle. May take a
  // while: call from a worker. `covered` must be durable in the page file. Throws only if the sync
  // of the directory failed, which ends the journal. What is newer than `limit` stays for whoever
  // reads it.
  void recycle(Seq covered, Seq limit = kSeqMax);
  // A checkpoint found no space: gives back what is prepared for writes, and leaves it to the page
  // file until recycle(). After stop() also what the current segment has left.
  void give_back();
  uint64_t disk_bytes() const noexcept;       // of all segments
  uint64_t uncovered_bytes() const noexcept;  // of those that the page file needs room for
  // Space on the disk that the page file may need for what the segments hold.
  uint64_t page_file_share() const noexcept;
  // And what it will need besides, for pages that a checkpoint copies; less than 0: it has so much
  // more than it needs.
  void leave_for_copies(int64_t bytes) noexcept;
  // Syncs the directory, which is the database's too. Throws for good once that has failed for
  // anybody.
  void sync_directory();
  // The segment files that hold frames, oldest first (for a replay while the journal lives; frames
  // up to durable_seq() are complete there).
  std::vector<std::string> segment_paths() const;

  // Waits until everything pending is written and synced (or has failed), then ends the threads.
  void stop();
  // After stop(): removes all segments, oldest first, and syncs the directory. For a clean close.
  void remove_all();

 private:
  using Clock = std::chrono::steady_clock;

  // With mutex_ held.
  void admit(uint64_t frame_bytes, Growth growth);
  void ensure_running();
  bool has_work() const;
  bool sync_due() const;
  Clock::time_point deadline() const;
  void run_group(std::unique_lock<std::mutex>& lock);

  template <typename Work>
  void or_fail(const Work& work);
  void recycle_segments(Seq covered, Seq limit);
  void remove(std::vector<std::shared_ptr<Segment>> segments);
  void give_segments_back();
  void sync_rest();
  void fail_if_directory_is_lost() noexcept;

  // On the journal thread, without the mutex; fail() on any thread.
  void run();
  bool write_and_sync(bool force, Seq last);
  void chain_frames();
  void write_frames();
  FramePlace fitting_end(FramePlace from, uint64_t room, Seq& last) const;
  void write_run(const std::shared_ptr<Segment>& segment, FramePlace from, FramePlace to, Seq last);
  void make_header(const Segment& segment, FramePlace first_frame);
  void sync_segments();
  void note_latency(uint64_t duration_us);
  void prepare_if_wanted();
  void acknowledge(Seq last);
  void fail(const Error& error) noexcept;

  FileSystem& files_;
  const JournalOptions options_;
  const uint64_t reserve_;  // bytes that only removals may use
  JournalListener& listener_;
  const std::shared_ptr<SyncLatency> latency_;
  const std::unique_ptr<JournalSegments> segments_;

  mutable std::mutex mutex_;
  std::condition_variable wake_;
  JournalBinding binding_;
  uint64_t room_ = 0;  // bytes left in the segment where the newest frame has its place
  std::unique_ptr<FrameBuffer> pending_;
  bool submitted_ = false;
  bool force_ = false;
  bool running_ = false;  // run() is posted or at work
  bool busy_ = false;     // a group is being written
  bool stopping_ = false;
  bool failed_ = false;

  std::atomic<Seq> last_seq_;
  std::atomic<Seq> durable_seq_;
  std::atomic<Seq> synced_seq_;

  // The journal thread's own.
  std::unique_ptr<FrameBuffer> writing_;  // what pending_ is swapped with
  uint32_t chain_ = 0;                    // header CRC of the newest frame
  const uint32_t epoch_;
  std::vector<std::shared_ptr<Segment>> unsynced_;  // written since the last sync, oldest first
  Clock::time_point unsynced_since_;

  Worker writer_;                         // the journal thread
  Worker helper_{Priority::kBackground};  // prepares segments
  Worker remover_{Priority::kBackground};
};

}  // namespace hotbolt
