// Operations: what is written is read back, and bytes that nobody wrote are refused without harm.
#include "core/op.h"

#include <random>

#include "core/give_back.h"
#include "harness.h"

namespace hotbolt {
namespace {

// An op that owns its bytes.
struct OwnedOp {
  OpKind kind;
  BucketPath path;
  std::string key;
  std::string value;
  uint64_t sequence = 0;
  bool operator==(const OwnedOp&) const = default;
};

std::string random_bytes(std::mt19937_64& random, size_t size_max) {
  std::string bytes(random() % size_max + 1, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

OwnedOp random_op(std::mt19937_64& random) {
  OwnedOp op{static_cast<OpKind>(random() % 5 + 1), {}, {}, {}};
  for (size_t depth = random() % 4; depth > 0; depth--)
    op.path.push_back(random() % 2 ? "users" : "a");
  if (op.kind == OpKind::kSetSequence) {
    op.sequence = random();
  } else {
    op.key = random_bytes(random, 300);
    if (op.kind == OpKind::kPut && random() % 4 != 0) op.value = random_bytes(random, 40000);
  }
  return op;
}

void write(OpWriter& writer, const OwnedOp& op) {
  switch (op.kind) {
    case OpKind::kPut:
      return writer.put(op.path, op.key, op.value);
    case OpKind::kRemove:
      return writer.remove(op.path, op.key);
    case OpKind::kCreateBucket:
      return writer.create_bucket(op.path, op.key);
    case OpKind::kDeleteBucket:
      return writer.delete_bucket(op.path, op.key);
    case OpKind::kSetSequence:
      return writer.set_sequence(op.path, op.sequence);
  }
}

std::vector<OwnedOp> read_all(OpReader reader) {
  std::vector<OwnedOp> ops;
  Op op;
  while (reader.next(op)) {
    ops.push_back(
        {op.kind, *op.path, std::string(op.key), std::string(op.value.bytes), op.sequence});
  }
  return ops;
}

TEST("a writer that is used for many large values keeps room for one") {
  OpWriter writer;
  const std::string value(kSharedValueSize, 'v');
  for (int i = 0; i < 100; i++) {
    writer.clear();
    writer.put({"b"}, "k", value);
    EXPECT_EQ(writer.body().values.size(), 1u);
  }
}

TEST("random operations are read back as they were written") {
  std::mt19937_64 random(2);
  OpWriter writer;
  for (int round = 0; round < 50; round++) {
    std::vector<OwnedOp> ops;
    for (int i = 0; i < 40; i++) ops.push_back(random_op(random));
    writer.clear();
    for (const OwnedOp& op : ops) write(writer, op);
    EXPECT_TRUE(read_all(OpReader(writer.body())) == ops);
  }
}

TEST("a path is spelled out once, and again when its object is reused for another") {
  OpWriter writer;
  BucketPath path{"users"};
  writer.put(path, "k", "v");
  const size_t first = writer.body().size();
  writer.put(path, "k", "v");
  EXPECT_EQ(writer.body().size() - first, first - 6);
  path[0] = "other";
  writer.put(path, "k", "v");
  EXPECT_EQ(read_all(OpReader(writer.body())).back().path[0], "other");
}

TEST("a reader continues in a body that has grown") {
  OpWriter writer;
  const BucketPath path{"users"};
  writer.put(path, "a", "1");
  OpReader first{writer.body()};
  Op op;
  EXPECT_TRUE(first.next(op));
  const size_t offset = writer.body().text.size();
  writer.put(path, "b", "2");
  const std::vector<OwnedOp> rest = read_all(OpReader(writer.body(), offset, first.path()));
  EXPECT_EQ(rest.size(), 1);
  EXPECT_EQ(rest[0].path[0], "users");
  EXPECT_EQ(rest[0].key, "b");
}

TEST("a deep path and the largest key survive") {
  OpWriter writer;
  const BucketPath path(kDepthMax, "x");
  writer.put(path, std::string(kKeySizeMax, 'k'), "");
  const std::vector<OwnedOp> ops = read_all(OpReader(writer.body()));
  EXPECT_EQ(ops[0].path.size(), kDepthMax);
  EXPECT_EQ(ops[0].key.size(), kKeySizeMax);
}

TEST("bytes that do not follow the grammar are refused") {
  const auto refused = [](std::string body) {
    EXPECT_THROWS_CODE(ErrorCode::ERR_JOURNAL_CORRUPT, read_all(OpReader(body)));
  };
  refused(std::string("\x00\x00", 2));                          // kind 0
  refused("\x06");                                              // kind 6
  refused("\x01");                                              // no path
  refused("\x01\xFF\x01k\x01v");                                // the same path as nothing
  refused(std::string("\x02\x00\x00", 3));                      // an empty key
  refused(std::string("\x02\x00\x05k", 4));                     // a key beyond the end
  refused(std::string("\x02\x00\xFF\xFF\xFF\xFF\xFF\x01", 8));  // a length of six bytes
  refused(std::string("\x02\x00\xFF\xFF\xFF\xFF\x7F", 7));      // a length over the limit
  refused(std::string("\x05\x00\x01\x02", 4));                  // a short sequence
}

TEST("large values are shared, and their bytes are those of one that lies in the body") {
  const BucketPath path{"users"};
  const std::string large(kSharedValueSize, 'L');
  const std::string larger(3 * kSharedValueSize, 'M');
  OpWriter writer;
  writer.put(path, "large", large);
  EXPECT_TRUE(writer.body().text.size() < 100);
  EXPECT_EQ(writer.body().size(), writer.body().flat().size());
  const size_t offset = writer.body().text.size();
  const Value kept = Value(larger).kept();
  writer.put(path, "larger", kept);
  writer.remove(path, "gone");
  writer.put(path, "empty", "");
  writer.put(path, "small", "s");
  const std::vector<OwnedOp> ops = read_all(OpReader(writer.body()));
  EXPECT_TRUE(read_all(OpReader(writer.body().flat())) == ops);
  EXPECT_EQ(ops.size(), 5);
  EXPECT_TRUE(ops[0].value == large && ops[1].value == larger);
  EXPECT_TRUE(ops[3].value.empty() && ops[4].value == "s");

  const std::vector<OwnedOp> rest = read_all(OpReader(writer.body(), offset, path));
  EXPECT_TRUE(rest == std::vector<OwnedOp>(ops.begin() + 1, ops.end()));
  EXPECT_EQ(writer.body().values.size(), 2);
  EXPECT_TRUE(writer.body().values[1].value.bytes.data() == kept.bytes.data());
  writer.clear();
  EXPECT_EQ(kept.memory.use_count(), 1);
}

TEST("a writer takes large values without end, in one body and one after another") {
  const BucketPath path{"users"};
  const std::string large(kSharedValueSize, 'L');
  OpWriter one_body;
  OpWriter one_each;
  for (int i = 0; i < 100; i++) {
    one_body.put(path, "k", large);
    one_each.put(path, "k", large);
    one_each.clear();
  }
  EXPECT_EQ(one_body.body().values.size(), 100);
}

TEST("every cut and every flipped bit of a body is read or refused, never more") {
  std::mt19937_64 random(3);
  OpWriter writer;
  for (int i = 0; i < 8; i++) {
    OwnedOp op = random_op(random);
    op.value.resize(std::min<size_t>(op.value.size(), 50));
    write(writer, op);
  }
  const auto survive = [](std::string body) {
    try {
      read_all(OpReader(body));
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::ERR_JOURNAL_CORRUPT);
    }
  };
  for (size_t cut = 0; cut < writer.body().size(); cut++)
    survive(writer.body().flat().substr(0, cut));
  for (size_t bit = 0; bit < writer.body().size() * 8; bit++) {
    std::string body = writer.body().flat();
    body[bit / 8] = static_cast<char>(body[bit / 8] ^ (1 << (bit % 8)));
    survive(std::move(body));
  }
  for (int i = 0; i < 20000; i++) survive(random_bytes(random, 60));
}

TEST("a writer that is cleared gives large buffers back, and keeps small ones") {
  std::string text(1 << 20, 'x');
  give_back(text);
  EXPECT_TRUE(text.capacity() < 100);
  for (const size_t size : {64 << 10, 4 << 20}) {
    OpWriter writer;
    while (writer.body().size() < size) writer.put({"b"}, "k", std::string(1000, 'v'));
    const char* before = writer.body().text.data();
    writer.clear();
    writer.remove({"b"}, "k");
    EXPECT_EQ(writer.body().text.data() == before, size <= 1 << 20);
  }
}

}  // namespace
}  // namespace hotbolt
