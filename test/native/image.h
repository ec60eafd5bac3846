// Database files built by hand, byte by byte, so that tests of readers do not lean on our own
// writers, and can lie in any field.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/bucket.h"
#include "core/page_file.h"

namespace hotbolt::testing {

inline PageSet page_set(const std::vector<uint64_t>& ids, uint64_t size) {
  PageSet set(size);
  for (const uint64_t id : ids) set.add(id);
  return set;
}

inline std::vector<uint64_t> ids_of(const PageSet& set) {
  std::vector<uint64_t> ids;
  for (uint64_t id = set.next(0); id < set.size(); id = set.next(id + 1)) ids.push_back(id);
  return ids;
}

struct ImageItem {
  std::string key;
  std::string value;
  uint32_t flags = 0;
};

class Image {
 public:
  Image(uint32_t page_size, uint64_t page_count)
      : page_size_(page_size), bytes_(page_size * page_count, '\0') {}

  // Grows to as many overflow pages as it needs; they must lie inside the image.
  void leaf(uint64_t id, const std::vector<ImageItem>& items) { put(id, leaf_page(id, items)); }

  void branch(uint64_t id, const std::vector<std::pair<std::string, uint64_t>>& children) {
    std::string page(kPageHeaderSize + children.size() * kElementSize, '\0');
    store(page.data(), PageHeader{id, kBranchFlag, static_cast<uint16_t>(children.size()), 0});
    size_t at = kPageHeaderSize;
    for (const auto& [key, child] : children) {
      store(page.data() + at, BranchElement{static_cast<uint32_t>(page.size() - at),
                                            static_cast<uint32_t>(key.size()), child});
      page += key;
      at += kElementSize;
    }
    put(id, std::move(page));
  }

  void freelist(uint64_t id, const std::vector<uint64_t>& ids) {
    put(id, encode_freelist_page(PageId{id}, ids, page_size_));
  }

  // A meta page in the slot of its transaction, unless `slot` says otherwise. Root 3 and everything
  // below the mark used.
  Meta meta(uint64_t txid, uint64_t root, uint64_t freelist = kFreelistNotStored) {
    Meta meta;
    meta.page_size = page_size_;
    meta.root = PageId{root};
    meta.freelist = freelist;
    meta.high_water = bytes_.size() / page_size_;
    meta.txid = TxId{txid};
    meta.mark = Mark{};
    put(txid % 2, encode_meta_page(meta));
    return meta;
  }

  char* page(uint64_t id) { return bytes_.data() + id * page_size_; }
  std::string& bytes() { return bytes_; }
  uint32_t page_size() const { return page_size_; }

  static std::string leaf_page(uint64_t id, const std::vector<ImageItem>& items) {
    std::string page(kPageHeaderSize + items.size() * kElementSize, '\0');
    store(page.data(), PageHeader{id, kLeafFlag, static_cast<uint16_t>(items.size()), 0});
    size_t at = kPageHeaderSize;
    for (const ImageItem& item : items) {
      store(page.data() + at, LeafElement{item.flags, static_cast<uint32_t>(page.size() - at),
                                          static_cast<uint32_t>(item.key.size()),
                                          static_cast<uint32_t>(item.value.size())});
      page += item.key + item.value;
      at += kElementSize;
    }
    return page;
  }
  static std::string bucket_header(uint64_t root, uint64_t sequence) {
    std::string header(kBucketHeaderSize, '\0');
    store(header.data(), BucketHeader{root, sequence});
    return header;
  }
  static ImageItem bucket(std::string name, uint64_t root, uint64_t sequence = 0) {
    return {std::move(name), bucket_header(root, sequence), kBucketElementFlag};
  }
  static ImageItem inline_bucket(std::string name, const std::vector<ImageItem>& items) {
    return {std::move(name), bucket_header(0, 0) + leaf_page(0, items), kBucketElementFlag};
  }

 private:
  void put(uint64_t id, std::string run) {
    const size_t pages = (run.size() + page_size_ - 1) / page_size_;
    if (id >= 2) store(run.data() + 12, static_cast<uint32_t>(pages - 1));
    HOTBOLT_ASSERT(id * page_size_ + run.size() <= bytes_.size());
    std::memcpy(page(id), run.data(), run.size());
  }

  uint32_t page_size_;
  std::string bytes_;
};

// A folder of its own for a test; gone at the end.
class TestFolder {
 public:
  TestFolder() {
    std::string folder = std::filesystem::temp_directory_path() / "hotbolt-test-XXXXXX";
    path_ = ::mkdtemp(folder.data());
  }
  ~TestFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string path(const std::string& name) const { return path_ + "/" + name; }

  // A file with these bytes.
  std::string write(const std::string& name, Bytes bytes) const {
    system_files().remove(path(name));
    OpenMode mode;
    mode.write = mode.create = mode.exclusive = true;
    system_files().open(path(name), mode)->write(0, bytes);
    return path(name);
  }
  std::shared_ptr<PageFile> open(Image& image, PageFileOptions options = {}) const {
    return PageFile::open(system_files(), write("data.db", image.bytes()), options);
  }

 private:
  std::string path_;
};

}  // namespace hotbolt::testing
