// A whole file as a stream of bytes that can be read at any offset: the pinned state of a page
// file, as the plain bbolt file that a backup of it would be, or a file that somebody has made.
#pragma once

#include "core/file_copier.h"
#include "core/store.h"

namespace hotbolt {

// The two meta pages of a copy of `source`, page by page: see backup.h.
std::string metas_of_copy(const Meta& source);

// Any thread but where it says so; reads one at a time.
class Image {
 public:
  virtual ~Image() = default;
  uint64_t size_bytes() const { return size_bytes_; }
  // Up to `size` bytes; fewer at the end only. Throws ERR_TRUNCATED.
  virtual size_t read(uint64_t offset, char* buffer, size_t size) = 0;

 protected:
  uint64_t size_bytes_ = 0;
};

// A state of a store's page file. Made by the owner.
class StoreImage : public Image {
 public:
  // The one under a snapshot. Throws ERR_BUSY when memtables hold something that the snapshot sees.
  explicit StoreImage(const Snapshot& snapshot);
  // The newest one: everything that a checkpoint has merged.
  explicit StoreImage(std::shared_ptr<Store> store);
  ~StoreImage() override;
  size_t read(uint64_t offset, char* buffer, size_t size) override;

 private:
  const std::shared_ptr<Store> store_;
  std::shared_ptr<const ReadTx> base_;
  const std::string metas_;
};

// A regular file. With `unlink` its name is removed (a symbolic link is ERR_NOT_A_FILE then), and
// the file goes with the image: in steps, which takes a while.
class FileImage : public Image {
 public:
  FileImage(FileSystem& files, const std::string& path, bool unlink);
  size_t read(uint64_t offset, char* buffer, size_t size) override;
  // Gives the blocks of an unlinked file back, in steps as long as `pacer` is not cancelled.
  void discard(Pacer& pacer) noexcept;

 private:
  FileSystem& files_;
  const bool unlink_;
  std::unique_ptr<File> file_;
};

}  // namespace hotbolt
