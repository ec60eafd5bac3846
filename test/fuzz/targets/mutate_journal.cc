// Mutations of a journal's segments: headers, frames and what is in them; then the chain of
// checksums is made right, mostly, so that what lies behind it is reached.
#include <algorithm>

#include "core/checksum.h"
#include "core/journal_reader.h"
#include "mutator.h"

namespace hotbolt::fuzz {

namespace {

class SegmentMutation {
 public:
  SegmentMutation(char* bytes, uint64_t size, Dice& dice, const BlindMutation& blind)
      : bytes_(bytes), size_(size), dice_(dice), blind_(blind) {
    for (uint64_t at = kSegmentBlockSize; at + sizeof(FrameHeader) <= size;) {
      const auto header = load<FrameHeader>(bytes + at);
      const uint64_t room = size - at - sizeof(FrameHeader);
      if (header.magic != kFrameMagic || header.body_size > room) break;
      frames_.push_back(at);
      at += frame_size(header.body_size);
    }
  }

  void run() {
    if (size_ < kSegmentBlockSize + sizeof(FrameHeader)) return blind_(bytes_, size_);
    for (uint64_t i = dice_.below(3) + 1; i > 0; i--) step();
  }

 private:
  void step() {
    switch (dice_.below(9)) {
      case 0:
        return header();
      case 1:
      case 2:
        return frame();
      case 3:
      case 4:
      case 5:
        return body();
      case 6:
        return copy();
      case 7:
        return renumber();
      default:
        return blind_(bytes_ + dice_.below(size_ - 16), 16);
    }
  }

  char* any_frame() {
    const uint64_t at = frames_.empty() ? kSegmentBlockSize : frames_[dice_.below(frames_.size())];
    return bytes_ + at;
  }
  template <typename Integer>
  void set(char* at, uint64_t value) {
    store(at, static_cast<Integer>(value));
  }

  // Both copies, mostly.
  void header() {
    static constexpr size_t kFields[] = {32, 40, 48, 56, 64};
    const size_t field = kFields[dice_.below(5)];
    const uint64_t value = dice_.number(64, load<uint64_t>(bytes_ + field));
    if (dice_.one_in(6)) return blind_(bytes_, sizeof(SegmentHeader));
    set<uint64_t>(bytes_ + field, value);
    if (!dice_.one_in(6)) set<uint64_t>(bytes_ + kSegmentCopyOffset + field, value);
  }

  void frame() {
    char* const at = any_frame();
    const auto header = load<FrameHeader>(at);
    switch (dice_.below(4)) {
      case 0:
        return set<uint64_t>(at + 8, dice_.number(64, header.seq));
      case 1:
        return set<uint64_t>(at + 16, dice_.number(64, header.seq));
      case 2:
        return set<uint64_t>(at + 24, dice_.number(64, header.body_size));
      default:
        return set<uint32_t>(at, dice_.one_in(2) ? kFrameMagic : dice_.number(32, 0));
    }
  }

  void body() {
    char* const at = any_frame();
    const auto room = static_cast<uint64_t>(bytes_ + size_ - at) - sizeof(FrameHeader);
    const uint64_t size = std::min(load<FrameHeader>(at).body_size, room);
    char* const body = at + sizeof(FrameHeader);
    if (size == 0) return;
    switch (dice_.below(4)) {
      case 0:
        body[0] = static_cast<char>(dice_.below(7));  // the kind
        return;
      case 1:
        body[std::min<uint64_t>(1, size - 1)] = static_cast<char>(dice_.number(8, 1));  // the depth
        return;
      default:
        return blind_(body, size);
    }
  }

  // A frame in the place of another.
  void copy() {
    const char* const from = any_frame();
    char* const to = any_frame();
    const uint64_t wanted = frame_size(std::min(load<FrameHeader>(from).body_size, size_));
    const auto room = static_cast<uint64_t>(bytes_ + size_ - std::max<const char*>(from, to));
    std::memmove(to, from, std::min(wanted, room));
  }

  // Numbers that rise by one again, from wherever the segment says that it begins.
  void renumber() {
    auto seq = load<uint64_t>(bytes_ + offsetof(SegmentHeader, first_seq));
    for (const uint64_t at : frames_) set<uint64_t>(bytes_ + at + 8, seq++);
  }

  char* const bytes_;
  const uint64_t size_;
  Dice& dice_;
  const BlindMutation& blind_;
  std::vector<uint64_t> frames_;
};

}  // namespace

void fix_chain(char* segment, uint64_t size, uint64_t number, uint32_t& chain) {
  if (size < kSegmentBlockSize) return;
  for (const uint64_t at : {uint64_t{0}, kSegmentCopyOffset}) {
    auto header = load<SegmentHeader>(segment + at);
    if (header.magic != kSegmentMagic) continue;
    header.number = number;
    header.chain = chain;
    header.crc = segment_crc(header);
    store(segment + at, header);
  }
  const uint32_t epoch = load<SegmentHeader>(segment).epoch;
  for (uint64_t at = kSegmentBlockSize; at + sizeof(FrameHeader) <= size;) {
    auto header = load<FrameHeader>(segment + at);
    if (header.magic != kFrameMagic) return;
    header.chain = chain;
    if (header.body_size <= size - at - sizeof header) {
      header.body_crc = crc32c(Bytes(segment + at + sizeof header, header.body_size));
    }
    header.crc = frame_crc(header, epoch);
    store(segment + at, header);
    chain = header.crc;
    if (header.body_size > size - at - sizeof header) return;
    at += frame_size(header.body_size);
  }
}

void mutate_journal(std::string& segments, uint64_t count, uint64_t first_number, Dice& dice,
                    const BlindMutation& blind) {
  const uint64_t size = segments.size() / count;
  if (size == 0) return;
  SegmentMutation(segments.data() + dice.below(count) * size, size, dice, blind).run();
  if (dice.one_in(5)) return;
  uint32_t chain = 0;
  for (uint64_t i = 0; i < count; i++)
    fix_chain(segments.data() + i * size, size, first_number + i, chain);
}

}  // namespace hotbolt::fuzz
