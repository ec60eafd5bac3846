// Encoding of branch and leaf pages. The format is described in page.h.
#include "core/node.h"

namespace hotbolt {

namespace {

// bbolt counts the entries of a page in 16 bits, and gives the last value another meaning.
void put_header(char* out, PageId id, uint16_t flags, size_t count, size_t run_bytes,
                uint32_t page_size) {
  HOTBOLT_ASSERT(count <= kElementsMax);
  const size_t pages = run_bytes / page_size;
  store(out, PageHeader{value(id), flags, static_cast<uint16_t>(count),
                        static_cast<uint32_t>(pages == 0 ? 0 : pages - 1)});
}

char* append(char* to, Bytes bytes) {
  // An empty view may have no address, which memcpy must not see.
  if (!bytes.empty()) std::memcpy(to, bytes.data(), bytes.size());
  return to + bytes.size();
}

LeafElement leaf_element(const LeafEntry& entry, size_t pos) {
  return {entry.is_bucket ? kBucketElementFlag : 0, static_cast<uint32_t>(pos),
          static_cast<uint32_t>(entry.key.size()), static_cast<uint32_t>(entry.value.size())};
}

// Elements and data behind a header at `out`; returns the end of the data.
char* put_leaf_entries(char* out, const LeafEntry* entries, size_t count) {
  char* element = out + kPageHeaderSize;
  char* data = element + count * kElementSize;
  for (size_t i = 0; i < count; ++i, element += kElementSize) {
    store(element, leaf_element(entries[i], static_cast<size_t>(data - element)));
    data = append(data, entries[i].key);
    data = append(data, entries[i].value);
  }
  return data;
}

char* put_branch_entries(char* out, const BranchEntry* entries, size_t count) {
  char* element = out + kPageHeaderSize;
  char* data = element + count * kElementSize;
  for (size_t i = 0; i < count; ++i, element += kElementSize) {
    store(element,
          BranchElement{static_cast<uint32_t>(data - element),
                        static_cast<uint32_t>(entries[i].key.size()), value(entries[i].child)});
    data = append(data, entries[i].key);
  }
  return data;
}

void zero_slack(char* data, char* end) {
  HOTBOLT_ASSERT(data <= end);
  std::memset(data, 0, static_cast<size_t>(end - data));
}

template <typename Entry>
size_t total_size(const Entry* entries, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; ++i) bytes += entries[i].size();
  return bytes;
}

}  // namespace

void encode_leaf(char* out, size_t run_bytes, PageId id, const LeafEntry* entries, size_t count,
                 uint32_t page_size) {
  put_header(out, id, kLeafFlag, count, run_bytes, page_size);
  zero_slack(put_leaf_entries(out, entries, count), out + run_bytes);
}

void encode_branch(char* out, size_t run_bytes, PageId id, const BranchEntry* entries, size_t count,
                   uint32_t page_size) {
  put_header(out, id, kBranchFlag, count, run_bytes, page_size);
  zero_slack(put_branch_entries(out, entries, count), out + run_bytes);
}

void encode_leaf(std::string& out, PageId id, const LeafEntry* entries, size_t count,
                 uint32_t page_size) {
  out.resize(run_bytes_for(total_size(entries, count), page_size));
  encode_leaf(out.data(), out.size(), id, entries, count, page_size);
}

void encode_branch(std::string& out, PageId id, const BranchEntry* entries, size_t count,
                   uint32_t page_size) {
  out.resize(run_bytes_for(total_size(entries, count), page_size));
  encode_branch(out.data(), out.size(), id, entries, count, page_size);
}

std::string encode_leaf_head(PageId id, const LeafEntry& entry, size_t run_bytes,
                             uint32_t page_size) {
  std::string out(kPageHeaderSize + kElementSize + entry.key.size(), '\0');
  put_header(out.data(), id, kLeafFlag, 1, run_bytes, page_size);
  store(out.data() + kPageHeaderSize, leaf_element(entry, kElementSize));
  append(out.data() + kPageHeaderSize + kElementSize, entry.key);
  return out;
}

std::string encode_inline_bucket(uint64_t sequence, const LeafEntry* entries, size_t count) {
  const size_t page_bytes = kPageHeaderSize + total_size(entries, count);
  std::string out(kBucketHeaderSize + page_bytes, '\0');
  store(out.data(), BucketHeader{0, sequence});
  char* page = out.data() + kBucketHeaderSize;
  store(page, PageHeader{0, kLeafFlag, static_cast<uint16_t>(count), 0});
  put_leaf_entries(page, entries, count);
  return out;
}

std::string encode_bucket_header(PageId root, uint64_t sequence) {
  std::string out(kBucketHeaderSize, '\0');
  store(out.data(), BucketHeader{value(root), sequence});
  return out;
}

}  // namespace hotbolt
