// A file that is built beside its target and gets the target's name when it is complete: nothing or
// all of it is ever there under that name.
//
// It is called "<target>-backup-<32 hex digits>.tmp", is new (O_EXCL, no link is followed) and
// locked (flock) as long as somebody builds it. So whoever finds one that is not locked knows that
// its builder is dead, and removes it. One thread.
#pragma once

#include <memory>

#include "core/pacer.h"
#include "core/page_file.h"

namespace hotbolt {

class TempFile {
 public:
  // Empty; mode and owner like `like`.
  TempFile(FileSystem& files, std::string target, const FileStatus& like);
  ~TempFile() { remove(); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  File& file() { return page_file_ ? page_file_->file() : *file_; }
  // It as a page file, once its metas are written.
  const std::shared_ptr<PageFile>& page_file();

  // Syncs it, gives it the target's name and syncs the directory. Throws ERR_EXISTS when the name
  // is taken. When the directory's sync fails the file is removed under its new name.
  void publish();
  // Removes it, unless it was published.
  void remove() noexcept;
  // After remove(): frees its blocks in steps as long as `pacer` is not cancelled.
  void empty(Pacer& pacer) noexcept;

 private:
  FileSystem& files_;
  const std::string target_;
  std::string path_;  // "": it has no name that is ours to remove
  std::unique_ptr<File> file_;
  std::shared_ptr<PageFile> page_file_;
};

// Whether a file of this name is, by its name, one that is built for a file called `target_name`,
// or for such a one.
bool is_temp_name(const std::string& target_name, const std::string& name);

// Removes those of `target` whose builders are dead; what cannot be removed stays. Their blocks are
// freed in steps; without a pacer, at once. Throws ERR_ABORTED.
void remove_stale_temps(FileSystem& files, const std::string& target, Pacer* pacer);

// Throws ERR_EXISTS when there is something at `path`, ERR_NOT_A_FILE when that is no regular file
// (a symbolic link too, wherever it leads).
void require_free_path(FileSystem& files, const std::string& path);

}  // namespace hotbolt
