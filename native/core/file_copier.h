// Moving the bytes of whole files: reading them piece by piece, writing them piece by piece with
// few of them dirty, and taking a large file away in steps. What backups, images and transfers are
// made of. Any one thread.
#pragma once

#include <memory>

#include "core/pacer.h"
#include "core/sha256.h"
#include "core/writeback.h"

namespace hotbolt {

// Reads a file from front to back with pread: a mapping would be read page by page (MADV_RANDOM).
class PieceReader {
 public:
  // [begin, end) of the file; `file` outlives it.
  PieceReader(File& file, uint64_t begin, uint64_t end);
  // The next piece, valid until the next call; empty at `end`, or where the file ends before.
  Bytes next();
  uint64_t offset() const { return offset_; }  // behind the newest piece

 private:
  File& file_;
  uint64_t offset_;
  const uint64_t end_;
  const std::unique_ptr<char[]> piece_;
};

// Writes pieces of at most kWritePieceBytes, paced and cancellable after each.
class PieceWriter {
 public:
  PieceWriter(File& file, Pacer& pacer) : file_(file), pacer_(pacer), window_(file) {}
  void write(uint64_t offset, Bytes piece);

 private:
  File& file_;
  Pacer& pacer_;
  WritebackWindow window_;
};

// Copies [begin, end) to the same place. Throws ERR_TRUNCATED when the source ends before.
void copy_range(File& source, File& target, uint64_t begin, uint64_t end, Pacer& pacer,
                std::atomic<uint64_t>& progress);

// Adds the first `size` bytes. Throws ERR_TRUNCATED when there are fewer.
void hash_range(File& file, uint64_t size, const Pacer& pacer, Sha256& hash);

// Cuts a file of `size_bytes` down to `kept_bytes`, 4 MiB each 10 ms: freeing a big file at once,
// by truncating it or by closing it without a name, delays every sync of the file system.
void shrink_in_steps(FileSystem& files, File& file, std::atomic<uint64_t>& size_bytes,
                     uint64_t kept_bytes, Pacer& pacer);

}  // namespace hotbolt
