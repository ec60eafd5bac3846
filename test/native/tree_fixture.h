// What the tests of nodes, trees, transactions and copies share: a file of their own, a model of
// nested buckets, batches of random changes for both, and the comparison of a whole file with the
// model.
#pragma once

#include <unistd.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "core/check.h"
#include "core/cursor.h"
#include "core/tx.h"
#include "harness.h"

namespace hotbolt::testing {

// A new database in a folder of its own; gone at the end.
class TestFile {
 public:
  explicit TestFile(uint32_t page_size = 4096) {
    char folder[] = "/tmp/hotbolt-test-XXXXXX";
    folder_ = ::mkdtemp(folder);
    PageFile::create(system_files(), path(), page_size, 0600, {});
    file = PageFile::open(system_files(), path(), {});
  }
  ~TestFile() {
    file.reset();
    system_files().remove(path());
    system_files().remove(path() + ".copy");
    ::rmdir(folder_.c_str());
  }
  std::string path() const { return folder_ + "/data.db"; }
  void reopen() {
    file.reset();
    file = PageFile::open(system_files(), path(), {});
  }

  std::shared_ptr<PageFile> file;
  Pacer pacer{system_files(), nullptr, 0};

 private:
  std::string folder_;
};

// A bucket as it should be.
struct Model {
  uint64_t sequence = 0;
  std::map<std::string, std::string> values;
  std::map<std::string, Model> buckets;
};

inline void expect_same(const PageBucket& actual, const Model& expected, bool is_root = true) {
  EXPECT_EQ(actual.sequence(), expected.sequence);
  PageCursor cursor(actual);
  cursor.first();
  auto value = expected.values.begin();
  auto bucket = expected.buckets.begin();
  for (; cursor.valid(); cursor.next()) {
    if (cursor.is_bucket()) {
      EXPECT_TRUE(bucket != expected.buckets.end());
      EXPECT_EQ(cursor.key(), bucket->first);
      expect_same(PageBucket(*actual.tx(), cursor.value(), cursor.page()), bucket->second, false);
      ++bucket;
    } else {
      EXPECT_TRUE(value != expected.values.end());
      EXPECT_EQ(cursor.key(), value->first);
      EXPECT_TRUE(cursor.value() == value->second);
      ++value;
    }
  }
  EXPECT_TRUE(value == expected.values.end());
  EXPECT_TRUE(bucket == expected.buckets.end());
  if (actual.is_inline()) EXPECT_TRUE(!is_root && expected.buckets.empty());
}

inline void expect_same(PageFile& file, const Model& expected) {
  expect_same(PageBucket::root(*file.begin_read()), expected);
}

// Every page below the high-water mark is reachable once, or free, and all else that check()
// proves.
inline CheckReport expect_sound(PageFile& file) {
  const auto tx = file.begin_read();
  PageSet free;
  const bool known = !tx->meta().freelist_stored() && file.freelist_loaded();
  if (known) free = file.freelist().all();
  CheckReport report = check(*tx, known ? &free : nullptr);
  if (!report.ok()) {
    const CheckIssue& issue = report.issues.front();
    throw Failure(__FILE__, __LINE__, "page " + std::to_string(issue.page) + ": " + issue.message);
  }
  EXPECT_EQ(report.reachable_pages + report.free_pages, tx->meta().high_water);
  return report;
}

// Makes the same random changes to a memtable and to the model.
class RandomBatch {
 public:
  RandomBatch(std::mt19937_64& random, Model& model) : random_(random), model_(model) {}

  std::unique_ptr<Memtable> make(size_t op_count, uint64_t seq) {
    memtable_ = std::make_unique<Memtable>();
    seq_ = seq;
    for (size_t i = 0; i < op_count; ++i) change(model_, memtable_->root(), 0);
    memtable_->seal(seq);
    return std::move(memtable_);
  }
  uint64_t key_space = 400;  // of each bucket: names of values
  uint64_t value_size_max = 200;
  bool big_values = false;
  uint64_t calm_percent =
      0;  // of the changes of structure that become changes of single keys: large trees need peace

