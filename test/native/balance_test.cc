// The shapes of trees after changes: what is kept, split, merged, inlined and freed.
#include "core/balance.h"

#include "core/bulk_copier.h"
#include "tree_fixture.h"

using namespace hotbolt;
using namespace hotbolt::testing;

namespace {

using Values = std::map<std::string, std::string>;

Values numbered_values(uint64_t from, uint64_t to, size_t size) {
  Values values;
  for (uint64_t i = from; i < to; ++i) values[numbered(i)] = std::string(size, 'v');
  return values;
}

PageBucket bucket_named(const ReadTx& tx, Bytes name) {
  const std::optional<PageBucket> bucket = PageBucket::root(tx).child(name);
  EXPECT_TRUE(bucket.has_value());
  return *bucket;
}

// Leaf pages of a tree with one level of branches.
std::vector<uint64_t> children_of(const PageBucket& bucket) {
  std::vector<uint64_t> children;
  const PageView top = bucket.top();
  EXPECT_FALSE(top.is_leaf());
  for (uint32_t i = 0; i < top.count(); ++i) children.push_back(value(top.child(i)));
  return children;
}

void remove_all(Memtable& memtable, const std::string& bucket, uint64_t from, uint64_t to,
                uint64_t seq) {
  BucketTable& table = memtable.touch_bucket(memtable.root(), bucket, seq);
  for (uint64_t i = from; i < to; ++i) memtable.remove(table, numbered(i), seq, 0);
  memtable.seal(seq);
}

}  // namespace

TEST("a point update rewrites one leaf and keeps the page ids of all others") {
  TestFile test;
  apply_and_commit(test, *puts("b", numbered_values(0, 1000, 100), 1), 1);
  const auto before_tx = test.file->begin_read();
  const auto before = children_of(bucket_named(*before_tx, "b"));
  apply_and_commit(test, *puts("b", {{numbered(500), "changed"}}, 2), 2);
  const auto after_tx = test.file->begin_read();
  const auto after = children_of(bucket_named(*after_tx, "b"));
  EXPECT_EQ(after.size(), before.size());
  size_t changed = 0;
  for (size_t i = 0; i < after.size(); ++i) changed += after[i] != before[i];
  EXPECT_EQ(changed, 1u);
  expect_sound(*test.file);
}

TEST("a page that still fits its entries is not split, one that does not is halved") {
  TestFile test;
  // 4080 bytes of room, entries of 16 + 8 + 176 = 200: 18 at fill 0.9, 20 at most.
  apply_and_commit(test, *puts("b", numbered_values(0, 180, 176), 1), 1);
  EXPECT_EQ(children_of(bucket_named(*test.file->begin_read(), "b")).size(), 10u);
  apply_and_commit(test, *puts("b", {{"00000005a", std::string(175, 'v')}}, 2), 2);
  EXPECT_EQ(children_of(bucket_named(*test.file->begin_read(), "b")).size(), 10u);
  Values more;
  for (char letter = 'b'; letter < 'f'; ++letter)
    more[std::string("00000005") + letter] = std::string(175, 'v');
  apply_and_commit(test, *puts("b", more, 3), 3);
  const auto tx = test.file->begin_read();
  const auto children = children_of(bucket_named(*tx, "b"));
  EXPECT_EQ(children.size(), 11u);
  const uint32_t left = tx->page(PageId{children[0]}).count();
  const uint32_t right = tx->page(PageId{children[1]}).count();
  EXPECT_TRUE(left + 2 >= right && right + 2 >= left);
  expect_sound(*test.file);
}

TEST("a sequential load leaves pages at the fill") {
  TestFile test;
  for (uint64_t batch = 0; batch < 50; ++batch) {
    apply_and_commit(test,
                     *puts("b", numbered_values(batch * 100, batch * 100 + 100, 136), batch + 1),
                     batch + 1);
  }
  const CheckReport report = expect_sound(*test.file);
  EXPECT_EQ(report.key_count, 5000u);
  const double fill = double(report.leaf_bytes_used) / double(report.leaf_bytes);
  EXPECT_TRUE(fill > 0.86 && fill < 0.94);
}

