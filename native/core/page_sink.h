// Where finished pages go: collects contiguous runs into pieces of up to 256 KiB, writes each with
// one call, and keeps few of them dirty (writeback.h). Paced after each piece.
//
// One thread. Nothing is written by the destructor: a transaction that rolls back
// drops its last piece.
#pragma once

#include <memory>

#include "core/pacer.h"
#include "core/page_file.h"
#include "core/writeback.h"

namespace hotbolt {

class PageSink {
 public:
  static constexpr size_t kPieceBytes = kWritePieceBytes;

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
  uint64_t offset_of(PageId id) const;
  void write_piece();
  void write_at(uint64_t offset, Bytes bytes);
  void note_written(uint64_t offset, uint64_t bytes);

  PageFile& file_;
  Pacer& pacer_;
  std::unique_ptr<char[]> piece_;
  size_t piece_size_ = 0;
  uint64_t piece_offset_ = 0;
  WritebackWindow window_;
  uint64_t bytes_written_ = 0;
};

}  // namespace hotbolt
