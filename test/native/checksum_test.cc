// The two checksums against published values, and the fast CRC against the tables.
#include "core/checksum.h"

#include <random>

#include "harness.h"

namespace hotbolt {
namespace {

TEST("FNV-1a gives the values of its specification") {
  EXPECT_EQ(fnv1a64(""), 0xCBF29CE484222325u);
  EXPECT_EQ(fnv1a64("a"), 0xAF63DC4C8601EC8Cu);
  EXPECT_EQ(fnv1a64("foobar"), 0x85944171F73967E8u);
}

TEST("CRC-32C gives the values of RFC 3720") {
  EXPECT_EQ(crc32c(""), 0u);
  EXPECT_EQ(crc32c("123456789"), 0xE3069283u);
  EXPECT_EQ(crc32c(std::string(32, '\0')), 0x8A9136AAu);
  EXPECT_EQ(crc32c(std::string(32, '\xFF')), 0x62A8AB43u);
}

TEST("a CRC can be continued at any byte, and both ways to compute it agree") {
  std::mt19937_64 random(1);
  std::string bytes(300, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  const Bytes all = bytes;
  for (size_t from = 0; from < 16; from++) {
    for (size_t cut = from; cut <= all.size(); cut++) {
      const Bytes part = all.substr(from, cut - from);
      EXPECT_EQ(crc32c(part), crc32c_by_tables(part));
      EXPECT_EQ(crc32c(all.substr(cut), crc32c(part)), crc32c(all.substr(from)));
    }
  }
}

}  // namespace
}  // namespace hotbolt
