// Applies operations to the newest memtable of a view: finds or creates the tables of the buckets
// on the path, and proves that a name is not a bucket where a key is meant and the reverse. Owner
// thread of the memtable.
#pragma once

#include "core/view.h"

namespace hotbolt {

// A view as it is read: what an operation is checked against.
struct ViewAt {
  const View& view;
  ReadAt at = kSeqMax;
  BucketView root() const { return BucketView::root(view, at); }
  BucketView bucket(const BucketPath& path) const { return BucketView::at(view, at, path); }
};

// Proofs that an operation applies. Each throws ERR_INCOMPATIBLE_VALUE when a name is a key where a
// bucket is meant, or the reverse.
//
// Every name on the path is a bucket, or may be made one: ERR_KEY_TOO_LARGE when its name is too
// long for a new bucket (bbolt has no limit there: such buckets are read and written, but not
// made).
void require_buckets(const ViewAt& view, const BucketPath& path);
void require_no_bucket(const BucketView& bucket, Bytes key);
void require_missing(const ViewAt& view, const BucketPath& parent,
                     Bytes name);  // ERR_BUCKET_EXISTS
void require_bucket(const ViewAt& view, const BucketPath& parent,
                    Bytes name);  // ERR_BUCKET_NOT_FOUND

// Whether the error says that an operation does not apply, and not that it could not be found out.
bool does_not_apply(const Error& error);

class MemtableWriter {
 public:
  // `target` is the newest memtable of the view; decisions are made by what is visible at `at`.
  MemtableWriter(const View& view, Memtable& target, ReadAt at = kSeqMax)
      : view_{view, at}, target_(target) {}

  // The table of the bucket at `path` in the target. Buckets that do not exist are created when
  // `create`, else nullptr. `changed` is set when a table was made. Requires: require_buckets().
  BucketTable* table(const BucketPath& path, bool create, Seq seq, bool& changed);

  // One operation; with `check` all its proofs, else those only that cost no lookup of their own.
  void apply(const Op& op, Seq seq, Seq pinned, bool check, bool& changed);

 private:
  const ViewAt view_;
  Memtable& target_;
};

// Throws ERR_KEY_REQUIRED, ERR_KEY_TOO_LARGE, ERR_VALUE_TOO_LARGE. Bucket names have no upper bound
// in bbolt; ours share the key's.
void require_key(Bytes key);
void require_value(Bytes value);

}  // namespace hotbolt
