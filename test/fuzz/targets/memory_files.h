// A file system in memory that costs next to nothing, for fuzzing: no faults, no crashes (those are
// sim_file.h's business), and bytes at fixed addresses that are used again by the next execution.
//
// Under AddressSanitizer everything beyond the end of a file is poisoned, so that a read behind it,
// which would be a SIGBUS on a real mapping, is found. Random bytes are the same in every
// execution. Any thread.
#pragma once

#include <sys/mman.h>

#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file.h"

#if defined(__SANITIZE_ADDRESS__)
#define HOTBOLT_FUZZ_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HOTBOLT_FUZZ_ASAN 1
#endif
#endif
#ifdef HOTBOLT_FUZZ_ASAN
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#define ASAN_UNPOISON_MEMORY_REGION(address, size) ((void)(address), (void)(size))
#endif

namespace hotbolt::fuzz {

// The bytes of one file: address space that is never given back, only passed on.
class Room {
 public:
  // What a file may grow to: enough for what the scripts write, and a bound for what they may not.
  static constexpr uint64_t kCapacity = 16 << 20;

  Room() {
    void* reserved = ::mmap(nullptr, kCapacity, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) throw Error(ErrorCode::ERR_OUT_OF_MEMORY, "no address space");
    data_ = static_cast<char*>(reserved);
    ASAN_POISON_MEMORY_REGION(data_, kCapacity);
  }
  Room(const Room&) = delete;
  Room& operator=(const Room&) = delete;

  char* data() const { return data_; }
  uint64_t size() const { return size_; }
  Bytes bytes() const { return {data_, size_}; }
  void resize(uint64_t size) {
    if (size > size_) {
      ASAN_UNPOISON_MEMORY_REGION(data_, size);
    } else {
      std::memset(data_ + size, 0, size_ - size);
      ASAN_POISON_MEMORY_REGION(data_ + size, size_ - size);
    }
    size_ = size;
  }

 private:
  char* data_ = nullptr;
  uint64_t size_ = 0;
};

// A file, which outlives its name as long as somebody has it open or mapped.
class Inode {
 public:
  explicit Inode(uint64_t number) : number_(number) {
    std::lock_guard lock(mutex());
    if (idle().empty()) {
      room_ = std::make_unique<Room>();
    } else {
      room_ = std::move(idle().back());
      idle().pop_back();
    }
  }
  ~Inode() {
    room_->resize(0);
    std::lock_guard lock(mutex());
    idle().push_back(std::move(room_));
  }
  Inode(const Inode&) = delete;
  Inode& operator=(const Inode&) = delete;

  Room& room() { return *room_; }
  uint64_t number() const { return number_; }
  std::map<const void*, LockKind> locks;  // by open file

 private:
  static std::mutex& mutex() {
    static std::mutex mutex;
    return mutex;
  }
  static std::vector<std::unique_ptr<Room>>& idle() {
    static std::vector<std::unique_ptr<Room>> rooms;
    return rooms;
  }
  const uint64_t number_;
  std::unique_ptr<Room> room_;
};

class MemoryMapping : public Mapping {
 public:
  MemoryMapping(std::shared_ptr<Inode> inode, uint64_t reserve_bytes) : inode_(std::move(inode)) {
    data_ = inode_->room().data();
    size_ = std::min(reserve_bytes, Room::kCapacity);
  }

 private:
  const std::shared_ptr<Inode> inode_;
};

class MemoryFiles : public FileSystem {
 public:
  void put(const std::string& path, Bytes bytes) {
    std::lock_guard lock(mutex_);
    const auto inode = std::make_shared<Inode>(++inodes_);
    inode->room().resize(bytes.size());
    if (!bytes.empty()) std::memcpy(inode->room().data(), bytes.data(), bytes.size());
    names_[path] = inode;
  }
  std::string contents(const std::string& path) const {
    std::lock_guard lock(mutex_);
    const auto found = names_.find(path);
    return found == names_.end() ? std::string() : std::string(found->second->room().bytes());
  }
  std::vector<std::string> paths() const {
    std::lock_guard lock(mutex_);
    std::vector<std::string> paths;
    for (const auto& [path, inode] : names_) paths.push_back(path);
    return paths;
  }

