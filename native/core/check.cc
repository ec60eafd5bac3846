// The audit: metas, trees, freelist, and whether every page belongs to exactly one of them.
#include "core/check.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "core/bucket.h"
#include "core/op.h"
#include "core/pacer.h"
#include "core/page_set.h"

namespace hotbolt {
namespace {

// A commit may be writing a meta while it is read; that lasts microseconds.
constexpr int kMetaReadsMax = 5;

// Of the header and the elements.
uint64_t array_bytes(const PageView& page) {
  return kPageHeaderSize + uint64_t{page.count()} * kElementSize;
}

class Checker {
 public:
  Checker(const ReadTx& tx, const PageSet* free, const Pacer* pacer)
      : tx_(tx), known_free_(free), pacer_(pacer), reached_(tx.meta().high_water) {}

  CheckReport run() {
    report_.page_count = tx_.meta().high_water;
    claim_run(PageId{0}, 2);
    check_metas();
    const std::optional<PageSet> free = find_free();
    check_trees();
    check_mark();
    if (free) check_free(*free);
    check_all_accounted_for(free.has_value());
    return std::move(report_);
  }

 private:
  enum class Place : uint8_t { kRoot, kBucket, kInline };
  // Keys of a subtree lie in [lower, upper).
  struct Bounds {
    std::optional<Bytes> lower;
    std::optional<Bytes> upper;
  };
  struct Frame {
    PageView page;
    uint32_t next = 0;
    Place place = Place::kRoot;
    unsigned depth = 1;       // level within its bucket's tree
    size_t bucket_frame = 0;  // index of the frame of its bucket's top page
    unsigned leaf_depth = 0;  // on a bucket's top frame: level of the first leaf seen
    Bounds bounds;
    std::optional<Bytes> key;    // the last good one
    uint64_t element_bytes = 0;  // keys and values looked at
    uint64_t data_end = 0;       // where the last one's key and value end in the page
  };

  void issue(PageId page, std::string message) {
    if (report_.issue_count++ < CheckReport::kIssuesMax) {
      report_.issues.push_back({value(page), std::move(message)});
    }
  }
  // Runs `action`; what it finds damaged becomes an issue.
  template <typename Action>
  void guarded(PageId page, Action action) {
    try {
      action();
    } catch (const Error& error) {
      if (error.code() == ErrorCode::ERR_OUT_OF_MEMORY) throw;
      issue(PageId{error.page().value_or(value(page))}, error.what());
    }
  }

  void check_metas();
  void check_pair(const Meta& first, const Meta& second);
  void check_mark();

  std::optional<PageSet> find_free();
  void check_free(const PageSet& free);
  void check_all_accounted_for(bool free_is_known);

  bool claim_run(PageId first, uint64_t page_count);
  void check_trees();
  void step();
  void enter_tree(PageId root, Place place);
  void enter_page(PageId id, Frame frame);
  void check_page(Frame& frame);
  void add_bytes(Frame& frame, uint64_t bytes);
  void check_place(Frame& frame, uint32_t index, uint64_t key_offset);
  void check_key(Frame& frame, uint32_t index);
  void step_in_branch(Frame& frame);
  void step_in_leaf(Frame& frame);
  void check_item(Frame& frame, uint32_t index);
  void check_bucket(Frame& frame, Bytes key, Bytes value);
  void check_inline(const Frame& frame, const PageBucket& bucket, Bytes value);

