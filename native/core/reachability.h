// Which pages the trees of one state reach: how free pages are found when a file does not store
// them. Iterative, so that no nesting depth overflows a stack; every page is entered at most once,
// so that no cycle goes on for ever.
#pragma once

#include <cstdint>
#include <vector>

#include "core/page_file.h"
#include "core/page_set.h"

namespace hotbolt {

struct Reachable {
  PageSet pages;        // of all trees; neither metas nor the freelist's own pages
  bool is_flat = true;  // no bucket but the root holds a bucket
};

// Throws ERR_CORRUPT at the first page that is damaged or reached twice.
Reachable find_reachable(const ReadTx& tx);

// The pages among `free` (free in the state that followed) that the state of `older` reaches,
// ascending. A page that is not free is shared by both states, and by copy-on-write so is
// everything under it: only what was freed is read. What is damaged is left out, as nobody can fall
// back on it.
std::vector<uint64_t> find_freed_since(const ReadTx& older, const PageSet& free);

}  // namespace hotbolt
