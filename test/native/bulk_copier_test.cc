// Copies equal their source, are packed at the fill asked for, and refuse damaged sources.
#include "core/bulk_copier.h"

#include "tree_fixture.h"

using namespace hotbolt;
using namespace hotbolt::testing;

namespace {

std::shared_ptr<PageFile> copy_of(TestFile& test, double fill, CopyProgress& progress) {
  const std::string path = test.path() + ".copy";
  system_files().remove(path);
  auto target =
      PageFile::create_empty(system_files(), path, test.file->page_size(), test.file->status());
  bulk_copy(*test.file->begin_read(), target,
            {.database_id = {}, .journal_seq = 77, .is_flat = false}, fill, test.pacer, progress);
  return target;
}

void load_random(TestFile& test, uint64_t count) {
  std::mt19937_64 random(1);
  for (uint64_t seq = 1; seq <= 4; ++seq) {
    std::map<std::string, std::string> values;
    for (uint64_t i = 0; i < count / 4; ++i) {
      std::string key(16, '\0');
      store<uint64_t>(key.data(), random());
      store<uint64_t>(key.data() + 8, random());
      values[key] = std::string(128, 'v');
    }
    apply_and_commit(test, *puts("b", values, seq), seq);
  }
}

}  // namespace

TEST("a copy has the same buckets, keys, values and sequences") {
  for (const uint32_t page_size : {1024, 4096, 65536}) {
    std::mt19937_64 random(page_size);
    TestFile test(page_size);
    Model model;
    RandomBatch batch(random, model);
    batch.big_values = true;
    for (uint64_t seq = 1; seq < 12; ++seq) apply_and_commit(test, *batch.make(400, seq), seq);
    CopyProgress progress;
    const auto copy = copy_of(test, 0.9, progress);
    expect_same(*copy, model);
    const CheckReport report = expect_sound(*copy);
    EXPECT_EQ(progress.entries.load(), report.key_count + report.bucket_count);
    EXPECT_EQ(copy->meta().mark->is_flat, report.is_flat);
    EXPECT_EQ(copy->meta().mark->journal_seq, 77u);
    EXPECT_EQ(copy->size_bytes(), copy->meta().high_water * page_size);
  }
}

TEST("a copy of an empty database is an empty database") {
  TestFile test;
  CopyProgress progress;
  const auto copy = copy_of(test, 0.9, progress);
  expect_same(*copy, {});
  expect_sound(*copy);
  EXPECT_TRUE(copy->meta().mark->is_flat);
}

TEST("a copy is packed: 182 bytes a record at fill 0.9, 166 at fill 1.0 for a payload of 144") {
  constexpr uint64_t kRecords = 100'000;
  TestFile test;
  load_random(test, kRecords);
  CopyProgress progress;
  EXPECT_TRUE(double(copy_of(test, 0.9, progress)->size_bytes()) / kRecords <= 182);
  EXPECT_TRUE(double(copy_of(test, 1.0, progress)->size_bytes()) / kRecords <= 166);
  EXPECT_TRUE(double(copy_of(test, 0.5, progress)->size_bytes()) / kRecords >= 310);
}

TEST("a copy goes on as a database of its own") {
  TestFile test;
  std::mt19937_64 random(5);
  Model model;
  RandomBatch batch(random, model);
  apply_and_commit(test, *batch.make(2000, 1), 1);
  CopyProgress progress;
  const auto copy = copy_of(test, 0.9, progress);
  for (uint64_t seq = 2; seq < 12; ++seq) {
    const auto memtable = batch.make(300, seq);
    WriteTx tx(copy, test.pacer, {});
    tx.apply({memtable.get()});
    tx.commit({.journal_seq = seq});
    expect_same(*copy, model);
    expect_sound(*copy);
  }
}

TEST("a page that is reached twice ends the copy with ERR_CORRUPT") {
  TestFile test;
  load_random(test, 2000);
  const auto tx = test.file->begin_read();
  const PageBucket bucket = *PageBucket::root(*tx).child("b");
  std::string run(tx->run(bucket.root_page()));
  // The second child's page id becomes the first's: the same keys would come again.
  store<uint64_t>(run.data() + 16 + 16 + 8, load<uint64_t>(run.data() + 16 + 8));
  test.file->write(bucket.root_page(), run);
  CopyProgress progress;
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, copy_of(test, 0.9, progress));
}

TEST("a cancelled copy ends with ERR_ABORTED") {
  TestFile test;
  load_random(test, 2000);
  test.pacer.cancel();
  CopyProgress progress;
  EXPECT_THROWS_CODE(ErrorCode::ERR_ABORTED, copy_of(test, 0.9, progress));
}