  std::unique_ptr<File> open(const std::string& path, OpenMode mode) override;
  std::optional<FileStatus> status(const std::string& path) override {
    std::lock_guard lock(mutex_);
    const auto found = names_.find(path);
    if (found == names_.end()) return std::nullopt;
    return status_of(*found->second);
  }
  std::string real_path(const std::string& path) override { return path; }
  void rename(const std::string& source, const std::string& target) override {
    std::lock_guard lock(mutex_);
    const auto found = names_.find(source);
    if (found == names_.end()) throw Error(ErrorCode::ERR_NOT_FOUND, source);
    const std::shared_ptr<Inode> inode = found->second;
    names_.erase(found);
    names_[target] = inode;
  }
  void remove(const std::string& path) override {
    std::lock_guard lock(mutex_);
    names_.erase(path);
  }
  void sync_directory(const std::string&) override {}
  void require_writable(const std::string&) override {}
  std::vector<std::string> list(const std::string& directory) override {
    std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [path, inode] : names_) {
      if (directory_of(path) == directory) names.push_back(name_of(path));
    }
    return names;
  }
  uint64_t free_space_bytes(const std::string&) override { return uint64_t{1} << 40; }
  void random(void* buffer, size_t size) override {
    std::lock_guard lock(mutex_);
    for (size_t i = 0; i < size; i++) {
      random_ = random_ * 6364136223846793005 + 1442695040888963407;
      static_cast<char*>(buffer)[i] = static_cast<char>(random_ >> 56);
    }
  }
  uint64_t now_us() override { return ++now_us_; }
  void sleep_us(uint64_t duration_us) override { now_us_ += duration_us; }

 private:
  friend class MemoryFile;
  static FileStatus status_of(Inode& inode) {
    FileStatus status;
    status.device = 1;
    status.inode = inode.number();
    status.size_bytes = inode.room().size();
    status.mode = 0600;
    status.allocated_bytes = status.size_bytes;
    status.link_count = 1;
    status.is_regular = true;
    return status;
  }

  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Inode>> names_;
  uint64_t inodes_ = 0;
  uint64_t random_ = 1;
  std::atomic<uint64_t> now_us_{1'000'000};
};

class MemoryFile : public File {
 public:
  MemoryFile(MemoryFiles& files, std::string path, std::shared_ptr<Inode> inode)
      : files_(files), path_(std::move(path)), inode_(std::move(inode)) {}
  ~MemoryFile() override {
    std::lock_guard lock(files_.mutex_);
    inode_->locks.erase(this);
  }

  size_t read(uint64_t offset, void* buffer, size_t size) override {
    std::lock_guard lock(files_.mutex_);
    const Bytes bytes = inode_->room().bytes();
    return offset < bytes.size() ? bytes.substr(offset).copy(static_cast<char*>(buffer), size) : 0;
  }
  void write(uint64_t offset, Bytes bytes) override {
    std::lock_guard lock(files_.mutex_);
    grow(offset + bytes.size());
    if (!bytes.empty()) std::memcpy(inode_->room().data() + offset, bytes.data(), bytes.size());
  }
  void resize(uint64_t size_bytes) override {
    std::lock_guard lock(files_.mutex_);
    grow(size_bytes);
    inode_->room().resize(size_bytes);
  }
  void allocate(uint64_t offset, uint64_t size_bytes) override {
    std::lock_guard lock(files_.mutex_);
    grow(offset + size_bytes);
  }
  void sync_data() override {}
  void sync_all() override {}
  void start_writeback(uint64_t, uint64_t) override {}
  void wait_writeback(uint64_t, uint64_t) override {}
  bool try_lock(LockKind kind) override {
    std::lock_guard lock(files_.mutex_);
    for (const auto& [holder, held] : inode_->locks) {
      if (holder == this) continue;
      if (kind == LockKind::kExclusive || held == LockKind::kExclusive) return false;
    }
    inode_->locks[this] = kind;
    return true;
  }
  std::shared_ptr<const Mapping> map(uint64_t reserve_bytes) override {
    return std::make_shared<MemoryMapping>(inode_, reserve_bytes);
  }
  FileStatus status() override {
    std::lock_guard lock(files_.mutex_);
    return MemoryFiles::status_of(*inode_);
  }
  void set_mode_and_owner(const FileStatus&) override {}
  const std::string& path() const override { return path_; }

 private:
  void grow(uint64_t size) {
    if (size > Room::kCapacity) {
      throw Error(ErrorCode::ERR_NO_SPACE).with_system(28, "write", path_);
    }
    if (size > inode_->room().size()) inode_->room().resize(size);
  }

  MemoryFiles& files_;
  const std::string path_;
  const std::shared_ptr<Inode> inode_;
};

inline std::unique_ptr<File> MemoryFiles::open(const std::string& path, OpenMode mode) {
  if (mode.create) put(path, {});
  std::lock_guard lock(mutex_);
  const auto found = names_.find(path);
  if (found == names_.end()) throw Error(ErrorCode::ERR_NOT_FOUND, path);
  return std::make_unique<MemoryFile>(*this, path, found->second);
}

}  // namespace hotbolt::fuzz
