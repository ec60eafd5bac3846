// core/file.h for Linux and macOS: with posix_guard.cc the only files with operating system
// headers.
//
// Durability: sync_data is fdatasync on Linux; on macOS fsync leaves the data in the drive's cache,
// so both syncs are F_FULLFSYNC there. A sync that failed has dropped the pages it could not write:
// the next one would succeed without them. So the failure sticks to the File. EINTR and short
// transfers are continued here.
#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/syscall.h>
#endif

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>

#include "core/error.h"
#include "core/file.h"
#include "platform/posix_guard.h"

namespace hotbolt {
namespace {

static_assert(sizeof(off_t) == 8 && sizeof(size_t) == 8, "64-bit file offsets and addresses");

// Linux transfers at most this much at a time, macOS refuses more.
constexpr size_t kTransferMax = size_t{1} << 30;

ErrorCode code_of(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return ErrorCode::ERR_NO_SPACE;
    case EACCES:
    case EPERM:
    case EROFS:
      return ErrorCode::ERR_PERMISSION;
    case ENOENT:
      return ErrorCode::ERR_NOT_FOUND;
    case ENOMEM:
      return ErrorCode::ERR_OUT_OF_MEMORY;
    case EEXIST:
      return ErrorCode::ERR_EXISTS;
    case EISDIR:
    case ENOTDIR:
    case ELOOP:  // a symbolic link where none is followed
    case ENXIO:  // a FIFO without a reader, a socket, a device without a driver
      return ErrorCode::ERR_NOT_A_FILE;
    default:
      return ErrorCode::ERR_IO;
  }
}

[[noreturn]] void throw_system(int error_number, const char* syscall, const std::string& path) {
  std::string message = std::string(syscall) + " of " + path + ": " + std::strerror(error_number);
  throw Error(code_of(error_number), std::move(message)).with_system(error_number, syscall, path);
}

[[noreturn]] void throw_errno(const char* syscall, const std::string& path) {
  throw_system(errno, syscall, path);
}

// Calls until it is not interrupted by a signal.
template <typename Call>
auto retry(Call call) {
  auto result = call();
  while (result == -1 && errno == EINTR) result = call();
  return result;
}

FileStatus status_of(const struct stat& from) {
  FileStatus status;
  status.device = from.st_dev;
  status.inode = from.st_ino;
  status.size_bytes = static_cast<uint64_t>(from.st_size);
  status.mode = from.st_mode & 0777;
  status.user = from.st_uid;
  status.group = from.st_gid;
  status.allocated_bytes = static_cast<uint64_t>(from.st_blocks) * 512;
  status.link_count = from.st_nlink;
  status.is_regular = S_ISREG(from.st_mode);
  return status;
}

constexpr uint32_t kUnchanged = UINT32_MAX;  // to chown, of a user or a group

// For a file that could not be given to its group. Whoever was in the group is one of the others
// now, and the new group were others before: both get what both had.
uint32_t without_group(uint32_t mode) {
  const uint32_t both = (mode >> 3) & mode & 07;
  return (mode & 0700) | both << 3 | both;
}

off_t offset_of(uint64_t offset, const char* syscall, const std::string& path) {
  if (offset > static_cast<uint64_t>(INT64_MAX)) throw_system(EFBIG, syscall, path);
  return static_cast<off_t>(offset);
}

class PosixFile final : public File {
 public:
  PosixFile(int descriptor, std::string path) : descriptor_(descriptor), path_(std::move(path)) {}
  ~PosixFile() override { ::close(descriptor_); }

  size_t read(uint64_t offset, void* buffer, size_t size) override;
  void write(uint64_t offset, Bytes bytes) override;
  void resize(uint64_t size_bytes) override;
  void allocate(uint64_t offset, uint64_t size_bytes) override;
  void sync_data() override;
  void sync_all() override;
  void start_writeback(uint64_t offset, uint64_t size) override;
  void wait_writeback(uint64_t offset, uint64_t size) override;
  bool try_lock(LockKind kind) override;
  std::shared_ptr<const Mapping> map(uint64_t reserve_bytes) override;
  FileStatus status() override;
  void set_mode_and_owner(const FileStatus& like) override;
  const std::string& path() const override { return path_; }

 private:
  void give_to(uint32_t user, uint32_t group);
  template <typename Sync>
  void sync(const char* syscall, Sync call);
  void sync_range(uint64_t offset, uint64_t size, unsigned flags);

