// Views of branch and leaf pages: lookups, and the refusal of every field that lies.
#include "core/page.h"

#include "harness.h"
#include "image.h"

namespace hotbolt::testing {
namespace {

PageView view(const std::string& page) { return PageView(PageId{3}, page); }

std::string three_keys() { return Image::leaf_page(3, {{"b", "1"}, {"d", "22"}, {"f", ""}}); }

std::string three_children() {
  Image image(1024, 4);
  image.branch(3, {{"b", 10}, {"d", 11}, {"f", 12}});
  return std::string(image.page(3), 1024);
}

TEST("a leaf page gives its keys, values and kinds") {
  const std::string page = Image::leaf_page(3, {{"a", "1"}, Image::bucket("b", 7)});
  EXPECT_TRUE(view(page).is_leaf());
  EXPECT_EQ(view(page).count(), 2);
  EXPECT_EQ(view(page).key(0), "a");
  EXPECT_EQ(view(page).value(0), "1");
  EXPECT_FALSE(view(page).is_bucket(0));
  EXPECT_TRUE(view(page).is_bucket(1));
}

TEST("lower_bound finds the first key that is not smaller") {
  const std::string page = three_keys();
  EXPECT_EQ(view(page).lower_bound(""), 0);
  EXPECT_EQ(view(page).lower_bound("b"), 0);
  EXPECT_EQ(view(page).lower_bound("c"), 1);
  EXPECT_EQ(view(page).lower_bound("f"), 2);
  EXPECT_EQ(view(page).lower_bound("fa"), 3);
  EXPECT_EQ(PageView(PageId{3}, Image::leaf_page(3, {})).lower_bound("x"), 0);
}

TEST("keys compare as unsigned bytes, by length after a common prefix, also beyond 8 bytes") {
  const std::string nul("prefix--\0", 9);
  const std::string page = Image::leaf_page(
      3, {{"prefix-", ""}, {"prefix--", ""}, {nul, ""}, {"prefix--a", ""}, {"\xff", ""}});
  for (uint32_t i = 0; i < 5; i++) EXPECT_EQ(view(page).lower_bound(view(page).key(i)), i);
  EXPECT_EQ(view(page).lower_bound("prefix--\x7f"), 4);
  EXPECT_EQ(view(page).lower_bound("\x80"), 4);
}

TEST("child_index finds the child that covers a key, the first for keys below all") {
  const std::string page = three_children();
  EXPECT_FALSE(view(page).is_leaf());
  EXPECT_EQ(view(page).child_index("a"), 0);
  EXPECT_EQ(view(page).child_index("b"), 0);
  EXPECT_EQ(view(page).child_index("c"), 0);
  EXPECT_EQ(view(page).child_index("d"), 1);
  EXPECT_EQ(view(page).child_index("z"), 2);
  EXPECT_EQ(value(view(page).child(2)), 12);
}

TEST("a page header that lies is refused") {
  for (const uint16_t flags : {0, 3, 4, 0x10, 0x12}) {
    std::string page = three_keys();
    store(page.data() + 8, flags);
    EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, view(page));
  }
  std::string many = three_keys();
  store<uint16_t>(many.data() + 10, 0xFFFF);
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, view(many));
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, view(many.substr(0, 15)));
  std::string childless = three_children();
  store<uint16_t>(childless.data() + 10, 0);
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, view(childless));
}

TEST("an element that points outside the page is refused, also where sums overflow 32 bits") {
  for (const size_t field : {4, 8, 12}) {
    for (const uint32_t lie : {1024u, 0x7FFFFFFFu, 0xFFFFFFF0u, 0xFFFFFFFFu}) {
      std::string page = three_keys();
      store(page.data() + kPageHeaderSize + kElementSize + field, lie);
      EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, view(page).value(1));
    }
  }
  std::string branch = three_children();
  store(branch.data() + kPageHeaderSize + kElementSize, 0xFFFFFFFFu);
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, view(branch).child_index("z"));
}

}  // namespace
}  // namespace hotbolt::testing
