// What a store admits where the disk is nearly full, and what its checkpoints do there.
#include "core/store.h"

#include "sim_file.h"
#include "store_run.h"

namespace hotbolt::testing {
namespace {

constexpr size_t kRows = 4000;

void put_rows(Store& store, BucketRef& ref, size_t from, size_t to, char letter) {
  for (size_t n = from; n < to; n++) store.put(ref, std::to_string(n), std::string(100, letter));
}

void merge_sealed(Store& store) {
  const auto checkpoint = store.begin_checkpoint();
  store.run_checkpoint(*checkpoint);
  store.finish_checkpoint(*checkpoint);
}

class RefusalCounter : public Acknowledgements {
 public:
  void on_refusal() noexcept override { refusals++; }
  int refusals = 0;
};

struct SpaceRig {
  SimFileSystem files{1};
  std::shared_ptr<RefusalCounter> listener = std::make_shared<RefusalCounter>();
  std::shared_ptr<Store> store;
  BucketRef ref;
  explicit SpaceRig(uint64_t segment_bytes = JournalOptions{}.segment_bytes_min) {
    StoreOptions options;
    options.journal.segment_bytes_min = segment_bytes;
    store = Store::open(files, kPath, options, listener);
    ref.path = {"b"};
    put_rows(*store, ref, 0, kRows, 'a');
    store->seal();
    merge_sealed(*store);
    store->put(ref, "later", "v");
    store->seal();
    merge_sealed(*store);
  }
  // How many rows, far from each other, were overwritten until one was refused.
  size_t overwrite_until_refused() {
    for (size_t n = 0; n < kRows; n++) {
      try {
        store->put(ref, std::to_string(n * 1237 % kRows), std::string(100, 'b'));
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::ERR_NO_SPACE);
        return n;
      }
    }
    return kRows;
  }
};

TEST("a write is refused when the copies of a checkpoint would find no room") {
  SpaceRig rig;
  EXPECT_EQ(rig.overwrite_until_refused(), kRows);
  rig.store->seal();
  merge_sealed(*rig.store);
  rig.files.set_free_space(1 << 20);
  EXPECT_TRUE(!rig.store->backlog().is_short);
  const size_t written = rig.overwrite_until_refused();
  EXPECT_TRUE(written < kRows);
  EXPECT_TRUE(rig.store->backlog().is_short);
  EXPECT_EQ(rig.listener->refusals, 1);
  rig.store->remove(rig.ref, "1");
  rig.store->seal();
  EXPECT_EQ(rig.overwrite_until_refused(), 0);
  EXPECT_EQ(rig.listener->refusals, 2);
  EXPECT_EQ(rig.overwrite_until_refused(), 0);
  EXPECT_EQ(rig.listener->refusals, 2);
  rig.files.set_free_space(64 << 20);
  EXPECT_EQ(rig.overwrite_until_refused(), kRows);
  close_store(rig.store);
}

TEST("a checkpoint that finds no space for everything merges the oldest memtable alone") {
  SpaceRig rig(16 << 20);  // so that the journal's helper asks for no space meanwhile
  put_rows(*rig.store, rig.ref, 0, kRows, 'b');
  const Seq first = rig.store->last_seq();
  rig.store->seal();
  put_rows(*rig.store, rig.ref, kRows, 2 * kRows, 'c');
  rig.store->seal();
  rig.listener->wait(rig.store->submit());
  // Each attempt asks twice: for space ahead, and for what it needs.
  rig.files.fail_call(1, ErrorCode::ERR_NO_SPACE, 28, 4, "allocate");
  const auto checkpoint = rig.store->begin_checkpoint();
  rig.store->run_checkpoint(*checkpoint);
  rig.store->finish_checkpoint(*checkpoint);
  EXPECT_TRUE(checkpoint->is_partial);
  EXPECT_EQ(rig.store->stats().covered_seq, first);
  EXPECT_EQ(rig.store->stats().sealed_memtables, 1);
  EXPECT_EQ(std::string(*rig.store->resolve(rig.ref).get("7999")), std::string(100, 'c'));
  merge_sealed(*rig.store);
  EXPECT_EQ(rig.store->stats().covered_seq, rig.store->last_seq());
  close_store(rig.store);
}

}  // namespace
}  // namespace hotbolt::testing
