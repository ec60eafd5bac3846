// Merges sorted changes into existing trees, copy-on-write. Does no I/O of its own.
//
// One walk over the touched part of each bucket's tree: a branch descends only into children under
// which changes fall; the others are kept as they are, whole subtrees with their page ids. Entries
// of touched leaves, merged with the changes, stream into a TreeBuilder, which packs them
// (tree_builder.h). A nested bucket is merged when the walk meets its name, with a walk and a
// builder of its own. The walks stand on an explicit stack: neither the depth of a tree nor that of
// the nesting costs call stack.
//
// What the newest version of a name says wins over what the base has under it, whatever that is: a
// value may replace a deleted bucket and the other way round, and the bucket's pages are freed
// then.
#pragma once

#include "core/bucket.h"
#include "core/overlay.h"
#include "core/tree_builder.h"
#include "core/tx.h"

namespace hotbolt {

// Merges what the overlay says into the root bucket of `tx`'s base, nested buckets included (inline
// rule: a bucket whose single leaf without sub-buckets needs at most a quarter of a page lives
// inside its parent's value; see bbolt-format), frees the pages that are replaced, and sets the
// transaction's root.
void merge_into_root(WriteTx& tx, const Overlay& overlay);

// Frees all pages of a bucket of the base, nested buckets included.
void free_bucket(WriteTx& tx, const PageBucket& bucket);

}  // namespace hotbolt
