// The audit: sound files pass, and each kind of damage is found and named, none of it fatal.
#include "core/check.h"

#include "harness.h"
#include "image.h"

namespace hotbolt::testing {
namespace {

// Root leaf 3 with a bucket at branch 4 over leaves 5 and 6, an inline bucket and a key; freelist 2
// lists page 7.
Image sound() {
  Image image(1024, 8);
  image.freelist(2, {7});
  image.leaf(3, {Image::bucket("b", 4), Image::inline_bucket("i", {{"x", "1"}}), {"k", "value"}});
  image.branch(4, {{"a", 5}, {"m", 6}});
  image.leaf(5, {{"a", "1"}, {"c", "2"}});
  image.leaf(6, {{"m", "3"}, {"n", "4"}});
  image.meta(10, 3, 2);
  image.meta(11, 3, 2);
  return image;
}

CheckReport check_image(Image& image, const PageSet* free = nullptr) {
  TestFolder folder;
  return check(*folder.open(image)->begin_read(), free);
}

void expect_issue(Image image, uint64_t page, const std::string& words) {
  const CheckReport report = check_image(image);
  std::string all = "expected \"" + words + "\" at page " + std::to_string(page) + ", got:";
  for (const CheckIssue& issue : report.issues) {
    if (issue.page == page && issue.message.find(words) != std::string::npos) return;
    all += "\n    " + std::to_string(issue.page) + ": " + issue.message;
  }
  throw Failure(__FILE__, __LINE__, all);
}

TEST("a sound file has no issues and is counted right") {
  Image image = sound();
  const CheckReport report = check_image(image);
  EXPECT_EQ(report.issues.empty() ? "" : report.issues[0].message, "");
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.page_count, 8);
  EXPECT_EQ(report.reachable_pages, 7);
  EXPECT_EQ(report.free_pages, 1);
  EXPECT_EQ(report.bucket_count, 2);
  EXPECT_EQ(report.key_count, 6);
  EXPECT_EQ(report.key_bytes, 6);
  EXPECT_EQ(report.value_bytes, 10);
  EXPECT_EQ(report.leaf_bytes, 3 * 1024);
  EXPECT_EQ(report.depth_max, 2);
  EXPECT_TRUE(report.is_flat && report.has_fallback);
}

TEST("pages that nobody references are free, or issues when the free pages are known") {
  Image image = sound();
  image.meta(11, 3);
  CheckReport report = check_image(image);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.free_pages, 2);
  const PageSet known = page_set({2, 7}, 8);
  EXPECT_TRUE(check_image(image, &known).ok());
  const PageSet some = page_set({7}, 8);
  EXPECT_EQ(check_image(image, &some).issue_count, 1);
}

TEST("damage of the freelist is found") {
  Image image = sound();
  image.freelist(2, {});
  expect_issue(image, 7, "neither referenced nor free");
  image.freelist(2, {6, 7});
  expect_issue(image, 6, "free, but referenced");
  image.freelist(2, {2, 7});
  expect_issue(image, 2, "free, but referenced");
  image.freelist(2, {7, 8});
  expect_issue(image, 2, "out of range");
  image.freelist(2, {7, 7});
  expect_issue(image, 2, "do not ascend");
}

TEST("damage of the order of keys is found") {
  Image image = sound();
  image.leaf(5, {{"c", ""}, {"a", ""}});
  expect_issue(image, 5, "does not sort after");
  image.leaf(5, {{"a", ""}, {"a", ""}});
  expect_issue(image, 5, "does not sort after");
  image.leaf(5, {{"a", ""}, {"m", ""}});
  expect_issue(image, 5, "sorts after its branch's end");
  image.leaf(5, {{"a", ""}});
  image.leaf(6, {{"l", ""}});
  expect_issue(image, 6, "sorts before its branch");
  image.leaf(6, {{"", ""}});
  expect_issue(image, 6, "empty");
}

