// The journal's format and its recovery: a pure scan over bytes.
//
//   segment file   header block, frame*, then zeros or frames of an earlier use of the file
//   header block   1024 bytes: the header at 0 and again at 512, so that a damaged sector loses no
//                  segment; rest zero
//   header         96 bytes: magic u64 @0 "hbjrnl\0\1" | version u32 @8 = 1
//                  header size u32 @12 = 96 | database id 16 bytes @16
//                  base txid u64 @32 | base checksum u64 @40 (JournalBinding)
//                  segment number u64 @48 | first sequence number u64 @56
//                  synced sequence number u64 @64
//                  chain value u32 @72 (of the frame before, in this epoch or the one that it
//                  continues; 0 when it continues none)
//                  epoch u32 @76 | origin epoch u32 @80 | reserved 8 bytes @84, zero
//                  CRC-32C of bytes 0..91 u32 @92
//   frame          8-byte aligned, never in two segments: header, body (op.h), zeros up to a
//                  multiple of 8
//   frame header   40 bytes: magic u32 @0 "HFRM"
//                  CRC-32C of bytes 8..39, seeded with the epoch, u32 @4
//                  sequence number u64 @8 | synced sequence number u64 @16 | body length u64 @24
//                  previous frame's header CRC u32 @32: the chain | CRC-32C of the body u32 @36
//
// An "epoch" is one opening of the database for writing, named by a random number; its "origin" is
// the epoch whose history it continues (History in meta.h). "Synced" is the sequence number
// up to which everything had been synced when the frame (or header) was written. Sequence numbers
// rise by one from frame to frame, across segments and epochs. A header whose first sequence number
// is 0 marks a segment that holds nothing yet.
//
// Writing, and why every crash is safe:
//   1. A segment file gets its name, its final size, zeros and a header that says "nothing yet",
//      and is synced, directory included, before it is used. A recycled one is renamed instead, and
//      the directory is synced, before it is used. Until then it holds no frame that anybody needs:
//      zeros, or a header that says so or whose number is lower than that of its name. From then on
//      one of the header's sectors is valid at any time, so that a file with neither zeros nor a
//      header is not ours.
//   2. The header block goes out in one write with the first frames and under the same sync: as
//      long as it can be torn, nothing in the segment is acknowledged. When it is durable it can be
//      trusted, whatever follows it.
//   3. Old frames in a recycled segment are no danger: the page file covers them, their sequence
//      numbers are lower than the chain's next, and their CRC does not match its chain.
//   4. Only covered segments are renamed or removed, so what is left always reaches back to the
//      covered sequence number.
//   5. A new epoch continues what recovery has read. Before its first frame, what was read and not
//      said to be synced is written again and synced (a failed sync may have left it in the cache
//      alone), the newest segment is cut behind its last frame, and what follows is removed. So
//      whatever a later epoch says was synced is a proof about all epochs before it.
//   6. Segments of one epoch are gone for good before those of the next are removed. So what a crash
//      leaves of covered segments has the epoch that the file names, or ends with its origin.
//
// Recovery accepts the longest valid chain: the next frame is at the end of the one before, or at
// the start of the next segment whose header continues this chain. A segment that does not continue
// it is accepted too when its first sequence number is at most covered + 1: then the page file has
// everything before.
// Where the chain breaks, s is the first sequence number that neither it nor the page file has. The
// rest is searched for headers of frames (their CRC, seeded with a random epoch, cannot be forged
// by a value that looks like a frame) or segments that are newer than s, not covered, and say that
// s was synced: s had been acknowledged, so the break is damage (ERR_JOURNAL_CORRUPT naming the
// file and offset). If there is none, the break is a torn tail: the end.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "core/file.h"
#include "core/journal.h"

