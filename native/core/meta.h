// The two meta pages, and our mark in their unused tail.
//
//   meta, 64 bytes at page offset 16
//     magic u32 @0 = 0xED0CDAED | version u32 @4 = 2 | page size u32 @8 | flags u32 @12
//     root page u64 @16 | root sequence u64 @24 | freelist page u64 @32 (~0: not stored)
//     high-water mark u64 @40 | txid u64 @48 | checksum u64 @56 (FNV-1a 64 of bytes 0..55)
//   mark, 64 bytes at page offset 80
//     magic u64 @0 "hotbolt\1" | database id 16 bytes @8 | txid u64 @24 | journal sequence u64 @32
//     flags u32 @40 (1: flat) | epoch u32 @44 | origin sequence u64 @48 | origin epoch u32 @56
//     CRC-32C of bytes 0..59 u32 @60
//
// Commit T writes page T mod 2. bbolt zero-fills a meta page after byte 80 on every commit, so a
// mark that is present and carries the meta's own txid proves that we wrote this meta; a missing
// one that another program has committed since. Which meta wins: the higher valid txid.
#pragma once

#include <algorithm>
#include <array>
#include <optional>

#include "core/page.h"

namespace hotbolt {

inline constexpr uint32_t kMagic = 0xED0CDAED;
inline constexpr uint32_t kMagicSwapped = 0xEDDA0CED;
inline constexpr uint32_t kFormatVersion = 2;
inline constexpr uint64_t kFreelistNotStored = ~uint64_t{0};
inline constexpr size_t kMetaSize = 64;
inline constexpr size_t kMarkSize = 64;
inline constexpr size_t kMetaPageBytesUsed = kPageHeaderSize + kMetaSize + kMarkSize;

using DatabaseId = std::array<char, 16>;

// Ours: which database this is, up to which journal sequence number the page file holds everything,
// and whose history those numbers count. Copies of a file share its id and may go different ways:
// each opening for writing begins an epoch of its own.
struct Mark {
  DatabaseId database_id{};
  uint64_t journal_seq = 0;
  // No bucket of the file holds a bucket, except the root: then a put need not look whether its key
  // names a bucket.
  bool is_flat = false;
  uint32_t epoch = 0;         // of transaction journal_seq; 0: there was none
  uint32_t origin_epoch = 0;  // what that epoch continues; 0: nothing, or it is not known
  uint64_t origin_seq = 0;    // its last transaction
};

// A database's identity, and one opening of it.
struct History {
  DatabaseId database_id{};
  uint32_t epoch = 0;
  uint32_t origin_epoch = 0;
  uint64_t origin_seq = 0;
  // The mark of a state that holds everything up to `seq`.
  Mark mark_at(uint64_t seq) const {
    Mark mark{.database_id = database_id, .journal_seq = seq, .epoch = origin_epoch};
    if (seq <= origin_seq) return mark;
    mark.epoch = epoch;
    mark.origin_epoch = origin_epoch;
    mark.origin_seq = origin_seq;
    return mark;
  }
};

struct Meta {
  uint32_t page_size = 0;
  uint32_t flags = 0;
  PageId root{};
  uint64_t root_sequence = 0;
  uint64_t freelist = kFreelistNotStored;
  uint64_t high_water = 0;  // first page id that was never allocated
  TxId txid{};
  uint64_t checksum = 0;  // as read; set by encode
  std::optional<Mark> mark;

  bool freelist_stored() const { return freelist != kFreelistNotStored; }
  // Whether transactions may be added: numbers beyond this are no history but damage. Half of what
  // decode_meta accepts, so that what was written by then can be read.
  bool leaves_room() const { return newest_number() <= uint64_t{1} << 61; }
  // Whether somebody may have written up to here: what was begun while there was room is no damage.
  bool is_plausible() const { return newest_number() <= uint64_t{3} << 60; }
  uint64_t newest_number() const {
    return std::max(value(txid), mark ? mark->journal_seq : uint64_t{0});
  }
};

// Writes a whole meta page (page_size bytes, zero-filled) for meta.txid mod 2 and sets
// meta.checksum.
std::string encode_meta_page(Meta& meta);

// Decodes one meta page from its first bytes (at least kMetaPageBytesUsed; a shorter span is an
// invalid meta). Proves magic, version, checksum, page size (power of two, 1 KiB..64 KiB), root and
// freelist below the high-water mark and >= 2, numbers of transactions (the mark's too) that adding
// to cannot overflow. Returns the reason as an Error instead of throwing, since one bad meta is a
// normal thing.
struct MetaResult {
  std::optional<Meta> meta;
  ErrorCode code = ErrorCode::ERR_NOT_A_DATABASE;  // when there is no meta
};
MetaResult decode_meta(Bytes page_start);

}  // namespace hotbolt
