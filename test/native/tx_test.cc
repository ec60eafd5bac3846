// Transactions against a model: random batches, commits, rollbacks, reopening, readers that stay.
#include "core/tx.h"

#include "tree_fixture.h"

using namespace hotbolt;
using namespace hotbolt::testing;

namespace {

void commit_all(TestFile& test, const std::vector<const Memtable*>& newest_first, uint64_t seq,
                std::mt19937_64& random) {
  WriteTx tx(test.file, test.pacer, {.fill = 0.5 + double(random() % 6) / 10});
  tx.apply(newest_first);
  const Mark mark{.database_id = {}, .journal_seq = seq, .is_flat = false};
  if (random() % 8 == 0) {
    tx.commit_with_freelist(mark);
  } else {
    tx.commit(mark);
  }
}

struct Workload {
  int commits = 40;
  uint64_t ops_max = 400;
  uint64_t key_space = 400;
  uint64_t calm_percent = 0;
  bool big_values = false;
};

void run_against_model(uint32_t page_size, uint64_t seed, const Workload& workload) {
  std::mt19937_64 random(seed);
  TestFile test(page_size);
  Model model;
  uint64_t seq = 0;
  for (int i = 0; i < workload.commits; ++i) {
    RandomBatch batch(random, model);
    batch.big_values = workload.big_values;
    batch.key_space = workload.key_space;
    // The first batches make the buckets.
    if (i > 1) batch.calm_percent = workload.calm_percent;
    std::vector<std::unique_ptr<Memtable>> memtables;
    for (uint64_t n = 1 + random() % 3; n > 0; --n)
      memtables.push_back(batch.make(1 + random() % workload.ops_max, ++seq));
    std::vector<const Memtable*> newest_first;
    for (auto memtable = memtables.rbegin(); memtable != memtables.rend(); ++memtable) {
      newest_first.push_back(memtable->get());
    }
    commit_all(test, newest_first, seq, random);
    expect_same(*test.file, model);
    expect_sound(*test.file);
    if (random() % 10 == 0) {
      test.reopen();
      expect_same(*test.file, model);
    }
  }
}

}  // namespace

TEST("random batches of changes leave what the model says, at every page size") {
  for (const uint32_t page_size : {1024, 4096, 16384, 65536}) {
    run_against_model(page_size, page_size, {.commits = 60});
  }
}

TEST("random batches with large values leave what the model says") {
  for (const uint32_t page_size : {1024, 4096, 65536}) {
    run_against_model(page_size, page_size + 1, {.commits = 25, .big_values = true});
  }
}

TEST("random batches of changes to trees of several levels leave what the model says") {
  for (const uint32_t page_size : {1024, 4096}) {
    run_against_model(page_size, page_size + 2,
                      {.commits = 30, .ops_max = 3000, .key_space = 20000, .calm_percent = 99});
  }
}

TEST("a transaction that is dropped changes nothing and its pages are used again") {
  TestFile test;
  std::mt19937_64 random(3);
  Model model;
  RandomBatch batch(random, model);
  apply_and_commit(test, *batch.make(3000, 1), 1);
  const Meta before = test.file->meta();
  Model scratch = model;
  for (int i = 0; i < 3; ++i) {
    const auto memtable = RandomBatch(random, scratch).make(3000, 2);
    WriteTx tx(test.file, test.pacer, {});
    tx.apply({memtable.get()});
  }
  EXPECT_EQ(test.file->meta().txid, before.txid);
  expect_same(*test.file, model);
  expect_sound(*test.file);
  apply_and_commit(test, *puts("b", {{"k", "v"}}, 2), 2);
  EXPECT_TRUE(test.file->meta().high_water <= before.high_water + 20);
  expect_sound(*test.file);
}

TEST("a commit without changes writes nothing unless the mark changes") {
  TestFile test;
  const Memtable nothing;
  const Mark mark{.database_id = {}, .journal_seq = 5, .is_flat = false};
  const auto commit_nothing = [&](Mark as) {
    WriteTx tx(test.file, test.pacer, {});
    tx.apply({&nothing});
    return tx.commit(as);
  };
  const Meta first = commit_nothing(mark);
  EXPECT_EQ(first.mark->journal_seq, 5u);
  EXPECT_EQ(commit_nothing(mark).txid, first.txid);
  EXPECT_EQ(value(commit_nothing({.journal_seq = 6}).txid), value(first.txid) + 1);
  expect_sound(*test.file);
}

