// The bulk copy of a defragmentation, or of a compact backup: everything a ReadTx sees, into an
// empty file, bottom-up, in key order: all buckets, nesting, sequences. Bounded memory; paced;
// cancellable through the pacer. Runs on its own thread.
#pragma once

#include <algorithm>
#include <atomic>

#include "core/tx.h"
#include "core/view.h"

namespace hotbolt {

// What is to stay free on the disk besides a copy of `bytes`, so that the journal and other files
// can go on growing.
constexpr uint64_t space_reserve(uint64_t bytes) {
  return std::clamp<uint64_t>(bytes, 2 << 20, 16 << 20);
}

// Read by the JS thread while the copy runs.
struct CopyProgress {
  std::atomic<uint64_t> bytes{0};    // written to the target
  std::atomic<uint64_t> entries{0};  // keys and buckets copied
};

// Copies and commits (without storing the freelist); the target's mark becomes `mark` (is_flat is
// found out by the copy). Pages of the source are visited at most once each (a cycle gives
// ERR_CORRUPT). The target is fresh and is cut to its pages in the end.
Meta bulk_copy(const ReadTx& source, std::shared_ptr<PageFile> target, Mark mark, double fill,
               Pacer& pacer, CopyProgress& progress);
// The same of a whole view of sealed memtables at `seq`, without a mark, and with the freelist
// stored: see WriteTx::commit_unmarked().
Meta bulk_copy_unmarked(const View& source, Seq seq, std::shared_ptr<PageFile> target, double fill,
                        Pacer& pacer, CopyProgress& progress);

}  // namespace hotbolt
