// The seam between the engine and the operating system: every storage call, the clock, the source
// of randomness, and memory by the page.
//
// platform/ implements it for POSIX; tests wrap or replace it to inject faults at any call.
// Failures are thrown as Error with errno, syscall and path: ENOSPC, EDQUOT and EFBIG become
// ERR_NO_SPACE; EACCES, EPERM and EROFS ERR_PERMISSION; ENOENT ERR_NOT_FOUND; ENOMEM
// ERR_OUT_OF_MEMORY; EEXIST ERR_EXISTS; everything else ERR_IO. Short transfers and EINTR are
// continued inside, except that a failed sync is never retried: after a failed sync or
// wait_writeback (which takes the kernel's report of a lost page with it) every later sync of that
// File fails too. All methods may be called from any thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/bytes.h"

namespace hotbolt {

// Identity and attributes of an inode.
struct FileStatus {
  uint64_t device = 0;
  uint64_t inode = 0;
  uint64_t size_bytes = 0;
  uint64_t allocated_bytes = 0;  // on the disk: without holes
  uint32_t mode = 0;             // permission bits only
  uint32_t user = 0;
  uint32_t group = 0;
  uint64_t link_count = 0;
  bool is_regular = false;
  bool same_inode(const FileStatus& other) const {
    return device == other.device && inode == other.inode;
  }
};

// A read-only shared mapping of a file from offset 0. Bytes beyond the end of the file are part of
// the reserved range and become readable when the file grows; callers bound every access by the
// file size. A page that is not there all the same (somebody cut the file short, or the disk
// failed) reads as zeros, and from then on the mapping is damaged: readers ask afterwards, and what
// they read from a damaged mapping does not count.
class Mapping {
 public:
  virtual ~Mapping() = default;
  const char* data() const noexcept { return data_; }
  uint64_t size() const noexcept { return size_; }  // reserved bytes
  bool damaged() const noexcept { return damaged_.load(std::memory_order_acquire); }

 protected:
  const char* data_ = nullptr;
  uint64_t size_ = 0;
  std::atomic<bool> damaged_{false};
};

enum class LockKind : uint8_t { kShared, kExclusive };

class File {
 public:
  virtual ~File() = default;  // closes; errors are swallowed: sync first

  // Reads up to `size` bytes; fewer only at the end of the file. Returns the count.
  virtual size_t read(uint64_t offset, void* buffer, size_t size) = 0;
  virtual void write(uint64_t offset, Bytes bytes) = 0;
  virtual void resize(uint64_t size_bytes) = 0;  // ftruncate
  // fallocate: takes the space, and extends the file. Where the system cannot, what is beyond the
  // end of the file is written with zeros, which takes it on most file systems too.
  virtual void allocate(uint64_t offset, uint64_t size_bytes) = 0;
  virtual void sync_data() = 0;  // fdatasync
  virtual void sync_all() = 0;   // fsync
  virtual void start_writeback(uint64_t offset,
                               uint64_t size) = 0;  // sync_file_range WRITE; no-op elsewhere
  virtual void wait_writeback(
      uint64_t offset, uint64_t size) = 0;   // sync_file_range WAIT|WRITE|WAIT; no-op elsewhere
  virtual bool try_lock(LockKind kind) = 0;  // flock, non-blocking; false: somebody else has it
  virtual std::shared_ptr<const Mapping> map(
      uint64_t reserve_bytes) = 0;  // mmap PROT_READ MAP_SHARED, MADV_RANDOM
  virtual FileStatus status() = 0;  // fstat
  // fchmod, fchown. Where the user or the group may not be set it stays as it is; without the group
  // nobody gets a right that he had not. REQUIRES: the file is new, with mode 0600.
  virtual void set_mode_and_owner(const FileStatus& like) = 0;
  virtual const std::string& path() const = 0;  // the path it was opened by, for messages
};

struct OpenMode {
  bool write = false;
  bool create = false;  // with exclusive: O_CREAT | O_EXCL
  bool exclusive = false;
  uint32_t mode = 0600;  // permission bits of a created file (exactly these: fchmod after creation)
  bool no_follow = false;  // a symbolic link at the end of the path is ERR_NOT_A_FILE
};

// Everything that has a path, plus clock and randomness.
class FileSystem {
 public:
  virtual ~FileSystem() = default;

  // O_CLOEXEC always; O_NONBLOCK while opening so that a FIFO does not hang; O_NOFOLLOW when
  // creating. A path that is not a regular file throws ERR_NOT_A_FILE.
  virtual std::unique_ptr<File> open(const std::string& path, OpenMode mode) = 0;
  virtual std::optional<FileStatus> status(
      const std::string& path) = 0;  // stat; nullopt: does not exist
  // The same of a symbolic link itself (lstat), where the system has some; the default follows it.
  virtual std::optional<FileStatus> link_status(const std::string& path) { return status(path); }
  virtual std::string real_path(
      const std::string& path) = 0;  // all links resolved; throws ERR_NOT_FOUND
  virtual void rename(const std::string& source, const std::string& target) = 0;
  // The same, unless `target` exists: then nothing happens and the result is false. Atomic where
  // the system can do it; the default looks first and renames then.
  virtual bool rename_new(const std::string& source, const std::string& target);
  virtual void remove(const std::string& path) = 0;  // unlink; a missing file is fine
  virtual void sync_directory(const std::string& directory) = 0;
  // Throws ERR_PERMISSION if no file may be created in it, as far as the system says so without
  // trying (access).
  virtual void require_writable(const std::string& directory) = 0;
  virtual std::vector<std::string> list(const std::string& directory) = 0;  // names, not paths
  virtual uint64_t free_space_bytes(const std::string& directory) = 0;  // available to this user
  virtual void random(void* buffer, size_t size) = 0;
  virtual uint64_t now_us() = 0;  // monotonic
  virtual void sleep_us(uint64_t duration_us) = 0;
};

// The calling thread gives way to others from now on; where the system cannot say so, nothing
// happens.
void lower_thread_priority() noexcept;

// Whole pages of memory, zeros. Throws bad_alloc.
char* map_memory(size_t size);
void unmap_memory(char* memory, size_t size) noexcept;

// Mappings survive again what Mapping says they survive, where somebody has changed the process's
// signal handlers since. Making a mapping does it too.
void guard_mappings();

// The operating system's own, for the life of the process.
FileSystem& system_files();

// "/a/b" -> "/a", "b" -> ".". Names are separated by '/'.
std::string directory_of(const std::string& path);
std::string name_of(const std::string& path);

}  // namespace hotbolt
