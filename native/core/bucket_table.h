// The nodes of a BucketTable's tree. For memtable.cc and bucket_table.cc only.
//
// Invariants:
//   1. A node's slots are in key order; slot i holds the first 8 bytes of its key beside the
//      record.
//   2. A leaf's records are the table's; leaves are linked in both directions; none is empty.
//   3. Child i of a branch holds the keys >= records[i] and < records[i + 1]; records[0] stands for
//      "less than all" and is not looked at.
//   4. Nodes are never freed or merged: a record only ever moves to a new leaf, when its own is
//      split.
#pragma once

#include "core/memtable.h"

namespace hotbolt {

inline constexpr uint32_t kTableNodeSlots = 64;
// Branches have 32 children or more, but for those at the right edge.
inline constexpr uint32_t kTableHeightMax = 16;

struct TableNode {
  uint32_t count = 0;
  uint64_t prefixes[kTableNodeSlots];  // apart from the records: a search reads these lines only
  Record* records[kTableNodeSlots];
};

struct TableLeaf : TableNode {
  TableLeaf* prev = nullptr;
  TableLeaf* next = nullptr;
};

struct TableBranch : TableNode {
  void* children[kTableNodeSlots];
};

// A way from the root to a slot of a leaf.
struct TablePath {
  TableBranch* branches[kTableHeightMax];  // the root first
  uint32_t slots[kTableHeightMax];
  TableLeaf* leaf = nullptr;
  uint32_t slot = 0;

  // The record at the end of the way, if it has this key.
  Record* record(Bytes key) const {
    if (slot == leaf->count) return nullptr;
    Record* found = leaf->records[slot];
    return found->key() == key ? found : nullptr;
  }
};

}  // namespace hotbolt
