// The journal's files: making them ready before they are needed, and using them again or giving
// their space back after.
//
// A segment is prepared (ready to be written) -> current (being written) -> full -> covered, then
// recycled as a prepared one or removed. See journal_reader.h for what has to be durable at each
// step.
//
// Threading: next() and wrote() belong to the journal thread, prepare_ahead() to the helper's,
// recycle() to workers; the rest may be called by any thread. The list is guarded by a mutex that
// nobody holds during I/O.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/journal.h"

namespace hotbolt {

struct Segment {
  std::string path;
  uint64_t number = 0;
  uint64_t size = 0;  // of the file
  uint64_t used = 0;  // bytes written in this use of the file; 0: it has no header yet
  Seq last_seq = 0;
  std::unique_ptr<File> file;
  uint64_t left() const { return size - used; }
};

class JournalSegments {
 public:
  JournalSegments(FileSystem& files, std::string path, const JournalOptions& options,
                  uint64_t first_number);

  // --- journal thread ---
  std::shared_ptr<Segment> current() const;  // nullptr: none
  // Retires the current segment and begins another with room for `bytes`: a prepared one if there
  // is one, else a small one that is made on the spot.
  std::shared_ptr<Segment> next(uint64_t bytes);
  // Whether prepare_ahead() is due. Says so once, until that has run.
  bool wants_preparation();
  void cancel_preparation();
  void wrote(Segment& segment, uint64_t bytes, Seq last_seq);

  // --- helper thread ---
  // Makes the next segment ready. Failing is no failure of the journal, unless the sync of the
  // directory failed: next() tries again and reports it.
  void prepare_ahead() noexcept;

  // --- worker ---
  // Recycles or removes full segments whose last sequence number is <= covered.
  void recycle(Seq covered);
  // Gives back all but one small segment. REQUIRES: everything is covered, and the journal thread
  // is not writing. In two steps, because the caller holds the journal's mutex during the first:
  // take from the list, then remove.
  std::vector<std::shared_ptr<Segment>> take_idle();
  void remove_in_steps(const std::vector<std::shared_ptr<Segment>>& segments);

  // --- any thread ---
  uint64_t disk_bytes() const;
  std::vector<std::string> paths() const;  // of those that hold frames, oldest first
  void remove_all();                       // REQUIRES: no other thread is at work here
  void sync_directory();
  // A sync of the directory has failed.
  bool directory_lost() const noexcept { return directory_lost_; }

 private:
  std::shared_ptr<Segment> create(uint64_t number, uint64_t size, bool paced);
  void fill_with_zeros(File& file, uint64_t from, uint64_t to, bool paced);
  void extend(Segment& segment, uint64_t size);
  std::shared_ptr<Segment> take_prepared(uint64_t& number);
  void keep(const std::shared_ptr<Segment>& segment);
  void rename_to_next(Segment& segment);
  uint64_t take_number();

  FileSystem& files_;
  const std::string path_;  // of the database
  const JournalOptions options_;

  std::mutex directory_mutex_;  // during a sync of the directory
  std::atomic<bool> directory_lost_{false};
  mutable std::mutex mutex_;
  std::shared_ptr<Segment> current_;
  std::vector<std::shared_ptr<Segment>> full_;      // oldest first
  std::vector<std::shared_ptr<Segment>> prepared_;  // by number
  uint64_t next_number_;
  // The newest number that the journal thread took, to write or to create. Numbers must follow the
  // chain: what becomes ready with a lower one gets another.
  uint64_t begun_number_ = 0;
  uint64_t target_size_;    // of the next segment
  bool preparing_ = false;  // prepare_ahead() is asked for or at work
  // Number of times take_idle() ran: what was being prepared then is too large now.
  uint64_t idle_count_ = 0;
};

}  // namespace hotbolt
