// The walk over all pages of a state.
#include "core/reachability.h"

#include <algorithm>

#include "core/bucket.h"

namespace hotbolt {
namespace {

// Visits the pages of all trees under a root. `enter(first page, page count)` says whether to read
// the page and go on below it; it must refuse or throw for a page that it saw before.
template <typename Enter>
class PageWalk {
 public:
  PageWalk(const ReadTx& tx, Enter enter) : tx_(tx), enter_(std::move(enter)) {}

  void begin(PageId root) { push(root, Place::kRoot); }

  // One step: false when all is done. After an exception the walk goes on with what follows the
  // damage.
  bool step() {
    if (stack_.empty()) return false;
    Frame& frame = stack_.back();
    if (frame.next == frame.page.count()) {
      stack_.pop_back();
    } else if (frame.page.is_leaf()) {
      step_in_leaf(frame);
    } else {
      push(frame.page.child(frame.next++), frame.place);
    }
    return true;
  }
  bool is_flat() const { return is_flat_; }

 private:
  enum class Place : uint8_t { kRoot, kBucket, kInline };
  struct Frame {
    PageView page;
    uint32_t next = 0;
    Place place = Place::kRoot;
    uint64_t inline_bytes = 0;  // of inline buckets seen on this page
  };

  void push(PageId id, Place place) {
    if (enter_(id, tx_.run_length(id))) stack_.push_back({tx_.page(id), 0, place, 0});
  }

  void step_in_leaf(Frame& frame) {
    while (frame.next < frame.page.count() && !frame.page.is_bucket(frame.next)) frame.next++;
    if (frame.next == frame.page.count()) return;
    enter_bucket(frame, frame.page.value(frame.next++));
  }

  void enter_bucket(Frame& frame, Bytes value) {
    const PageBucket bucket(tx_, value, frame.page.id());
    if (frame.place != Place::kRoot) is_flat_ = false;
    if (!bucket.is_inline()) return push(bucket.root_page(), Place::kBucket);
    // bbolt never nests inline buckets. Values that overlap could make a small page take for ever.
    frame.inline_bytes += value.size();
    if (frame.place == Place::kInline) throw_corrupt(frame.page.id(), "inline buckets are nested");
    if (frame.inline_bytes > frame.page.run_size())
      throw_corrupt(frame.page.id(), "values overlap");
    stack_.push_back({bucket.top(), 0, Place::kInline, 0});
  }

  const ReadTx& tx_;
  Enter enter_;
  std::vector<Frame> stack_;
  bool is_flat_ = true;
};

}  // namespace

Reachable find_reachable(const ReadTx& tx) {
  Reachable result;
  result.pages.resize(tx.meta().high_water);
  PageWalk walk(tx, [&](PageId first, uint64_t page_count) {
    const uint64_t reached = result.pages.next(value(first));
    if (reached < value(first) + page_count) {
      throw_corrupt(PageId{reached}, "it is referenced twice");
    }
    result.pages.add_run(value(first), page_count);
    return true;
  });
  walk.begin(tx.meta().root);
  while (walk.step()) {
  }
  result.is_flat = walk.is_flat();
  return result;
}

std::vector<uint64_t> find_freed_since(const ReadTx& older, const PageSet& free) {
  PageSet seen(free.size());
  std::vector<uint64_t> ids;
  const auto enter = [&](PageId first, uint64_t page_count) {
    bool entered = false;
    for (uint64_t id = value(first); id < value(first) + page_count; id++) {
      if (!free.contains(id) || seen.contains(id)) continue;
      seen.add(id);
      ids.push_back(id);
      if (id == value(first)) entered = true;
    }
    return entered;
  };
  const auto ignore_damage = [](auto&& action) {
    try {
      return action();
    } catch (const Error&) {
      return true;
    }
  };
  PageWalk walk(older, enter);
  const Meta& meta = older.meta();
  ignore_damage([&] { return walk.begin(meta.root), true; });
  while (ignore_damage([&] { return walk.step(); })) {
  }
  if (meta.freelist_stored()) {
    const PageId freelist{meta.freelist};
    ignore_damage([&] { return enter(freelist, older.run_length(freelist)); });
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

}  // namespace hotbolt
