// Encoding and decoding of operations. The reader meets bytes from a disk: every length is checked
// before it is used.
#include "core/op.h"

#include <algorithm>

#include "core/error.h"
#include "core/give_back.h"

namespace hotbolt {

namespace {

constexpr char kSamePath = static_cast<char>(0xFF);
constexpr size_t kBodyCapacityKept = 1 << 20;
constexpr size_t kVarintSizeMax = 10;
constexpr size_t kOpOverheadMax = 2 + 2 * kVarintSizeMax;  // kind, depth, two lengths

void append_varint(LargeString& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to += static_cast<char>(value | 0x80);
  to += static_cast<char>(value);
}

}  // namespace

size_t Body::size() const {
  size_t size = text.size();
  for (const SharedValue& shared : values) size += shared.value.bytes.size();
  return size;
}

std::string Body::flat() const {
  std::string all;
  all.reserve(size());
  size_t from = 0;
  for (const auto& [at, value] : values) {
    all.append(text, from, at - from).append(value.bytes);
    from = at;
  }
  return all.append(text, from);
}

void OpWriter::append_bytes(Bytes bytes) {
  append_varint(text_, bytes.size());
  text_.append(bytes);
}

void OpWriter::start(OpKind kind, const BucketPath& path, size_t bytes) {
  HOTBOLT_ASSERT(path.size() <= kDepthMax);
  make_room(path, bytes);
  count_++;
  grows_ = grows_ || (kind != OpKind::kRemove && kind != OpKind::kDeleteBucket);
  text_ += static_cast<char>(kind);
  const size_t begin = text_.size();
  text_ += static_cast<char>(path.size());
  for (const std::string& name : path) append_bytes(name);
  const size_t size = text_.size() - begin;
  const char* spelled = text_.data() + begin;
  if (size == last_path_size_ && std::memcmp(spelled, text_.data() + last_path_, size) == 0) {
    text_.resize(begin);
    text_ += kSamePath;
  } else {
    last_path_ = begin;
    last_path_size_ = size;
  }
}

// Room for everything before the first byte: an operation that was cut off must not be committed.
void OpWriter::make_room(const BucketPath& path, size_t bytes) {
  size_t needed = text_.size() + kOpOverheadMax + bytes;
  for (const std::string& name : path) needed += kVarintSizeMax + name.size();
  if (needed > text_.capacity()) text_.reserve(std::max(needed, 2 * text_.capacity()));
}

void OpWriter::put(const BucketPath& path, Bytes key, const Value& value) {
  const Value kept = value.kept();
  if (kept.is_shared() && values_.size() == values_.capacity()) {
    values_.reserve(2 * values_.size() + 1);
  }
  start(OpKind::kPut, path, key.size() + (kept.is_shared() ? 0 : kept.bytes.size()));
  append_bytes(key);
  if (!kept.is_shared()) return append_bytes(kept.bytes);
  append_varint(text_, kept.bytes.size());
  values_.push_back({text_.size(), kept});
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
  text_.append(bytes, sizeof bytes);
}

void OpWriter::clear() {
  if (text_.capacity() > kBodyCapacityKept) {
    give_back(text_);
  } else {
    text_.clear();
  }
  values_.clear();
  count_ = 0;
  grows_ = false;
  last_path_ = 0;
  last_path_size_ = 0;
}

OpReader::OpReader(Body body, size_t offset, BucketPath path)
    : body_(body), offset_(offset), path_(std::move(path)), has_path_(offset > 0) {
  // A value that belongs at the offset itself ends the operation before.
  const auto behind = [](size_t at, const SharedValue& shared) { return at < shared.at; };
  const auto next = std::upper_bound(body_.values.begin(), body_.values.end(), offset, behind);
  next_value_ = static_cast<size_t>(next - body_.values.begin());
}

void OpReader::fail(const char* what) const {
  throw Error(ErrorCode::ERR_JOURNAL_CORRUPT,
              std::string(what) + " at byte " + std::to_string(offset_) + " of a transaction of " +
                  std::to_string(body_.text.size()) + " bytes");
}

uint8_t OpReader::take_byte() {
  if (remaining() == 0) fail("an operation is cut off");
  return static_cast<uint8_t>(body_.text[offset_++]);
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
  const Bytes bytes = body_.text.substr(offset_, count);
  offset_ += count;
  return bytes;
}

// A key or the name of a bucket.
Bytes OpReader::take_name(size_t limit) {
  const uint64_t size = take_varint();
  if (size == 0 || size > limit) fail("a key or name has an impossible length");
  return take_bytes(size);
}

Value OpReader::take_value() {
  const uint64_t size = take_varint();
  if (size > kValueSizeMax) fail("a value has an impossible length");
  if (next_value_ == body_.values.size() || body_.values[next_value_].at != offset_) {
    return take_bytes(size);
  }
  return body_.values[next_value_++].value;
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
