// Where finished pages go: collects contiguous runs into pieces of up to 256 KiB, writes each with
// one call, starts writeback after every 256 KiB written and waits for what was written a few
// pieces ago, so that only a few pieces are ever dirty (a sync that waits behind hundreds of dirty
// megabytes delays every acknowledged write by 100 ms). Paced after each piece.
//
// Scattered single pages share one writeback call over the range that spans them: it only touches
// what is dirty. One thread. Nothing is written by the destructor: a transaction that rolls back
// drops its last piece.
#pragma once

#include <deque>
#include <memory>

#include "core/pacer.h"
#include "core/page_file.h"

namespace hotbolt {

class PageSink {
 public:
  static constexpr size_t kPieceBytes = 256 << 10;
  static constexpr size_t kWindowPieces = 4;  // pieces that may be under writeback

  PageSink(PageFile& file, Pacer& pacer);
  PageSink(const PageSink&) = delete;
  PageSink& operator=(const PageSink&) = delete;

  // Room for a whole run of at most kPieceBytes: fill it completely before the next call of any
  // method.
  char* room(PageId first, size_t run_bytes);
  // `run` is a whole run (a multiple of the page size), header filled in.
  void write(PageId first, Bytes run);
  // A run of `run_bytes` given as its beginning and one large value; the rest is zeroed. The value
  // is written from where it is.
  void write(PageId first, Bytes head, Bytes value, size_t run_bytes);
  // Everything given so far is written (not synced).
  void flush();
  uint64_t bytes_written() const { return bytes_written_; }

 private:
  struct Extent {
    uint64_t begin = 0;
    uint64_t end = 0;
    uint64_t bytes = 0;  // written inside it
  };

  uint64_t offset_of(PageId id) const;
  void write_piece();
  void write_at(uint64_t offset, Bytes bytes);
  void note_written(uint64_t offset, uint64_t bytes);
  void start_writeback();

  PageFile& file_;
  Pacer& pacer_;
  std::unique_ptr<char[]> piece_;
  size_t piece_size_ = 0;
  uint64_t piece_offset_ = 0;
  Extent written_;             // since writeback was started last
  std::deque<Extent> window_;  // under writeback, oldest first
  uint64_t bytes_written_ = 0;
};

}  // namespace hotbolt
