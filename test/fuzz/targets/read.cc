// Any bytes as a database that is read: cursors in both directions, ranges, gets, a snapshot, and a
// scan of everything. Every walk ends; of a file that passes the check they all say the same.
#include "core/bucket.h"
#include "core/cursor.h"
#include "target.h"

namespace hotbolt::fuzz {

namespace {

// Of a bucket: what is compared with other ways of reading it.
constexpr size_t kSamplesMax = 64;

class Reading {
 public:
  Reading(const View& view, bool is_sound, uint64_t file_size)
      : view_(view),
        is_sound_(is_sound),
        steps_max_(view.base->meta().high_water * kElementsMax),
        budget_bytes_(file_size) {}

  void run() { bucket(BucketView::root(view_, kSeqMax), 0); }

 private:
  // Every entry of a sound file has bytes of its own: who has seen more bytes than the file has, or
  // looks deeper than a path can name, is being led in circles.
  bool spend(uint64_t bytes) {
    const bool enough = bytes <= budget_bytes_;
    require(enough || !is_sound_, "a sound file has more entries than bytes");
    budget_bytes_ = enough ? budget_bytes_ - bytes : 0;
    return enough;
  }
  // A copy, as readers make it: a sanitizer looks at the whole range at once.
  static void touch(Bytes bytes) {
    static char copy[4096];
    bytes.copy(copy, sizeof copy);
  }

  void bucket(const BucketView& bucket, size_t depth) {
    attempt([&] { (void)bucket.sequence(); });
    std::vector<std::string> forward = walk(bucket, {}, false);
    std::vector<std::string> backward = walk(bucket, {}, true);
    if (is_sound_ && forward.size() < kSamplesMax) {
      std::reverse(backward.begin(), backward.end());
      require(forward == backward, "backwards is not forwards");
    }
    pages(bucket);
    for (const std::string& key : forward) gets(bucket, key);
    ranges(bucket, forward);
    if (depth == kDepthMax) return;
    for (const std::string& key : forward) {
      attempt([&] {
        const BucketView child = bucket.child(key);
        if (child.exists() && spend(kElementSize + kBucketHeaderSize))
          this->bucket(child, depth + 1);
      });
    }
  }

  // The first keys that are met.
  std::vector<std::string> walk(const BucketView& bucket, const Bounds& bounds, bool reverse) {
    std::vector<std::string> keys;
    uint64_t steps = 0;
    attempt([&] {
      std::string before;
      for (MergedCursor cursor(bucket, bounds, reverse); cursor.valid(); cursor.next()) {
        require(++steps <= steps_max_, "a walk does not end");
        const Bytes key = cursor.key();
        const Bytes value = cursor.value();
        if (!reverse && !bounds.lower && !spend(kElementSize + key.size() + value.size())) return;
        touch(key);
        touch(value);
        if (is_sound_ && steps > 1)
          require(reverse ? key < before : key > before, "keys are not in order");
        if (is_sound_) before = key;
        if (keys.size() < kSamplesMax) keys.emplace_back(key);
      }
    });
    return keys;
  }

  void gets(const BucketView& bucket, const std::string& key) {
    attempt([&] {
      const NameKind kind = bucket.kind(key);
      const std::optional<Bytes> value = bucket.get(key);
      if (value) touch(*value);
      if (!is_sound_) return;
      require(kind != NameKind::kMissing, "a key of a walk is missing");
      require(value.has_value() == (kind == NameKind::kValue), "a value is a bucket");
    });
    attempt([&] { (void)bucket.get(key + '\0'); });
  }

  void ranges(const BucketView& bucket, const std::vector<std::string>& keys) {
    if (keys.empty()) return;
    Bounds bounds;
    bounds.lower = keys[keys.size() / 3];
    bounds.upper = keys[keys.size() * 2 / 3];
    for (const bool inclusive : {false, true}) {
      bounds.lower_inclusive = bounds.upper_inclusive = inclusive;
      const size_t forward = walk(bucket, bounds, false).size();
      const size_t backward = walk(bucket, bounds, true).size();
      if (!is_sound_) continue;
      require(forward == backward, "a range depends on the direction");
      const size_t between = keys.size() * 2 / 3 - keys.size() / 3;
      const size_t expected = inclusive ? between + 1 : between - (between > 0 ? 1 : 0);
      require(forward == expected, "a range has not what is in it");
    }
  }

  // To and fro without memtables, as the merge of a checkpoint walks.
  void pages(const BucketView& bucket) {
    if (!bucket.page()) return;
    attempt([&] {
      PageCursor cursor(*bucket.page());
      cursor.last();
      for (int i = 0; i < 40 && cursor.valid(); i++) {
        touch(cursor.key());
        (i % 5 < 3) ? cursor.prev() : cursor.next();
      }
    });
  }

  const View& view_;
  const bool is_sound_;
  const uint64_t steps_max_;
  uint64_t budget_bytes_;
};

}  // namespace

void read(Bytes input) {
  MemoryFiles files;
  files.put(kPath, input);
  std::shared_ptr<Store> store;
  if (!attempt([&] { store = open_store(files, true); })) return;
  const bool is_sound = check_store(*store).ok();
  const std::shared_ptr<Snapshot> snapshot = store->snapshot();
  Reading(snapshot->view(), is_sound, input.size()).run();
  close_unwritten(store);
  require(files.contents(kPath) == input, "reading changed the file");
}

}  // namespace hotbolt::fuzz
