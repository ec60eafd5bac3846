// One state of a database: memtables over a page file, and reading through all of them at a
// sequence number.
//
// A View is immutable as a list (which memtables, which page file state); the newest memtable of it
// may still be written by the owner, which readers at an older sequence number do not notice. Owner
// thread, except views of sealed memtables only.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "core/bucket.h"
#include "core/cursor.h"
#include "core/op.h"
#include "core/overlay.h"

namespace hotbolt {

struct View {
  std::vector<std::shared_ptr<const Memtable>> layers;  // newest first
  std::shared_ptr<const ReadTx> base;
  // What a transaction has written itself, above all layers; else null.
  std::shared_ptr<const Memtable> own{};

  std::vector<const Memtable*> pointers() const;  // of the layers
};

// Up to which transaction the layers are read, and up to which version a transaction's own
// memtable.
struct ReadAt {
  ReadAt(Seq seq, Seq own = kSeqMax) : seq(seq), own(own) {}
  Seq seq;
  Seq own;
};

enum class NameKind : uint8_t { kMissing, kValue, kBucket };

// One bucket of a view at a sequence number. Valid while the view lives and, for a view whose
// newest memtable is being written, until a bucket is created, deleted or touched for the first
// time.
class BucketView {
 public:
  BucketView() = default;
  static BucketView root(const View& view, ReadAt at);
  static BucketView at(const View& view, ReadAt at, const BucketPath& path);
  // The bucket `name` inside this one; one that does not exist is empty.
  BucketView child(Bytes name) const;

  bool exists() const { return exists_; }
  NameKind kind(Bytes name) const;
  // Whether kind() would say kBucket. Looks into no memtable unless one knows buckets in here.
  bool has_bucket(Bytes name) const;
  // nullopt: missing, or a bucket. The bytes live as long as the view; a value may be damaged
  // behind its first bytes, which require_intact() finds out after it has been copied.
  std::optional<Bytes> get(Bytes key) const;
  uint64_t sequence() const;
  // To be called when bytes of a value, or of a cursor over this bucket, have been used: see
  // ReadTx.
  void require_intact() const {
    if (page_) page_->tx()->require_intact();
  }

  const Overlay& overlay() const { return overlay_; }
  const std::optional<PageBucket>& page() const { return page_; }

 private:
  Overlay overlay_;
  std::optional<PageBucket> page_;  // unless the overlay hides it
  bool exists_ = false;
};

struct Bounds {
  std::optional<std::string> lower;
  bool lower_inclusive = true;
  std::optional<std::string> upper;
  bool upper_inclusive = false;
};

// Walks one bucket in key order, memtables and page file merged, within bounds, forwards or
// backwards. Requires: the BucketView and its View outlive it.
class MergedCursor {
 public:
  MergedCursor(const BucketView& bucket, const Bounds& bounds, bool reverse);
  bool valid() const { return source_ != Source::kNone; }
  void next();  // in the cursor's direction
  // Goes on to the end, or until `limit` entries or a leaf more have gone by, and returns how many
  // keys that were. Looks at no key that the page file alone decides. REQUIRES: forwards.
  uint64_t count_keys(uint64_t limit);
  Bytes key() const { return source_ == Source::kPage ? page_->key() : overlay_.key(); }
  Bytes value() const {
    return source_ == Source::kPage ? page_->value() : overlay_.version().value();
  }
  bool is_bucket() const {
    return source_ == Source::kPage ? page_->is_bucket() : overlay_.version().is_bucket();
  }

 private:
  enum class Source : uint8_t { kNone, kPage, kOverlay };
  void start();
  void settle();  // finds the entry that decides at the current positions
  void advance_overlay() { reverse_ ? overlay_.prev() : overlay_.next(); }
  void advance_page() { reverse_ ? page_->prev() : page_->next(); }
  bool in_bounds(Bytes key) const;

  OverlayCursor overlay_;
  std::optional<PageCursor> page_;
  const Bounds bounds_;
  const bool reverse_;
  bool both_ = false;  // the page file has the overlay's key too
  Source source_ = Source::kNone;
};

}  // namespace hotbolt
