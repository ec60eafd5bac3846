// The journal's files: making them ready before they are needed, and using them again or giving
// their space back after.
//
//   prepared   its space is allocated
//   claimed    frames that were appended will go there
//   current    being written
//   full       until it is covered, and recycled as a prepared one or removed
//
// See journal_reader.h for what has to be durable at each step: the helper does it while it
// prepares, and the journal thread for what was claimed before that.
//
// Space: what the disk has left belongs to the page file first, which has to take everything that
// the segments hold. So a segment is made ahead, or for a write, only if the disk has room for
// both; for a removal it is made if it can be.
//
// Threading: what is under "owner" is called by the owner with the journal's mutex held, next() and
// wrote() by the journal thread, prepare_ahead() by the helper, recycle() by workers; the rest may
// be called by any thread. The list is guarded by a mutex that nobody holds during I/O.
#pragma once

#include <atomic>
#include <deque>
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
  // Bytes that hold zeros or older frames and are synced. 0: so is not even the name.
  uint64_t ready = 0;
  Seq last_seq = 0;
  uint32_t epoch = 0;  // of its frames; 0: the journal's own
  std::unique_ptr<File> file;
  uint64_t left() const { return size - used; }
};

class JournalSegments {
 public:
  // `earlier` are full segments of epochs before, oldest first.
  JournalSegments(FileSystem& files, std::string path, const JournalOptions& options,
                  uint64_t first_number, std::vector<std::shared_ptr<Segment>> earlier);

  // --- owner ---
  // Claims the next segment for a frame and returns how many bytes are left behind it. After it
  // `reserve` bytes more are left, there or in a prepared segment. Makes or extends a segment only
  // if none is ready. Throws ERR_NO_SPACE, and what the file system throws: then nothing is
  // claimed.
  uint64_t claim(uint64_t frame_bytes, uint64_t reserve);
  // Makes sure that there is a prepared segment. Throws the same.
  void require_spare(uint64_t reserve);

  // --- journal thread ---
  std::shared_ptr<Segment> current() const;  // nullptr: none
  // Retires the current segment and begins the one that was claimed next, for a frame of this size.
  std::shared_ptr<Segment> next(uint64_t frame_bytes);
  // Whether prepare_ahead() is due. Says so once, until that has run.
  bool wants_preparation();
  void cancel_preparation();
  void wrote(Segment& segment, uint64_t bytes, Seq last_seq);

  // --- helper thread ---
  // Makes the next segment ready. Failing is no failure of the journal, unless the sync of the
  // directory failed: claim() tries again and reports it.
  void prepare_ahead() noexcept;

  // --- worker ---
  // The page file holds everything up to `covered`: recycles full segments that hold nothing newer,
  // unless somebody still reads what is newer than `limit`, and gives those that are to be removed.
  std::vector<std::shared_ptr<Segment>> recycle(Seq covered, Seq limit);
  // Gives back all but one small segment. REQUIRES: everything is covered, and the journal thread
  // is not writing. In two steps, because the caller holds the journal's mutex during the first:
  // take from the list, then remove.
  std::vector<std::shared_ptr<Segment>> take_idle();
  void remove_in_steps(const std::vector<std::shared_ptr<Segment>>& segments);
  // Whether their removal takes long, and may come after that of others.
  static bool may_wait(const std::vector<std::shared_ptr<Segment>>& segments);
  void hurry() noexcept { hurries_ = true; }  // no pauses from now on
  // Gives the space of prepared segments back to the page file, and leaves it to it until
  // recycle(). One small segment stays, for removals. In the same two steps.
  std::vector<std::shared_ptr<Segment>> take_prepared();
  void give_back(const std::vector<std::shared_ptr<Segment>>& segments);
  // Cuts the current segment behind its last frame. REQUIRES: nothing is written any more.
  void cut_current();

  // --- any thread ---
  uint64_t disk_bytes() const;
  // Without those that are covered and kept for a reader: these have their place in the page file.
  uint64_t uncovered_bytes() const;
  // Space on the disk that the page file may need for what the segments hold, and what it will need
  // besides.
  uint64_t page_file_share() const;
  void leave_for_copies(int64_t bytes) noexcept { copies_bytes_ = bytes; }
  std::vector<std::string> paths() const;  // of those that hold frames, oldest first
  void remove_all();                       // REQUIRES: no other thread is at work here
  void sync_directory();
  // A sync of the directory has failed.
  bool directory_lost() const noexcept { return directory_lost_; }

 private:
  std::shared_ptr<Segment> create(uint64_t size);
  std::unique_ptr<File> create_file(Segment& segment);
  void finish(Segment& segment, bool paced, uint64_t taken = 0);
  void fill_with_zeros(File& file, uint64_t from, uint64_t to, bool paced);
  void make_spare(uint64_t bytes, uint64_t reserve);
  std::shared_ptr<Segment> take_fitting(uint64_t bytes, uint64_t reserve,
                                        std::shared_ptr<Segment>& too_small);
  bool has_prepared() const;
  void extend(Segment& segment, uint64_t size);
  void require_room_for_page_file(uint64_t size, uint64_t times = 1) const;
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
  std::deque<std::shared_ptr<Segment>> claimed_;    // by number
  std::vector<std::shared_ptr<Segment>> full_;      // oldest first
  std::vector<std::shared_ptr<Segment>> prepared_;  // by number
  uint64_t next_number_;
  // The newest number that was claimed. Numbers must follow the chain: what becomes ready with a
  // lower one gets another.
  uint64_t begun_number_ = 0;
  Seq covered_ = 0;  // by the page file
  std::atomic<int64_t> copies_bytes_{0};
  std::atomic<bool> hurries_{false};
  uint64_t given_back_ = 0;  // bytes that are the page file's until recycle()
  uint64_t target_size_;     // of the next segment
  bool preparing_ = false;   // prepare_ahead() is asked for or at work
  // Number of times prepared segments were taken away: what was in the making then is not wanted.
  uint64_t taken_count_ = 0;
};

}  // namespace hotbolt
