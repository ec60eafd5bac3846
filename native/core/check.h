// The complete audit of one state of a page file. Never crashes, hangs or allocates without bound,
// whatever the bytes are.
//
// Proves, for every page below the high-water mark: reachable exactly once, or free (in the
// freelist), or a meta page; headers, flags, counts, overflow runs inside the file; every element's
// bounds, and that they are packed; keys non-empty, within limits, strictly ascending in a page and
// between the separators of the parents; branch and leaf levels of equal depth; bucket headers;
// inline buckets' pages, order and size rule (at most a quarter of a page, no bucket inside);
// freelist ids in range, unique, ascending, not reachable, not the freelist's own pages; the metas
// themselves (both valid metas agree on page size; txids differ by one). bbolt's own check omits
// half of these.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/page_file.h"

namespace hotbolt {

struct CheckIssue {
  uint64_t page = 0;
  std::string message;
};

struct CheckReport {
  std::vector<CheckIssue> issues;  // at most kIssuesMax are listed
  uint64_t issue_count = 0;
  uint64_t page_count = 0;       // high-water mark
  uint64_t reachable_pages = 0;  // of the trees, the freelist's own, and both metas
  uint64_t free_pages = 0;
  uint64_t bucket_count = 0;
  uint64_t key_count = 0;  // not buckets
  uint64_t key_bytes = 0;
  uint64_t value_bytes = 0;
  uint64_t leaf_bytes_used = 0;  // element + key + value bytes in leaf pages
  uint64_t leaf_bytes = 0;       // bytes of the leaf pages' runs
  unsigned depth_max = 0;        // levels of the highest tree
  bool has_fallback = false;     // the other meta is valid too; after a power cut it need not be
  bool is_flat = true;           // no bucket but the root holds a bucket
  bool ok() const { return issue_count == 0; }
  static constexpr size_t kIssuesMax = 100;
};

// Damage is reported, never thrown. `free`: the in-memory freelist (free and pending) when the file
// does not store one and it is known; nullptr: use the stored freelist; when none is stored, pages
// that are not reachable count as free. `pacer`: cancels it (ERR_ABORTED); may be null.
CheckReport check(const ReadTx& tx, const PageSet* free, const class Pacer* pacer = nullptr);

}  // namespace hotbolt
