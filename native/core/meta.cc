// Encoding and proving of meta pages.
#include "core/meta.h"

#include <bit>
#include <string>

#include "core/checksum.h"

namespace hotbolt {
namespace {

constexpr size_t kChecksumAt = 56;
constexpr size_t kMarkCrcAt = 60;
constexpr uint32_t kMarkFlatFlag = 1;
// The number of a transaction beyond this is no history but damage; below it, adding to one cannot
// overflow.
constexpr uint64_t kTransactionMax = uint64_t{1} << 62;

// As in the file; the essay in meta.h is the description.
struct RawMeta {
  uint32_t magic;
  uint32_t version;
  uint32_t page_size;
  uint32_t flags;
  uint64_t root;
  uint64_t root_sequence;
  uint64_t freelist;
  uint64_t high_water;
  uint64_t txid;
  uint64_t checksum;
};
static_assert(sizeof(RawMeta) == kMetaSize);
static_assert(offsetof(RawMeta, root) == 16 && offsetof(RawMeta, freelist) == 32);
static_assert(offsetof(RawMeta, txid) == 48 && offsetof(RawMeta, checksum) == kChecksumAt);

struct RawMark {
  char magic[8];
  char database_id[16];
  uint64_t txid;
  uint64_t journal_seq;
  uint32_t flags;
  uint32_t epoch;
  uint64_t origin_seq;
  uint32_t origin_epoch;
  uint32_t crc;
};
static_assert(sizeof(RawMark) == kMarkSize);
static_assert(offsetof(RawMark, txid) == 24 && offsetof(RawMark, journal_seq) == 32);
static_assert(offsetof(RawMark, flags) == 40 && offsetof(RawMark, origin_seq) == 48 &&
              offsetof(RawMark, crc) == kMarkCrcAt);

constexpr char kMarkMagic[8] = {'h', 'o', 't', 'b', 'o', 'l', 't', 1};

RawMark encode_mark(const Mark& mark, TxId txid) {
  RawMark raw{};
  std::memcpy(raw.magic, kMarkMagic, sizeof raw.magic);
  std::memcpy(raw.database_id, mark.database_id.data(), mark.database_id.size());
  raw.txid = value(txid);
  raw.journal_seq = mark.journal_seq;
  raw.flags = mark.is_flat ? kMarkFlatFlag : 0;
  raw.epoch = mark.epoch;
  raw.origin_epoch = mark.origin_epoch;
  raw.origin_seq = mark.origin_seq;
  raw.crc = crc32c(Bytes(reinterpret_cast<const char*>(&raw), kMarkCrcAt));
  return raw;
}

// A mark of another transaction was left by nobody: bbolt zero-fills, we write both together.
std::optional<Mark> decode_mark(Bytes bytes, TxId txid) {
  const RawMark raw = load<RawMark>(bytes.data());
  if (std::memcmp(raw.magic, kMarkMagic, sizeof raw.magic) != 0) return std::nullopt;
  if (raw.crc != crc32c(bytes.substr(0, kMarkCrcAt))) return std::nullopt;
  if (raw.txid != value(txid)) return std::nullopt;
  Mark mark;
  std::memcpy(mark.database_id.data(), raw.database_id, mark.database_id.size());
  mark.journal_seq = raw.journal_seq;
  mark.is_flat = (raw.flags & kMarkFlatFlag) != 0;
  mark.epoch = raw.epoch;
  mark.origin_epoch = raw.origin_epoch;
  mark.origin_seq = raw.origin_seq;
  return mark;
}

// The order is bbolt's: magic, version, checksum; then what bbolt does not look at.
std::optional<ErrorCode> reason_to_refuse(const RawMeta& raw, Bytes bytes) {
  if (raw.magic == kMagicSwapped) return ErrorCode::ERR_BYTE_ORDER;
  if (raw.magic != kMagic) return ErrorCode::ERR_NOT_A_DATABASE;
  if (raw.version != kFormatVersion) return ErrorCode::ERR_VERSION;
  if (raw.checksum != fnv1a64(bytes.substr(0, kChecksumAt))) return ErrorCode::ERR_CHECKSUM;
  const bool page_size_ok = std::has_single_bit(raw.page_size) && raw.page_size >= kPageSizeMin &&
                            raw.page_size <= kPageSizeMax;
  if (!page_size_ok) return ErrorCode::ERR_PAGE_SIZE;
  const auto is_page = [&](uint64_t id) { return id >= 2 && id < raw.high_water; };
  if (!is_page(raw.root)) return ErrorCode::ERR_CORRUPT;
  if (raw.freelist != kFreelistNotStored && !is_page(raw.freelist)) return ErrorCode::ERR_CORRUPT;
  if (raw.txid > kTransactionMax) return ErrorCode::ERR_CORRUPT;
  return std::nullopt;
}

}  // namespace

std::string encode_meta_page(Meta& meta) {
  RawMeta raw{kMagic,           kFormatVersion,
              meta.page_size,   meta.flags,
              value(meta.root), meta.root_sequence,
              meta.freelist,    meta.high_water,
              value(meta.txid), 0};
  raw.checksum = fnv1a64(Bytes(reinterpret_cast<const char*>(&raw), kChecksumAt));
  meta.checksum = raw.checksum;

  std::string page(meta.page_size, '\0');
  store(page.data(), PageHeader{value(meta.txid) % 2, kMetaFlag, 0, 0});
  store(page.data() + kPageHeaderSize, raw);
  if (meta.mark)
    store(page.data() + kPageHeaderSize + kMetaSize, encode_mark(*meta.mark, meta.txid));
  return page;
}

MetaResult decode_meta(Bytes page_start) {
  if (page_start.size() < kMetaPageBytesUsed) return {};
  const Bytes bytes = page_start.substr(kPageHeaderSize, kMetaSize);
  const RawMeta raw = load<RawMeta>(bytes.data());
  if (const auto code = reason_to_refuse(raw, bytes)) return {std::nullopt, *code};

  Meta meta;
  meta.page_size = raw.page_size;
  meta.flags = raw.flags;
  meta.root = PageId{raw.root};
  meta.root_sequence = raw.root_sequence;
  meta.freelist = raw.freelist;
  meta.high_water = raw.high_water;
  meta.txid = TxId{raw.txid};
  meta.checksum = raw.checksum;
  meta.mark = decode_mark(page_start.substr(kPageHeaderSize + kMetaSize, kMarkSize), meta.txid);
  if (meta.mark && meta.mark->journal_seq > kTransactionMax) {
    return {std::nullopt, ErrorCode::ERR_CORRUPT};
  }
  return {meta, ErrorCode::ERR_NOT_A_DATABASE};
}

}  // namespace hotbolt
