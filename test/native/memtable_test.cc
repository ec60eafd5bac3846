// The memtable against a model: a map from keys to all their versions.
#include "core/memtable.h"

#include <algorithm>
#include <fstream>
#include <map>
#include <random>

#include "harness.h"

namespace hotbolt {
namespace {

// What a snapshot at any pinned sequence number must see.
class Model {
 public:
  void write(const std::string& key, std::optional<std::string> value, Seq seq) {
    versions_[key][seq] = std::move(value);
  }
  // No version at all is not the same as a removal.
  const std::optional<std::string>* at(const std::string& key, Seq seq) const {
    const auto record = versions_.find(key);
    if (record == versions_.end()) return nullptr;
    auto next = record->second.upper_bound(seq);
    return next == record->second.begin() ? nullptr : &std::prev(next)->second;
  }
  const auto& versions() const { return versions_; }

 private:
  std::map<std::string, std::map<Seq, std::optional<std::string>>> versions_;
};

void expect_same(const Model& model, const Record* record, const std::string& key, Seq seq) {
  const std::optional<std::string>* expected = model.at(key, seq);
  const Version* actual = record == nullptr ? nullptr : record->visible(seq);
  EXPECT_EQ(actual == nullptr, expected == nullptr);
  if (actual == nullptr) return;
  EXPECT_EQ(actual->kind == VersionKind::kPut, expected->has_value());
  if (expected->has_value()) EXPECT_EQ(actual->value(), **expected);
}

// Keys that share their first 8 bytes, keys that are prefixes of others, zero bytes, and plain
// random ones.
std::string random_key(std::mt19937_64& random) {
  static const char* const kStems[] = {"", "a", "common-prefix-", "12345678", "zz"};
  std::string key = kStems[random() % 5];
  for (size_t size = random() % 4 + 1; size > 0; size--) {
    key += random() % 8 == 0   ? '\0'
           : random() % 8 == 0 ? '\xFF'
                               : static_cast<char>('a' + random() % 16);
  }
  return key;
}

struct Pair {
  Memtable memtable;
  Model model;
  Seq seq = 0;
  Seq pinned = 0;
  void write(std::mt19937_64& random) {
    const std::string key = random_key(random);
    seq++;
    if (random() % 5 == 0) {
      memtable.remove(memtable.root(), key, seq, pinned);
      model.write(key, std::nullopt, seq);
    } else {
      const std::string value(random() % 40, static_cast<char>('A' + seq % 26));
      memtable.put(memtable.root(), key, value, seq, pinned);
      model.write(key, value, seq);
    }
  }
};

void compare_all(const Pair& pair, Seq seq) {
  BucketTable::Cursor cursor(pair.memtable.root());
  cursor.first();
  for (const auto& [key, versions] : pair.model.versions()) {
    EXPECT_TRUE(cursor.valid());
    EXPECT_EQ(cursor.record()->key(), key);
    expect_same(pair.model, cursor.record(), key, seq);
    EXPECT_TRUE(pair.memtable.root().find(key) == cursor.record());
    cursor.next();
  }
  EXPECT_FALSE(cursor.valid());
  cursor.last();
  for (auto it = pair.model.versions().rbegin(); it != pair.model.versions().rend(); ++it) {
    EXPECT_EQ(cursor.record()->key(), it->first);
    cursor.prev();
  }
  EXPECT_FALSE(cursor.valid());
}

TEST("30,000 random writes are seen by every pinned snapshot as the model sees them") {
  std::mt19937_64 random(4);
  Pair pair;
  std::vector<Seq> snapshots;
  for (int i = 0; i < 30000; i++) {
    pair.write(random);
    if (random() % 500 == 0) {
      snapshots.push_back(pair.pinned = pair.seq);
    }
    const std::string key = random_key(random);
    expect_same(pair.model, pair.memtable.root().find(key), key, kSeqMax);
    if (!snapshots.empty()) {
      expect_same(pair.model, pair.memtable.root().find(key), key,
                  snapshots[random() % snapshots.size()]);
    }
  }
  for (const Seq seq : snapshots) compare_all(pair, seq);
  compare_all(pair, kSeqMax);
  EXPECT_EQ(pair.memtable.root().record_count(), pair.model.versions().size());
}

TEST("a cursor keeps its place while the owner writes around it") {
  std::mt19937_64 random(5);
  Pair pair;
  for (int i = 0; i < 50; i++) pair.write(random);
  BucketTable::Cursor cursor(pair.memtable.root());
  cursor.first();
  for (int i = 0; i < 30000; i++) {
    const auto& keys = pair.model.versions();
    if (!cursor.valid() || random() % 50 == 0) {
      const std::string key = random_key(random);
      const bool before = random() % 2 == 0;
      before ? cursor.seek_before(key) : cursor.seek(key);
      auto expected = keys.lower_bound(key);
      if (before) expected = expected == keys.begin() ? keys.end() : std::prev(expected);
      EXPECT_EQ(cursor.valid(), expected != keys.end());
      if (cursor.valid()) EXPECT_EQ(cursor.record()->key(), expected->first);
      continue;
    }
    const std::string here(cursor.record()->key());
    for (size_t writes = random() % 3; writes > 0; writes--) pair.write(random);
    EXPECT_EQ(cursor.record()->key(), here);
    auto expected = keys.find(here);
    if (random() % 2 == 0) {
      cursor.next();
      ++expected;
    } else {
      cursor.prev();
      expected = expected == keys.begin() ? keys.end() : std::prev(expected);
    }
    EXPECT_EQ(cursor.valid(), expected != keys.end());
    if (cursor.valid()) EXPECT_EQ(cursor.record()->key(), expected->first);
  }
}

TEST("keys in order, in reverse order and with one prefix are all found again") {
  for (const int order : {0, 1, 2}) {
    Memtable memtable;
    constexpr uint32_t kCount = 20000;
    const auto key_of = [&](uint32_t i) {
      const uint32_t number = __builtin_bswap32(order == 0   ? i
                                                : order == 1 ? kCount - i
                                                             : i * 2654435761u);
      return (order == 2 ? "the same prefix of all of them" : "") +
             std::string(reinterpret_cast<const char*>(&number), sizeof number);
    };
    for (uint32_t i = 0; i < kCount; i++)
      memtable.put(memtable.root(), key_of(i), "v", i + 1, kSeqMax);
    for (uint32_t i = 0; i < kCount; i++) EXPECT_TRUE(memtable.root().find(key_of(i)) != nullptr);
    BucketTable::Cursor cursor(memtable.root());
    uint32_t count = 0;
    std::string last;
    for (cursor.first(); cursor.valid(); cursor.next(), count++) {
      EXPECT_TRUE(count == 0 || last < cursor.record()->key());
      last = cursor.record()->key();
    }
    EXPECT_EQ(count, kCount);
  }
}

TEST("keys that come in order fill their leaves") {
  const auto bytes_for = [](bool sorted) {
    std::vector<uint32_t> numbers(20000);
    for (uint32_t i = 0; i < numbers.size(); i++) numbers[i] = i;
    std::mt19937_64 random(6);
    if (!sorted) std::shuffle(numbers.begin(), numbers.end(), random);
    Memtable memtable;
    for (const uint32_t number : numbers) {
      const uint32_t key = __builtin_bswap32(number);
      memtable.put(memtable.root(), Bytes(reinterpret_cast<const char*>(&key), sizeof key), "", 1,
                   0);
    }
    return memtable.bytes();
  };
  EXPECT_TRUE(bytes_for(true) + 20000 * 4 < bytes_for(false));
}

TEST("a value that nobody has pinned is overwritten where it lies") {
  Memtable memtable;
  BucketTable& root = memtable.root();
  memtable.put(root, "k", "12345678", 1, 0);
  const size_t bytes = memtable.bytes();
  for (Seq seq = 2; seq < 100; seq++) memtable.put(root, "k", "abcdefgh", seq, 0);
  memtable.remove(root, "k", 100, 0);
  memtable.put(root, "k", "xyz", 101, 0);
  EXPECT_EQ(memtable.bytes(), bytes);
  EXPECT_EQ(root.find("k")->visible(kSeqMax)->value(), "xyz");
  EXPECT_TRUE(root.find("k")->visible(100) == nullptr);
  memtable.put(root, "k", "new", 102, 101);
  EXPECT_EQ(root.find("k")->visible(101)->value(), "xyz");
  EXPECT_EQ(root.find("k")->visible(102)->value(), "new");
}

TEST("a large value is shared, counted, and let go by the overwrite that replaces it") {
  Memtable memtable;
  BucketTable& root = memtable.root();
  const Value first = Value(std::string(kSharedValueSize, '1')).kept();
  const Value second = Value(std::string(2 * kSharedValueSize, '2')).kept();
  memtable.put(root, "k", first, 1, 0);
  const size_t bytes = memtable.bytes();
  EXPECT_TRUE(bytes > kSharedValueSize && bytes < kSharedValueSize + 4096);
  EXPECT_TRUE(root.find("k")->visible(1)->value().data() == first.bytes.data());
  EXPECT_EQ(first.memory.use_count(), 2);

  memtable.put(root, "k", second, 2, 0);
  EXPECT_EQ(memtable.bytes(), bytes + kSharedValueSize);
  EXPECT_EQ(first.memory.use_count(), 1);
  memtable.put(root, "k", "small", 3, 2);
  EXPECT_TRUE(root.find("k")->visible(2)->value() == second.bytes);
  memtable.put(root, "k", first, 4, 2);
  memtable.put(root, "k", "small", 5, 2);
  EXPECT_EQ(first.memory.use_count(), 1);
  memtable.put(root, "k", first, 6, 2);
  memtable.remove(root, "k", 7, 2);
  EXPECT_EQ(first.memory.use_count(), 1);
  EXPECT_EQ(root.find("k")->visible(7)->value(), "");
  memtable.put(root, "k", "small", 8, 2);
  EXPECT_EQ(root.find("k")->visible(8)->value(), "small");
  EXPECT_EQ(second.memory.use_count(), 2);
}

TEST("buckets are records with tables, and deleting one is a version") {
  Memtable memtable;
  BucketTable& users = memtable.touch_bucket(memtable.root(), "users", 1);
  EXPECT_TRUE(&memtable.touch_bucket(memtable.root(), "users", 2) == &users);
  EXPECT_FALSE(memtable.has_nested_buckets());
  memtable.put(users, "ada", "1", 2, 0);
  memtable.delete_bucket(memtable.root(), "users", 3);
  BucketTable& again = memtable.create_bucket(memtable.root(), "users", 4);
  const Record* record = memtable.root().find("users");
  EXPECT_EQ(record->visible(2)->kind, VersionKind::kBucketTouched);
  EXPECT_EQ(record->visible(3)->kind, VersionKind::kBucketDeleted);
  EXPECT_TRUE(record->visible(4)->bucket == &again);
  EXPECT_EQ(again.record_count(), 0);
  memtable.create_bucket(again, "nested", 5);
  EXPECT_TRUE(memtable.has_nested_buckets());
  EXPECT_THROWS_CODE(ErrorCode::ERR_INTERNAL, memtable.put(memtable.root(), "users", "v", 6, 0));
}

TEST("a bucket's sequence has versions too") {
  Memtable memtable;
  BucketTable& users = memtable.touch_bucket(memtable.root(), "users", 1);
  EXPECT_FALSE(users.sequence(kSeqMax).has_value());
  memtable.set_sequence(users, 7, 2);
  memtable.set_sequence(users, 8, 4);
  EXPECT_FALSE(users.sequence(1).has_value());
  EXPECT_EQ(*users.sequence(3), 7);
  EXPECT_EQ(*users.sequence(4), 8);
  const size_t bytes = memtable.bytes();
  memtable.set_sequence(users, 9, 5, 2);
  EXPECT_EQ(memtable.bytes(), bytes);
  EXPECT_EQ(*users.sequence(3), 7);
  EXPECT_EQ(*users.sequence(5), 9);
}

// A version that counts how often its sequence number is looked at.
struct CountedSeq {
  Seq seq = 0;
  inline static uint64_t looks = 0;
  friend bool operator>(const CountedSeq& one, Seq seq) {
    looks++;
    return one.seq > seq;
  }
};

struct CountedVersion {
  CountedSeq seq;
  CountedVersion* older = nullptr;
  CountedVersion* jump = nullptr;
  uint32_t depth = 0;
};

TEST("one of a million versions is found in logarithmic time") {
  constexpr size_t kVersions = 1'000'000;
  std::vector<CountedVersion> versions(kVersions);
  for (size_t i = 0; i < kVersions; i++) {
    versions[i].seq.seq = 2 * i + 1;
    link_version(versions[i], i == 0 ? nullptr : &versions[i - 1]);
  }
  std::mt19937_64 random(1);
  EXPECT_TRUE(version_at(&versions.back(), Seq{0}) == nullptr);
  for (size_t i = 0; i < 10'000; i++) {
    const size_t wanted = i < 100 ? i : random() % kVersions;
    CountedSeq::looks = 0;
    EXPECT_TRUE(version_at(&versions.back(), Seq{2 * wanted + 2}) == &versions[wanted]);
    EXPECT_TRUE(CountedSeq::looks < 200);
  }
}

TEST("snapshots of every version read a key and a sequence of many versions") {
  constexpr Seq kVersions = 100'000;
  Memtable memtable;
  BucketTable& table = memtable.touch_bucket(memtable.root(), "users", 1);
  for (Seq seq = 2; seq <= kVersions; seq++) {
    memtable.put(table, "k", std::to_string(seq), seq, seq - 1);
    memtable.set_sequence(table, seq, seq);
  }
  // One step after the other this would take ten thousand million of them.
  for (Seq seq = 2; seq <= kVersions; seq++) {
    EXPECT_EQ(table.find("k")->visible(seq)->value(), std::to_string(seq));
    EXPECT_EQ(*table.sequence(seq), seq);
  }
}

#if defined(__linux__)
uint64_t resident_bytes() {
  constexpr uint64_t kPageSize = 4096;
  uint64_t total = 0;
  uint64_t resident = 0;
  std::ifstream("/proc/self/statm") >> total >> resident;
  return resident * kPageSize;
}

// The allocator learns from what is freed to keep pieces of that size, and it gives back only what
// nothing lies above.
TEST("the memory of a memtable goes back to the system with it, whatever was allocated since") {
  constexpr uint64_t kBytes = 16 << 20;
  const std::string value(1000, 'v');
  std::vector<std::string> later;
  for (int round = 0; round < 3; round++) {
    auto memtable = std::make_unique<Memtable>();
    for (Seq seq = 1; memtable->bytes() < kBytes; seq++) {
      memtable->put(memtable->root(), std::to_string(seq), value, seq, seq);
    }
    later.emplace_back(100'000, 'l');
    const uint64_t before = resident_bytes();
    memtable.reset();
    EXPECT_TRUE(before - resident_bytes() > kBytes * 9 / 10);
  }
}
#endif

TEST("a sealed memtable takes no writes") {
  Memtable memtable;
  EXPECT_TRUE(memtable.empty());
  memtable.put(memtable.root(), "", "", 5, 0);
  memtable.seal(9);
  EXPECT_TRUE(memtable.sealed() && !memtable.empty());
  EXPECT_EQ(memtable.first_seq(), 5);
  EXPECT_EQ(memtable.last_seq(), 9);
  EXPECT_THROWS_CODE(ErrorCode::ERR_INTERNAL, memtable.put(memtable.root(), "k", "v", 10, 0));
}

}  // namespace
}  // namespace hotbolt
