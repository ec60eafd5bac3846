// An operating system's storage in memory, for tests: implements core/file.h, fails on demand, and
// crashes.
//
// What it remembers is what a disk remembers. Each inode has its live bytes (what the page cache
// shows) and its durable bytes (what the newest successful sync of it covered); directories have
// live names and a list of changes that no directory sync has covered yet. crash() builds a new
// file system from the durable state plus
//   - of each inode, any subset of the 512-byte sectors written since (sectors are written whole or
//     not at all), and its old or its new size,
//   - of each directory, any prefix of the changes since (as a journaling file system does).
//
// Every call counts. fail_call(n, ...) makes the n-th fail: a failed write may have changed half of
// its bytes, and what a failed sync was asked for is never written any more (as Linux does),
// however often it is called again. The clock stands still except for sleep_us(). Any thread.
//
//   SimFileSystem files(seed);
//   files.fail_call(7, ErrorCode::ERR_IO, 5);
//   std::unique_ptr<SimFileSystem> after = files.crash(seed);
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "core/file.h"

namespace hotbolt::testing {

inline constexpr uint64_t kSimSectorSize = 512;

// The bytes of one inode. They lie in reserved address space and never move, so that mappings stay
// valid while it grows.
class SimInode {
 public:
  static constexpr uint64_t kCapacity = uint64_t{1} << 30;

  explicit SimInode(uint64_t number) : number_(number) {
    void* reserved = ::mmap(nullptr, kCapacity, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (reserved == MAP_FAILED) throw Error(ErrorCode::ERR_OUT_OF_MEMORY, "sim: no address space");
    data_ = static_cast<char*>(reserved);
  }
  ~SimInode() { ::munmap(data_, kCapacity); }
  SimInode(const SimInode&) = delete;
  SimInode& operator=(const SimInode&) = delete;

  Bytes bytes() const { return {data_, size_}; }
  const std::string& durable() const { return durable_; }
  const char* data() const { return data_; }
  uint64_t number() const { return number_; }

  // Whole and durable at once. Zeros at the end cost no memory.
  void become(Bytes bytes) {
    const size_t used = bytes.find_last_not_of('\0') + 1;
    std::memcpy(data_, bytes.data(), used);
    size_ = bytes.size();
    durable_ = bytes;
  }
  void write(uint64_t offset, Bytes bytes) {
    if (bytes.empty()) return;
    std::memcpy(data_ + offset, bytes.data(), bytes.size());
    size_ = std::max(size_, offset + bytes.size());
    touch(offset, bytes.size());
  }
  void resize(uint64_t size) {
    const uint64_t low = std::min(size, size_);
    const uint64_t high = std::max(size, size_);
    if (size < size_) std::memset(data_ + low, 0, high - low);  // beyond the end all is zero
    touch(low, high - low);
    size_ = size;
  }
  void sync() {
    durable_.resize(size_);
    for (const uint64_t sector : unsynced_) copy_sector(bytes(), sector, durable_);
    unsynced_.clear();
  }
  // What is not durable now never will be.
  void lose() { unsynced_.clear(); }

  // The bytes that a crash may leave; `choose` says whether an unsynced sector made it.
  std::string after_crash(const std::function<bool(uint64_t sector)>& choose, bool new_size) const {
    std::string left = durable_;
    left.resize(std::max<uint64_t>(size_, durable_.size()));
    for (const uint64_t sector : unsynced_) {
      if (choose(sector)) copy_sector(bytes(), sector, left);
    }
    left.resize(new_size ? size_ : durable_.size());
    return left;
  }
  size_t unsynced_sectors() const { return unsynced_.size(); }

  uint32_t mode = 0600;
  uint32_t links = 0;
  std::map<const void*, LockKind> locks;  // by open file

 private:
  void touch(uint64_t offset, uint64_t size) {
    if (size == 0) return;
    const uint64_t last = (offset + size - 1) / kSimSectorSize;
    for (uint64_t sector = offset / kSimSectorSize; sector <= last; sector++)
      unsynced_.insert(sector);
  }
  static void copy_sector(Bytes from, uint64_t sector, std::string& to) {
    const uint64_t begin = sector * kSimSectorSize;
    if (begin >= to.size()) return;
    const uint64_t size = std::min(kSimSectorSize, to.size() - begin);
    const Bytes piece = begin < from.size() ? from.substr(begin, size) : Bytes();
    to.replace(begin, piece.size(), piece);
    to.replace(begin + piece.size(), size - piece.size(), size - piece.size(), '\0');
  }

  const uint64_t number_;
  char* data_ = nullptr;
  uint64_t size_ = 0;
  std::string durable_;
  std::set<uint64_t> unsynced_;  // sectors
};

class SimMapping : public Mapping {
 public:
  SimMapping(std::shared_ptr<SimInode> inode, uint64_t reserve_bytes) : inode_(std::move(inode)) {
    data_ = inode_->data();
    size_ = std::min(reserve_bytes, SimInode::kCapacity);
  }

