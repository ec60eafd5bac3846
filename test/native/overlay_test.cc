// Overlays against a model of layers.
#include "core/overlay.h"

#include <map>
#include <random>
#include <set>

#include "harness.h"

namespace hotbolt {
namespace {

// What a layer says of a name from a sequence number on.
struct Saying {
  Seq seq;
  VersionKind kind;
  std::string value;
};
using ModelLayer = std::map<std::string, std::vector<Saying>>;

struct Layers {
  std::vector<std::unique_ptr<Memtable>> memtables;  // newest last
  std::vector<ModelLayer> models;
  Seq seq = 0;

  void add_layer() {
    if (!memtables.empty()) memtables.back()->seal(seq);
    memtables.push_back(std::make_unique<Memtable>());
    models.emplace_back();
  }
  std::vector<const Memtable*> newest_first() const {
    std::vector<const Memtable*> list;
    for (auto it = memtables.rbegin(); it != memtables.rend(); ++it) list.push_back(it->get());
    return list;
  }
};

const Saying* visible(const std::vector<Saying>& sayings, Seq seq) {
  const Saying* found = nullptr;
  for (const Saying& saying : sayings) {
    if (saying.seq <= seq) found = &saying;
  }
  return found;
}

// Random puts and removals; returns some moments to look at.
std::vector<Seq> fill(Layers& layers, std::set<std::string>& names, std::mt19937_64& random) {
  std::vector<Seq> moments;
  for (int i = 0; i < 300; i++) {
    const std::string name = "k" + std::to_string(random() % 200);
    Memtable& memtable = *layers.memtables.back();
    std::vector<Saying>& sayings = layers.models.back()[name];
    layers.seq++;
    names.insert(name);
    if (random() % 4 == 0) {
      memtable.remove(memtable.root(), name, layers.seq, kSeqMax);
      sayings.push_back({layers.seq, VersionKind::kRemoved, ""});
    } else {
      const std::string value = std::to_string(random() % 1000);
      memtable.put(memtable.root(), name, value, layers.seq, kSeqMax);
      sayings.push_back({layers.seq, VersionKind::kPut, value});
    }
    if (random() % 60 == 0) moments.push_back(layers.seq);
  }
  return moments;
}

using Expected = std::map<std::string, const Saying*>;

Expected expected_at(Layers& layers, const std::set<std::string>& names, Seq seq) {
  Expected expected;
  for (const std::string& name : names) {
    for (auto model = layers.models.rbegin(); model != layers.models.rend(); ++model) {
      const Saying* saying = visible((*model)[name], seq);
      if (saying == nullptr) continue;
      expected[name] = saying;
      break;
    }
  }
  return expected;
}

void expect_full_scan(OverlayCursor& cursor, const Expected& expected) {
  cursor.first();
  for (const auto& [name, saying] : expected) {
    EXPECT_EQ(cursor.key(), name);
    EXPECT_EQ(cursor.version().kind, saying->kind);
    EXPECT_EQ(cursor.version().value(), saying->value);
    cursor.next();
  }
  EXPECT_FALSE(cursor.valid());
}

void expect_random_walk(OverlayCursor& cursor, const Expected& expected, std::mt19937_64& random) {
  const auto before = [&](Expected::const_iterator it) {
    return it == expected.begin() ? expected.end() : std::prev(it);
  };
  for (int step = 0; step < 400; step++) {
    Expected::const_iterator here;
    if (!cursor.valid() || random() % 20 == 0) {
      const std::string key = "k" + std::to_string(random() % 300);
      const bool backward = random() % 2 == 0;
      backward ? cursor.seek_before(key) : cursor.seek(key);
      here = expected.lower_bound(key);
      if (backward) here = before(here);
    } else {
      const bool forward = random() % 2 == 0;
      here = expected.find(std::string(cursor.key()));
      forward ? cursor.next() : cursor.prev();
      here = forward ? std::next(here) : before(here);
    }
    EXPECT_EQ(cursor.valid(), here != expected.end());
    if (!cursor.valid()) continue;
    EXPECT_EQ(cursor.key(), here->first);
    EXPECT_EQ(cursor.version().value(), here->second->value);
  }
}

TEST("reads through random layers equal those of the model, in both directions") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 40; round++) {
    Layers layers;
    std::set<std::string> names;
    std::vector<Seq> moments{kSeqMax};
    for (size_t layer = random() % 4 + 1; layer > 0; layer--) {
      layers.add_layer();
      for (const Seq seq : fill(layers, names, random)) moments.push_back(seq);
    }
    for (const Seq seq : moments) {
      Expected expected = expected_at(layers, names, seq);
      const Overlay overlay(layers.newest_first(), seq);
      for (const std::string& name : names) {
        const Version* version = overlay.find(name);
        EXPECT_EQ(version != nullptr, expected.contains(name));
        if (version != nullptr) EXPECT_EQ(version->value(), expected[name]->value);
      }
      OverlayCursor cursor(overlay);
      expect_full_scan(cursor, expected);
      expect_random_walk(cursor, expected, random);
    }
  }
}

