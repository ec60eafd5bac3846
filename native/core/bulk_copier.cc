// The walk over all buckets of the source. See bulk_copier.h; pages are packed by the TreeBuilder.
#include "core/bulk_copier.h"

#include "core/bucket.h"
#include "core/page_set.h"
#include "core/tree_builder.h"
#include "core/view_copier.h"

namespace hotbolt {

namespace {

// The walk stands on an explicit stack of buckets, each with a path of pages: hostile nesting costs
// heap, bounded by the file's size, and no call stack.
class Copier {
 public:
  Copier(const ReadTx& source, WriteTx& tx, Pacer& pacer, CopyProgress& progress)
      : source_(source), tx_(tx), pacer_(pacer), progress_(progress) {
    visited_.resize(source.meta().high_water);
  }
  // Returns the root page of the copy.
  PageId run();

 private:
  struct Position {
    PageView page;
    uint32_t index = 0;
    uint64_t bytes = 0;  // of the entries before index
  };
  struct Frame {
    explicit Frame(WriteTx& tx) : builder(tx) {}
    TreeBuilder builder;
    Bytes name;
    uint64_t sequence = 0;
    std::vector<Position> path;
  };

  void enter(Bytes name, const PageBucket& bucket);
  void leave();
  bool advance(Frame& frame);
  bool copy_leaf(Frame& frame, Position& leaf);
  void open_page(Frame& frame, PageId id);
  void report(uint64_t entries);

  const ReadTx& source_;
  WriteTx& tx_;
  Pacer& pacer_;
  CopyProgress& progress_;
  std::vector<std::unique_ptr<Frame>> frames_;  // those beyond depth_ wait to be used again
  size_t depth_ = 0;
  PageSet visited_;  // pages of the source: a bit each
};

PageId Copier::run() {
  enter({}, PageBucket::root(source_));
  for (;;) {
    Frame& frame = *frames_[depth_ - 1];
    if (!advance(frame)) continue;  // another frame is on top now
    if (depth_ == 1) return frame.builder.finish_root();
    leave();
  }
}

void Copier::enter(Bytes name, const PageBucket& bucket) {
  if (depth_ == frames_.size()) frames_.push_back(std::make_unique<Frame>(tx_));
  Frame& frame = *frames_[depth_++];
  frame.name = name;
  frame.sequence = bucket.sequence();
  if (bucket.is_inline()) {
    frame.path.push_back({bucket.top()});
  } else {
    open_page(frame, bucket.root_page());
  }
}

void Copier::leave() {
  Frame& frame = *frames_[--depth_];
  frames_[depth_ - 1]->builder.add_bucket(frame.name, frame.builder.finish(frame.sequence));
}

void Copier::open_page(Frame& frame, PageId id) {
  if (frame.path.size() >= kTreeDepthMax) throw_corrupt(id, "a tree is too deep");
  const PageView page = source_.page(id);
  if (visited_.contains(value(id))) throw_corrupt(id, "it is reached twice");
  visited_.add(value(id));
  frame.path.push_back({page});
}

// Goes on to the end of the bucket (true) or into a nested one (false).
bool Copier::advance(Frame& frame) {
  while (!frame.path.empty()) {
    Position& top = frame.path.back();
    if (top.page.is_leaf()) {
      if (!copy_leaf(frame, top)) return false;
      frame.path.pop_back();
    } else if (top.index < top.page.count()) {
      open_page(frame, top.page.child(top.index++));
    } else {
      frame.path.pop_back();
    }
  }
  return true;
}

bool Copier::copy_leaf(Frame& frame, Position& leaf) {
  const PageView& page = leaf.page;
  const uint32_t begin = leaf.index;
  frame.builder.reading(page.id());
  while (leaf.index < page.count()) {
    const uint32_t index = leaf.index++;
    const LeafEntry entry{page.key(index), page.value(index), page.is_bucket(index)};
    count_entry(page, entry, leaf.bytes);
    if (entry.is_bucket) {
      if (depth_ > 1) tx_.saw_nested_bucket();
      report(leaf.index - begin);
      enter(entry.key, PageBucket(source_, entry.value, page.id()));
      return false;
    }
    frame.builder.add(entry);
  }
  report(leaf.index - begin);
  return true;
}

void Copier::report(uint64_t entries) {
  progress_.entries.fetch_add(entries, std::memory_order_relaxed);
  progress_.bytes.store(tx_.sink().bytes_written(), std::memory_order_relaxed);
  pacer_.throw_if_cancelled();
}

// `copy` returns the root page.
template <typename Copy, typename Commit>
Meta copy_and_commit(const std::shared_ptr<PageFile>& target, double fill, Pacer& pacer,
                     CopyProgress& progress, Copy copy, Commit commit) {
  WriteTx tx(target, pacer, {fill});
  const PageId old_root = tx.base().meta().root;
  tx.free(old_root, tx.base().run(old_root).size() / tx.page_size());
  tx.sees_all_buckets();
  copy(tx);
  const Meta meta = commit(tx);
  target->trim();
  progress.bytes.store(tx.sink().bytes_written(), std::memory_order_relaxed);
  return meta;
}

}  // namespace

Meta bulk_copy(const ReadTx& source, std::shared_ptr<PageFile> target, Mark mark, double fill,
               Pacer& pacer, CopyProgress& progress) {
  const auto copy = [&](WriteTx& tx) {
    const PageId root = Copier(source, tx, pacer, progress).run();
    tx.set_root(root, source.meta().root_sequence);
    source.require_intact();
  };
  const auto commit = [&](WriteTx& tx) { return tx.commit(mark); };
  return copy_and_commit(target, fill, pacer, progress, copy, commit);
}

Meta bulk_copy_unmarked(const View& source, Seq seq, std::shared_ptr<PageFile> target, double fill,
                        Pacer& pacer, CopyProgress& progress) {
  const ReadTx& base = *source.base;
  const auto copy = [&](WriteTx& tx) {
    const PageId root = source.layers.empty() ? Copier(base, tx, pacer, progress).run()
                                              : copy_view(source, seq, tx, pacer, progress);
    tx.set_root(root, BucketView::root(source, seq).sequence());
    base.require_intact();
  };
  const auto commit = [](WriteTx& tx) { return tx.commit_unmarked(); };
  return copy_and_commit(target, fill, pacer, progress, copy, commit);
}

}  // namespace hotbolt