 private:
  const std::shared_ptr<SimInode> inode_;
};

class SimFileSystem : public FileSystem {
 public:
  explicit SimFileSystem(uint64_t seed = 1) : random_(seed) {}

  // --- what tests do with it ---

  // The n-th call from now (1: the next) fails with this error; `times` calls in all, so that ~0
  // means a broken disk. With `name`, only calls of this name are counted: "write", "sync_data",
  // "rename", ...
  void fail_call(uint64_t n, ErrorCode code, int error_number, uint64_t times = 1,
                 std::string name = "") {
    std::lock_guard lock(mutex_);
    fault_ = Fault{n, times, code, error_number, std::move(name)};
  }
  uint64_t faults_injected() const {
    std::lock_guard lock(mutex_);
    return faults_injected_;
  }
  uint64_t calls() const {
    std::lock_guard lock(mutex_);
    return calls_;
  }
  // Called before every call, on the caller's thread and without any lock: the place to crash() at.
  // Set it before the file system is used.
  void set_hook(std::function<void(uint64_t call, const char* name)> hook) {
    hook_ = std::move(hook);
  }

  // The state after a power loss now. `choose` decides about each unsynced sector.
  std::unique_ptr<SimFileSystem> crash(
      uint64_t seed,
      const std::function<bool(const std::string& path, uint64_t sector)>& choose) const;
  // Random subsets: sometimes nothing, sometimes everything, mostly something.
  std::unique_ptr<SimFileSystem> crash(uint64_t seed) const;
  // The state after the end of the process: everything live is there.
  std::unique_ptr<SimFileSystem> restart() const {
    auto after = crash(1, [](const std::string&, uint64_t) { return true; });
    std::lock_guard lock(mutex_);
    after->names_.clear();
    after->durable_names_.clear();
    for (const auto& [path, inode] : names_) after->install(path, inode->bytes(), inode->mode);
    return after;
  }

  // Whole files, durable at once, not counted as calls.
  void put_file(const std::string& path, Bytes bytes) {
    std::lock_guard lock(mutex_);
    install(path, bytes, 0600);
  }
  std::string contents(const std::string& path) const {
    std::lock_guard lock(mutex_);
    const auto entry = names_.find(path);
    return entry == names_.end() ? std::string() : std::string(entry->second->bytes());
  }
  std::vector<std::string> paths() const {
    std::lock_guard lock(mutex_);
    std::vector<std::string> paths;
    for (const auto& [path, inode] : names_) paths.push_back(path);
    return paths;
  }
  void set_free_space(uint64_t bytes) {
    std::lock_guard lock(mutex_);
    free_space_bytes_ = bytes;
  }
  void advance_us(uint64_t duration_us) {
    std::lock_guard lock(mutex_);
    now_us_ += duration_us;
  }

  // --- FileSystem ---
  std::unique_ptr<File> open(const std::string& path, OpenMode mode) override;
  std::optional<FileStatus> status(const std::string& path) override {
    const auto lock = enter("status", path);
    const auto entry = names_.find(path);
    if (entry == names_.end()) return std::nullopt;
    return status_of(*entry->second);
  }
  std::string real_path(const std::string& path) override {
    const auto lock = enter("real_path", path);
    return path;  // there are no links, and every directory exists
  }
  void rename(const std::string& source, const std::string& target) override {
    const auto lock = enter("rename", source);
    apply_live(Change{target, source, find(source)});
  }
  void remove(const std::string& path) override {
    const auto lock = enter("remove", path);
    if (names_.contains(path)) apply_live(Change{path, "", nullptr});
  }
  void sync_directory(const std::string& directory) override {
    const auto lock = enter("sync_directory", directory);
    std::vector<Change> others;
    for (Change& change : changes_) {
      if (directory_of(change.path) == directory) {
        apply(durable_names_, change);
      } else {
        others.push_back(std::move(change));
      }
    }
    changes_ = std::move(others);
  }
  void require_writable(const std::string& directory) override { enter("access", directory); }
  std::vector<std::string> list(const std::string& directory) override {
    const auto lock = enter("list", directory);
    std::vector<std::string> names;
    for (const auto& [path, inode] : names_) {
      if (directory_of(path) == directory) names.push_back(name_of(path));
    }
    return names;
  }
  uint64_t free_space_bytes(const std::string& directory) override {
    const auto lock = enter("free_space", directory);
    return free_space_bytes_;
  }
  void random(void* buffer, size_t size) override {
    const auto lock = enter("random", "");
    for (size_t i = 0; i < size; i++) static_cast<char*>(buffer)[i] = static_cast<char>(random_());
  }
  uint64_t now_us() override {
    std::lock_guard lock(mutex_);
    return now_us_;
  }
  void sleep_us(uint64_t duration_us) override { advance_us(duration_us); }

