// Inputs to begin with, made by the engine itself: small files with every kind of page, bucket and
// freelist, and scripts to write to them.
#include "core/update.h"
#include "target.h"

namespace hotbolt::fuzz {

namespace {

std::shared_ptr<Store> create(MemoryFiles& files, uint32_t page_size) {
  StoreOptions options = fuzz::options(false);
  options.create = true;
  options.page_size = page_size;
  return Store::open(files, kPath, options, std::make_shared<SilentListener>());
}

void checkpoint(Store& store) {
  store.seal();
  if (const auto checkpoint = store.begin_checkpoint()) {
    store.run_checkpoint(*checkpoint);
    store.finish_checkpoint(*checkpoint);
  }
}

void put(Store& store, const BucketPath& path, const std::string& key, const std::string& value) {
  BucketRef ref;
  ref.path = path;
  store.put(ref, key, value);
}

// A tree of two levels, nested, inline and empty buckets, sequences, a value of several pages, free
// pages. Two checkpoints.
void fill(Store& store) {
  for (int i = 100; i < 140; i++) put(store, {"tree"}, std::to_string(i), std::string(60, 'v'));
  for (int i = 0; i < 3; i++) put(store, {"inline"}, std::to_string(i), "x");
  put(store, {"nest", "a", "b"}, "deep", "down");
  put(store, {"nest", "a"}, "key", std::string(300, 'w'));
  put(store, {"overflow"}, "large", std::string(2500, 'o'));
  BucketRef empty;
  empty.path = {"empty"};
  store.create_bucket(empty);
  store.set_sequence(empty, 7);
  checkpoint(store);
  BucketRef tree;
  tree.path = {"tree"};
  for (int i = 105; i < 115; i++) store.remove(tree, std::to_string(i));
  put(store, {"inline"}, "3", "y");
  checkpoint(store);
}

std::string closed(uint32_t page_size, bool is_filled) {
  MemoryFiles files;
  std::shared_ptr<Store> store = create(files, page_size);
  if (is_filled) fill(*store);
  close_written(store);
  return files.contents(kPath);
}

// As a crash leaves it, but for most of the room that it had ahead: the freelist is not stored.
std::string crashed(uint32_t page_size) {
  MemoryFiles files;
  std::shared_ptr<Store> store = create(files, page_size);
  fill(*store);
  const uint64_t used = store->stats().high_water_bytes;
  store->halt();
  store.reset();
  return files.contents(kPath).substr(0, used + page_size);
}

std::string nested(size_t depth) {
  MemoryFiles files;
  std::shared_ptr<Store> store = create(files, kPageSizeMin);
  BucketPath path;
  for (size_t i = 0; i < depth; i++) path.push_back("b");
  put(*store, path, "k", std::string(300, 'v'));
  close_written(store);
  return files.contents(kPath);
}

// The form of the freelist whose count is its first id.
std::string with_escaped_count(std::string file) {
  const auto meta = decode_meta(Bytes(file).substr(0, kPageSizeMin));
  const auto other = decode_meta(Bytes(file).substr(kPageSizeMin, kPageSizeMin));
  for (const MetaResult& result : {meta, other}) {
    if (!result.meta || !result.meta->freelist_stored()) continue;
    char* const page = file.data() + result.meta->freelist * kPageSizeMin;
    const uint16_t count = load_page_header(page).count;
    if (load_page_header(page).flags != kFreelistFlag || count == 0xFFFF || count > 100) continue;
    std::memmove(page + kPageHeaderSize + 8, page + kPageHeaderSize, count * size_t{8});
    store<uint64_t>(page + kPageHeaderSize, count);
    store<uint16_t>(page + 10, 0xFFFF);
  }
  return file;
}

std::vector<std::string> database_seeds() {
  return {closed(kPageSizeMin, true),
          crashed(kPageSizeMin),
          closed(kPageSizeMin, false),
          closed(4096, false),
          nested(20),
          with_escaped_count(closed(kPageSizeMin, true))};
}

}  // namespace

std::vector<std::string> seeds_for(const Target& target) {
  if (target.layout == Layout::kJournal) return journal_seeds();
  std::vector<std::string> seeds;
  MemoryFiles files;
  for (const std::string& file : database_seeds()) {
    std::string script(target.head_size, '\0');
    files.random(script.data(), script.size());
    seeds.push_back(script + file);
  }
  return seeds;
}

}  // namespace hotbolt::fuzz
