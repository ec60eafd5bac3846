// See file_copier.h.
#include "core/file_copier.h"

#include <algorithm>

namespace hotbolt {
namespace {

constexpr uint64_t kShrinkStepBytes = 4 << 20;
constexpr uint64_t kShrinkPauseUs = 10'000;

[[noreturn]] void throw_cut_short(File& file) {
  throw Error(ErrorCode::ERR_TRUNCATED, file.path() + " is shorter than expected")
      .with_path(file.path());
}

}  // namespace

PieceReader::PieceReader(File& file, uint64_t begin, uint64_t end)
    : file_(file), offset_(begin), end_(end), piece_(new char[kWritePieceBytes]) {}

Bytes PieceReader::next() {
  const size_t wanted = std::min<uint64_t>(end_ - offset_, kWritePieceBytes);
  const size_t count = wanted == 0 ? 0 : file_.read(offset_, piece_.get(), wanted);
  offset_ += count;
  return {piece_.get(), count};
}

void PieceWriter::write(uint64_t offset, Bytes piece) {
  pacer_.throw_if_cancelled();
  file_.write(offset, piece);
  if (const uint64_t started = window_.wrote(offset, piece.size())) pacer_.moved(started);
}

void copy_range(File& source, File& target, uint64_t begin, uint64_t end, Pacer& pacer,
                std::atomic<uint64_t>& progress) {
  PieceReader reader(source, begin, end);
  PieceWriter writer(target, pacer);
  for (Bytes piece = reader.next(); !piece.empty(); piece = reader.next()) {
    writer.write(reader.offset() - piece.size(), piece);
    progress += piece.size();
  }
  if (reader.offset() != end) throw_cut_short(source);
}

void hash_range(File& file, uint64_t size, const Pacer& pacer, Sha256& hash) {
  PieceReader reader(file, 0, size);
  for (Bytes piece = reader.next(); !piece.empty(); piece = reader.next()) {
    pacer.throw_if_cancelled();
    hash.update(piece);
  }
  if (reader.offset() != size) throw_cut_short(file);
}

void shrink_in_steps(FileSystem& files, File& file, std::atomic<uint64_t>& size_bytes,
                     uint64_t kept_bytes, Pacer& pacer) {
  // A hole costs nothing to give back: as many steps as there is something in the file.
  const uint64_t steps = file.status().allocated_bytes / kShrinkStepBytes + 1;
  const uint64_t step_bytes = std::max(kShrinkStepBytes, size_bytes / steps);
  while (size_bytes > kept_bytes) {
    const uint64_t step = std::min(size_bytes - kept_bytes, step_bytes);
    file.resize(size_bytes - step);
    size_bytes -= step;
    if (size_bytes > kept_bytes) files.sleep_us(kShrinkPauseUs);
    pacer.moved(step);
  }
}

}  // namespace hotbolt
