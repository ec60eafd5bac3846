// How a page file comes to be open: created or locked, its page size detected, its metas proven.
#include <algorithm>

#include "core/page_file.h"

namespace hotbolt {
namespace {

constexpr uint64_t kLockRetryUs = 10'000;
constexpr uint64_t kLockTimeoutMaxUs = uint64_t{1}
                                       << 50;  // so that adding it to the clock cannot overflow
constexpr int kReopensMax = 100;
constexpr uint64_t kFirstFreePage = 4;

// An empty database as bbolt creates it: metas of transactions 0 and 1, an empty freelist page, an
// empty leaf as root.
std::string empty_database(uint32_t page_size, std::optional<Mark> mark) {
  std::string image;
  for (uint64_t txid = 0; txid < 2; txid++) {
    Meta meta;
    meta.page_size = page_size;
    meta.root = PageId{3};
    meta.freelist = 2;
    meta.high_water = kFirstFreePage;
    meta.txid = TxId{txid};
    meta.mark = mark;
    image += encode_meta_page(meta);
  }
  image.resize(kFirstFreePage * page_size, '\0');
  store(image.data() + 2 * size_t{page_size}, PageHeader{2, kFreelistFlag, 0, 0});
  store(image.data() + 3 * size_t{page_size}, PageHeader{3, kLeafFlag, 0, 0});
  return image;
}

std::string random_name(FileSystem& files) {
  char bytes[16];
  files.random(bytes, sizeof bytes);
  return hex(Bytes(bytes, sizeof bytes)).substr(2);
}

// After a failure, which is the one to report: the next open removes stale files of this name.
void remove_quietly(FileSystem& files, const std::string& path) noexcept {
  try {
    files.remove(path);
  } catch (const std::exception&) {
  }
}

[[noreturn]] void throw_locked(const std::string& path) {
  throw Error(ErrorCode::ERR_LOCKED,
              "another process (etcd, a program that uses bbolt, a second hotbolt) or another "
              "handle in this process has the database open: " +
                  path)
      .with_path(path);
}

void wait_for_lock(FileSystem& files, File& file, LockKind kind, uint64_t deadline_us,
                   const std::atomic<bool>* cancelled) {
  while (!file.try_lock(kind)) {
    const uint64_t now = files.now_us();
    if (now >= deadline_us || (cancelled != nullptr && *cancelled)) throw_locked(file.path());
    files.sleep_us(std::min(kLockRetryUs, deadline_us - now));
  }
}

// The lock belongs to the inode, not to the path. While we waited, a defragmentation may have
// renamed another file into place; then the lock we got protects nothing.
std::unique_ptr<File> open_locked(FileSystem& files, const std::string& path,
                                  const PageFileOptions& options) {
  const uint64_t deadline_us =
      files.now_us() + std::min(options.lock_timeout_us, kLockTimeoutMaxUs);
  const LockKind kind = options.read_only ? LockKind::kShared : LockKind::kExclusive;
  for (int i = 0; i < kReopensMax; i++) {
    OpenMode mode;
    mode.write = !options.read_only;
    std::unique_ptr<File> file = files.open(path, mode);
    wait_for_lock(files, *file, kind, deadline_us, options.cancelled.get());
    const std::optional<FileStatus> current = files.status(path);
    if (current && current->same_inode(file->status())) return file;
  }
  throw_locked(path);
}

[[noreturn]] void throw_refused(ErrorCode code, const std::string& path) {
  throw Error(code, std::string(error_sentence(code)) + ": " + path).with_path(path);
}

MetaResult read_meta(File& file, uint64_t offset) {
  char bytes[kMetaPageBytesUsed];
  return decode_meta(Bytes(bytes, file.read(offset, bytes, sizeof bytes)));
}

// Both metas of a file, whatever is left of them. The page size is meta 0's, or that at which a
// meta 1 lies that says so.
struct FoundMetas {
  MetaResult metas[2];
};

FoundMetas find_metas(File& file) {
  FoundMetas found{{read_meta(file, 0), {}}};
  MetaResult& second = found.metas[1];
  if (found.metas[0].meta) {
    const uint32_t page_size = found.metas[0].meta->page_size;
    second = read_meta(file, page_size);
    // bbolt reads both with one page size: a meta that claims another one is not valid.
    if (second.meta && second.meta->page_size != page_size)
      second = {std::nullopt, ErrorCode::ERR_CORRUPT};
    return found;
  }
  for (uint64_t page_size = kPageSizeMin; page_size <= kPageSizeMax; page_size *= 2) {
    const MetaResult result = read_meta(file, page_size);
    if (result.meta && result.meta->page_size == page_size) {
      second = result;
      return found;
    }
    // No meta: then the first place that looks like one says why.
    if (!result.meta && second.code == ErrorCode::ERR_NOT_A_DATABASE) second = result;
  }
  return found;
}

}  // namespace

void PageFile::read_metas() {
  const FoundMetas found = find_metas(*file_);
  const MetaResult& first = found.metas[0];
  const MetaResult& second = found.metas[1];
  if (size_bytes_ == 0) {
    throw Error(ErrorCode::ERR_NOT_A_DATABASE,
                "the file is empty: opened for writing and with `create` it becomes a database, "
                "unless a journal lies beside it: " +
                    path_)
        .with_path(path_);
  }
  if (!first.meta && !second.meta) {
    const bool first_tells = first.code != ErrorCode::ERR_NOT_A_DATABASE;
    throw_refused(first_tells ? first.code : second.code, path_);
  }
  const bool second_wins = !first.meta || (second.meta && second.meta->txid > first.meta->txid);
  meta_ = second_wins ? *second.meta : *first.meta;
  previous_meta_ = second_wins ? first.meta : second.meta;
  page_size_ = meta_.page_size;
  // Going back to an older meta that fits would silently lose transactions.
  if (meta_.high_water > size_bytes_ / page_size_) throw_refused(ErrorCode::ERR_TRUNCATED, path_);
}

std::shared_ptr<PageFile> PageFile::open(FileSystem& files, const std::string& path,
                                         PageFileOptions options) {
  std::unique_ptr<File> handle = open_locked(files, path, options);
  std::shared_ptr<PageFile> file(new PageFile(files, path, std::move(handle), options.read_only));
  file->size_bytes_ = file->file_->status().size_bytes;
  file->read_metas();
  file->map(file->size_bytes_);
  return file;
}

void PageFile::create(FileSystem& files, const std::string& path, uint32_t page_size, uint32_t mode,
                      DatabaseId id) {
  const std::string temp = path + "-create-" + random_name(files);
  OpenMode open_mode;
  open_mode.write = open_mode.create = open_mode.exclusive = true;
  open_mode.mode = mode;
  try {
    const std::unique_ptr<File> file = files.open(temp, open_mode);
    file->write(0, empty_database(page_size, Mark{id, 0, true}));
    file->sync_all();
    if (!files.rename_new(temp, path)) files.remove(temp);
  } catch (const Error& error) {
    // Another process was first, has opened its file, and took ours for a crash's left-over.
    const bool overtaken = error.code() == ErrorCode::ERR_NOT_FOUND && files.status(path);
    if (overtaken) return;
    remove_quietly(files, temp);
    throw;
  } catch (const std::bad_alloc&) {
    remove_quietly(files, temp);
    throw;
  }
  files.sync_directory(directory_of(path));
}

void PageFile::initialize(FileSystem& files, const std::string& path, uint32_t page_size,
                          DatabaseId id, const PageFileOptions& options) {
  const std::unique_ptr<File> empty = open_locked(files, path, options);
  const FileStatus status = empty->status();
  if (status.size_bytes > 0) return;
  const std::string temp = path + "-create-" + random_name(files);
  OpenMode open_mode;
  open_mode.write = open_mode.create = open_mode.exclusive = true;
  try {
    const std::unique_ptr<File> file = files.open(temp, open_mode);
    file->set_mode_and_owner(status);
    file->write(0, empty_database(page_size, Mark{id, 0, true}));
    file->sync_all();
    files.rename(temp, path);
  } catch (...) {
    remove_quietly(files, temp);
    throw;
  }
  files.sync_directory(directory_of(path));
  // A bbolt that waits for its lock would make a database of it that nobody finds again.
  if (status.link_count <= 1) empty->resize(2 * uint64_t{page_size});
}

void PageFile::write_empty(File& file, uint32_t page_size) {
  file.write(0, empty_database(page_size, std::nullopt));
}

std::shared_ptr<PageFile> PageFile::adopt(FileSystem& files, const std::string& path,
                                          std::unique_ptr<File> handle) {
  std::shared_ptr<PageFile> file(new PageFile(files, path, std::move(handle), false));
  file->size_bytes_ = file->file_->status().size_bytes;
  file->read_metas();
  file->map(file->size_bytes_);
  return file;
}

std::shared_ptr<PageFile> PageFile::create_empty(FileSystem& files, const std::string& path,
                                                 uint32_t page_size, const FileStatus& like) {
  OpenMode mode;
  mode.write = mode.create = mode.exclusive = true;
  std::unique_ptr<File> handle = files.open(path, mode);
  try {
    if (!handle->try_lock(LockKind::kExclusive)) throw_locked(path);
    handle->set_mode_and_owner(like);
    write_empty(*handle, page_size);
    return adopt(files, path, std::move(handle));
  } catch (...) {
    remove_quietly(files, path);
    throw;
  }
}

}  // namespace hotbolt
