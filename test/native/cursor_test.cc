// Positions in trees of the page file: order in both directions, seeking, empty leaves, nested
// buckets, and damage.
#include "core/cursor.h"

#include "harness.h"
#include "image.h"

namespace hotbolt::testing {
namespace {

// Root 3 over leaves 4 {b, d}, 5 {} and 6 {h, j}; page 7 is free.
Image three_leaves() {
  Image image(1024, 8);
  image.branch(3, {{"b", 4}, {"e", 5}, {"g", 6}});
  image.leaf(4, {{"b", "1"}, {"d", "2"}});
  image.leaf(5, {});
  image.leaf(6, {{"h", "3"}, {"j", "4"}});
  image.meta(6, 3);
  image.meta(7, 3);
  return image;
}

std::string keys_forward(PageCursor& cursor) {
  std::string keys;
  for (; cursor.valid(); cursor.next()) keys += cursor.key();
  return keys;
}

std::string keys_backward(PageCursor& cursor) {
  std::string keys;
  for (; cursor.valid(); cursor.prev()) keys += cursor.key();
  return keys;
}

struct Opened {
  explicit Opened(Image image)
      : tx(folder.open(image)->begin_read()), root(PageBucket::root(*tx)) {}
  PageCursor cursor() const { return PageCursor(root); }
  TestFolder folder;
  std::shared_ptr<const ReadTx> tx;
  PageBucket root;
};

TEST("a cursor walks both ways over leaves and skips empty ones") {
  const Opened opened(three_leaves());
  PageCursor cursor = opened.cursor();
  cursor.first();
  EXPECT_EQ(keys_forward(cursor), "bdhj");
  cursor.next();
  EXPECT_FALSE(cursor.valid());
  cursor.last();
  EXPECT_EQ(keys_backward(cursor), "jhdb");
  cursor.prev();
  EXPECT_FALSE(cursor.valid());
}

TEST("a cursor turns round in the middle") {
  const Opened opened(three_leaves());
  PageCursor cursor = opened.cursor();
  cursor.seek("d");
  cursor.next();
  EXPECT_EQ(cursor.key(), "h");
  EXPECT_EQ(value(cursor.page()), 6);
  cursor.prev();
  EXPECT_EQ(cursor.item().key, "d");
  EXPECT_EQ(cursor.item().value, "2");
}

TEST("seek finds the first key that is not smaller, seek_before the last that is") {
  const Opened opened(three_leaves());
  PageCursor cursor = opened.cursor();
  const auto seek = [&](Bytes key) {
    cursor.seek(key);
    return cursor.valid() ? std::string(cursor.key()) : "none";
  };
  const auto seek_before = [&](Bytes key) {
    cursor.seek_before(key);
    return cursor.valid() ? std::string(cursor.key()) : "none";
  };
  const char* const expected[][3] = {{"a", "b", "none"}, {"b", "b", "none"}, {"c", "d", "b"},
                                     {"e", "h", "d"},    {"f", "h", "d"},    {"g", "h", "d"},
                                     {"h", "h", "d"},    {"i", "j", "h"},    {"z", "none", "j"}};
  for (const auto& [key, at, before] : expected) {
    EXPECT_EQ(seek(key), at);
    EXPECT_EQ(seek_before(key), before);
  }
}

TEST("an empty tree has no position") {
  Image image(1024, 4);
  image.leaf(3, {});
  image.meta(1, 3);
  const Opened opened(std::move(image));
  PageCursor cursor = opened.cursor();
  cursor.first();
  EXPECT_FALSE(cursor.valid());
  cursor.last();
  EXPECT_FALSE(cursor.valid());
  cursor.seek("a");
  EXPECT_FALSE(cursor.valid());
  cursor.next();
  cursor.prev();
  EXPECT_FALSE(cursor.valid());
}

TEST("find gives the item or nothing") {
  const Opened opened(three_leaves());
  EXPECT_EQ(opened.root.find("h")->value, "3");
  EXPECT_FALSE(opened.root.find("g").has_value());
  EXPECT_FALSE(opened.root.find("z").has_value());
}

TEST("buckets are found inline, in trees of their own and nested, and keys are no buckets") {
  Image image(1024, 6);
  image.leaf(3,
             {Image::inline_bucket("in", {{"k", "v"}}), {"key", "1"}, Image::bucket("out", 4, 99)});
  image.leaf(4, {Image::bucket("deep", 5, 7)});
  image.leaf(5, {{"x", "y"}});
  image.meta(1, 3);
  const Opened opened(std::move(image));
  EXPECT_TRUE(opened.root.child("in")->is_inline());
  EXPECT_EQ(opened.root.child("in")->find("k")->value, "v");
  EXPECT_EQ(opened.root.child("out")->sequence(), 99);
  EXPECT_EQ(opened.root.child("out")->child("deep")->find("x")->value, "y");
  EXPECT_FALSE(opened.root.child("key").has_value());
  EXPECT_FALSE(opened.root.child("none").has_value());
  PageCursor cursor(*opened.root.child("in"));
  cursor.first();
  EXPECT_EQ(keys_forward(cursor), "k");
}

TEST("a tree that leads in circles ends in damage, not in a hang") {
  Image self(1024, 8);
  self.branch(3, {{"a", 3}});
  self.meta(1, 3);
  const Opened looped(std::move(self));
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, looped.root.find("a"));
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, looped.cursor().first());

  // Sixty levels, each twice the one below: 2^60 visits of one leaf.
  for (const bool is_empty : {false, true}) {
    Image doubling(1024, 70);
    for (uint64_t id = 3; id < 63; id++) doubling.branch(id, {{"a", id + 1}, {"b", id + 1}});
    doubling.leaf(63, is_empty ? std::vector<ImageItem>{} : std::vector<ImageItem>{{"a", ""}});
    doubling.meta(1, 3);
    const Opened opened(std::move(doubling));
    PageCursor cursor = opened.cursor();
    EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, (cursor.first(), keys_forward(cursor)));
    EXPECT_FALSE(cursor.valid());
    EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, (cursor.last(), keys_backward(cursor)));
  }
}

TEST("pages outside the file, or that say they are another page, are refused") {
  for (const uint64_t child : {uint64_t{0}, uint64_t{1}, uint64_t{8}, ~uint64_t{0}, uint64_t{7}}) {
    Image image = three_leaves();
    image.branch(3, {{"b", child}});
    const Opened opened(std::move(image));
    EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, opened.root.find("b"));
  }
  Image image = three_leaves();
  store<uint32_t>(image.page(6) + 12, 2);  // pages 6, 7 and 8
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, Opened(image).root.find("h"));
}

}  // namespace
}  // namespace hotbolt::testing
