// Free and pending pages. In memory it is a bitmap of free pages plus, for each transaction, what
// it freed.
//
// Rules, for the write transaction W that begins:
//  1. A page freed by transaction f is reusable when f + 2 <= W: the previous meta stays a valid
//     fallback until W's own commit overwrites it (bbolt reuses one transaction earlier and cannot
//     promise that).
//  2. A page allocated by a and freed by f is held while a reader r with a <= r < f is open. The
//     allocating transaction of EVERY page counts, those from the high-water mark too, so that one
//     old reader does not stop all reuse.
//  3. Allocations of a transaction that rolls back return; what it freed is forgotten.
//
// The allocating transaction is remembered only for pages allocated after the oldest open reader
// began; for all others it makes no difference and counts as 0.
//
// Owned by the writer (one thread at a time).
//
// The freelist page of a file (flags 0x10): count u16; 0xFFFF means that the real count is the
// first u64. Ids ascend.
#pragma once

#include <cstdint>
#include <deque>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "core/page.h"
#include "core/page_set.h"
#include "core/readers.h"

namespace hotbolt {

struct PageRun {
  PageId first{};
  uint64_t count = 0;
};

class Freelist {
 public:
  // Makes everything in `free` reusable at once. Its size is the high-water mark, and no meta page
  // is in it: proven by the caller.
  void load(PageSet free);

  // Begins write transaction `txid`: releases what rules 1 and 2 allow.
  void begin(TxId txid, const Readers& readers);
  // `count` contiguous pages below the high-water mark, or nullopt (the caller then raises the mark
  // and calls note_allocated). Prefers continuing right behind the last allocation: checkpoints
  // want long contiguous runs.
  std::optional<PageId> allocate(uint64_t count);
  void note_allocated(PageRun run);  // pages from the high-water mark, by the current transaction
  // The current transaction no longer refers to these pages. Throws ERR_CORRUPT if one is free or
  // pending already.
  void free(PageRun run);
  void commit();
  void rollback();

  // Pages to hold back until `txid` + 2 although no transaction of this process freed them (see
  // PageFile recovery).
  void hold_back(const std::vector<uint64_t>& ids, TxId freed_by);

  uint64_t free_count() const;     // reusable now
  uint64_t pending_count() const;  // freed, still held
  // free and pending, ascending: what a freelist page stores.
  std::vector<uint64_t> all_ids() const;
  PageSet all() const;
  bool is_free_or_pending(PageId id) const;

 private:
  struct FreedRun {
    PageRun run;
    TxId allocated_by{};
    TxId freed_by{};
  };

  void remember_allocations(const std::vector<TxId>& open);
  void release_what_readers_allow(TxId txid, const std::vector<TxId>& open);
  void settle(const FreedRun& freed, const std::vector<TxId>& open);
  void release(PageRun run);
  void set_high_water(uint64_t high_water);
  void forget_fresh();
  std::optional<uint64_t> find_run(uint64_t from, uint64_t count) const;
  TxId allocated_by(uint64_t id) const;

  static constexpr uint64_t kAnyRun = std::numeric_limits<uint64_t>::max();

  PageSet free_;
  PageSet pending_;
  PageSet fresh_;  // allocated by the current transaction
  uint64_t free_count_ = 0;
  uint64_t pending_count_ = 0;
  uint64_t high_water_ = 0;
  uint64_t cursor_ = 0;  // allocation goes on here
  uint64_t no_run_of_ =
      kAnyRun;  // no run of this many pages was found since pages were last released

  // Freed by transactions that are too young for rule 1, ascending by freed_by.
  std::deque<FreedRun> young_;
  // Old enough, but needed by an open reader: by the oldest such reader, so that it is looked at
  // again only when that ends.
  std::map<TxId, std::vector<FreedRun>> held_;
  // Allocating transactions of pages that were allocated after the oldest open reader began.
  std::unordered_map<uint64_t, TxId> allocated_by_;
  size_t allocated_by_swept_ = 0;  // entries left by the last sweep of that map

  // The current transaction, or since commit() the last one until the next begins.
  bool in_tx_ = false;
  TxId txid_{};
  uint64_t high_water_before_ = 0;
  std::vector<PageRun> taken_;   // from the free pages
  std::vector<PageRun> raised_;  // from the high-water mark
  std::vector<FreedRun> freed_;
};

// Pages that encode_freelist_page() needs for `id_count` ids.
uint64_t freelist_page_count(uint64_t id_count, uint32_t page_size);

// Bytes of a freelist page run, header included, for `ids`.
std::string encode_freelist_page(PageId id, const std::vector<uint64_t>& ids, uint32_t page_size);
// Throws ERR_CORRUPT: wrong flags, count beyond the run, ids not ascending or outside [2,
// high_water).
PageSet decode_freelist_page(PageId id, Bytes run, uint64_t high_water);

}  // namespace hotbolt