  const int descriptor_;
  const std::string path_;
  std::atomic<int> sync_error_{0};  // errno of the first failed sync
};

size_t PosixFile::read(uint64_t offset, void* buffer, size_t size) {
  size_t done = 0;
  while (done < size) {
    const off_t at = offset_of(offset + done, "pread", path_);
    const size_t piece = std::min(size - done, kTransferMax);
    const ssize_t count =
        retry([&] { return ::pread(descriptor_, static_cast<char*>(buffer) + done, piece, at); });
    if (count == -1) throw_errno("pread", path_);
    if (count == 0) break;
    done += static_cast<size_t>(count);
  }
  return done;
}

void PosixFile::write(uint64_t offset, Bytes bytes) {
  while (!bytes.empty()) {
    const off_t at = offset_of(offset, "pwrite", path_);
    const size_t piece = std::min(bytes.size(), kTransferMax);
    const ssize_t count = retry([&] { return ::pwrite(descriptor_, bytes.data(), piece, at); });
    if (count == -1) throw_errno("pwrite", path_);
    // A device that takes nothing would keep us here for ever.
    if (count == 0) throw_system(EIO, "pwrite", path_);
    bytes.remove_prefix(static_cast<size_t>(count));
    offset += static_cast<uint64_t>(count);
  }
}

void PosixFile::resize(uint64_t size_bytes) {
  const off_t size = offset_of(size_bytes, "ftruncate", path_);
  if (retry([&] { return ::ftruncate(descriptor_, size); }) == -1) throw_errno("ftruncate", path_);
}

// macOS has no call that allocates and extends.
void PosixFile::allocate(uint64_t offset, uint64_t size_bytes) {
#if defined(__linux__)
  const off_t at = offset_of(offset, "fallocate", path_);
  const off_t size = offset_of(size_bytes, "fallocate", path_);
  if (retry([&] { return ::fallocate(descriptor_, 0, at, size); }) == 0) return;
  if (errno != EOPNOTSUPP && errno != ENOSYS) throw_errno("fallocate", path_);
#endif
  const std::string zeros(64 << 10, '\0');
  const uint64_t end = offset + size_bytes;
  for (uint64_t from = std::max(offset, status().size_bytes); from < end; from += zeros.size())
    write(from, Bytes(zeros).substr(0, end - from));
}

template <typename Sync>
void PosixFile::sync(const char* syscall, Sync call) {
  if (const int earlier = sync_error_) throw_system(earlier, syscall, path_);
  // Not even after EINTR: what the call did until then is unknown.
  if (call() == 0) return;
  const int error_number = errno;
  sync_error_ = error_number;
  throw_system(error_number, syscall, path_);
}

#if defined(__APPLE__)
// Some file systems (network, FAT) do not know F_FULLFSYNC; that is no failed sync.
int full_sync(int descriptor) {
  if (::fcntl(descriptor, F_FULLFSYNC) == 0) return 0;
  const bool unknown = errno == ENOTSUP || errno == EINVAL || errno == ENOTTY;
  return unknown ? ::fsync(descriptor) : -1;
}

void PosixFile::sync_data() {
  sync("fcntl", [&] { return full_sync(descriptor_); });
}
void PosixFile::sync_all() {
  sync("fcntl", [&] { return full_sync(descriptor_); });
}
#else
void PosixFile::sync_data() {
  sync("fdatasync", [&] { return ::fdatasync(descriptor_); });
}
void PosixFile::sync_all() {
  sync("fsync", [&] { return ::fsync(descriptor_); });
}
#endif

#if defined(__linux__)
void PosixFile::start_writeback(uint64_t offset, uint64_t size) {
  sync_range(offset, size, SYNC_FILE_RANGE_WRITE);
}

void PosixFile::wait_writeback(uint64_t offset, uint64_t size) {
  sync_range(offset, size,
             SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
}

// Waiting consumes the kernel's record of a failed writeback, which a later fdatasync would have
// reported.
void PosixFile::sync_range(uint64_t offset, uint64_t size, unsigned flags) {
  if (size == 0) return;  // which would mean: to the end of the file
  const auto unsupported = [] { return errno == ENOSYS || errno == EINVAL || errno == ESPIPE; };
  const off_t at = offset_of(offset, "sync_file_range", path_);
  const off_t length = offset_of(size, "sync_file_range", path_);
  sync("sync_file_range", [&] {
    const int result = ::sync_file_range(descriptor_, at, length, flags);
    return result == -1 && unsupported() ? 0 : result;
  });
}
#else
void PosixFile::start_writeback(uint64_t, uint64_t) {}
void PosixFile::wait_writeback(uint64_t, uint64_t) {}
#endif

bool PosixFile::try_lock(LockKind kind) {
  const int operation = (kind == LockKind::kShared ? LOCK_SH : LOCK_EX) | LOCK_NB;
  if (retry([&] { return ::flock(descriptor_, operation); }) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  throw_errno("flock", path_);
}

std::shared_ptr<const Mapping> PosixFile::map(uint64_t reserve_bytes) {
  const size_t size = std::max<uint64_t>(reserve_bytes, 1);
  void* const data = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor_, 0);
  if (data == MAP_FAILED) throw_errno("mmap", path_);
  // Advice only: lookups touch scattered pages, reading ahead of each would waste the cache.
  ::madvise(data, size, MADV_RANDOM);
  try {
    return std::make_shared<GuardedMapping>(static_cast<char*>(data), size);
  } catch (...) {
    ::munmap(data, size);
    throw;
  }
}

FileStatus PosixFile::status() {
  struct stat from;
  if (::fstat(descriptor_, &from) == -1) throw_errno("fstat", path_);
  return status_of(from);
}

// The group before the mode, which is for that group; the user last, because who has given a file
// away may not change its mode any more.
void PosixFile::set_mode_and_owner(const FileStatus& like) {
  const FileStatus before = status();
  if (before.group != like.group) give_to(kUnchanged, like.group);
  const bool has_group = status().group == like.group;
  const uint32_t mode = has_group ? like.mode : without_group(like.mode);
  if (::fchmod(descriptor_, mode) == -1) throw_errno("fchmod", path_);
  if (before.user != like.user) give_to(like.user, kUnchanged);
}

// Without effect where the system does not let us: we lack the right, a user namespace does not
// know the number, or the file system has no owners.
void PosixFile::give_to(uint32_t user, uint32_t group) {
  if (::fchown(descriptor_, user, group) == 0) return;
  const bool refused = errno == EPERM || errno == EINVAL || errno == ENOTSUP;
  if (!refused) throw_errno("fchown", path_);
}

class PosixFileSystem final : public FileSystem {
 public:
  std::unique_ptr<File> open(const std::string& path, OpenMode mode) override;
  std::optional<FileStatus> status(const std::string& path) override;
  std::optional<FileStatus> link_status(const std::string& path) override;
  std::string real_path(const std::string& path) override;
  void rename(const std::string& source, const std::string& target) override;
  bool rename_new(const std::string& source, const std::string& target) override;
  void remove(const std::string& path) override;
  void sync_directory(const std::string& directory) override;
  void require_writable(const std::string& directory) override;
  std::vector<std::string> list(const std::string& directory) override;
  uint64_t free_space_bytes(const std::string& directory) override;
  void random(void* buffer, size_t size) override;
  uint64_t now_us() override;
  void sleep_us(uint64_t duration_us) override;
};

int flags_of(OpenMode mode) {
  int flags = O_CLOEXEC | O_NONBLOCK | (mode.write ? O_RDWR : O_RDONLY);
  if (mode.create) flags |= O_CREAT;
  if (mode.create || mode.no_follow) flags |= O_NOFOLLOW;
  if (mode.create && mode.exclusive) flags |= O_EXCL;
  return flags;
}

std::unique_ptr<File> PosixFileSystem::open(const std::string& path, OpenMode mode) {
  const bool is_new = mode.create && (mode.exclusive || !status(path));
  const int descriptor =
      retry([&] { return ::open(path.c_str(), flags_of(mode), static_cast<mode_t>(mode.mode)); });
  if (descriptor == -1) throw_errno("open", path);
  std::unique_ptr<File> file;
  try {
    file = std::make_unique<PosixFile>(descriptor, path);
  } catch (...) {
    ::close(descriptor);
    throw;
  }
  if (!file->status().is_regular) {
    throw Error(ErrorCode::ERR_NOT_A_FILE, path + " is not a regular file").with_path(path);
  }
  // The umask has taken bits away.
  if (is_new && ::fchmod(descriptor, mode.mode) == -1) throw_errno("fchmod", path);
  return file;
}

std::optional<FileStatus> PosixFileSystem::status(const std::string& path) {
  struct stat from;
  if (::stat(path.c_str(), &from) == 0) return status_of(from);
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  throw_errno("stat", path);
}

std::optional<FileStatus> PosixFileSystem::link_status(const std::string& path) {
  struct stat from;
  if (::lstat(path.c_str(), &from) == 0) return status_of(from);
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  throw_errno("lstat", path);
}

std::string PosixFileSystem::real_path(const std::string& path) {
  const std::unique_ptr<char, void (*)(void*)> resolved(::realpath(path.c_str(), nullptr), ::free);
  if (!resolved) throw_errno("realpath", path);
  return resolved.get();
}

void PosixFileSystem::rename(const std::string& source, const std::string& target) {
  if (::rename(source.c_str(), target.c_str()) == -1) throw_errno("rename", target);
}

bool PosixFileSystem::rename_new(const std::string& source, const std::string& target) {
#if defined(__linux__) && defined(SYS_renameat2)
  constexpr unsigned kNoReplace = 1;  // RENAME_NOREPLACE, which not every libc declares
  const long result =
      ::syscall(SYS_renameat2, AT_FDCWD, source.c_str(), AT_FDCWD, target.c_str(), kNoReplace);
#elif defined(__APPLE__)
  const int result = ::renamex_np(source.c_str(), target.c_str(), RENAME_EXCL);
#else
  const int result = (errno = ENOSYS, -1);
#endif
  if (result == 0) return true;
  if (errno == EEXIST) return false;
  const bool unsupported = errno == ENOSYS || errno == EINVAL || errno == ENOTSUP;
  if (!unsupported) throw_errno("rename", target);
  return FileSystem::rename_new(source, target);
}

void PosixFileSystem::remove(const std::string& path) {
  if (::unlink(path.c_str()) == -1 && errno != ENOENT) throw_errno("unlink", path);
}

void PosixFileSystem::sync_directory(const std::string& directory) {
  const int descriptor =
      retry([&] { return ::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); });
  if (descriptor == -1) throw_errno("open", directory);
  const int error_number = ::fsync(descriptor) == -1 ? errno : 0;
  ::close(descriptor);
  // Some file systems cannot sync a directory because they write it through.
  if (error_number != 0 && error_number != EINVAL && error_number != ENOTSUP) {
    throw_system(error_number, "fsync", directory);
  }
}

void PosixFileSystem::require_writable(const std::string& directory) {
  // By what the process may do now, not by who started it.
  if (::faccessat(AT_FDCWD, directory.c_str(), W_OK | X_OK, AT_EACCESS) == -1)
    throw_errno("access", directory);
}

std::vector<std::string> PosixFileSystem::list(const std::string& directory) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(directory.c_str()), ::closedir);
  if (!stream) throw_errno("opendir", directory);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(stream.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  if (errno != 0) throw_errno("readdir", directory);
  return names;
}