namespace hotbolt {

inline constexpr uint64_t kSegmentMagic = 0x01006C6E726A6268;  // "hbjrnl\0\1"
inline constexpr uint32_t kSegmentVersion = 1;
inline constexpr uint32_t kFrameMagic = 0x4D524648;  // "HFRM"
inline constexpr uint64_t kSegmentCopyOffset = 512;  // of the header's second copy
inline constexpr uint64_t kSegmentBlockSize = 1024;  // where the frames start

struct SegmentHeader {
  uint64_t magic = kSegmentMagic;
  uint32_t version = kSegmentVersion;
  uint32_t header_size = 96;
  std::array<char, 16> database_id{};
  uint64_t base_txid = 0;
  uint64_t base_checksum = 0;
  uint64_t number = 0;
  uint64_t first_seq = 0;
  uint64_t synced_seq = 0;
  uint32_t chain = 0;
  uint32_t epoch = 0;
  uint32_t origin_epoch = 0;
  std::array<char, 8> reserved{};
  uint32_t crc = 0;
};
static_assert(sizeof(SegmentHeader) == 96 && offsetof(SegmentHeader, number) == 48 &&
              offsetof(SegmentHeader, chain) == 72 && offsetof(SegmentHeader, crc) == 92);

struct FrameHeader {
  uint32_t magic = kFrameMagic;
  uint32_t crc = 0;
  uint64_t seq = 0;
  uint64_t synced_seq = 0;
  uint64_t body_size = 0;
  uint32_t chain = 0;
  uint32_t body_crc = 0;
};
static_assert(sizeof(FrameHeader) == 40 && offsetof(FrameHeader, seq) == 8 &&
              offsetof(FrameHeader, body_size) == 24 && offsetof(FrameHeader, body_crc) == 36);

// Bytes of a frame with a body of this size.
constexpr uint64_t frame_size(uint64_t body_size) {
  return (sizeof(FrameHeader) + body_size + 7) & ~uint64_t{7};
}
uint32_t segment_crc(const SegmentHeader& header) noexcept;
uint32_t frame_crc(const FrameHeader& header, uint32_t epoch) noexcept;

// What to do with a journal that is refused, as the end of a sentence.
std::string recovery_advice(const std::string& database_path);

// "<database path>-journal-00000012" for 12.
std::string segment_path(const std::string& database_path, uint64_t number);

// The block at the start of a segment that holds nothing yet.
std::string empty_segment_block(uint64_t number);
// A header's two copies, in a block of kSegmentBlockSize bytes.
void store_header(char* block, SegmentHeader header);

struct JournalSegment {
  std::string path;
  uint64_t number = 0;
  JournalBinding binding;
  Seq first_seq = 0;
  Seq synced_seq = 0;
  uint32_t chain = 0;
  uint32_t epoch = 0;
};

// The segments beside `path` whose header is valid, in order of their number. `unusable` are files
// that were prepared or recycled and not begun: they hold nothing but zeros, or a header that says
// so. May be called while a Journal is at work: files that vanish meanwhile are left out.
// `foreign` are those that are not ours, or damaged so that nobody can tell: nobody removes them.
struct JournalDirectory {
  std::vector<JournalSegment> segments;
  std::vector<std::string> unusable;
  std::vector<std::string> foreign;
  uint64_t last_number = 0;  // the highest in any name; 0: there is none
};
JournalDirectory list_journal(FileSystem& files, const std::string& database_path);

// Removes what is ours; synced only between epochs. Segments oldest first: what a crash leaves is a
// chain's end, which the page file covers.
void remove_journal(FileSystem& files, const JournalDirectory& journal);

// How far a segment was read.
struct SegmentEnd {
  Seq last_seq = 0;     // of its last frame; 0: it has none
  uint64_t offset = 0;  // where the next frame would be
};

struct JournalEnd {
  Seq last_seq = 0;     // of the last frame of the chain; `covered` when there is none newer
  uint64_t frames = 0;  // visited
  uint64_t bytes = 0;   // of them
  uint32_t chain = 0;   // header CRC of the last frame
  // Of the segments that were read: all that belong to the chain, up to the one with its end.
  std::vector<SegmentEnd> ends;
  // The first frame of which the journal does not say itself that it was synced.
  size_t unsynced_segment = 0;
  uint64_t unsynced_offset = 0;
};

// Calls `visit(seq, body)` for every frame newer than `covered`, in order, up to and including
// `until`. Bounded memory: a window of 1 MiB or one frame, whichever is larger. Linear time on any
// bytes. Throws ERR_JOURNAL_CORRUPT (damage), ERR_JOURNAL_STALE (the first segment begins after
// covered + 1, and there is proof that what is missing was synced; without that the start of the
// journal was torn away together with all that is left). A leftover segment whose frames are all
// covered is fine.
JournalEnd read_journal(FileSystem& files, const std::vector<JournalSegment>& segments, Seq covered,
                        Seq until, const std::function<void(Seq, Bytes)>& visit);

}  // namespace hotbolt
