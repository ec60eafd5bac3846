// What a transaction has read, and whether it would read the same in another state.
//
// A read counts if what others write can change its result. What the transaction's own writes had
// decided by then does not: a key that it had put, all of a bucket that it had deleted. So the
// proof looks at the state below those writes, before and after, and leaves out what they cover.
//
// Memory: the reads are a log of bytes. Beyond kReadBytesMax the single reads of a bucket become
// one range from the least to the greatest of them; if that is not enough, everything has been
// read. Then an update may be run again because of what it has not read; never is a change missed.
#pragma once

#include <map>

#include "core/view.h"

namespace hotbolt {

inline constexpr size_t kReadBytesMax = 16 << 20;

// What of the entries within bounds was read, of keys (not buckets) unless it says otherwise.
enum class RangeKind : uint8_t { kEntries, kKeys, kCount, kBuckets, kEverything };

struct RangeRead {
  RangeKind kind;
  Bounds bounds;
  Seq own;  // the version of the transaction's own memtable over which it was read
};

// What a transaction's own memtable says of a bucket by itself, whatever lies below.
class OwnBucket {
 public:
  OwnBucket(const Memtable* own, Seq seq, const BucketPath& path);  // null: says nothing
  // Nothing that others have in the bucket is seen.
  bool hides() const { return hides_; }
  bool decides_existence() const { return hides_ || created_; }
  bool decides_sequence() const;
  bool decides(Bytes key) const;        // its value
  bool decides_name(Bytes name) const;  // whether it is a bucket

 private:
  const Version* find(Bytes name) const;
  const BucketTable* table_ = nullptr;
  const Seq seq_;
  bool hides_ = false;
  bool created_ = false;
};

// A state below a transaction's own writes.
struct StateBelow {
  const View& view;
  Seq seq;
};

class ReadSet {
 public:
  void value(const BucketPath& path, Bytes key) { note(Kind::kValue, path, key); }
  // Whether it is a key, a bucket or neither.
  void name(const BucketPath& path, Bytes name) { note(Kind::kName, path, name); }
  void existence(const BucketPath& path) { note(Kind::kExistence, path, {}); }
  void sequence(const BucketPath& path) { note(Kind::kSequence, path, {}); }
  void range(const BucketPath& path, const RangeRead& read);
  // Where memory is wanting for what was read.
  void everything() noexcept;

  // Of memory, about; at most kReadBytesMax and one read.
  size_t bytes() const { return log_.size() + path_bytes_; }

  // Whether everything reads the same in both. `own`: the transaction's writes, or null.
  bool holds(const StateBelow& before, const StateBelow& after, const Memtable* own) const;

 private:
  enum class Kind : uint8_t { kValue, kName, kExistence, kSequence, kRange };
  class Log;
  class Comparison;
  struct Hull;
  void note(Kind kind, const BucketPath& path, Bytes detail);
  void append(Kind kind, uint32_t path, Bytes detail);
  uint32_t path_id(const BucketPath& path);
  void coarsen();

  std::string log_;
  std::map<BucketPath, uint32_t> ids_;
  std::vector<const BucketPath*> paths_;  // by id
  uint32_t last_id_ = 0;
  size_t path_bytes_ = 0;
  bool everything_ = false;
};

}  // namespace hotbolt