 private:
  uint64_t below(uint64_t limit) { return random_() % limit; }
  std::string name(uint64_t limit) { return "n" + std::to_string(below(limit)); }

  std::string random_value() {
    const uint64_t dice = below(100);
    uint64_t size = below(value_size_max);
    if (big_values && dice < 3) size = below(200'000);
    if (dice > 95) size = 0;
    return std::string(size, static_cast<char>('a' + below(26)));
  }

  void change(Model& model, BucketTable& table, int depth) {
    uint64_t dice = below(1000);
    if (dice > 960 && below(100) < calm_percent) dice = 959;
    // Down into a bucket, most of the time.
    if (!model.buckets.empty() && dice < (depth == 0 ? 900u : 400u)) {
      auto bucket = model.buckets.begin();
      std::advance(bucket, below(model.buckets.size()));
      change(bucket->second, memtable_->touch_bucket(table, bucket->first, seq_), depth + 1);
    } else if (dice > 985 && depth < 6) {
      create_bucket(model, table);
    } else if (dice > 978) {
      delete_bucket(model, table);
    } else if (dice > 970) {
      model.sequence = random_();
      memtable_->set_sequence(table, model.sequence, seq_, 0);
    } else if (dice > 960) {
      remove_range(model, table);
    } else {
      change_key(model, table, dice % 3 == 0);
    }
  }

  void change_key(Model& model, BucketTable& table, bool removes) {
    const std::string key = name(key_space);
    if (model.buckets.contains(key)) return;
    if (removes) {
      memtable_->remove(table, key, seq_, 0);
      model.values.erase(key);
    } else {
      model.values[key] = random_value();
      memtable_->put(table, key, model.values[key], seq_, 0);
    }
  }

  void remove_range(Model& model, BucketTable& table) {
    auto entry = model.values.lower_bound(name(key_space));
    for (uint64_t i = below(150); i > 0 && entry != model.values.end(); --i) {
      memtable_->remove(table, entry->first, seq_, 0);
      entry = model.values.erase(entry);
    }
  }

  // Over a value of the same name too: the value is removed first.
  void create_bucket(Model& model, BucketTable& table) {
    const std::string key = name(30);
    if (model.buckets.contains(key)) return;
    if (model.values.erase(key) > 0) memtable_->remove(table, key, seq_, 0);
    model.buckets[key];
    memtable_->create_bucket(table, key, seq_);
  }

  // A value may take its place at once.
  void delete_bucket(Model& model, BucketTable& table) {
    if (model.buckets.empty()) return;
    auto bucket = model.buckets.begin();
    std::advance(bucket, below(model.buckets.size()));
    const std::string key = bucket->first;
    model.buckets.erase(bucket);
    memtable_->delete_bucket(table, key, seq_);
    if (below(2) == 0) return;
    model.values[key] = random_value();
    memtable_->put(table, key, model.values[key], seq_, 0);
  }

  std::mt19937_64& random_;
  Model& model_;
  std::unique_ptr<Memtable> memtable_;
  uint64_t seq_ = 0;
};

// A memtable with these puts in one bucket of the root.
inline std::unique_ptr<Memtable> puts(const std::string& bucket,
                                      const std::map<std::string, std::string>& values,
                                      uint64_t seq) {
  auto memtable = std::make_unique<Memtable>();
  BucketTable& table = memtable->touch_bucket(memtable->root(), bucket, seq);
  for (const auto& [key, value] : values) memtable->put(table, key, value, seq, 0);
  memtable->seal(seq);
  return memtable;
}

inline Meta apply_and_commit(TestFile& test, const Memtable& memtable, uint64_t seq,
                             double fill = 0.9) {
  WriteTx tx(test.file, test.pacer, {fill});
  tx.apply({&memtable});
  return tx.commit({.database_id = {}, .journal_seq = seq, .is_flat = false});
}

// "00000042"
inline std::string numbered(uint64_t number) {
  std::string digits = std::to_string(number);
  return std::string(8 - std::min<size_t>(8, digits.size()), '0') + digits;
}

}  // namespace hotbolt::testing
