// One online defragmentation: the verbs behind the phases that TypeScript orders. Copy a pinned
// state into a new file, replay what was written meanwhile until little is left, rename, and let
// the store's base become the new file.
//
//   prepare   worker  disk space; the temporary file: same directory, O_EXCL, same mode and owner,
//                     locked from the start
//   pin       owner   the page file's state S; from here on sealed memtables are kept, and journal
//                     segments newer than S too
//   copy      copier  bulk copy of S; its commit carries the mark: same database id, S's sequence
//   catch up  copier  what S lacks: from the journal for what was checkpointed into the old file
//                     meanwhile, then from the kept memtables. Repeated. A commit each. Checkpoints
//                     into the old file may go on beside it: they touch other files. What is only
//                     in memtables in the end may stay there, above the new file
//   publish   copier  rename over the database's path, sync the directory. No way back.
//   install   owner   one turn: the base becomes the new file, memtables that it holds are dropped
//   clean     copier  recycle journal segments; the old file is emptied when its last reader ends
//
// Both files carry the same database id and each its own mark, and no segment that either needs is
// recycled before the directory is synced: whichever of the two a crash leaves under the path, its
// mark plus the journal give the same state.
#pragma once

#include "core/bulk_copier.h"
#include "core/store.h"

namespace hotbolt {

struct DefragOptions {
  double fill = 0.9;
  uint64_t bytes_per_second = 0;
};

// What a catch-up round works on, collected by the owner.
struct CatchUp {
  std::vector<std::shared_ptr<const Memtable>> memtables;  // newest first
  Seq journal_until = 0;  // replay the journal up to here first; 0: nothing
  Seq covered = 0;        // what the new file holds afterwards
  // Otherwise more of the journal follows: steps are short, so that their speed can be measured.
  bool is_complete = true;
  uint64_t bytes = 0;  // result: replayed, as they are in the journal
  uint64_t transactions = 0;
};

class Defrag : public std::enable_shared_from_this<Defrag> {
 public:
  Defrag(std::shared_ptr<Store> store, DefragOptions options);
  ~Defrag();

  void prepare();                     // copier
  void pin();                         // owner
  void copy();                        // copier
  CatchUp begin_catch_up();           // owner
  void run_catch_up(CatchUp& round);  // copier, or the replayer
  void publish();                     // copier
  void install();                     // owner
  void clean();                       // copier
  void cancel() noexcept;             // any thread
  void abort() noexcept;              // copier: removes the temporary file if it can
  void release();  // owner, after abort(): the kept memtables go back to checkpoints

  // owner
  const CopyProgress& progress() const { return progress_; }
  uint64_t total_bytes() const { return total_bytes_; }
  // Of writes that the new file does not hold, as they are in the journal.
  uint64_t backlog_bytes() const;
  // The new file, and the memtables above it, hold everything: it may be installed.
  bool covers_base() const { return covered_ >= store_->covered_seq(); }
  // That, and what is left in memtables is no more than a checkpoint's work.
  bool is_caught_up() const;
  // By how much the journal may grow while the copy goes on; kSpareUnknown before the first look.
  uint64_t spare_bytes() const { return spare_bytes_; }
  static constexpr uint64_t kSpareUnknown = ~uint64_t{0};

 private:
  void require_space();
  void watch_space();
  Seq step_seqs() const;
  void install_target();
  const std::shared_ptr<Store> store_;
  const DefragOptions options_;
  Pacer copy_pacer_;    // keeps to bytes_per_second
  Pacer replay_pacer_;  // writers wait for it in the end
  CopyProgress progress_;
  std::string temp_path_;
  std::shared_ptr<PageFile> target_;
  std::shared_ptr<const ReadTx> pinned_;
  std::atomic<Seq> covered_{0};  // by the target
  uint64_t total_bytes_ = 0;
  uint64_t looked_us_ = 0;  // copier
  Seq pinned_seq_ = 0;      // owner, like the next: up to there the pinned state holds everything
  uint64_t pinned_written_bytes_ = 0;
  std::atomic<uint64_t> replayed_bytes_{0};
  std::atomic<uint64_t> spare_bytes_{kSpareUnknown};
  bool published_ = false;
};

}  // namespace hotbolt
