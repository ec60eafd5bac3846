// Encoded pages read back as what went in, to the byte where the format says so.
#include "core/node.h"

#include "harness.h"

using namespace hotbolt;

TEST("a leaf page holds its entries and zeros behind them") {
  const LeafEntry entries[] = {{"a", "one", false}, {"bb", "", false}, {"c", "bucket", true}};
  std::string run(4096, '\xAA');
  encode_leaf(run.data(), run.size(), PageId{7}, entries, 3, 4096);
  const PageView page(PageId{7}, run);
  EXPECT_TRUE(page.is_leaf());
  EXPECT_EQ(page.count(), 3u);
  for (uint32_t i = 0; i < 3; ++i) {
    EXPECT_EQ(page.key(i), entries[i].key);
    EXPECT_EQ(page.value(i), entries[i].value);
    EXPECT_EQ(page.is_bucket(i), entries[i].is_bucket);
  }
  EXPECT_EQ(load_page_header(run.data()).id, 7u);
  const size_t used = kPageHeaderSize + 3 * kElementSize + 1 + 3 + 2 + 1 + 6;
  EXPECT_EQ(run.substr(used), std::string(4096 - used, '\0'));
}

TEST("positions count from the element's own address") {
  const LeafEntry entries[] = {{"k", "v", false}, {"l", "w", false}};
  std::string run;
  encode_leaf(run, PageId{2}, entries, 2, 1024);
  EXPECT_EQ(load<LeafElement>(run.data() + 16).pos, 32u);
  EXPECT_EQ(load<LeafElement>(run.data() + 32).pos, 18u);
}

TEST("a branch page holds keys and children") {
  const BranchEntry entries[] = {{"a", PageId{10}}, {"m", PageId{1ull << 40}}};
  std::string run;
  encode_branch(run, PageId{3}, entries, 2, 1024);
  EXPECT_EQ(run.size(), 1024u);
  const PageView page(PageId{3}, run);
  EXPECT_FALSE(page.is_leaf());
  EXPECT_EQ(page.key(1), "m");
  EXPECT_EQ(page.child(1), PageId{1ull << 40});
}

TEST("a run of several pages counts its overflow pages") {
  const std::string value(3000, 'x');
  const LeafEntry entry{"key", value, false};
  std::string run;
  encode_leaf(run, PageId{9}, &entry, 1, 1024);
  EXPECT_EQ(run.size(), 3072u);
  EXPECT_EQ(load_page_header(run.data()).overflow, 2u);
  EXPECT_EQ(PageView(PageId{9}, run).value(0), value);
}

TEST("the head of a large leaf and its value make the same bytes as the whole") {
  const std::string value(9000, 'x');
  const LeafEntry entry{"key", value, false};
  std::string whole;
  encode_leaf(whole, PageId{9}, &entry, 1, 4096);
  std::string parts = encode_leaf_head(PageId{9}, entry, whole.size(), 4096) + value;
  parts.resize(whole.size(), '\0');
  EXPECT_TRUE(parts == whole);
}

TEST("an entry that fills its page exactly needs no second one") {
  EXPECT_EQ(run_bytes_for(1024 - kPageHeaderSize, 1024), 1024u);
  EXPECT_EQ(run_bytes_for(1025 - kPageHeaderSize, 1024), 2048u);
  EXPECT_EQ(run_bytes_for(0, 1024), 1024u);
}

TEST("an empty bucket is a value of 32 bytes") {
  const std::string value = encode_inline_bucket(5, nullptr, 0);
  EXPECT_EQ(value.size(), 32u);
  EXPECT_EQ(load<BucketHeader>(value.data()).root, 0u);
  EXPECT_EQ(load<BucketHeader>(value.data()).sequence, 5u);
  EXPECT_TRUE(PageView(PageId{0}, Bytes(value).substr(16)).is_leaf());
}

TEST("an inline bucket holds a whole leaf page with id 0") {
  const LeafEntry entry{"k", "v", false};
  const std::string value = encode_inline_bucket(0, &entry, 1);
  EXPECT_EQ(value.size(), kBucketHeaderSize + kPageHeaderSize + kElementSize + 2);
  const PageView page(PageId{0}, Bytes(value).substr(16));
  EXPECT_EQ(page.key(0), "k");
  EXPECT_EQ(page.value(0), "v");
  EXPECT_EQ(load_page_header(value.data() + 16).id, 0u);
}
