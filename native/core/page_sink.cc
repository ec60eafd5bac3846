// Collecting pages into pieces.
#include "core/page_sink.h"

namespace hotbolt {

PageSink::PageSink(PageFile& file, Pacer& pacer)
    : file_(file), pacer_(pacer), piece_(new char[kPieceBytes]), window_(file.file()) {}

uint64_t PageSink::offset_of(PageId id) const { return value(id) * file_.page_size(); }

char* PageSink::room(PageId first, size_t run_bytes) {
  HOTBOLT_ASSERT(run_bytes <= kPieceBytes);
  const uint64_t offset = offset_of(first);
  const bool contiguous = offset == piece_offset_ + piece_size_;
  if (!contiguous || piece_size_ + run_bytes > kPieceBytes) write_piece();
  if (piece_size_ == 0) piece_offset_ = offset;
  char* at = piece_.get() + piece_size_;
  piece_size_ += run_bytes;
  return at;
}

void PageSink::write(PageId first, Bytes run) {
  if (run.size() <= kPieceBytes) {
    std::memcpy(room(first, run.size()), run.data(), run.size());
    return;
  }
  write_piece();
  write_at(offset_of(first), run);
}

void PageSink::write(PageId first, Bytes head, Bytes value, size_t run_bytes) {
  HOTBOLT_ASSERT(head.size() + value.size() <= run_bytes);
  write_piece();
  const uint64_t offset = offset_of(first);
  write_at(offset, head);
  write_at(offset + head.size(), value);
  const size_t used = head.size() + value.size();
  write_at(offset + used, std::string(run_bytes - used, '\0'));
}

void PageSink::flush() { write_piece(); }

void PageSink::write_piece() {
  if (piece_size_ == 0) return;
  const size_t size = piece_size_;
  piece_size_ = 0;
  write_at(piece_offset_, {piece_.get(), size});
}

// Large runs are cut into pieces too: what is dirty stays bounded.
void PageSink::write_at(uint64_t offset, Bytes bytes) {
  while (!bytes.empty()) {
    const Bytes part = bytes.substr(0, kPieceBytes);
    file_.file().write(offset, part);
    note_written(offset, part.size());
    offset += part.size();
    bytes.remove_prefix(part.size());
  }
}

void PageSink::note_written(uint64_t offset, uint64_t bytes) {
  bytes_written_ += bytes;
  uint64_t started = 0;
  try {
    started = window_.wrote(offset, bytes);
  } catch (const Error& error) {
    file_.poison(error);  // the next sync would not tell of the pages that were lost
    throw;
  }
  if (started > 0) pacer_.moved(started);
}

}  // namespace hotbolt