TEST("a nearly empty leaf takes a neighbour in") {
  TestFile test;
  apply_and_commit(test, *puts("b", numbered_values(0, 1000, 100), 1), 1);
  const size_t before = children_of(bucket_named(*test.file->begin_read(), "b")).size();
  const auto tx = test.file->begin_read();
  const PageView first = tx->page(PageId{children_of(bucket_named(*tx, "b"))[0]});
  Memtable memtable;
  remove_all(memtable, "b", 1, first.count(), 2);
  apply_and_commit(test, memtable, 2);
  EXPECT_EQ(children_of(bucket_named(*test.file->begin_read(), "b")).size(), before - 1);
  expect_sound(*test.file);
}

TEST("the last leaf takes the one before it in") {
  TestFile test;
  apply_and_commit(test, *puts("b", numbered_values(0, 1000, 100), 1), 1);
  const auto tx = test.file->begin_read();
  const auto children = children_of(bucket_named(*tx, "b"));
  const uint32_t count = tx->page(PageId{children.back()}).count();
  Memtable memtable;
  remove_all(memtable, "b", 1000 - count + 1, 1000, 2);
  apply_and_commit(test, memtable, 2);
  EXPECT_EQ(children_of(bucket_named(*test.file->begin_read(), "b")).size(), children.size() - 1);
  expect_sound(*test.file);
}

TEST("a bucket that is emptied becomes an inline bucket again, and its pages are free") {
  TestFile test;
  apply_and_commit(test, *puts("b", numbered_values(0, 2000, 100), 1), 1);
  EXPECT_FALSE(bucket_named(*test.file->begin_read(), "b").is_inline());
  Memtable memtable;
  remove_all(memtable, "b", 0, 2000, 2);
  apply_and_commit(test, memtable, 2);
  const auto tx = test.file->begin_read();
  EXPECT_TRUE(bucket_named(*tx, "b").is_inline());
  EXPECT_EQ(PageBucket::root(*tx).find("b")->value.size(), 32u);
  const CheckReport report = expect_sound(*test.file);
  EXPECT_EQ(report.reachable_pages, 3u);  // two metas and the root
}

TEST("a bucket of a quarter of a page is inline, one byte more is not") {
  for (const size_t size : {991, 992}) {
    TestFile test;
    apply_and_commit(test, *puts("b", {{"k", std::string(size, 'v')}}, 1), 1);
    EXPECT_EQ(bucket_named(*test.file->begin_read(), "b").is_inline(), size == 991);
    expect_sound(*test.file);
  }
}

TEST("a bucket that shrinks to one small kept leaf becomes inline") {
  TestFile test(1024);
  Values values = numbered_values(0, 3, 20);
  values["00000004"] = std::string(5000, 'x');
  apply_and_commit(test, *puts("b", values, 1), 1);
  Memtable memtable;
  remove_all(memtable, "b", 4, 5, 2);
  apply_and_commit(test, memtable, 2);
  EXPECT_TRUE(bucket_named(*test.file->begin_read(), "b").is_inline());
  expect_sound(*test.file);
}

TEST("values of every size around the page and the piece come back") {
  TestFile test(1024);
  Model model;
  for (const size_t size :
       {0, 990, 991, 992, 1007, 1008, 2000, 65536, 262112, 262144, 300000, 1 << 20}) {
    model.buckets["b"].values[numbered(size)] =
        std::string(size, static_cast<char>('a' + size % 26));
  }
  apply_and_commit(test, *puts("b", model.buckets["b"].values, 1), 1);
  expect_same(*test.file, model);
  expect_sound(*test.file);
}

