// Bounds how much of a file that is being written is dirty: starts writeback after every 256 KiB
// written and waits for what was written a few pieces ago. (A sync that waits behind hundreds of
// dirty megabytes delays every acknowledged write by 100 ms.)
//
// Scattered pages share one call over the range that spans them: it only touches what is dirty. One
// thread.
#pragma once

#include <deque>

#include "core/file.h"

namespace hotbolt {

// How much is written with one call.
inline constexpr size_t kWritePieceBytes = 256 << 10;

class WritebackWindow {
 public:
  explicit WritebackWindow(File& file) : file_(file) {}
  // To be called after each write of at most kWritePieceBytes. Returns how many bytes went into
  // writeback: what a Pacer is to be told. What throws here makes the file's later syncs fail too.
  uint64_t wrote(uint64_t offset, uint64_t bytes);

 private:
  static constexpr size_t kPiecesMax = 4;  // that may be under writeback
  struct Extent {
    uint64_t begin = 0;
    uint64_t end = 0;
    uint64_t bytes = 0;  // written inside it
  };

  File& file_;
  Extent written_;              // since writeback was started last
  std::deque<Extent> started_;  // oldest first
};

}  // namespace hotbolt
