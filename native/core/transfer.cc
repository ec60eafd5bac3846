// See transfer.h.
#include "core/transfer.h"

#include "core/temp_file.h"

namespace hotbolt {

std::unique_ptr<File> Transfer::open_source(const std::string& path) {
  pacer_.throw_if_cancelled();
  OpenMode mode;
  mode.no_follow = true;
  return files_.open(path, mode);
}

CopiedFile Transfer::copy(const std::string& source_path, const std::string& target_path) {
  const std::unique_ptr<File> source = open_source(source_path);
  require_free_path(files_, target_path);
  OpenMode mode;
  mode.write = mode.create = mode.exclusive = true;
  const std::unique_ptr<File> target = files_.open(target_path, mode);
  try {
    Sha256 hash;
    PieceReader reader(*source, 0, UINT64_MAX);
    PieceWriter writer(*target, pacer_);
    for (Bytes piece = reader.next(); !piece.empty(); piece = reader.next()) {
      hash.update(piece);
      writer.write(reader.offset() - piece.size(), piece);
      bytes_ += piece.size();
    }
    target->sync_all();
    return {reader.offset(), hex_digest(hash.finish())};
  } catch (...) {
    try {
      files_.remove(target_path);
    } catch (const std::exception&) {
      // The first failure is the one to tell.
    }
    throw;
  }
}

CopiedFile Transfer::hash(const std::string& path, std::optional<uint64_t> size_bytes) {
  const std::unique_ptr<File> file = open_source(path);
  Sha256 hash;
  PieceReader reader(*file, 0, size_bytes.value_or(UINT64_MAX));
  for (Bytes piece = reader.next(); !piece.empty(); piece = reader.next()) {
    hash.update(piece);
    bytes_ += piece.size();
    pacer_.moved(piece.size());
  }
  if (size_bytes && reader.offset() != *size_bytes) {
    throw Error(ErrorCode::ERR_TRUNCATED, path + " is shorter than expected").with_path(path);
  }
  return {reader.offset(), hex_digest(hash.finish())};
}

}  // namespace hotbolt
