// Applies operations to the newest memtable of a view: finds or creates the tables of the buckets
// on the path, and proves that a name is not a bucket where a key is meant and the reverse. Owner
// thread of the memtable.
#pragma once

#include "core/view.h"

namespace hotbolt {

class MemtableWriter {
 public:
  // `view.layers[0]` is `target`. With `is_flat` no bucket but the root holds buckets, so that a
  // put into a bucket of the root need not look whether its key names one.
  MemtableWriter(const View& view, Memtable& target) : view_(view), target_(target) {}

  // The table of the bucket at `path` in the target. Buckets that do not exist are created when
  // `create`, else nullptr. Throws ERR_INCOMPATIBLE_VALUE when a name on the path has a value.
  // `changed` is set when a table was made.
  BucketTable* table(const BucketPath& path, bool create, Seq seq, bool& changed);

  // Throws ERR_INCOMPATIBLE_VALUE when a name on the path is a key. table() proves it too, but only
  // while it makes tables.
  void require_buckets(const BucketPath& path) const;
  // Throws ERR_INCOMPATIBLE_VALUE when `key` is a bucket.
  void require_no_bucket(const BucketPath& path, Bytes key) const;
  // Throws ERR_BUCKET_EXISTS or ERR_INCOMPATIBLE_VALUE; ERR_BUCKET_NOT_FOUND or
  // ERR_INCOMPATIBLE_VALUE.
  void require_missing(const BucketPath& parent, Bytes name) const;
  void require_bucket(const BucketPath& parent, Bytes name) const;

  // One operation with all its proofs (`check` false: those that need a lookup are left out).
  void apply(const Op& op, Seq seq, Seq pinned, bool check, bool& changed);

 private:
  const View& view_;
  Memtable& target_;
};

// Throws ERR_KEY_REQUIRED, ERR_KEY_TOO_LARGE, ERR_VALUE_TOO_LARGE. Bucket names have no upper bound
// in bbolt; ours share the key's.
void require_key(Bytes key);
void require_value(Bytes value);

}  // namespace hotbolt
