// Encoding and decoding of operations. The reader meets bytes from a disk: every length is checked
// before it is used.
#include "core/op.h"

#include <algorithm>

#include "core/error.h"

namespace hotbolt {

namespace {

constexpr char kSamePath = static_cast<char>(0xFF);
constexpr size_t kBodyCapacityKept = 1 << 20;
constexpr size_t kVarintSizeMax = 10;
constexpr size_t kOpOverheadMax = 2 + 2 * kVarintSizeMax;  // kind, depth, two lengths

void append_varint(std::string& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to += static_cast<char>(value | 0x80);
  to += static_cast<char>(value);
}

}  // namespace

void OpWriter::append_bytes(Bytes bytes) {
  append_varint(body_, bytes.size());
  body_.append(bytes);
}

void OpWriter::start(OpKind kind, const BucketPath& path, size_t bytes) {
  HOTBOLT_ASSERT(path.size() <= kDepthMax);
  make_room(path, bytes);
  grows_ = grows_ || (kind != OpKind::kRemove && kind != OpKind::kDeleteBucket);
  body_ += static_cast<char>(kind);
  const size_t begin = body_.size();
  body_ += static_cast<char>(path.size());
  for (const std::string& name : path) append_bytes(name);
  const size_t size = body_.size() - begin;
  const char* spelled = body_.data() + begin;
  if (size == last_path_size_ && std::memcmp(spelled, body_.data() + last_path_, size) == 0) {
    body_.resize(begin);
    body_ += kSamePath;
  } else {
    last_path_ = begin;
    last_path_size_ = size;
  }
}

// Room for everything before the first byte: an operation that was cut off must not be committed.
void OpWriter::make_room(const BucketPath& path, size_t bytes) {
  size_t needed = body_.size() + kOpOverheadMax + bytes;
  for (const std::string& name : path) needed += kVarintSizeMax + name.size();
  if (needed > body_.capacity()) body_.reserve(std::max(needed, 2 * body_.capacity()));
}

void OpWriter::put(const BucketPath& path, Bytes key, Bytes value) {
  start(OpKind::kPut, path, key.size() + value.size());
  append_bytes(key);
  append_bytes(value);
}

void OpWriter::remove(const BucketPath& path, Bytes key) {
  start(OpKind::kRemove, path, key.size());
  append_bytes(key);
}

void OpWriter::create_bucket(const BucketPath& parent, Bytes name) {
  start(OpKind::kCreateBucket, parent, name.size());
  append_bytes(name);
}

void OpWriter::delete_bucket(const BucketPath& parent, Bytes name) {
  start(OpKind::kDeleteBucket, parent, name.size());
  append_bytes(name);
}

void OpWriter::set_sequence(const BucketPath& path, uint64_t value) {
  start(OpKind::kSetSequence, path, sizeof value);
  char bytes[sizeof value];
  store(bytes, value);
  body_.append(bytes, sizeof bytes);
}

void OpWriter::clear() {
  if (body_.capacity() > kBodyCapacityKept) {
    body_ = std::string();
  } else {
    body_.clear();
  }
  grows_ = false;
  last_path_ = 0;
  last_path_size_ = 0;
}

void OpReader::fail(const char* what) const {
  throw Error(ErrorCode::ERR_JOURNAL_CORRUPT,
              std::string(what) + " at byte " + std::to_string(offset_) + " of a transaction of " +
                  std::to_string(body_.size()) + " bytes");
}

uint8_t OpReader::take_byte() {
  if (remaining() == 0) fail("an operation is cut off");
  return static_cast<uint8_t>(body_[offset_++]);
}

uint64_t OpReader::take_varint() {
  uint64_t value = 0;
  for (int shift = 0; shift < 35; shift += 7) {
    const uint8_t byte = take_byte();
    value |= static_cast<uint64_t>(byte & 0x7F) << shift;
    if (byte < 0x80) return value;
  }
  fail("a length takes more than 5 bytes");
}

Bytes OpReader::take_bytes(size_t count) {
  if (count > remaining()) fail("a length reaches beyond the end");
  const Bytes bytes = body_.substr(offset_, count);
  offset_ += count;
  return bytes;
}

// A key or the name of a bucket.
Bytes OpReader::take_name(size_t limit) {
  const uint64_t size = take_varint();
  if (size == 0 || size > limit) fail("a key or name has an impossible length");
  return take_bytes(size);
}

Bytes OpReader::take_value() {
  const uint64_t size = take_varint();
  if (size > kValueSizeMax) fail("a value has an impossible length");
  return take_bytes(size);
}

void OpReader::take_path() {
  const uint8_t depth = take_byte();
  if (depth == static_cast<uint8_t>(kSamePath)) {
    if (!has_path_) fail("the first operation names no bucket");
    return;
  }
  path_.resize(depth);
  for (std::string& name : path_) name.assign(take_name(kNameSizeMax));
  has_path_ = true;
}

bool OpReader::next(Op& op) {
  if (remaining() == 0) return false;
  const uint8_t kind = take_byte();
  if (kind < 1 || kind > 5) fail("an unknown kind of operation");
  op = Op{};
  op.kind = static_cast<OpKind>(kind);
  take_path();
  op.path = &path_;
  if (op.kind == OpKind::kSetSequence) {
    op.sequence = load<uint64_t>(take_bytes(sizeof(uint64_t)).data());
  } else {
    const bool is_key = op.kind == OpKind::kPut || op.kind == OpKind::kRemove;
    op.key = take_name(is_key ? kKeySizeMax : kNameSizeMax);
    if (op.kind == OpKind::kPut) op.value = take_value();
  }
  return true;
}

}  // namespace hotbolt
