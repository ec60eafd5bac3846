// See view_copier.h.
#include "core/view_copier.h"

#include "core/entered_buckets.h"
#include "core/tree_builder.h"

namespace hotbolt {

namespace {

constexpr uint64_t kEntriesPerReport = 256;

// The walk stands on an explicit stack of buckets: hostile nesting costs heap and no call stack.
class ViewCopier {
 public:
  ViewCopier(const View& view, Seq seq, WriteTx& tx, Pacer& pacer, CopyProgress& progress);
  PageId run();

 private:
  struct Frame {
    Frame(BucketView from, Bytes name, WriteTx& tx)
        : name(name), bucket(std::move(from)), cursor(bucket, {}, false), builder(tx) {}
    const Bytes name;
    const BucketView bucket;
    MergedCursor cursor;
    TreeBuilder builder;
  };

  void step(Frame& frame);
  void enter(const Frame& parent, Bytes name);
  void leave();
  void count(uint64_t bytes);

  const View& view_;
  WriteTx& tx_;
  Pacer& pacer_;
  CopyProgress& progress_;
  std::vector<std::unique_ptr<Frame>> frames_;
  EnteredBuckets entered_;
  uint64_t bytes_left_;
  uint64_t entries_ = 0;
};

ViewCopier::ViewCopier(const View& view, Seq seq, WriteTx& tx, Pacer& pacer, CopyProgress& progress)
    : view_(view),
      tx_(tx),
      pacer_(pacer),
      progress_(progress),
      entered_(*view.base),
      bytes_left_(view.base->meta().high_water * view.base->page_size()) {
  for (const auto& memtable : view.layers) bytes_left_ += memtable->bytes();
  frames_.push_back(std::make_unique<Frame>(BucketView::root(view, seq), Bytes(), tx));
}

PageId ViewCopier::run() {
  for (;;) {
    Frame& frame = *frames_.back();
    if (frame.cursor.valid()) {
      step(frame);
    } else if (frames_.size() == 1) {
      progress_.entries += entries_ % kEntriesPerReport;
      return frame.builder.finish_root();
    } else {
      leave();
    }
  }
}

void ViewCopier::step(Frame& frame) {
  MergedCursor& cursor = frame.cursor;
  if (cursor.is_bucket()) return enter(frame, cursor.key());
  const LeafEntry entry{cursor.key(), cursor.value(), false};
  count(entry.size());
  frame.builder.add(entry);
  cursor.next();
}

void ViewCopier::enter(const Frame& parent, Bytes name) {
  count(name.size());
  if (frames_.size() > 1) tx_.saw_nested_bucket();
  BucketView bucket = parent.bucket.child(name);
  entered_.enter(bucket);
  frames_.push_back(std::make_unique<Frame>(std::move(bucket), name, tx_));
}

void ViewCopier::leave() {
  const std::unique_ptr<Frame> done = std::move(frames_.back());
  frames_.pop_back();
  Frame& parent = *frames_.back();
  parent.builder.add_bucket(done->name, done->builder.finish(done->bucket.sequence()));
  parent.cursor.next();
}

// Entries that share their bytes could make the copy of a hostile file as large as the disk.
void ViewCopier::count(uint64_t bytes) {
  if (bytes > bytes_left_) throw_corrupt(view_.base->meta().root, "entries below it overlap");
  bytes_left_ -= bytes;
  if (++entries_ % kEntriesPerReport != 0) return;
  progress_.entries += kEntriesPerReport;
  progress_.bytes = tx_.sink().bytes_written();
  pacer_.throw_if_cancelled();
}

}  // namespace

PageId copy_view(const View& view, Seq seq, WriteTx& tx, Pacer& pacer, CopyProgress& progress) {
  return ViewCopier(view, seq, tx, pacer, progress).run();
}

}  // namespace hotbolt