 private:
  friend class SimFile;
  using Names = std::map<std::string, std::shared_ptr<SimInode>>;
  // A name that changes: path -> inode, or -> nothing; a rename also takes `source` away.
  struct Change {
    std::string path;
    std::string source;
    std::shared_ptr<SimInode> inode;
  };
  struct Fault {
    uint64_t n = 0;
    uint64_t times = 0;
    ErrorCode code{};
    int error_number = 0;
    std::string name;
  };

  // Counts a call and takes the lock. Throws if it is to fail, unless the caller wants to fail in
  // its own way.
  std::unique_lock<std::mutex> enter(const char* name, const std::string& path,
                                     bool* fails = nullptr) {
    uint64_t call;
    {
      std::lock_guard lock(mutex_);
      call = ++calls_;
    }
    if (hook_) hook_(call, name);
    std::unique_lock lock(mutex_);
    const bool fault = take_fault(name);
    if (fails != nullptr) {
      *fails = fault;
    } else if (fault) {
      fail(name, path);
    }
    return lock;
  }
  bool take_fault(const std::string& name) {
    if (fault_.times == 0 || (!fault_.name.empty() && fault_.name != name)) return false;
    if (fault_.n > 1) {
      fault_.n--;
      return false;
    }
    fault_.times--;
    faults_injected_++;
    return true;
  }
  [[noreturn]] void fail(const char* name, const std::string& path) const {
    throw Error(fault_.code, std::string("injected: ") + name + " " + path)
        .with_system(fault_.error_number, name, path);
  }
  std::shared_ptr<SimInode> find(const std::string& path) const {
    const auto entry = names_.find(path);
    if (entry != names_.end()) return entry->second;
    throw Error(ErrorCode::ERR_NOT_FOUND, "no such file: " + path).with_system(2, "open", path);
  }
  static void apply(Names& names, const Change& change) {
    if (!change.source.empty()) names.erase(change.source);
    if (change.inode == nullptr) {
      names.erase(change.path);
    } else {
      names[change.path] = change.inode;
    }
  }
  void apply_live(Change change) {
    const auto replaced = names_.find(change.path);
    if (replaced != names_.end()) replaced->second->links--;
    if (change.inode != nullptr && change.source.empty()) change.inode->links++;
    apply(names_, change);
    changes_.push_back(std::move(change));
  }
  void install(const std::string& path, Bytes bytes, uint32_t mode) {
    auto inode = std::make_shared<SimInode>(++inodes_);
    inode->become(bytes);
    inode->mode = mode;
    inode->links = 1;
    names_[path] = durable_names_[path] = inode;
  }
  static FileStatus status_of(const SimInode& inode) {
    FileStatus status;
    status.device = 1;
    status.inode = inode.number();
    status.size_bytes = inode.bytes().size();
    status.mode = inode.mode;
    status.allocated_bytes = status.size_bytes;
    status.link_count = inode.links;
    status.is_regular = true;
    return status;
  }
  Names names_after_crash(std::mt19937_64& random) const;

  mutable std::mutex mutex_;
  std::function<void(uint64_t, const char*)> hook_;
  Names names_;
  Names durable_names_;
  std::vector<Change> changes_;  // of names, that no directory sync has covered
  Fault fault_;
  uint64_t faults_injected_ = 0;
  uint64_t calls_ = 0;
  uint64_t inodes_ = 0;
  uint64_t now_us_ = 1'000'000;
  uint64_t free_space_bytes_ = uint64_t{1} << 40;
  std::mt19937_64 random_;
};

class SimFile : public File {
 public:
  SimFile(SimFileSystem& files, std::string path, std::shared_ptr<SimInode> inode, bool writable)
      : files_(files), path_(std::move(path)), inode_(std::move(inode)), writable_(writable) {}
  ~SimFile() override {
    std::lock_guard lock(files_.mutex_);
    inode_->locks.erase(this);
  }

