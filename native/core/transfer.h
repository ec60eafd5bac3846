// Copying and hashing whole files that are no databases of ours to open: the files of a backup.
// Paced and cancellable; one call at a time, on any thread.
#pragma once

#include <optional>

#include "core/file_copier.h"

namespace hotbolt {

struct CopiedFile {
  uint64_t size_bytes = 0;
  std::string sha256;  // in hexadecimal
};

class Transfer {
 public:
  Transfer(FileSystem& files, uint64_t bytes_per_second)
      : files_(files), pacer_(files, nullptr, bytes_per_second) {}

  // Copies a regular file to a new one, which is the process's and has mode 0600, whatever the
  // source's are. The new one is synced, its directory is not; it is removed when that fails.
  // Throws ERR_EXISTS, and ERR_NOT_A_FILE for what is no regular file: a symbolic link at the end
  // of either path too.
  CopiedFile copy(const std::string& source, const std::string& target);
  // Of the first `size_bytes` bytes, or of all. Throws ERR_TRUNCATED when there are fewer.
  CopiedFile hash(const std::string& path, std::optional<uint64_t> size_bytes);

  // Any thread. Moved or hashed by all calls so far.
  uint64_t bytes() const noexcept { return bytes_; }
  void cancel() noexcept { pacer_.cancel(); }  // for good

 private:
  std::unique_ptr<File> open_source(const std::string& path);

  FileSystem& files_;
  Pacer pacer_;
  std::atomic<uint64_t> bytes_{0};
};

}  // namespace hotbolt