TEST("an overlay's cursor is not disturbed by newer writes") {
  std::mt19937_64 random(9);
  Layers layers;
  std::set<std::string> names;
  layers.add_layer();
  fill(layers, names, random);
  layers.add_layer();
  fill(layers, names, random);
  const Seq seq = layers.seq;
  const Expected expected = expected_at(layers, names, seq);
  const Overlay overlay(layers.newest_first(), seq);
  OverlayCursor cursor(overlay);
  cursor.first();
  Memtable& active = *layers.memtables.back();
  for (const auto& [name, saying] : expected) {
    EXPECT_EQ(cursor.key(), name);
    EXPECT_EQ(cursor.version().value(), saying->value);
    for (int i = 0; i < 20; i++) {
      active.put(active.root(), "k" + std::to_string(random() % 5000), "new", ++layers.seq, seq);
    }
    cursor.next();
  }
  EXPECT_FALSE(cursor.valid());
}

// One bucket's history, cut into layers at random, over a page file that has the bucket or not. The
// state at each moment is the model.
struct BucketState {
  bool exists = false;
  bool from_page_file = false;  // the page file's content shows through
  std::map<std::string, std::string> values;
};

void change_bucket(Layers& layers, BucketState& state, std::mt19937_64& random) {
  Memtable& memtable = *layers.memtables.back();
  const Seq seq = ++layers.seq;
  const std::string key(1, static_cast<char>('a' + random() % 6));
  if (!state.exists) {
    memtable.create_bucket(memtable.root(), "b", seq);
    state = {.exists = true, .from_page_file = false, .values = {}};
  } else if (random() % 8 == 0) {
    memtable.delete_bucket(memtable.root(), "b", seq);
    state = {};
  } else if (random() % 3 == 0) {
    memtable.remove(memtable.touch_bucket(memtable.root(), "b", seq), key, seq, kSeqMax);
    state.values.erase(key);
  } else {
    memtable.put(memtable.touch_bucket(memtable.root(), "b", seq), key, std::to_string(seq), seq,
                 kSeqMax);
    state.values[key] = std::to_string(seq);
  }
}

void expect_bucket(const Overlay& root, const BucketState& expected, bool page_file_has_it) {
  Overlay bucket;
  const Overlay::Child child = root.child("b", bucket);
  if (child == Overlay::Child::kSilent) {
    EXPECT_EQ(expected.exists, page_file_has_it);
    EXPECT_TRUE(expected.values.empty());
    return;
  }
  EXPECT_EQ(child, expected.exists ? Overlay::Child::kBucket : Overlay::Child::kDeleted);
  if (!expected.exists) return;
  EXPECT_EQ(bucket.hides_page_file(), !expected.from_page_file);
  std::map<std::string, std::string> actual;
  OverlayCursor cursor(bucket);
  for (cursor.first(); cursor.valid(); cursor.next()) {
    const Version* found = bucket.find(cursor.key());
    EXPECT_TRUE(found == &cursor.version());
    if (found->kind == VersionKind::kPut) actual[std::string(cursor.key())] = found->value();
  }
  EXPECT_TRUE(actual == expected.values);
}

TEST("created, deleted and touched buckets hide or show the layers below") {
  std::mt19937_64 random(8);
  for (int round = 0; round < 300; round++) {
    Layers layers;
    layers.add_layer();
    const bool page_file_has_it = random() % 2 == 0;
    BucketState state{.exists = page_file_has_it, .from_page_file = page_file_has_it, .values = {}};
    std::vector<std::pair<Seq, BucketState>> moments{{0, state}};
    for (int i = 0; i < 60; i++) {
      if (random() % 12 == 0) layers.add_layer();
      change_bucket(layers, state, random);
      moments.emplace_back(layers.seq, state);
    }
    for (const auto& [seq, expected] : moments) {
      expect_bucket(Overlay(layers.newest_first(), seq), expected, page_file_has_it);
    }
  }
}

TEST("a value, a silent name and nested buckets are told apart") {
  Memtable memtable;
  BucketTable& outer = memtable.create_bucket(memtable.root(), "outer", 1);
  memtable.put(outer, "value", "v", 2, 0);
  memtable.touch_bucket(outer, "inner", 3);
  const Overlay root({&memtable}, 3);
  Overlay child;
  Overlay grandchild;
  EXPECT_EQ(root.child("other", child), Overlay::Child::kSilent);
  EXPECT_EQ(root.child("outer", child), Overlay::Child::kBucket);
  EXPECT_EQ(child.child("value", grandchild), Overlay::Child::kValue);
  EXPECT_EQ(child.child("inner", grandchild), Overlay::Child::kBucket);
  EXPECT_TRUE(grandchild.hides_page_file());  // its parent began empty
  EXPECT_EQ(*child.sequence(), 0);
  EXPECT_FALSE(root.sequence().has_value());
}

TEST("the newest layer that has set a bucket's sequence decides") {
  Memtable old;
  old.set_sequence(old.touch_bucket(old.root(), "b", 1), 5, 1);
  old.seal(1);
  Memtable recent;
  recent.touch_bucket(recent.root(), "b", 2);
  recent.set_sequence(recent.touch_bucket(recent.root(), "b", 3), 9, 3);
  Overlay bucket;
  Overlay({&recent, &old}, 2).child("b", bucket);
  EXPECT_EQ(*bucket.sequence(), 5);
  Overlay({&recent, &old}, 3).child("b", bucket);
  EXPECT_EQ(*bucket.sequence(), 9);
}

}  // namespace
}  // namespace hotbolt
