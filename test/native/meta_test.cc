// Meta pages: bbolt's checksums, our mark, and what is refused with which code.
#include "core/meta.h"

#include "core/checksum.h"
#include "harness.h"

namespace hotbolt::testing {
namespace {

Meta fresh(uint32_t page_size, uint64_t txid) {
  Meta meta;
  meta.page_size = page_size;
  meta.root = PageId{3};
  meta.freelist = 2;
  meta.high_water = 4;
  meta.txid = TxId{txid};
  return meta;
}

// With the checksum of what was changed, so that only the change can be the reason.
template <typename Integer>
ErrorCode code_after(size_t offset, Integer changed) {
  Meta meta = fresh(4096, 1);
  std::string page = encode_meta_page(meta);
  store(page.data() + kPageHeaderSize + offset, changed);
  store(page.data() + kPageHeaderSize + 56, fnv1a64(Bytes(page).substr(kPageHeaderSize, 56)));
  EXPECT_FALSE(decode_meta(page).meta.has_value());
  return decode_meta(page).code;
}

TEST("checksums of fresh files are those of bbolt, with and without our mark") {
  struct Vector {
    uint32_t page_size;
    uint64_t checksums[2];
  };
  const Vector vectors[] = {{1024, {0xa405d3b025610722, 0xc3009ab930505143}},
                            {4096, {0x07516e114689fdee, 0x264c351a5179480f}},
                            {8192, {0x59e5bd8f24892ade, 0x78e084982f7874ff}},
                            {16384, {0x90f347e30dddf37e, 0xafee0eec18cd3d9f}},
                            {65536, {0x05c392110dcba3a7, 0xe6c8cb0802dc5986}}};
  for (const Vector& vector : vectors) {
    for (uint64_t txid : {0, 1}) {
      Meta meta = fresh(vector.page_size, txid);
      const std::string plain = encode_meta_page(meta);
      EXPECT_EQ(meta.checksum, vector.checksums[txid]);
      meta.mark = Mark{{'x'}, 7, true};
      const std::string marked = encode_meta_page(meta);
      EXPECT_EQ(meta.checksum, vector.checksums[txid]);
      EXPECT_EQ(plain.substr(0, 80), marked.substr(0, 80));
      EXPECT_EQ(plain.size(), vector.page_size);
      EXPECT_EQ(plain.find_first_not_of('\0', 80), std::string::npos);
    }
  }
}

TEST("a meta page gives back what was written") {
  Meta meta = fresh(4096, 9);
  meta.root_sequence = 77;
  meta.flags = 4;
  meta.mark = Mark{{'i', 'd'}, 12345, true};
  const std::string page = encode_meta_page(meta);
  EXPECT_EQ(load_page_header(page.data()).id, 1);
  EXPECT_EQ(load_page_header(page.data()).flags, kMetaFlag);
  const MetaResult result = decode_meta(page);
  EXPECT_TRUE(result.meta && result.meta->mark);
  EXPECT_EQ(value(result.meta->txid), 9);
  EXPECT_EQ(result.meta->root_sequence, 77);
  EXPECT_EQ(result.meta->flags, 4);
  EXPECT_EQ(result.meta->checksum, meta.checksum);
  EXPECT_TRUE(result.meta->mark->database_id == meta.mark->database_id);
  EXPECT_EQ(result.meta->mark->journal_seq, 12345);
  EXPECT_TRUE(result.meta->mark->is_flat);
}

TEST("a mark that is damaged or of another transaction is none, and the meta stays valid") {
  Meta meta = fresh(4096, 5);
  meta.mark = Mark{{'i', 'd'}, 12345, false};
  const std::string page = encode_meta_page(meta);
  for (size_t at = 80; at < 80 + kMarkSize; at++) {
    std::string damaged = page;
    damaged[at] ^= 0x10;
    EXPECT_TRUE(decode_meta(damaged).meta.has_value());
    EXPECT_FALSE(decode_meta(damaged).meta->mark.has_value());
  }
  Meta later = fresh(4096, 7);
  std::string page_later = encode_meta_page(later);
  page_later.replace(80, kMarkSize, page.substr(80, kMarkSize));
  EXPECT_FALSE(decode_meta(page_later).meta->mark.has_value());
}

TEST("every single bit of bbolt's part of a meta is covered") {
  Meta meta = fresh(4096, 1);
  const std::string page = encode_meta_page(meta);
  for (size_t bit = 0; bit < kMetaSize * 8; bit++) {
    std::string damaged = page;
    damaged[kPageHeaderSize + bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_FALSE(decode_meta(damaged).meta.has_value());
  }
}

TEST("what is wrong with a meta is said by code") {
  EXPECT_EQ(code_after<uint32_t>(0, 0), ErrorCode::ERR_NOT_A_DATABASE);
  EXPECT_EQ(code_after<uint32_t>(0, kMagicSwapped), ErrorCode::ERR_BYTE_ORDER);
  EXPECT_EQ(code_after<uint32_t>(4, 3), ErrorCode::ERR_VERSION);
  EXPECT_EQ(code_after<uint32_t>(8, 512), ErrorCode::ERR_PAGE_SIZE);
  EXPECT_EQ(code_after<uint32_t>(8, 131072), ErrorCode::ERR_PAGE_SIZE);
  EXPECT_EQ(code_after<uint32_t>(8, 5000), ErrorCode::ERR_PAGE_SIZE);
  EXPECT_EQ(code_after<uint64_t>(16, 1), ErrorCode::ERR_CORRUPT);
  EXPECT_EQ(code_after<uint64_t>(16, 4), ErrorCode::ERR_CORRUPT);
  EXPECT_EQ(code_after<uint64_t>(32, 0), ErrorCode::ERR_CORRUPT);
  EXPECT_EQ(code_after<uint64_t>(48, ~uint64_t{0}), ErrorCode::ERR_CORRUPT);
  Meta meta = fresh(4096, 1);
  std::string page = encode_meta_page(meta);
  page[kPageHeaderSize + 20] ^= 1;
  EXPECT_EQ(decode_meta(page).code, ErrorCode::ERR_CHECKSUM);
  EXPECT_EQ(decode_meta(Bytes(page).substr(0, 100)).code, ErrorCode::ERR_NOT_A_DATABASE);
}

}  // namespace
}  // namespace hotbolt::testing