TEST("damage of the shape of trees is found") {
  Image image = sound();
  image.branch(4, {{"a", 5}, {"m", 5}});
  expect_issue(image, 5, "more than once");
  image = sound();
  image.branch(4, {{"a", 3}, {"m", 6}});
  expect_issue(image, 3, "more than once");
  image = sound();
  image.branch(7, {{"m", 6}});
  image.branch(4, {{"a", 5}, {"m", 7}});
  expect_issue(image, 6, "equal depth");
  image = sound();
  image.branch(4, {{"a", 5}, {"m", 99}});
  expect_issue(image, 99, "beyond the high-water mark");
  image = sound();
  store<uint32_t>(image.page(5) + 12, 1);
  expect_issue(image, 6, "more than once");
}

TEST("damage of elements is found, and the rest of the page is still looked at") {
  Image image = sound();
  store<uint32_t>(image.page(5) + 16 + 4, 5000);
  expect_issue(image, 5, "beyond the page");
  EXPECT_EQ(check_image(image).key_count, 5);
  image = sound();
  store<uint32_t>(image.page(5) + 16, 4);
  expect_issue(image, 5, "unknown flags");
  image = sound();
  store<uint32_t>(image.page(5) + 16 + 4, 8);
  expect_issue(image, 5, "element array");
}

TEST("damage of buckets is found") {
  Image image = sound();
  image.leaf(3, {{"b", "short", kBucketElementFlag}});
  expect_issue(image, 3, "shorter than its header");
  image.leaf(3, {Image::inline_bucket("b", {Image::bucket("c", 4)})});
  expect_issue(image, 3, "an inline bucket holds bucket");
  image.leaf(3, {Image::inline_bucket("b", {{"k", std::string(300, 'x')}})});
  expect_issue(image, 3, "too large");
  image.leaf(3, {Image::inline_bucket("b", {{"z", ""}, {"y", ""}})});
  expect_issue(image, 3, "does not sort after");
  ImageItem item = Image::bucket("b", 4);
  item.value += "tail";
  image.leaf(3, {item});
  expect_issue(image, 3, "more than a header");
}

TEST("metas that do not belong together are found") {
  Image image = sound();
  image.meta(14, 3, 2);
  expect_issue(image, 0, "do not follow");
  image = sound();
  store<uint64_t>(image.page(0), 5);
  expect_issue(image, 0, "header of a meta");
  image = sound();
  image.page(0)[20] ^= 1;
  EXPECT_TRUE(check_image(image).ok());
  EXPECT_FALSE(check_image(image).has_fallback);
}

TEST("buckets nested 100,000 deep need no stack") {
  constexpr uint64_t kDepth = 100'000;
  Image image(1024, kDepth + 3);
  for (uint64_t id = 2; id < kDepth + 2; id++) image.leaf(id, {Image::bucket("b", id + 1)});
  image.leaf(kDepth + 2, {{"k", "v"}});
  image.meta(1, 2);
  TestFolder folder;
  const auto file = folder.open(image);
  const CheckReport report = check(*file->begin_read(), nullptr);
  EXPECT_TRUE(report.ok());
  EXPECT_EQ(report.bucket_count, kDepth);
  EXPECT_FALSE(report.is_flat);
  file->load_freelist();
  EXPECT_EQ(file->free_pages(), 0);
}

TEST("a page whose elements share one large value is damage, not hours of work") {
  Image image(65536, 5);
  std::vector<ImageItem> items;
  for (int i = 1000; i < 4000; i++) items.push_back({std::to_string(i), ""});
  const ImageItem empty{"", "", kBucketElementFlag};
  image.leaf(3, {Image::inline_bucket("b", items), empty, empty});
  image.meta(1, 3);
  for (uint32_t i = 1; i < 3; i++) {
    LeafElement shared = load<LeafElement>(image.page(3) + 16);
    shared.pos -= 16 * i;
    store(image.page(3) + 16 + 16 * i, shared);
  }
  expect_issue(image, 3, "overlap");
  TestFolder folder;
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, folder.open(image)->load_freelist());
}

}  // namespace
}  // namespace hotbolt::testing
