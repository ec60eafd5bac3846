// What a transaction remembers of its reads: a bound, and never less than what it has read.
#include "core/read_set.h"

#include "core/memtable_writer.h"
#include "harness.h"
#include "tree_fixture.h"

namespace hotbolt::testing {
namespace {

std::string key_of(int number) {
  const std::string digits = std::to_string(number);
  return "key-" + std::string(7 - digits.size(), '0') + digits;
}

// Two states of a bucket "b" over an empty page file: before, and what others have made of it.
struct States {
  TestFile file;
  std::shared_ptr<Memtable> changes = std::make_shared<Memtable>();
  View view{{changes}, file.file->begin_read()};

  States() { put("b", key_of(0), "v", 1); }
  void put(const std::string& bucket, const std::string& key, Bytes value, Seq seq) {
    bool changed = false;
    auto& table = *MemtableWriter(view, *changes).table({bucket}, true, seq, changed);
    changes->put(table, key, value, seq, kSeqMax);
  }
  bool hold(const ReadSet& reads) const { return reads.holds({view, 1}, {view, kSeqMax}, nullptr); }
};

TEST("millions of reads take no more memory than the bound") {
  ReadSet reads;
  const BucketPath path{"b"};
  for (int n = 0; n < 3'000'000; n++) {
    reads.value(path, key_of(n % 1'000'000));
    if (n % 3 == 0) reads.range(path, {RangeKind::kKeys, {key_of(n % 1000), true, {}, false}, 1});
    EXPECT_TRUE(reads.bytes() <= kReadBytesMax);
  }
}

TEST("reads of millions of buckets take no more memory than the bound") {
  States states;
  ReadSet reads;
  for (int n = 0; n < 500'000; n++) {
    reads.existence({"bucket", key_of(n)});
    EXPECT_TRUE(reads.bytes() <= kReadBytesMax);
  }
  EXPECT_TRUE(!states.hold(reads));  // it knows no more than that something was read
}

TEST("a change of what was read is found, however much was read") {
  for (const int count : {10, 1'000'000}) {
    ReadSet reads;
    for (int n = 100; n < 100 + count; n++) reads.value({"b"}, key_of(n));
    States states;
    states.put("b", key_of(99), "beside it", 2);
    states.put("c", key_of(105), "in another bucket", 3);
    EXPECT_TRUE(states.hold(reads));
    states.put("b", key_of(105), "new", 4);
    EXPECT_TRUE(!states.hold(reads));
  }
}

TEST("a sequence that was read counts when the reads are many, and one that was not does not") {
  for (const bool reads_it : {true, false}) {
    ReadSet reads;
    for (int n = 1; n < 1'000'000; n++) reads.value({"b"}, key_of(n));
    if (reads_it) reads.sequence({"b"});
    for (int n = 1; n < 1'000'000; n++) reads.value({"b"}, key_of(n));
    States states;
    bool changed = false;
    auto& table = *MemtableWriter(states.view, *states.changes).table({"b"}, true, 2, changed);
    states.changes->set_sequence(table, 7, 2);
    EXPECT_EQ(states.hold(reads), !reads_it);
  }
}

}  // namespace
}  // namespace hotbolt::testing
