// Builds one bucket's tree bottom-up from what arrives in key order: entries, and whole subtrees of
// the base that stay as they are. Every level collects a run of entries; a run is packed into pages
// and flushed to the level above when a kept subtree ends it, when it has grown long, or at the
// end. Memory is bounded by one run per level.
//
// How a run is packed, with C = what fits in a page, F = fill * C, k = pages of the base that the
// run replaces (at least 1):
//   1. entries that fit in one page        -> one page
//      or need at most k pages at F        -> that many, of even size (neighbours merge)
//   2. that still fit in k pages           -> k pages (a point update never splits a page that holds
//                                             its entries)
//   3. new keys behind the tree's last key -> pages of F from the left (sequential loads fill pages)
//   4. otherwise                           -> ceil(bytes / F) > k pages, of even size (splits)
// An entry larger than a page gets an overflow run of its own; a branch page holds at least two
// children. A run of less than a quarter of a page takes a kept neighbour in, the next one or else
// the one before, unless that is an overflow run.
//
// One thread. Bytes of keys and values must stay valid until the builder is finished: they lie in
// the mapping or in a memtable; only values of buckets are the builder's own.
#pragma once

#include <list>
#include <string>
#include <vector>

#include "core/node.h"
#include "core/tx.h"

namespace hotbolt {

class TreeBuilder {
 public:
  explicit TreeBuilder(WriteTx& tx);

  void add(const LeafEntry& entry);
  // A bucket's element; `value` is what its own builder's finish() returned.
  void add_bucket(Bytes name, std::string value);
  // A subtree of the base, `level` levels above the leaves (0: a leaf), that stays as it is. Its
  // key may be stale-low.
  void keep(unsigned level, Bytes key, PageId child);
  // A single page of the base at `level` is replaced by what is added from now on.
  void replaces_page(unsigned level);
  // What is added from now on lies behind the last key of the base.
  void at_right_edge() { grew_right_ = true; }
  // The page whose entries are added next, for error messages.
  void reading(PageId page) { reading_ = page; }

  // The bucket's value for its parent: inline if it may be, else the 16-byte header. After that the
  // builder is empty again.
  std::string finish(uint64_t sequence);
  // For the top-level bucket: never inline; returns the root page.
  PageId finish_root();

 private:
  template <typename Entry>
  struct Run {
    std::vector<Entry> entries;
    size_t bytes = 0;      // an entry that is larger than a page counts as a page
    size_t old_pages = 0;  // k
  };
  using LeafRun = Run<LeafEntry>;
  using BranchRun = Run<BranchEntry>;

  struct Root {
    BranchEntry entry;
    unsigned level = 0;
  };

  BranchRun& branch_run(unsigned level);
  void add_child(unsigned level, const BranchEntry& entry);
  void flush_level(unsigned level);
  bool absorb_right(unsigned level, PageId child);
  template <typename Entry>
  void add_page_entries(Run<Entry>& run, const PageView& page, bool in_front);
  template <typename Entry>
  void absorb_left(Run<Entry>& run, unsigned level);
  template <typename Entry>
  bool is_underfull(const Run<Entry>& run) const;
  template <typename Entry>
  size_t page_goal(const Run<Entry>& run) const;
  template <typename Entry>
  size_t pages_at(const Run<Entry>& run, size_t goal) const;
  template <typename Entry>
  size_t page_end(const std::vector<Entry>& entries, size_t first, size_t goal) const;
  template <typename Entry>
  void flush(Run<Entry>& run, unsigned level, bool all);
  template <typename Entry>
  void drop_front(Run<Entry>& run, size_t count, size_t pages);
  void own_pending_values();
  PageId write_page(const LeafEntry* entries, size_t count);
  PageId write_page(const BranchEntry* entries, size_t count);

  bool has_branches() const;
  bool fits_inline(const std::vector<LeafEntry>& entries, size_t bytes) const;
  Root finish_tree();
  std::optional<std::string> inline_kept_leaf(const Root& root, uint64_t sequence);
  void reset();
  void throw_unordered() const;

  template <typename Entry>
  size_t weight(const Entry& entry) const {
    return entry.size() < capacity_ ? entry.size() : capacity_;
  }

  WriteTx& tx_;
  const uint32_t page_size_;
  const size_t capacity_;       // C
  const size_t fill_bytes_;     // F
  const size_t run_bytes_max_;  // a run that grows beyond this is flushed up to its last pages
  LeafRun leaves_;
  std::vector<BranchRun> branches_;  // [0] is level 1
  std::list<std::string> values_;    // of buckets in leaves_
  Bytes last_key_;
  PageId reading_{};
  bool grew_right_ = false;
};

}  // namespace hotbolt
