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

#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/memory.h"
#include "core/value.h"

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
  Value value;
  uint64_t sequence = 0;
};

// A shared value of a body, and the offset in the text at which it belongs.
struct SharedValue {
  size_t at = 0;
  Value value;
};

// The bytes of operations: text, between whose bytes shared values belong.
struct Body {
  Body() = default;
  template <std::convertible_to<Bytes> Text>
  Body(const Text& text) : text(text) {}
  Body(Bytes text, std::span<const SharedValue> values) : text(text), values(values) {}
  size_t size() const;       // of all bytes
  std::string flat() const;  // all bytes in one piece

  Bytes text;
  std::span<const SharedValue> values;  // in order
};

// Appends operations to a body: each all of it, or, where memory is wanting, not at all. Large
// values become shared ones.
class OpWriter {
 public:
  void put(const BucketPath& path, Bytes key, const Value& value);
  void remove(const BucketPath& path, Bytes key);
  void create_bucket(const BucketPath& parent, Bytes name);
  void delete_bucket(const BucketPath& parent, Bytes name);
  void set_sequence(const BucketPath& path, uint64_t value);

  Body body() const { return {text_, values_}; }
  bool empty() const { return text_.empty(); }
  size_t count() const { return count_; }
  // Whether it does anything but remove.
  bool grows() const { return grows_; }
  // Forgets everything, keeps the capacity up to 1 MiB.
  void clear();

 private:
  void start(OpKind kind, const BucketPath& path, size_t bytes);
  void make_room(const BucketPath& path, size_t bytes);
  void append_bytes(Bytes bytes);
  LargeString text_;
  std::vector<SharedValue> values_;
  size_t count_ = 0;
  bool grows_ = false;
  // Where the newest spelled-out path stands in text_, so that the next op can be compared with its
  // bytes: a path that equals it is written as 0xFF. (Comparing addresses would be wrong as soon as
  // a path object is reused.)
  size_t last_path_ = 0;
  size_t last_path_size_ = 0;  // 0: none yet
};

// Walks a body. Views in the Op are valid until the next call and while the body lives.
// Throws ERR_JOURNAL_CORRUPT when the bytes do not follow the grammar or exceed a limit.
class OpReader {
 public:
  explicit OpReader(Body body) : OpReader(body, 0, {}) {}
  // Continues in a body that has grown since, from the same offset in its text.
  OpReader(Body body, size_t offset, BucketPath path);
  bool next(Op& op);
  const BucketPath& path() const { return path_; }

 private:
  size_t remaining() const { return body_.text.size() - offset_; }
  void take_path();
  uint8_t take_byte();
  uint64_t take_varint();
  Bytes take_bytes(size_t count);
  Bytes take_name(size_t limit);
  Value take_value();
  [[noreturn]] void fail(const char* what) const;

  const Body body_;
  size_t offset_ = 0;      // in the text
  size_t next_value_ = 0;  // the first shared value that belongs behind it
  BucketPath path_;
  bool has_path_ = false;  // an op before this one named a path
};

}  // namespace hotbolt
