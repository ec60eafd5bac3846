// A page under construction: entries in, bytes of one run out. See page.h for the format.
//
// Pure functions; any thread. What an entry refers to is copied once, straight into the run.
#pragma once

#include <string>

#include "core/page.h"

namespace hotbolt {

// One entry of a leaf. Views: the bytes live in the mapping, in a memtable or with the builder.
struct LeafEntry {
  Bytes key;
  Bytes value;
  bool is_bucket = false;
  size_t size() const { return kElementSize + key.size() + value.size(); }
};

// One entry of a branch: a child page and the smallest key under it.
struct BranchEntry {
  Bytes key;
  PageId child{};
  bool kept = false;  // the child is a page of the base, not one that this transaction wrote
  size_t size() const { return kElementSize + key.size(); }
};

// Counts an entry that is taken over from `page` into `bytes`, the sum of those before it. Throws
// ERR_CORRUPT when that is more than the page has: entries that share their bytes could make one
// page, or the copy of a hostile file, as large as the disk.
template <typename Entry>
void count_entry(const PageView& page, const Entry& entry, uint64_t& bytes) {
  bytes += entry.size();
  if (bytes > page.run_size()) throw_corrupt(page.id(), "its entries overlap");
}

// Bytes of the run that holds a header and `entry_bytes` of entries: whole pages.
constexpr size_t run_bytes_for(size_t entry_bytes, uint32_t page_size) {
  return (kPageHeaderSize + entry_bytes + page_size - 1) / page_size * page_size;
}

// Fills `out`, which has room for `run_bytes` (run_bytes_for the entries), slack zeroed. Entries
// are in key order.
void encode_leaf(char* out, size_t run_bytes, PageId id, const LeafEntry* entries, size_t count,
                 uint32_t page_size);
void encode_branch(char* out, size_t run_bytes, PageId id, const BranchEntry* entries, size_t count,
                   uint32_t page_size);

// The same into a string of its own, which becomes the whole run.
void encode_leaf(std::string& out, PageId id, const LeafEntry* entries, size_t count,
                 uint32_t page_size);
void encode_branch(std::string& out, PageId id, const BranchEntry* entries, size_t count,
                   uint32_t page_size);

// The beginning of a run of `run_bytes` whose only entry is `entry`, up to and including the key.
// The value follows it: large values go to the file from where they are.
std::string encode_leaf_head(PageId id, const LeafEntry& entry, size_t run_bytes,
                             uint32_t page_size);

// The value of an inline bucket (header and leaf page with id 0).
std::string encode_inline_bucket(uint64_t sequence, const LeafEntry* entries, size_t count);
std::string encode_bucket_header(PageId root, uint64_t sequence);

}  // namespace hotbolt