TEST("what changes beside a large value leaves its pages where they are") {
  constexpr size_t kLarge = 3 << 20;
  TestFile test;
  Values values = numbered_values(0, 100, 100);
  values["00000050"] = std::string(kLarge, 'L');
  apply_and_commit(test, *puts("b", values, 1), 1);
  const auto large_at = [&] {
    const auto tx = test.file->begin_read();
    return bucket_named(*tx, "b").find("00000050")->value.data();
  };
  const char* const place = large_at();
  Seq seq = 1;
  // Before it, behind it, far away, and removals on both sides of it.
  const auto change = [&](Memtable& memtable) {
    memtable.seal(++seq);
    WriteTx tx(test.file, test.pacer, {});
    tx.apply({&memtable});
    tx.commit({.database_id = {}, .journal_seq = seq, .is_flat = false});
    EXPECT_TRUE(tx.sink().bytes_written() < 100'000);
    EXPECT_TRUE(large_at() == place);
    expect_sound(*test.file);
  };
  const auto changed = [&](const std::string& key, std::optional<std::string> value) {
    Memtable memtable;
    BucketTable& table = memtable.touch_bucket(memtable.root(), "b", seq + 1);
    if (value) memtable.put(table, key, *value, seq + 1, 0);
    if (!value) memtable.remove(table, key, seq + 1, 0);
    if (value) values[key] = *value;
    if (!value) values.erase(key);
    change(memtable);
  };
  for (const char* key : {"00000049", "0000005", "000000500", "00000050a", "00000051", "0", "z"})
    changed(key, "changed");
  for (const char* key : {"000000500", "00000049", "00000051", "00000052"})
    changed(key, std::nullopt);
  {
    Memtable memtable;
    BucketTable& table = memtable.touch_bucket(memtable.root(), "b", seq + 1);
    for (const auto& [key, value] : values) {
      if (key != "00000050") memtable.remove(table, key, seq + 1, 0);
    }
    change(memtable);
  }
  // It is all there is: its page is the root of the bucket's tree.
  EXPECT_TRUE(bucket_named(*test.file->begin_read(), "b").top().is_leaf());
  values = {{"00000050", values["00000050"]}};
  changed("a", "behind the only page");
  changed("0", "before the only page");
  Model model;
  model.buckets["b"].values = values;
  expect_same(*test.file, model);

  apply_and_commit(test, *puts("b", {{"00000050", "small"}}, seq + 1), seq + 1);
  model.buckets["b"].values["00000050"] = "small";
  expect_same(*test.file, model);
  EXPECT_TRUE(expect_sound(*test.file).reachable_pages < 20);
}

TEST("names longer than a page make branches of at least two children") {
  TestFile test(1024);
  Model model;
  for (uint64_t i = 0; i < 100; ++i)
    model.buckets["b"].values[std::string(3000, 'n') + numbered(i)] = "v";
  apply_and_commit(test, *puts("b", model.buckets["b"].values, 1), 1);
  expect_same(*test.file, model);
  EXPECT_TRUE(expect_sound(*test.file).depth_max < 12);
}

TEST("a value takes the place of a deleted bucket, whose pages become free") {
  TestFile test;
  apply_and_commit(test, *puts("b", numbered_values(0, 2000, 100), 1), 1);
  Memtable memtable;
  memtable.delete_bucket(memtable.root(), "b", 2);
  memtable.put(memtable.root(), "b", "a value", 2, 0);
  memtable.seal(2);
  apply_and_commit(test, memtable, 2);
  EXPECT_EQ(PageBucket::root(*test.file->begin_read()).find("b")->value, "a value");
  EXPECT_EQ(expect_sound(*test.file).reachable_pages, 3u);
}

TEST("buckets inside buckets, 250 deep, are merged, copied and freed") {
  TestFile test;
  Memtable memtable;
  BucketTable* table = &memtable.root();
  for (int depth = 0; depth < 250; ++depth) table = &memtable.create_bucket(*table, "deeper", 1);
  memtable.put(*table, "k", "v", 1, 0);
  memtable.seal(1);
  const Meta meta = apply_and_commit(test, memtable, 1);
  EXPECT_FALSE(meta.mark->is_flat);
  EXPECT_EQ(expect_sound(*test.file).bucket_count, 250u);
  auto target =
      PageFile::create_empty(system_files(), test.path() + ".copy", 4096, test.file->status());
  CopyProgress progress;
  bulk_copy(*test.file->begin_read(), target, {}, 0.9, test.pacer, progress);
  EXPECT_EQ(expect_sound(*target).bucket_count, 250u);
  Memtable removal;
  removal.delete_bucket(removal.root(), "deeper", 2);
  removal.seal(2);
  apply_and_commit(test, removal, 2);
  EXPECT_EQ(expect_sound(*test.file).reachable_pages, 3u);
}

TEST("keys out of order in the file end in ERR_CORRUPT") {
  TestFile test;
  apply_and_commit(test, *puts("b", numbered_values(0, 100, 100), 1), 1);
  const auto tx = test.file->begin_read();
  const PageId leaf{children_of(bucket_named(*tx, "b"))[0]};
  std::string run(tx->run(leaf));
  run.replace(run.find(numbered(1)), 8, "99999999");
  test.file->write(leaf, run);
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT,
                     apply_and_commit(test, *puts("b", {{numbered(2), "x"}}, 2), 2));
}