TEST(
    "a stored freelist names every page that no tree reaches, and is replaced by the next commit") {
  TestFile test(1024);
  std::map<std::string, std::string> values;
  for (uint64_t i = 0; i < 20000; ++i) values[numbered(i)] = std::string(200, 'v');
  apply_and_commit(test, *puts("b", values, 1), 1);
  Memtable removal;
  removal.delete_bucket(removal.root(), "b", 2);
  removal.seal(2);
  {
    WriteTx tx(test.file, test.pacer, {});
    tx.apply({&removal});
    EXPECT_TRUE(tx.commit_with_freelist({.journal_seq = 2}).freelist_stored());
  }
  EXPECT_TRUE(expect_sound(*test.file).free_pages > 4000);
  test.reopen();
  expect_sound(*test.file);
  apply_and_commit(test, *puts("c", {{"k", "v"}}, 3), 3);
  EXPECT_FALSE(test.file->meta().freelist_stored());
  expect_sound(*test.file);
}

TEST(
    "a reader sees its own state over a thousand commits, and the file grows by what changed at "
    "most") {
  TestFile test;
  std::map<std::string, std::string> values;
  for (uint64_t i = 0; i < 20000; ++i) values[numbered(i)] = std::string(100, 'v');
  apply_and_commit(test, *puts("b", values, 1), 1);
  Model model;
  model.buckets["b"].values = values;
  std::mt19937_64 random(9);
  const uint64_t pages_before = test.file->meta().high_water;
  const auto reader = test.file->begin_read();
  for (uint64_t seq = 2; seq < 1002; ++seq) {
    std::map<std::string, std::string> some;
    for (int i = 0; i < 3; ++i) some[numbered(random() % 20000)] = std::string(100, 'w');
    apply_and_commit(test, *puts("b", some, seq), seq);
  }
  expect_same(PageBucket::root(*reader), model);
  expect_sound(*test.file);
  // The reader holds each old page once; what came and went since it began is used again.
  EXPECT_TRUE(test.file->meta().high_water < 2 * pages_before + 40);
}

TEST("the file is flat until a bucket inside a bucket is seen") {
  TestFile test;
  EXPECT_TRUE(apply_and_commit(test, *puts("b", {{"k", "v"}}, 1), 1).mark->is_flat);
  Memtable nested;
  nested.create_bucket(nested.touch_bucket(nested.root(), "b", 2), "inner", 2);
  nested.seal(2);
  EXPECT_FALSE(apply_and_commit(test, nested, 2).mark->is_flat);
  EXPECT_FALSE(apply_and_commit(test, *puts("c", {{"k", "v"}}, 3), 3).mark->is_flat);
}

TEST("the newest of several memtables decides") {
  TestFile test;
  const auto older = puts("b", {{"k", "old"}, {"only", "old"}}, 1);
  const auto newer = puts("b", {{"k", "new"}}, 2);
  WriteTx tx(test.file, test.pacer, {});
  tx.apply({newer.get(), older.get()});
  tx.commit({.journal_seq = 2});
  Model model;
  model.buckets["b"].values = {{"k", "new"}, {"only", "old"}};
  expect_same(*test.file, model);
}

TEST("a cancelled pacer ends the transaction with ERR_ABORTED and leaves the file as it was") {
  TestFile test;
  std::map<std::string, std::string> values;
  for (uint64_t i = 0; i < 10000; ++i) values[numbered(i)] = std::string(100, 'v');
  Pacer cancelled(system_files(), nullptr, 0);
  cancelled.cancel();
  const auto memtable = puts("b", values, 1);
  const auto apply = [&] {
    WriteTx tx(test.file, cancelled, {});
    tx.apply({memtable.get()});
  };
  EXPECT_THROWS_CODE(ErrorCode::ERR_ABORTED, apply());
  expect_same(*test.file, {});
  expect_sound(*test.file);
  apply_and_commit(test, *memtable, 1);
  expect_sound(*test.file);
}