  size_t read(uint64_t offset, void* buffer, size_t size) override {
    const auto lock = files_.enter("read", path_);
    const Bytes bytes = inode_->bytes();
    if (offset >= bytes.size()) return 0;
    return bytes.substr(offset).copy(static_cast<char*>(buffer), size);
  }
  void write(uint64_t offset, Bytes bytes) override {
    bool fails = false;
    const auto lock = files_.enter("write", path_, &fails);
    require_room(offset + bytes.size());
    inode_->write(offset, fails ? bytes.substr(0, bytes.size() / 2) : bytes);
    if (fails) files_.fail("write", path_);
  }
  void resize(uint64_t size_bytes) override {
    const auto lock = files_.enter("resize", path_);
    require_room(size_bytes);
    inode_->resize(size_bytes);
  }
  void allocate(uint64_t offset, uint64_t size_bytes) override {
    const auto lock = files_.enter("allocate", path_);
    require_room(offset + size_bytes);
    if (offset + size_bytes > inode_->bytes().size()) inode_->resize(offset + size_bytes);
  }
  void sync_data() override { sync("sync_data"); }
  void sync_all() override { sync("sync_all"); }
  void start_writeback(uint64_t, uint64_t) override { files_.enter("start_writeback", path_); }
  void wait_writeback(uint64_t, uint64_t) override { files_.enter("wait_writeback", path_); }
  bool try_lock(LockKind kind) override {
    const auto lock = files_.enter("lock", path_);
    for (const auto& [holder, held] : inode_->locks) {
      if (holder == this) continue;
      if (kind == LockKind::kExclusive || held == LockKind::kExclusive) return false;
    }
    inode_->locks[this] = kind;
    return true;
  }
  std::shared_ptr<const Mapping> map(uint64_t reserve_bytes) override {
    const auto lock = files_.enter("map", path_);
    return std::make_shared<SimMapping>(inode_, reserve_bytes);
  }
  FileStatus status() override {
    const auto lock = files_.enter("fstat", path_);
    return SimFileSystem::status_of(*inode_);
  }
  void set_mode_and_owner(const FileStatus& like) override {
    const auto lock = files_.enter("chmod", path_);
    inode_->mode = like.mode;
  }
  const std::string& path() const override { return path_; }

 private:
  void sync(const char* name) {
    bool fails = false;
    const auto lock = files_.enter(name, path_, &fails);
    if (fails) {
      inode_->lose();
      files_.fail(name, path_);
    }
    inode_->sync();
  }
  void require_room(uint64_t size) const {
    if (!writable_)
      throw Error(ErrorCode::ERR_IO, "sim: opened for reading").with_system(9, "write", path_);
    if (size > SimInode::kCapacity)
      throw Error(ErrorCode::ERR_NO_SPACE).with_system(27, "write", path_);
  }

  SimFileSystem& files_;
  const std::string path_;
  const std::shared_ptr<SimInode> inode_;
  const bool writable_;
};

inline std::unique_ptr<File> SimFileSystem::open(const std::string& path, OpenMode mode) {
  const auto lock = enter("open", path);
  const bool exists = names_.contains(path);
  if (exists && mode.create && mode.exclusive) {
    throw Error(ErrorCode::ERR_EXISTS, "the file exists: " + path).with_system(17, "open", path);
  }
  if (!exists && mode.create) {
    auto inode = std::make_shared<SimInode>(++inodes_);
    inode->mode = mode.mode;
    apply_live(Change{path, "", std::move(inode)});
  }
  return std::make_unique<SimFile>(*this, path, find(path), mode.write);
}

// Of each directory a prefix of its changes.
inline SimFileSystem::Names SimFileSystem::names_after_crash(std::mt19937_64& random) const {
  Names names = durable_names_;
  std::map<std::string, size_t> count;
  for (const Change& change : changes_) count[directory_of(change.path)]++;
  for (auto& [directory, changes] : count) changes = random() % (changes + 1);
  for (const Change& change : changes_) {
    size_t& left = count[directory_of(change.path)];
    if (left == 0) continue;
    left--;
    apply(names, change);
  }
  return names;
}

inline std::unique_ptr<SimFileSystem> SimFileSystem::crash(
    uint64_t seed,
    const std::function<bool(const std::string& path, uint64_t sector)>& choose) const {
  std::lock_guard lock(mutex_);
  std::mt19937_64 random(seed);
  auto after = std::make_unique<SimFileSystem>(seed);
  after->now_us_ = now_us_;
  for (const auto& [path, inode] : names_after_crash(random)) {
    const auto sector_survives = [&, &name = path](uint64_t sector) {
      return choose(name, sector);
    };
    after->install(path, inode->after_crash(sector_survives, random() % 2 == 0), inode->mode);
  }
  return after;
}

inline std::unique_ptr<SimFileSystem> SimFileSystem::crash(uint64_t seed) const {
  std::mt19937_64 random(seed ^ 0x9E3779B97F4A7C15);
  const uint64_t chance = random() % 5;  // of 4
  return crash(seed, [&](const std::string&, uint64_t) { return random() % 4 < chance; });
}

}  // namespace hotbolt::testing
