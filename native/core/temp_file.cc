// See temp_file.h.
#include "core/temp_file.h"

#include <string_view>

#include "core/file_copier.h"

namespace hotbolt {
namespace {

constexpr std::string_view kInfix = "-backup-";
constexpr std::string_view kSuffix = ".tmp";
constexpr size_t kRandomDigits = 32;
constexpr size_t kTailSize = kInfix.size() + kRandomDigits + kSuffix.size();
constexpr int kTriesMax = 100;

std::string temp_path(FileSystem& files, const std::string& target) {
  char random[kRandomDigits / 2];
  files.random(random, sizeof random);
  return target + std::string(kInfix) + hex({random, sizeof random}).substr(2) +
         std::string(kSuffix);
}

bool has_temp_tail(std::string_view name) {
  if (name.size() <= kTailSize) return false;
  const std::string_view tail = name.substr(name.size() - kTailSize);
  const std::string_view digits = tail.substr(kInfix.size(), kRandomDigits);
  return tail.starts_with(kInfix) && tail.ends_with(kSuffix) &&
         digits.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

void shrink(FileSystem& files, File& file, Pacer& pacer) {
  std::atomic<uint64_t> size_bytes{file.status().size_bytes};
  shrink_in_steps(files, file, size_bytes, 0, pacer);
}

[[noreturn]] void throw_exists(const std::string& path) {
  throw Error(ErrorCode::ERR_EXISTS, "there is something at " + path + " already").with_path(path);
}

// Somebody may be about to lock the new one whose path we look at; whoever has the lock of a file
// that still has its name may remove it.
void remove_if_stale(FileSystem& files, const std::string& path, Pacer* pacer) {
  OpenMode mode;
  mode.write = mode.no_follow = true;
  const std::unique_ptr<File> file = files.open(path, mode);
  if (!file->try_lock(LockKind::kExclusive)) return;
  const std::optional<FileStatus> current = files.link_status(path);
  if (!current || !current->same_inode(file->status())) return;
  files.remove(path);
  if (pacer != nullptr && file->status().link_count == 0) shrink(files, *file, *pacer);
}

}  // namespace

TempFile::TempFile(FileSystem& files, std::string target, const FileStatus& like)
    : files_(files), target_(std::move(target)) {
  OpenMode mode;
  mode.write = mode.create = mode.exclusive = true;
  for (int i = 0; i < kTriesMax; i++) {
    std::string path = temp_path(files_, target_);
    file_ = files_.open(path, mode);
    path_ = std::move(path);
    try {
      // Another builder may have taken it for a dead one's, before it was locked.
      const bool is_ours = file_->try_lock(LockKind::kExclusive) && file_->status().link_count > 0;
      if (is_ours) {
        file_->set_mode_and_owner(like);
        return;
      }
    } catch (...) {
      remove();
      throw;
    }
    remove();
  }
  throw Error(ErrorCode::ERR_LOCKED, "somebody locks every file that is made for " + target_)
      .with_path(target_);
}

void TempFile::remove() noexcept {
  if (path_.empty()) return;
  try {
    files_.remove(path_);
  } catch (const std::exception&) {
    // The next backup to the same target, or the next open of the database, does it.
  }
  path_.clear();
}

const std::shared_ptr<PageFile>& TempFile::page_file() {
  if (page_file_ == nullptr) page_file_ = PageFile::adopt(files_, path_, std::move(file_));
  return page_file_;
}

void TempFile::publish() {
  file().sync_all();
  if (!files_.rename_new(path_, target_)) throw_exists(target_);
  path_ = target_;  // until it is known to be durable
  files_.sync_directory(directory_of(target_));
  path_.clear();
}

void TempFile::empty(Pacer& pacer) noexcept {
  if (file_ == nullptr && page_file_ == nullptr) return;
  try {
    if (file().status().link_count == 0) shrink(files_, file(), pacer);
  } catch (const std::exception&) {
    // The kernel frees the rest at the last close.
  }
}

bool is_temp_name(const std::string& target_name, const std::string& name) {
  std::string_view rest = name;
  while (has_temp_tail(rest)) {
    rest.remove_suffix(kTailSize);
    if (rest == target_name) return true;
  }
  return false;
}

void remove_stale_temps(FileSystem& files, const std::string& target, Pacer* pacer) {
  const std::string directory = directory_of(target);
  for (const std::string& name : files.list(directory)) {
    if (!is_temp_name(name_of(target), name)) continue;
    try {
      remove_if_stale(files, directory + "/" + name, pacer);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::ERR_ABORTED) throw;
      // Somebody else's, or gone meanwhile.
    }
  }
}

void require_free_path(FileSystem& files, const std::string& path) {
  const std::optional<FileStatus> found = files.link_status(path);
  if (!found) return;
  if (found->is_regular) throw_exists(path);
  throw Error(ErrorCode::ERR_NOT_A_FILE, path + " is there already and is not a regular file")
      .with_path(path);
}

}  // namespace hotbolt
