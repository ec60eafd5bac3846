// SHA-256 against the vectors of NIST, and the instructions against plain arithmetic. Against
// node:crypto it is tested where files are hashed (test/scenarios/backup.test.ts).
#include "core/sha256.h"

#include <random>

#include "harness.h"

namespace hotbolt {
namespace {

std::string sha256(Sha256 hash, Bytes bytes) {
  hash.update(bytes);
  return hex_digest(hash.finish());
}

void expect_digest(Bytes bytes, const std::string& digest) {
  EXPECT_EQ(sha256(Sha256(), bytes), digest);
  EXPECT_EQ(sha256(Sha256::portable(), bytes), digest);
}

TEST("SHA-256 gives the values of FIPS 180-4 and its test vectors") {
  expect_digest("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  expect_digest("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  expect_digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
  expect_digest(
      "abcdefghbcdefghicdefghijdefghijkefghijklfghijklmghijklmnhijklmnoijklmnopjklmnopqklmnopqrlmn"
      "opqrsmnopqrstnopqrstu",
      "cf5b16a778af8380036ce59e7b0492370b249b11e8f07a51afac45037afee9d1");
  expect_digest(std::string(1'000'000, 'a'),
                "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST("SHA-256 may be fed in any pieces, and both ways to compute it agree") {
  std::mt19937_64 random(1);
  std::string bytes(300, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  const Bytes all = bytes;
  for (size_t size = 0; size <= all.size(); size++) {
    const std::string whole = sha256(Sha256(), all.substr(0, size));
    EXPECT_EQ(sha256(Sha256::portable(), all.substr(0, size)), whole);
    Sha256 hash;
    for (size_t at = 0; at < size;) {
      const size_t piece = std::min<size_t>(random() % 80, size - at);
      hash.update(all.substr(at, piece));
      at += piece;
    }
    EXPECT_EQ(hex_digest(hash.finish()), whole);
  }
}

TEST("a copy of a SHA-256 tells the hash of a prefix") {
  Sha256 hash;
  hash.update("abc");
  EXPECT_EQ(hex_digest(Sha256(hash).finish()), sha256(Sha256(), "abc"));
  hash.update("def");
  EXPECT_EQ(hex_digest(hash.finish()), sha256(Sha256(), "abcdef"));
}

}  // namespace
}  // namespace hotbolt
