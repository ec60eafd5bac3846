// Free pages: where they are taken from, when they may be used again, and how they are stored.
#include "core/freelist.h"

#include <numeric>

#include "harness.h"
#include "image.h"

namespace hotbolt::testing {
namespace {

Freelist with_free(std::vector<uint64_t> ids, uint64_t high_water) {
  Freelist list;
  list.load(page_set(ids, high_water));
  return list;
}

// One transaction that frees a run.
void commit_free(Freelist& list, uint64_t txid, PageRun run, const Readers& readers) {
  list.begin(TxId{txid}, readers);
  list.free(run);
  list.commit();
}

uint64_t free_count_at(Freelist& list, uint64_t txid, const Readers& readers) {
  list.begin(TxId{txid}, readers);
  const uint64_t count = list.free_count();
  list.rollback();
  return count;
}

TEST("allocation goes on behind the last one and wraps around") {
  Freelist list = with_free({3, 5, 6, 200}, 300);
  list.begin(TxId{1}, {});
  for (const uint64_t expected : {3, 5, 6, 200}) EXPECT_EQ(value(*list.allocate(1)), expected);
  EXPECT_FALSE(list.allocate(1).has_value());
  list.rollback();
  list.begin(TxId{1}, {});
  EXPECT_EQ(value(*list.allocate(1)), 3);  // the cursor stood behind 200
}

TEST("a run is contiguous, across words of the bitmap, and the first that is long enough") {
  std::vector<uint64_t> ids(100);
  std::iota(ids.begin(), ids.end(), 60);
  ids.insert(ids.begin(), {10, 11, 12});
  Freelist list = with_free(ids, 400);
  list.begin(TxId{1}, {});
  EXPECT_EQ(value(*list.allocate(90)), 60);
  EXPECT_EQ(value(*list.allocate(3)), 150);
  EXPECT_EQ(value(*list.allocate(7)), 153);
  EXPECT_FALSE(list.allocate(4).has_value());
  EXPECT_EQ(value(*list.allocate(3)), 10);
  EXPECT_EQ(list.free_count(), 0);
}

TEST("a search that failed is not repeated until pages are released") {
  Freelist list = with_free({10, 12, 14, 16}, 20);
  list.begin(TxId{1}, {});
  EXPECT_FALSE(list.allocate(2).has_value());
  list.free({PageId{11}, 1});
  list.commit();
  list.begin(TxId{3}, {});
  EXPECT_EQ(value(*list.allocate(2)), 10);
}

TEST("rule 1: a page freed by a transaction is used again two later, not one") {
  const Readers nobody;
  Freelist list = with_free({}, 10);
  commit_free(list, 5, {PageId{4}, 2}, nobody);
  EXPECT_EQ(list.pending_count(), 2);
  EXPECT_EQ(free_count_at(list, 6, nobody), 0);
  EXPECT_EQ(free_count_at(list, 7, nobody), 2);
  EXPECT_EQ(list.pending_count(), 0);
}

TEST("rule 2: a page that an open reader can see is held until it ends") {
  Readers readers;
  Freelist list = with_free({}, 10);
  readers.add(TxId{4});
  commit_free(list, 5, {PageId{4}, 1}, readers);
  EXPECT_EQ(free_count_at(list, 9, readers), 0);
  readers.add(TxId{8});  // too young to see the page
  readers.remove(TxId{4});
  EXPECT_EQ(free_count_at(list, 10, readers), 1);
}

TEST("rule 2: a page allocated after a reader began is not held for it, from the mark or not") {
  Readers readers;
  readers.add(TxId{4});
  Freelist list = with_free({5}, 10);
  list.begin(TxId{5}, readers);
  EXPECT_EQ(value(*list.allocate(1)), 5);
  list.note_allocated({PageId{10}, 2});
  list.commit();
  list.begin(TxId{6}, readers);
  list.free({PageId{5}, 1});
  list.free({PageId{9}, 3});  // the first page of this run is old
  list.commit();
  EXPECT_EQ(free_count_at(list, 8, readers), 3);
  EXPECT_EQ(list.pending_count(), 1);
  readers.remove(TxId{4});
  EXPECT_EQ(free_count_at(list, 9, readers), 4);
}

TEST("rule 2: of several readers only those between allocation and freeing count") {
  Readers readers;
  readers.add(TxId{4});
  Freelist list = with_free({}, 4);
  list.begin(TxId{5}, readers);
  list.note_allocated({PageId{4}, 1});
  list.commit();
  readers.add(TxId{6});
  commit_free(list, 8, {PageId{4}, 1}, readers);
  EXPECT_EQ(free_count_at(list, 10, readers), 0);
  readers.remove(TxId{6});
  EXPECT_EQ(free_count_at(list, 11, readers), 1);
}

TEST("one old reader and 1,000 small commits: the file grows by what the reader sees, not more") {
  constexpr uint64_t kTreePages = 500;
  constexpr uint64_t kPagesPerCommit = 20;
  Readers readers;
  readers.add(TxId{1});
  std::vector<uint64_t> tree(kTreePages);
  std::iota(tree.begin(), tree.end(), 2);
  uint64_t high_water = 2 + kTreePages;
  Freelist list = with_free({}, high_water);
  uint64_t random = 1;
  for (uint64_t txid = 2; txid < 1002; txid++) {
    list.begin(TxId{txid}, readers);
    for (uint64_t i = 0; i < kPagesPerCommit; i++) {
      random = random * 6364136223846793005 + 1442695040888963407;
      uint64_t& page = tree[(random >> 33) % kTreePages];
      const auto taken = list.allocate(1);
      if (!taken) list.note_allocated({PageId{high_water}, 1});
      const uint64_t fresh = taken ? value(*taken) : high_water++;
      list.free({PageId{page}, 1});
      page = fresh;
    }
    list.commit();
  }
  // The old tree once more, and what the last transactions freed.
  EXPECT_TRUE(high_water <= 2 + 2 * kTreePages + 4 * kPagesPerCommit);
  readers.remove(TxId{1});
  EXPECT_EQ(free_count_at(list, 2000, readers), high_water - 2 - kTreePages);
}

TEST("rule 3: a rollback returns what was allocated and forgets what was freed") {
  Freelist list = with_free({5, 6}, 10);
  list.begin(TxId{1}, {});
  EXPECT_TRUE(list.allocate(2).has_value());
  list.note_allocated({PageId{10}, 5});
  list.free({PageId{8}, 1});
  list.rollback();
  EXPECT_EQ(list.free_count(), 2);
  EXPECT_EQ(list.pending_count(), 0);
  list.begin(TxId{1}, {});
  list.note_allocated({PageId{10}, 1});
  list.free({PageId{8}, 1});
}

TEST("freeing a page twice, or one outside the file, is damage and changes nothing") {
  Freelist list = with_free({5}, 10);
  list.begin(TxId{1}, {});
  list.free({PageId{7}, 1});
  for (const PageRun run : {PageRun{PageId{7}, 1}, PageRun{PageId{4}, 2}, PageRun{PageId{1}, 1},
                            PageRun{PageId{9}, 2}, PageRun{PageId{9}, ~uint64_t{0}}}) {
    EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, list.free(run));
  }
  EXPECT_EQ(list.pending_count(), 1);
}

TEST("pages held back come free two transactions later") {
  Freelist list = with_free({3, 4, 5}, 10);
  list.hold_back({4, 5}, TxId{8});
  EXPECT_EQ(list.free_count(), 1);
  EXPECT_TRUE(list.all_ids() == (std::vector<uint64_t>{3, 4, 5}));
  EXPECT_EQ(free_count_at(list, 9, {}), 1);
  EXPECT_EQ(free_count_at(list, 10, {}), 3);
}

TEST("a freelist page gives back its ids, also where the count does not fit its field") {
  for (const uint64_t count : {0, 1, 126, 127, 0xFFFE, 0xFFFF, 0x10000}) {
    std::vector<uint64_t> ids(count);
    std::iota(ids.begin(), ids.end(), 5);
    const std::string run = encode_freelist_page(PageId{2}, ids, 1024);
    EXPECT_EQ(run.size(), freelist_page_count(count, 1024) * 1024);
    EXPECT_EQ((load_page_header(run.data()).overflow + 1) * 1024, run.size());
    EXPECT_TRUE(ids_of(decode_freelist_page(PageId{2}, run, 5 + count)) == ids);
  }
}

TEST("a freelist page that lies is refused") {
  const auto refused = [](size_t at, uint64_t lie, uint64_t high_water) {
    std::string run = encode_freelist_page(PageId{2}, {4, 6}, 1024);
    store(run.data() + at, lie);
    EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, decode_freelist_page(PageId{2}, run, high_water));
  };
  refused(16, 6, 10);                             // twice the same
  refused(16, 7, 10);                             // descending
  refused(16, 1, 10);                             // a meta page
  refused(24, 10, 10);                            // beyond the mark
  refused(8, 0x02 | 2 << 16, 10);                 // a leaf
  refused(8, 0x10 | uint64_t{0xFFFE} << 16, 10);  // longer than the page
  refused(8, 0x10 | uint64_t{0xFFFF} << 16, 10);  // count 4, but of them two are zero
}

}  // namespace
}  // namespace hotbolt::testing
