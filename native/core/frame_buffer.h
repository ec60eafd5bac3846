// Journal frames that wait to be written: their bytes in a row, behind room for a segment's header
// block. Large values are not among them: where one belongs between two bytes the buffer refers to
// it. See journal_reader.h for the format.
#pragma once

#include <string>
#include <vector>

#include "core/journal_reader.h"
#include "core/memory.h"
#include "core/op.h"

namespace hotbolt {

// Where a frame begins in a buffer, or the buffer's end.
struct FramePlace {
  size_t at = kSegmentBlockSize;  // in the bytes
  size_t value = 0;               // the first value that belongs behind it
  bool operator==(const FramePlace& other) const { return at == other.at; }
};

class FrameBuffer {
 public:
  bool empty() const { return bytes_.size() <= kSegmentBlockSize; }
  uint64_t size() const { return bytes_.size() + value_bytes_; }  // of everything
  // Room for a frame with this body: after it append() does not fail.
  void make_room(const Body& body);
  void append(Seq seq, const Body& body);
  // Forgets everything, and gives back all capacity, or that above `kept`.
  void clear(size_t kept);

  FramePlace begin() const { return {}; }
  FramePlace end() const { return {bytes_.size(), values_.size()}; }
  FramePlace behind(FramePlace frame) const;  // where the next one begins
  FrameHeader header(FramePlace frame) const { return load<FrameHeader>(bytes_.data() + frame.at); }
  void set_header(FramePlace frame, const FrameHeader& header) { store(&bytes_[frame.at], header); }
  uint32_t body_crc(FramePlace frame) const;
  // The block in front of a frame that nobody needs any more: frames before it are written.
  char* block_before(FramePlace frame) { return bytes_.data() + frame.at - kSegmentBlockSize; }

  // Calls `write` with the bytes from `from.at - before` to `to`, piece by piece.
  template <typename Write>
  void for_each_piece(FramePlace from, size_t before, FramePlace to, Write&& write) const {
    size_t at = from.at - before;
    for (size_t i = from.value; i < to.value; i++) {
      if (values_[i].at > at) write(Bytes(bytes_).substr(at, values_[i].at - at));
      write(values_[i].value.bytes);
      at = values_[i].at;
    }
    if (to.at > at) write(Bytes(bytes_).substr(at, to.at - at));
  }

 private:
  LargeString bytes_;
  std::vector<SharedValue> values_;
  uint64_t value_bytes_ = 0;
};

}  // namespace hotbolt
