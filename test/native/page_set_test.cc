// A set of page ids against one that is known to be right, and what it costs where there are few.
#include "core/page_set.h"

#include <random>
#include <set>

#include "harness.h"

namespace hotbolt::testing {
namespace {

constexpr uint64_t kChunk = 512 * 64;

struct Pair {
  PageSet set;
  std::set<uint64_t> model;

  void resize(uint64_t size) {
    set.resize(size);
    model.erase(model.lower_bound(size), model.end());
  }
  void add_run(uint64_t first, uint64_t count) {
    set.add_run(first, count);
    for (uint64_t id = first; id < first + count; id++) model.insert(id);
  }
  void remove_run(uint64_t first, uint64_t count) {
    for (uint64_t id = first; id < first + count; id++) {
      set.remove(id);
      model.erase(id);
    }
  }
  void invert() {
    set.invert();
    std::set<uint64_t> others;
    for (uint64_t id = 0; id < set.size(); id++) {
      if (!model.contains(id)) others.insert(others.end(), id);
    }
    model.swap(others);
  }
  void unite(const Pair& other) {
    set.unite(other.set);
    model.insert(other.model.begin(), other.model.end());
  }
  void expect_equal() const {
    EXPECT_EQ(set.count(), model.size());
    uint64_t id = set.next(0);
    for (const uint64_t expected : model) {
      EXPECT_EQ(id, expected);
      EXPECT_TRUE(set.contains(id));
      id = set.next(id + 1);
    }
    EXPECT_EQ(id, set.size());
    uint64_t missing = 0;
    while (model.contains(missing)) missing++;
    EXPECT_EQ(set.next_missing(0), std::min(missing, set.size()));
    EXPECT_FALSE(set.contains(set.size()));
  }
};

TEST("a set of pages holds what was put into it, in chunks, runs and complements") {
  std::mt19937_64 random(7);
  const auto below = [&](uint64_t limit) { return random() % limit; };
  for (int round = 0; round < 30; round++) {
    const uint64_t size = 1 + below(4 * kChunk);
    Pair one, other;
    for (Pair* pair : {&one, &other}) pair->resize(size);
    for (int step = 0; step < 12; step++) {
      Pair& pair = below(2) == 0 ? one : other;
      const uint64_t first = below(pair.set.size());
      const uint64_t count = below(pair.set.size() - first + 1);
      switch (below(6)) {
        case 0:
          pair.add_run(first, count);
          break;
        case 1:
          pair.remove_run(first, std::min<uint64_t>(count, 300));
          break;
        case 2:
          pair.invert();
          break;
        case 3:
          pair.resize(1 + below(4 * kChunk));
          break;
        case 4:
          pair.set.prepare(first, count);
          break;
        default:
          pair.add_run(first, std::min<uint64_t>(count, 3));
      }
      pair.expect_equal();
    }
    other.resize(one.set.size());
    uint64_t common = one.set.next_common(other.set, 0);
    for (const uint64_t id : one.model) {
      if (!other.model.contains(id)) continue;
      EXPECT_EQ(common, id);
      common = one.set.next_common(other.set, id + 1);
    }
    EXPECT_EQ(common, one.set.size());
    one.unite(other);
    one.expect_equal();
  }
}

TEST("a few pages of 2^34 cost a few chunks") {
  constexpr uint64_t kSize = uint64_t{1} << 34;
  PageSet used(kSize);
  used.add_run(0, 4);
  used.add(kSize - 1);
  PageSet free = used;
  free.invert();
  EXPECT_EQ(used.count(), 5);
  EXPECT_EQ(free.count(), kSize - 5);
  EXPECT_EQ(used.next(4), kSize - 1);
  EXPECT_EQ(free.next(0), 4);
  EXPECT_EQ(free.next_missing(4), kSize - 1);
  EXPECT_EQ(used.next_common(free, 0), kSize);
  used.unite(free);
  EXPECT_EQ(used.next_missing(0), kSize);
}

}  // namespace
}  // namespace hotbolt::testing
