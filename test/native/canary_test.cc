// No byte that the process happened to have in memory gets into a file: LMDB once wrote scraps of
// its heap into databases. Here every allocation is filled with a canary, and after every sync of a
// run of writes, checkpoints, a defragmentation and a close all files are searched for it.
#include "allocation_fault.h"
#include "fault_session.h"
#include "harness.h"

namespace hotbolt::testing {

namespace {

// Three in a row: one alone may be part of a checksum. What the run writes is ASCII.
size_t canaries_in(const std::string& bytes) {
  return bytes.find(std::string(3, kCanary)) == std::string::npos ? 0 : 1;
}

// Keys and values of all kinds of sizes: inline buckets, slack in pages, overflow runs, padding of
// frames, values that are written from where they lie.
void write_all(Store& store, int round) {
  const size_t sizes[] = {0, 1, 7, 61, 333, 900, 1111, 5000, 70'001, 300'001};
  for (int i = 0; i < 400; i++) {
    BucketRef ref;
    ref.path = {"bucket" + std::to_string(i % 7)};
    if (i % 5 == 0) ref.path.push_back("inner" + std::to_string(i % 3));
    const std::string key(1 + static_cast<size_t>(i * 13 % 90), static_cast<char>('a' + i % 26));
    // Large ones are rare.
    const size_t size = sizes[static_cast<size_t>(i + round) % (i % 40 == 0 ? 10 : 7)];
    store.put(ref, key, std::string(size, static_cast<char>('A' + round)));
    if (i % 3 == round) store.remove(ref, key);
    if (i % 20 == 0) store.set_sequence(ref, static_cast<uint64_t>(i));
  }
}

void checkpoint(Store& store) {
  store.seal();
  const auto checkpoint = store.begin_checkpoint();
  store.run_checkpoint(*checkpoint);
  store.finish_checkpoint(*checkpoint);
}

void defragment(const std::shared_ptr<Store>& store) {
  auto defrag = std::make_shared<Defrag>(store, DefragOptions{});
  defrag->prepare();
  defrag->pin();
  defrag->copy();
  write_all(*store, 2);
  CatchUp round = defrag->begin_catch_up();
  defrag->run_catch_up(round);
  defrag->publish();
  defrag->install();
  defrag->clean();
}

// The number of syncs before which some file held a canary.
size_t dirty_syncs(uint32_t page_size) {
  SimFileSystem files;
  std::atomic<size_t> dirty{0};
  files.set_hook([&](uint64_t, const char* name) {
    if (std::string_view(name).starts_with("sync")) {
      for (const std::string& path : files.paths()) dirty += canaries_in(files.contents(path));
    }
  });
  StoreOptions options;
  options.page_size = page_size;
  options.journal.segment_bytes_min = 8 << 10;
  auto listener = std::make_shared<Acknowledgements>();
  auto store = Store::open(files, kSessionPath, options, listener);
  for (int round = 0; round < 3; round++) {
    write_all(*store, round);
    listener->wait(store->submit());
    checkpoint(*store);
  }
  defragment(store);
  listener->wait(store->submit());
  store->begin_close();
  store->run_close();
  EXPECT_TRUE(files.paths() == std::vector<std::string>{kSessionPath});
  return dirty + canaries_in(files.contents(kSessionPath));
}

}  // namespace

TEST("no byte of the heap that nobody wrote gets into a file") {
  const auto fresh = std::make_unique_for_overwrite<char[]>(64);
  EXPECT_EQ(canaries_in({fresh.get(), 64}), 1u);
  EXPECT_EQ(dirty_syncs(1024), 0u);
  EXPECT_EQ(dirty_syncs(4096), 0u);
}

}  // namespace hotbolt::testing
