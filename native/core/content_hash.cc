// See content_hash.h.
#include "core/content_hash.h"

#include "core/entered_buckets.h"
#include "core/node.h"
#include "core/sha256.h"

namespace hotbolt {

namespace {

constexpr size_t kPieceSize = 1 << 20;  // between looks whether it is cancelled

// The walk stands on an explicit stack of buckets: hostile nesting costs heap and no call stack.
class ContentHasher {
 public:
  ContentHasher(const View& view, Seq seq, Pacer& pacer);
  std::string run();

 private:
  struct Frame {
    explicit Frame(BucketView from) : bucket(std::move(from)), cursor(bucket, {}, false) {}
    const BucketView bucket;
    MergedCursor cursor;
  };

  void step(Frame& frame);
  void enter(const Frame& parent, Bytes name);
  void leave();
  void count(uint64_t bytes);
  template <typename Integer>
  void add(Integer value);
  void add_bytes(Bytes bytes);

  const View& view_;
  Pacer& pacer_;
  std::vector<std::unique_ptr<Frame>> frames_;
  EnteredBuckets entered_;
  Sha256 hash_;
  uint64_t bytes_left_;
};

ContentHasher::ContentHasher(const View& view, Seq seq, Pacer& pacer)
    : view_(view),
      pacer_(pacer),
      entered_(*view.base),
      bytes_left_(view.base->meta().high_water * view.base->page_size()) {
  for (const auto& memtable : view.layers) bytes_left_ += memtable->bytes();
  frames_.push_back(std::make_unique<Frame>(BucketView::root(view, seq)));
}

std::string ContentHasher::run() {
  while (!frames_.empty()) {
    if (frames_.back()->cursor.valid()) {
      step(*frames_.back());
    } else {
      leave();
    }
  }
  view_.base->require_intact();
  return hex_digest(hash_.finish());
}

void ContentHasher::step(Frame& frame) {
  pacer_.throw_if_cancelled();
  MergedCursor& cursor = frame.cursor;
  if (cursor.is_bucket()) return enter(frame, cursor.key());
  const Bytes key = cursor.key();
  const Bytes value = cursor.value();
  count(key.size() + value.size());
  add('K');
  add(static_cast<uint32_t>(key.size()));
  add(static_cast<uint32_t>(value.size()));
  add_bytes(key);
  add_bytes(value);
  cursor.next();
}

void ContentHasher::enter(const Frame& parent, Bytes name) {
  count(name.size());
  BucketView bucket = parent.bucket.child(name);
  entered_.enter(bucket);
  add('B');
  add(static_cast<uint32_t>(name.size()));
  add(bucket.sequence());
  add_bytes(name);
  frames_.push_back(std::make_unique<Frame>(std::move(bucket)));
}

void ContentHasher::leave() {
  frames_.pop_back();
  if (frames_.empty()) return;
  add('E');
  frames_.back()->cursor.next();
}

void ContentHasher::count(uint64_t bytes) {
  bytes += kElementSize;
  if (bytes > bytes_left_) {
    throw Error(ErrorCode::ERR_CORRUPT, "the buckets of the file lead round in circles");
  }
  bytes_left_ -= bytes;
}

template <typename Integer>
void ContentHasher::add(Integer value) {
  char bytes[sizeof value];
  store(bytes, value);
  hash_.update({bytes, sizeof bytes});
}

void ContentHasher::add_bytes(Bytes bytes) {
  for (; bytes.size() > kPieceSize; bytes.remove_prefix(kPieceSize)) {
    hash_.update(bytes.substr(0, kPieceSize));
    pacer_.throw_if_cancelled();
  }
  hash_.update(bytes);
}

}  // namespace

std::string content_hash(const View& view, Seq seq, Pacer& pacer) {
  return ContentHasher(view, seq, pacer).run();
}

}  // namespace hotbolt
