// The B+tree of one bucket's records, and cursors over it.
#include "core/bucket_table.h"

#include <algorithm>
#include <cstddef>

#include "core/error.h"

namespace hotbolt {

namespace {

// An empty view may point nowhere, which memcpy must not be given.
uint64_t prefix_of(Bytes key) { return key.empty() ? 0 : key_prefix(key); }

// The first slot in [from, count) whose prefix is >= `prefix`. Without branches that depend on the
// keys: random lookups would mispredict half of them.
uint32_t lower_prefix(const TableNode& node, uint32_t from, uint64_t prefix) {
  const uint64_t* base = node.prefixes + from;
  uint32_t left = node.count - from;
  while (left > 1) {
    const uint32_t half = left / 2;
    base += (base[half - 1] < prefix) * half;
    left -= half;
  }
  const auto slot = static_cast<uint32_t>(base - node.prefixes);
  return slot + (left == 1 && *base < prefix);
}

// Fetches the lines that a search of the node may read, all at once: one after the other, as the
// search finds out which it needs, they cost a memory latency each.
void prefetch(const void* node) {
#if defined(__GNUC__)
  constexpr size_t kLineSize = 64;
  const char* line = static_cast<const char*>(node);
  for (size_t at = 0; at <= offsetof(TableNode, records); at += kLineSize) {
    __builtin_prefetch(line + at);
  }
#else
  (void)node;
#endif
}

// The first slot in [from, count) whose key is >= `key`; > `key` when `beyond`.
uint32_t search(const TableNode& node, uint32_t from, uint64_t prefix, Bytes key, bool beyond) {
  uint32_t low = lower_prefix(node, from, prefix);
  if (low == node.count || node.prefixes[low] != prefix) return low;
  // Slots whose keys agree in the first 8 bytes: only here are whole keys compared.
  uint32_t high = low + 1;
  if (high < node.count && node.prefixes[high] == prefix) {
    high = prefix == ~uint64_t{0} ? node.count : lower_prefix(node, high, prefix + 1);
  }
  while (low < high) {
    const uint32_t middle = (low + high) / 2;
    const int order = node.records[middle]->key().compare(key);
    if (order < 0 || (beyond && order == 0)) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

void open_slot(TableNode& node, uint32_t slot, Record* record) {
  const uint32_t behind = node.count - slot;
  std::memmove(node.prefixes + slot + 1, node.prefixes + slot, behind * sizeof(uint64_t));
  std::memmove(node.records + slot + 1, node.records + slot, behind * sizeof(Record*));
  node.prefixes[slot] = prefix_of(record->key());
  node.records[slot] = record;
  node.count++;
}

void open_slot(TableBranch& branch, uint32_t slot, Record* least, void* child) {
  const uint32_t behind = branch.count - slot;
  std::memmove(branch.children + slot + 1, branch.children + slot, behind * sizeof(void*));
  branch.children[slot] = child;
  open_slot(static_cast<TableNode&>(branch), slot, least);
}

// Moves the slots from `from` on to an empty node.
void move_slots(TableNode& source, uint32_t from, TableNode& target) {
  target.count = source.count - from;
  std::copy_n(source.prefixes + from, target.count, target.prefixes);
  std::copy_n(source.records + from, target.count, target.records);
  source.count = from;
}

// Where a full node is cut: in the middle, or at its end when what comes is the table's greatest
// key.
uint32_t split_point(bool at_right_edge) {
  return at_right_edge ? kTableNodeSlots : kTableNodeSlots / 2;
}

TableLeaf* split_leaf(Arena& arena, TableLeaf& leaf, bool at_right_edge) {
  auto* right = new (arena.allocate(sizeof(TableLeaf))) TableLeaf;
  move_slots(leaf, split_point(at_right_edge), *right);
  right->prev = &leaf;
  right->next = leaf.next;
  if (leaf.next != nullptr) leaf.next->prev = right;
  leaf.next = right;
  return right;
}

TableBranch* split_branch(Arena& arena, TableBranch& branch, bool at_right_edge) {
  auto* right = new (arena.allocate(sizeof(TableBranch))) TableBranch;
  const uint32_t from = split_point(at_right_edge);
  std::copy_n(branch.children + from, branch.count - from, right->children);
  move_slots(branch, from, *right);
  return right;
}

}  // namespace

const Record* BucketTable::find(Bytes key) const {
  if (root_ == nullptr) return nullptr;
  TablePath path;
  descend(key, path);
  return path.record(key);
}

std::optional<uint64_t> BucketTable::sequence(Seq seq) const {
  const SequenceVersion* version = version_at<const SequenceVersion>(sequence_, seq);
  if (version == nullptr) return std::nullopt;
  return version->value;
}

void BucketTable::descend(Bytes key, TablePath& path) const {
  const uint64_t prefix = prefix_of(key);
  void* node = root_;
  for (uint32_t level = 0; level < height_; level++) {
    auto* branch = static_cast<TableBranch*>(node);
    const uint32_t slot = search(*branch, 1, prefix, key, true) - 1;
    path.branches[level] = branch;
    path.slots[level] = slot;
    node = branch->children[slot];
    prefetch(node);
  }
  path.leaf = static_cast<TableLeaf*>(node);
  path.slot = search(*path.leaf, 0, prefix, key, false);
}

void BucketTable::insert_first(Arena& arena, Record* record) {
  auto* leaf = new (arena.allocate(sizeof(TableLeaf))) TableLeaf;
  open_slot(*leaf, 0, record);
  root_ = leaf;
  record_count_ = 1;
}

void BucketTable::insert(Arena& arena, TablePath& path, Record* record) {
  TableLeaf* leaf = path.leaf;
  uint32_t slot = path.slot;
  record_count_++;
  if (leaf->count < kTableNodeSlots) {
    open_slot(*leaf, slot, record);
    return;
  }
  const bool at_right_edge = leaf->next == nullptr && slot == leaf->count;
  TableLeaf* right = split_leaf(arena, *leaf, at_right_edge);
  if (at_right_edge || slot > leaf->count) {
    slot -= leaf->count;
    leaf = right;
  }
  open_slot(*leaf, slot, record);
  insert_child(arena, path, right->records[0], right, at_right_edge);
}

// Adds the right half of a split to the branches above, from the lowest up.
void BucketTable::insert_child(Arena& arena, TablePath& path, Record* least, void* child,
                               bool at_right_edge) {
  for (uint32_t level = height_; level-- > 0;) {
    TableBranch* branch = path.branches[level];
    uint32_t slot = path.slots[level] + 1;
    if (branch->count < kTableNodeSlots) {
      open_slot(*branch, slot, least, child);
      return;
    }
    TableBranch* right = split_branch(arena, *branch, at_right_edge);
    if (at_right_edge || slot > branch->count) {
      slot -= branch->count;
      branch = right;
    }
    open_slot(*branch, slot, least, child);
    least = right->records[0];
    child = right;
  }
  HOTBOLT_ASSERT(height_ < kTableHeightMax);
  auto* root = new (arena.allocate(sizeof(TableBranch))) TableBranch;
  open_slot(*root, 0, least, root_);  // slot 0's record is never looked at
  open_slot(*root, 1, least, child);
  root_ = root;
  height_++;
}

const TableLeaf* BucketTable::edge_leaf(bool rightmost) const {
  void* node = root_;
  for (uint32_t level = 0; level < height_; level++) {
    auto* branch = static_cast<TableBranch*>(node);
    node = branch->children[rightmost ? branch->count - 1 : 0];
  }
  return static_cast<TableLeaf*>(node);
}

// Stands at the record in `slot`, or in the next leaf when that is the end of this one.
void BucketTable::Cursor::take(const TableLeaf* leaf, uint32_t slot) {
  if (leaf != nullptr && slot == leaf->count) {
    leaf = leaf->next;
    slot = 0;
  }
  leaf_ = leaf;
  slot_ = slot;
  record_ = leaf == nullptr ? nullptr : leaf->records[slot];
}

void BucketTable::Cursor::take_before(const TableLeaf* leaf, uint32_t slot) {
  if (slot == 0) {
    leaf = leaf->prev;
    slot = leaf == nullptr ? 0 : leaf->count;
  }
  leaf_ = leaf;
  slot_ = slot - (leaf != nullptr);
  record_ = leaf == nullptr ? nullptr : leaf->records[slot_];
}

void BucketTable::Cursor::first() { take(table_->edge_leaf(false), 0); }

void BucketTable::Cursor::last() {
  const TableLeaf* leaf = table_->edge_leaf(true);
  take(leaf, leaf == nullptr ? 0 : leaf->count - 1);
}

void BucketTable::Cursor::seek(Bytes key) {
  if (table_->root_ == nullptr) return take(nullptr, 0);
  TablePath path;
  table_->descend(key, path);
  take(path.leaf, path.slot);
}

void BucketTable::Cursor::seek_before(Bytes key) {
  if (table_->root_ == nullptr) return take(nullptr, 0);
  TablePath path;
  table_->descend(key, path);
  take_before(path.leaf, path.slot);
}

void BucketTable::Cursor::find_again() {
  if (slot_ < leaf_->count && leaf_->records[slot_] == record_) return;
  TablePath path;
  table_->descend(record_->key(), path);
  leaf_ = path.leaf;
  slot_ = path.slot;
}

void BucketTable::Cursor::next() {
  HOTBOLT_ASSERT(valid());
  find_again();
  take(leaf_, slot_ + 1);
}

void BucketTable::Cursor::prev() {
  HOTBOLT_ASSERT(valid());
  find_again();
  take_before(leaf_, slot_);
}

}  // namespace hotbolt
