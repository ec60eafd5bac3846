// See frame_buffer.h.
#include "core/frame_buffer.h"

#include <algorithm>

#include "core/checksum.h"
#include "core/give_back.h"

namespace hotbolt {

namespace {

constexpr size_t kPaddingMax = 7;

}  // namespace

void FrameBuffer::make_room(const Body& body) {
  const size_t taken = std::max(bytes_.size(), size_t{kSegmentBlockSize});
  const size_t needed = taken + sizeof(FrameHeader) + body.text.size() + kPaddingMax;
  if (needed > bytes_.capacity()) bytes_.reserve(std::max(needed, 2 * bytes_.capacity()));
  const size_t values = values_.size() + body.values.size();
  if (values > values_.capacity()) values_.reserve(std::max(values, 2 * values_.capacity()));
  if (bytes_.empty()) bytes_.resize(kSegmentBlockSize);
}

void FrameBuffer::append(Seq seq, const Body& body) {
  FrameHeader header;
  header.seq = seq;
  header.body_size = body.size();
  bytes_.append(reinterpret_cast<const char*>(&header), sizeof header);
  for (const auto& [at, value] : body.values) {
    values_.push_back({bytes_.size() + at, value});
    value_bytes_ += value.bytes.size();
  }
  bytes_.append(body.text);
  bytes_.append(frame_size(header.body_size) - sizeof header - header.body_size, '\0');
}

void FrameBuffer::clear(size_t kept) {
  if (bytes_.capacity() > kept) give_back(bytes_);
  bytes_.clear();
  values_.clear();
  if (kept == 0) give_back(values_);
  value_bytes_ = 0;
}

// A value belongs to the frame if it fits into what the header says the frame has.
FramePlace FrameBuffer::behind(FramePlace frame) const {
  FramePlace end{frame.at + frame_size(header(frame).body_size), frame.value};
  for (; end.value < values_.size(); end.value++) {
    const SharedValue& next = values_[end.value];
    if (next.at + next.value.bytes.size() > end.at) break;
    end.at -= next.value.bytes.size();
  }
  return end;
}

uint32_t FrameBuffer::body_crc(FramePlace frame) const {
  const FramePlace from{frame.at + sizeof(FrameHeader), frame.value};
  uint64_t left = header(frame).body_size;
  uint32_t crc = 0;
  for_each_piece(from, 0, behind(frame), [&](Bytes piece) {
    piece = piece.substr(0, left);  // not the padding
    crc = crc32c(piece, crc);
    left -= piece.size();
  });
  return crc;
}

}  // namespace hotbolt