  const ReadTx& tx_;
  const PageSet* const known_free_;
  const Pacer* const pacer_;
  PageSet reached_;
  std::vector<Frame> stack_;
  CheckReport report_;
};

// --- metas ---

void Checker::check_metas() {
  // Through the descriptor, since the mapping may show a page while it is being written.
  File& file = tx_.file()->file();
  char bytes[2][kMetaPageBytesUsed];
  MetaResult metas[2];
  for (int i = 0; i < kMetaReadsMax && !(metas[0].meta && metas[1].meta); i++) {
    for (uint64_t number = 0; number < 2; number++) {
      const size_t count = file.read(number * tx_.page_size(), bytes[number], kMetaPageBytesUsed);
      metas[number] = decode_meta(Bytes(bytes[number], count));
    }
  }
  for (uint64_t number = 0; number < 2; number++) {
    const PageHeader header = load_page_header(bytes[number]);
    const bool sound = header.id == number && header.flags == kMetaFlag;
    if (metas[number].meta && !sound) issue(PageId{number}, "the header of a meta page is damaged");
  }
  if (!tx_.meta().is_plausible()) {
    issue(PageId{value(tx_.meta().txid) % 2}, "the number of its transaction is out of range");
  }
  report_.has_fallback = metas[0].meta && metas[1].meta;
  if (report_.has_fallback) check_pair(*metas[0].meta, *metas[1].meta);
}

void Checker::check_pair(const Meta& first, const Meta& second) {
  if (first.page_size != second.page_size) issue(PageId{1}, "the metas differ in page size");
  const uint64_t low = std::min(value(first.txid), value(second.txid));
  const uint64_t high = std::max(value(first.txid), value(second.txid));
  // `bbolt surgery revert-meta-page` leaves two copies of one meta.
  const bool is_copy = first.checksum == second.checksum;
  if (!is_copy && high - low != 1)
    issue(PageId{0}, "the metas' transactions do not follow each other");
}

// Whoever believes the mark does not look whether a key names a nested bucket.
void Checker::check_mark() {
  const Meta& meta = tx_.meta();
  if (!meta.mark || !meta.mark->is_flat || report_.is_flat) return;
  issue(PageId{value(meta.txid) % 2}, "the mark denies that buckets are nested");
}

// --- freelist ---

std::optional<PageSet> Checker::find_free() {
  const Meta& meta = tx_.meta();
  if (!meta.freelist_stored()) {
    if (known_free_ == nullptr) return std::nullopt;
    return *known_free_;
  }
  std::optional<PageSet> free;
  const PageId id{meta.freelist};
  guarded(id, [&] {
    const Bytes run = tx_.run(id);
    claim_run(id, tx_.run_length(id));
    free = decode_freelist_page(id, run, meta.high_water);
  });
  return free;
}

void Checker::check_free(const PageSet& free) {
  report_.free_pages = free.count();
  const uint64_t size = reached_.size();
  for (uint64_t id = free.next_common(reached_, 0); id < size;
       id = free.next_common(reached_, id + 1)) {
    issue(PageId{id}, "free, but referenced");
    report_.free_pages--;
  }
  reached_.unite(free);
}

void Checker::check_all_accounted_for(bool free_is_known) {
  uint64_t missing = reached_.size() - reached_.count();
  if (!free_is_known) report_.free_pages += missing;
  if (!free_is_known || missing == 0) return;
  uint64_t id = reached_.next_missing(0);
  for (size_t i = 0; i < CheckReport::kIssuesMax && missing > 0; i++, missing--) {
    issue(PageId{id}, "neither referenced nor free");
    id = reached_.next_missing(id + 1);
  }
  report_.issue_count += missing;
}

// --- trees ---

// False if the first page belongs to something else already.
bool Checker::claim_run(PageId first, uint64_t page_count) {
  const uint64_t end = std::min(value(first) + page_count, reached_.size());
  const uint64_t count = end - std::min(value(first), end);
  const bool is_ours = !reached_.contains(value(first));
  report_.reachable_pages += count;
  for (uint64_t id = reached_.next(value(first)); id < end; id = reached_.next(id + 1)) {
    issue(PageId{id}, "referenced more than once");
    report_.reachable_pages--;
  }
  if (count > 0) reached_.add_run(value(first), count);
  return is_ours;
}

void Checker::check_trees() {
  guarded(tx_.meta().root, [&] { enter_tree(tx_.meta().root, Place::kRoot); });
  while (!stack_.empty()) {
    if (pacer_ != nullptr) pacer_->throw_if_cancelled();
    const PageId page = stack_.back().page.id();
    guarded(page, [&] { step(); });
  }
}

void Checker::step() {
  Frame& frame = stack_.back();
  if (frame.next == frame.page.count()) {
    stack_.pop_back();
  } else if (frame.page.is_leaf()) {
    step_in_leaf(frame);
  } else {
    step_in_branch(frame);
  }
}

void Checker::enter_tree(PageId root, Place place) {
  Frame frame;
  frame.place = place;
  frame.bucket_frame = stack_.size();
  enter_page(root, std::move(frame));
}

// `frame` may refer to the stack's own elements only by value: pushing moves them.
void Checker::enter_page(PageId id, Frame frame) {
  const uint64_t page_count = tx_.run_length(id);
  if (!claim_run(id, page_count)) return;
  frame.page = tx_.page(id);
  stack_.push_back(std::move(frame));
  check_page(stack_.back());
}

void Checker::check_page(Frame& frame) {
  const PageView& page = frame.page;
  if (page.count() > kElementsMax) issue(page.id(), "too many elements");
  if (frame.depth > report_.depth_max) report_.depth_max = frame.depth;
  if (frame.depth == kTreeDepthMax + 1) issue(page.id(), "the tree is too deep");
  if (!page.is_leaf()) return;
  unsigned& leaf_depth = stack_[frame.bucket_frame].leaf_depth;
  if (leaf_depth == 0) leaf_depth = frame.depth;
  if (leaf_depth != frame.depth) issue(page.id(), "leaves are not at equal depth");
  if (frame.place != Place::kInline) report_.leaf_bytes += page.run_size();
}

void Checker::step_in_branch(Frame& frame) {
  const uint32_t index = frame.next++;
  check_key(frame, index);
  Frame child;
  child.place = frame.place;
  child.depth = frame.depth + 1;
  child.bucket_frame = frame.bucket_frame;
  child.bounds.lower = frame.page.key(index);
  child.bounds.upper = frame.bounds.upper;
  if (index + 1 < frame.page.count()) child.bounds.upper = frame.page.key(index + 1);
  enter_page(frame.page.child(index), std::move(child));
}

void Checker::step_in_leaf(Frame& frame) {
  // Many steps at once: a frame that stays on top need not be looked up for each element.
  const size_t depth = stack_.size();
  while (frame.next < frame.page.count()) {
    const uint32_t index = frame.next++;
    check_item(frame, index);
    if (stack_.size() != depth) return;  // a bucket was entered; `frame` may have moved
  }
}

// Throws when elements overlap: then a small page could claim more bytes than anyone has time to
// compare.
void Checker::add_bytes(Frame& frame, uint64_t bytes) {
  const PageView& page = frame.page;
  frame.element_bytes += bytes;
  if (frame.element_bytes <= page.run_size() - array_bytes(page)) return;
  frame.next = page.count();
  throw_corrupt(page.id(), "its elements overlap");
}

// Whoever writes pages packs them: each key begins where what is before it ends. A wrong count,
// position or size gives itself away by that.
void Checker::check_place(Frame& frame, uint32_t index, uint64_t key_offset) {
  const PageView& page = frame.page;
  if (key_offset < array_bytes(page)) issue(page.id(), "a key lies in the element array");
  const uint64_t expected = index == 0 ? array_bytes(page) : frame.data_end;
  if (key_offset != expected) issue(page.id(), "its elements do not follow each other");
  frame.data_end = key_offset + page.key(index).size();
  if (page.is_leaf()) frame.data_end += page.value(index).size();
}

// Throws when the key's bytes are not where they should be.
void Checker::check_key(Frame& frame, uint32_t index) {
  const PageView& page = frame.page;
  const Bytes key = page.key(index);
  add_bytes(frame, key.size());
  check_place(frame, index, page.key_offset(index));
  if (key.empty()) issue(page.id(), "a key is empty");
  if (frame.key && key <= *frame.key) {
    issue(page.id(), "key " + hex(key) + " does not sort after " + hex(*frame.key));
  }
  if (frame.bounds.lower && key < *frame.bounds.lower) {
    issue(page.id(), "key " + hex(key) + " sorts before its branch " + hex(*frame.bounds.lower));
  }
  if (frame.bounds.upper && key >= *frame.bounds.upper) {
    issue(page.id(),
          "key " + hex(key) + " sorts after its branch's end " + hex(*frame.bounds.upper));
  }
  frame.key = key;
}

void Checker::check_item(Frame& frame, uint32_t index) {
  check_key(frame, index);
  const PageView& page = frame.page;
  const Bytes key = page.key(index);
  const Bytes value = page.value(index);
  add_bytes(frame, value.size());
  if (frame.place != Place::kInline) {
    report_.leaf_bytes_used += kElementSize + key.size() + value.size();
  }
  const uint32_t flags = page.element_flags(index);
  if ((flags & ~kBucketElementFlag) != 0) issue(page.id(), "an element has unknown flags");
  if (value.size() > kValueSizeMax) issue(page.id(), "a value is too large");
  if ((flags & kBucketElementFlag) != 0) return check_bucket(frame, key, value);
  if (key.size() > kKeySizeMax) issue(page.id(), "a key is too large");
  report_.key_count++;
  report_.key_bytes += key.size();
  report_.value_bytes += value.size();
}

void Checker::check_bucket(Frame& frame, Bytes key, Bytes value) {
  report_.bucket_count++;
  if (frame.place != Place::kRoot) report_.is_flat = false;
  const PageId page = frame.page.id();
  if (frame.place == Place::kInline)
    throw_corrupt(page, "an inline bucket holds bucket " + hex(key));
  const PageBucket bucket(tx_, value, page);
  if (bucket.is_inline()) return check_inline(frame, bucket, value);
  if (value.size() != kBucketHeaderSize)
    issue(page, "bucket " + hex(key) + " has more than a header");
  enter_tree(bucket.root_page(), Place::kBucket);
}

void Checker::check_inline(const Frame& frame, const PageBucket& bucket, Bytes value) {
  const PageId page = frame.page.id();
  const PageHeader header = load_page_header(value.data() + kBucketHeaderSize);
  if (header.id != 0 || header.overflow != 0)
    issue(page, "the page of an inline bucket is damaged");
  if (value.size() - kBucketHeaderSize > tx_.page_size() / 4)
    issue(page, "an inline bucket is too large");
  Frame inner;
  inner.page = bucket.top();
  inner.place = Place::kInline;
  inner.bucket_frame = stack_.size();
  stack_.push_back(std::move(inner));
  check_page(stack_.back());
}

}  // namespace

CheckReport check(const ReadTx& tx, const PageSet* free, const Pacer* pacer) {
  return Checker(tx, free, pacer).run();
}

}  // namespace hotbolt