uint64_t PosixFileSystem::free_space_bytes(const std::string& directory) {
  struct statvfs from;
  if (::statvfs(directory.c_str(), &from) == -1) throw_errno("statvfs", directory);
  return uint64_t{from.f_bavail} * from.f_frsize;
}

void PosixFileSystem::random(void* buffer, size_t size) {
  constexpr size_t kPieceMax = 256;  // getentropy refuses more
  for (size_t done = 0; done < size;) {
    const size_t piece = std::min(size - done, kPieceMax);
    if (::getentropy(static_cast<char*>(buffer) + done, piece) == -1) throw_errno("getentropy", "");
    done += piece;
  }
}

uint64_t PosixFileSystem::now_us() {
  timespec now;
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1'000'000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

void PosixFileSystem::sleep_us(uint64_t duration_us) {
  timespec left;
  left.tv_sec = static_cast<time_t>(duration_us / 1'000'000);
  left.tv_nsec = static_cast<long>(duration_us % 1'000'000 * 1000);
  while (::nanosleep(&left, &left) == -1 && errno == EINTR) {
  }
}

}  // namespace

void lower_thread_priority() noexcept {
#ifdef __linux__
  // On Linux a nice value belongs to a thread.
  constexpr int kNice = 10;
  ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kNice);
#endif
}

char* map_memory(size_t size) {
  void* const memory =
      ::mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<char*>(memory);
}

void unmap_memory(char* memory, size_t size) noexcept { ::munmap(memory, size); }

FileSystem& system_files() {
  // Never destroyed: threads of the addon may outlive the statics.
  static auto* const files = new PosixFileSystem;
  return *files;
}

}  // namespace hotbolt
