// One logical operation, and its bytes: what a journal frame's body is made of.
//
//   body  := op+                                            one transaction
//   op    := kind:u8 path rest
//   path  := 0xFF                                           the same bucket as the op before
//          | depth:u8(0..254) (length:varint bytes)*        names from the root; 0: the root
//   rest  := put             key:(varint bytes) value:(varint bytes)
//          | remove          key
//          | create-bucket   name                           only if it did not exist at the call
//          | delete-bucket   name
//          | set-sequence    value:u64le
//   varint is LEB128, at most 5 bytes.
//
// put, remove and set-sequence create the buckets on their path that do not exist yet (remove does
// not: on a missing bucket it does nothing).
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/bytes.h"

namespace hotbolt {

inline constexpr size_t kKeySizeMax = 32768;
inline constexpr size_t kNameSizeMax = 16 << 20;  // of a bucket; bbolt has no bound
inline constexpr size_t kValueSizeMax = 2147483646;
inline constexpr size_t kDepthMax = 254;  // buckets inside buckets that one path may name

enum class OpKind : uint8_t {
  kPut = 1,
  kRemove = 2,
  kCreateBucket = 3,
  kDeleteBucket = 4,
  kSetSequence = 5
};

// Names from the root bucket down; empty is the root bucket.
using BucketPath = std::vector<std::string>;

struct Op {
  OpKind kind = OpKind::kPut;
  const BucketPath* path = nullptr;  // the bucket that is changed; for create and delete the parent
  Bytes key;                         // or the bucket's name
  Bytes value;
  uint64_t sequence = 0;
};

// Appends operations to a body: each all of it, or, where memory is wanting, not at all.
class OpWriter {
 public:
  void put(const BucketPath& path, Bytes key, Bytes value);
  void remove(const BucketPath& path, Bytes key);
  void create_bucket(const BucketPath& parent, Bytes name);
  void delete_bucket(const BucketPath& parent, Bytes name);
  void set_sequence(const BucketPath& path, uint64_t value);

  const std::string& body() const { return body_; }
  bool empty() const { return body_.empty(); }
  // Whether it does anything but remove.
  bool grows() const { return grows_; }
  // Forgets everything, keeps the capacity up to 1 MiB.
  void clear();

 private:
  void start(OpKind kind, const BucketPath& path, size_t bytes);
  void make_room(const BucketPath& path, size_t bytes);
  void append_bytes(Bytes bytes);
  std::string body_;
  bool grows_ = false;
  // Where the newest spelled-out path stands in body_, so that the next op can be compared with its
  // bytes: a path that equals it is written as 0xFF. (Comparing addresses would be wrong as soon as
  // a path object is reused.)
  size_t last_path_ = 0;
  size_t last_path_size_ = 0;  // 0: none yet
};

// Walks a body. Views in the Op are valid until the next call and while the body lives.
// Throws ERR_JOURNAL_CORRUPT when the bytes do not follow the grammar or exceed a limit.
class OpReader {
 public:
  explicit OpReader(Bytes body) : OpReader(body, 0, {}) {}
  // Continues in a body that has grown since, from the same offset.
  OpReader(Bytes body, size_t offset, BucketPath path)
      : body_(body), offset_(offset), path_(std::move(path)), has_path_(offset > 0) {}
  bool next(Op& op);
  const BucketPath& path() const { return path_; }
  size_t remaining() const { return body_.size() - offset_; }

 private:
  void take_path();
  uint8_t take_byte();
  uint64_t take_varint();
  Bytes take_bytes(size_t count);
  Bytes take_name(size_t limit);
  Bytes take_value();
  [[noreturn]] void fail(const char* what) const;

  Bytes body_;
  size_t offset_ = 0;
  BucketPath path_;
  bool has_path_ = false;  // an op before this one named a path
};

}  // namespace hotbolt
