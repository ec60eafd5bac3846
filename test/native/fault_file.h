// A file system whose n-th call fails: stands between the engine and a SimFileSystem.
//
// Every call of core/file.h but the clock counts, whoever makes it. From the n-th on, once or for
// good, calls fail as the fault says:
//   - what is no space fails calls that take some, everything else fails all calls,
//   - a write fails before it has done anything, or when half of its bytes are there,
//   - what a failed sync was asked for is never written any more.
// At the first failure the state after a power cut is kept: see crashed().
//
// It knows what each file is to the engine (Kind), follows files through renames, and takes notes
// that tests judge: which calls were made on what, what has failed, and whether a sync was called
// again on something whose sync had failed. One call at a time; any thread.
#pragma once

#include <set>
#include <tuple>

#include "allocation_fault.h"
#include "core/error.h"
#include "sim_file.h"

namespace hotbolt::testing {

enum class Kind : uint8_t {
  kDatabase,   // what the path names
  kCreated,    // a database that is being made
  kTemporary,  // of a defragmentation
  kReplaced,   // a database whose name another file has taken
  kJournal,
  kBackup,  // and its directory
  kDirectory,
};

inline const char* kind_name(Kind kind) {
  constexpr const char* kNames[] = {"database", "created", "temporary", "replaced",
                                    "journal",  "backup",  "directory"};
  return kNames[static_cast<int>(kind)];
}

struct Fault {
  const char* name = "none";
  ErrorCode code{};
  int error_number = 0;
  bool half = false;  // of a write is done
  bool persistent = false;
  uint64_t n = 0;  // the call that fails first; 0: none
};

struct FailedCall {
  std::string call;
  Kind kind{};
  bool of_meta = false;  // a write to a page file's metas
  ErrorCode code{};
  bool operator==(const FailedCall&) const = default;
};

class FaultFileSystem : public FileSystem {
 public:
  FaultFileSystem(SimFileSystem& disk, std::string database)
      : disk_(disk), database_(std::move(database)) {}

  // --- what tests do with it ---
  void arm(Fault fault) {
    std::lock_guard lock(mutex_);
    fault_ = std::move(fault);
    calls_ = 0;
  }
  void heal() { arm({}); }
  // Called with the lock held, directly before the state after a power cut is taken.
  void set_before_crash(std::function<void()> hook) { before_crash_ = std::move(hook); }
  SimFileSystem* crashed() { return crashed_.get(); }
  std::vector<FailedCall> failed() const {
    std::lock_guard lock(mutex_);
    return failed_;
  }
  // Syncs that were called again after they had failed; "" if none.
  std::string repeated_sync() const {
    std::lock_guard lock(mutex_);
    return repeated_sync_;
  }
  // "write of journal", ... as far as they were made.
  const std::set<std::string>& places() const { return places_; }

  // --- FileSystem ---
  std::unique_ptr<File> open(const std::string& path, OpenMode mode) override;
  std::optional<FileStatus> status(const std::string& path) override {
    return run("status", kind_of(path), [&] { return disk_.status(path); });
  }
  std::string real_path(const std::string& path) override {
    return run("real_path", kind_of(path), [&] { return disk_.real_path(path); });
  }
  void rename(const std::string& source, const std::string& target) override {
    run("rename", kind_of(source), [&] {
      disk_.rename(source, target);
      if (target == database_) move_kinds(kind_of(source));
    });
  }
  void remove(const std::string& path) override {
    run("remove", kind_of(path), [&] { disk_.remove(path); });
  }
  void sync_directory(const std::string& directory) override {
    const EngineScope scope(false);
    std::lock_guard lock(mutex_);
    const Kind kind = kind_of(directory);
    note_sync(lost_directories_.contains(directory), "sync_directory", kind);
    try {
      call("sync_directory", kind, [&] { disk_.sync_directory(directory); });
    } catch (const Error&) {
      lost_directories_.insert(directory);
      throw;
    }
  }
  void require_writable(const std::string& directory) override {
    run("access", kind_of(directory), [&] { disk_.require_writable(directory); });
  }
  std::vector<std::string> list(const std::string& directory) override {
    return run("list", kind_of(directory), [&] { return disk_.list(directory); });
  }
  uint64_t free_space_bytes(const std::string& directory) override {
    return run("free_space", kind_of(directory), [&] { return disk_.free_space_bytes(directory); });
  }
  void random(void* buffer, size_t size) override {
    run("random", Kind::kDirectory, [&] { disk_.random(buffer, size); });
  }
  uint64_t now_us() override { return disk_.now_us(); }
  void sleep_us(uint64_t duration_us) override { disk_.sleep_us(duration_us); }

 private:
  friend class FaultFile;

  Kind kind_of(const std::string& path) const {
    if (path.starts_with("/backups/")) return Kind::kBackup;
    if (path.find("-journal-") != std::string::npos) return Kind::kJournal;
    if (path.find("-defrag-") != std::string::npos) return Kind::kTemporary;
    if (path.find("-create-") != std::string::npos) return Kind::kCreated;
    return path == database_ ? Kind::kDatabase : Kind::kDirectory;
  }
  void move_kinds(Kind source);

  template <typename Call>
  std::invoke_result_t<Call> run(const char* name, Kind kind, Call&& body) {
    const EngineScope scope(false);
    std::lock_guard lock(mutex_);
    return call(name, kind, body);
  }
  // With mutex_ held.
  template <typename Call>
  std::invoke_result_t<Call> call(const char* name, Kind kind, Call&& body) {
    places_.insert(std::string(name) + " of " + kind_name(kind));
    if (is_due(name)) fail(name, kind, false);
    return body();
  }
  bool is_due(const std::string& name) {
    calls_++;
    if (fault_.n == 0 || calls_ < fault_.n || (calls_ > fault_.n && !fault_.persistent))
      return false;
    const bool is_full = fault_.code == ErrorCode::ERR_NO_SPACE;
    static const std::set<std::string> kTaking = {
        "create",    "rename",   "write",          "resize",          "allocate",
        "sync_data", "sync_all", "sync_directory", "start_writeback", "wait_writeback"};
    return !is_full || kTaking.contains(name);
  }
  [[noreturn]] void fail(const char* name, Kind kind, bool of_meta) {
    ErrorCode code = fault_.code;
    int error_number = fault_.error_number;
    if (std::string(name) == "map") {
      code = ErrorCode::ERR_OUT_OF_MEMORY;
      error_number = 12;
    }
    failed_.push_back({name, kind, of_meta, code});
    if (crashed_ == nullptr) {
      if (before_crash_) before_crash_();
      crashed_ = disk_.crash(calls_);
    }
    throw Error(code, std::string("injected: ") + name + " of " + kind_name(kind))
        .with_system(error_number, name, "");
  }
  void note_sync(bool is_lost, const char* name, Kind kind) {
    if (is_lost) repeated_sync_ = std::string(name) + " of " + kind_name(kind);
  }

  SimFileSystem& disk_;
  const std::string database_;
  mutable std::mutex mutex_;
  Fault fault_;
  uint64_t calls_ = 0;
  std::vector<FailedCall> failed_;
  std::set<std::string> places_;
  std::string repeated_sync_;
  std::set<std::string> lost_directories_;
  std::set<class FaultFile*> open_;
  std::function<void()> before_crash_;
  std::unique_ptr<SimFileSystem> crashed_;
};

class FaultFile : public File {
 public:
  FaultFile(FaultFileSystem& files, std::unique_ptr<File> file, Kind kind)
      : files_(files), file_(std::move(file)), kind_(kind) {}
  ~FaultFile() override {
    std::lock_guard lock(files_.mutex_);
    files_.open_.erase(this);
  }

  size_t read(uint64_t offset, void* buffer, size_t size) override {
    return run("read", [&] { return file_->read(offset, buffer, size); });
  }
  void write(uint64_t offset, Bytes bytes) override {
    const EngineScope scope(false);
    std::lock_guard lock(files_.mutex_);
    files_.places_.insert(std::string("write of ") + kind_name(kind_));
    if (!files_.is_due("write")) return file_->write(offset, bytes);
    if (files_.fault_.half) file_->write(offset, bytes.substr(0, bytes.size() / 2));
    files_.fail("write", kind_, kind_ != Kind::kJournal && offset < kMetas);
  }
  void resize(uint64_t size_bytes) override {
    run("resize", [&] { file_->resize(size_bytes); });
  }
  void allocate(uint64_t offset, uint64_t size_bytes) override {
    run("allocate", [&] { file_->allocate(offset, size_bytes); });
  }
  void sync_data() override {
    sync("sync_data", [&] { file_->sync_data(); });
  }
  void sync_all() override {
    sync("sync_all", [&] { file_->sync_all(); });
  }
  void start_writeback(uint64_t offset, uint64_t size) override {
    sync("start_writeback", [&] { file_->start_writeback(offset, size); });
  }
  void wait_writeback(uint64_t offset, uint64_t size) override {
    sync("wait_writeback", [&] { file_->wait_writeback(offset, size); });
  }
  bool try_lock(LockKind kind) override {
    return run("lock", [&] { return file_->try_lock(kind); });
  }
  std::shared_ptr<const Mapping> map(uint64_t reserve_bytes) override {
    return run("map", [&] { return file_->map(reserve_bytes); });
  }
  FileStatus status() override {
    return run("fstat", [&] { return file_->status(); });
  }
  void set_mode_and_owner(const FileStatus& like) override {
    run("chmod", [&] { file_->set_mode_and_owner(like); });
  }
  const std::string& path() const override { return file_->path(); }

 private:
  friend class FaultFileSystem;
  static constexpr uint64_t kMetas = 2048;  // two pages of 1024

  template <typename Call>
  std::invoke_result_t<Call> run(const char* name, Call&& body) {
    const EngineScope scope(false);
    std::lock_guard lock(files_.mutex_);
    return files_.call(name, kind_, body);
  }
  template <typename Call>
  void sync(const char* name, Call&& body) {
    const EngineScope scope(false);
    std::lock_guard lock(files_.mutex_);
    files_.note_sync(is_lost_, name, kind_);
    try {
      files_.call(name, kind_, body);
    } catch (const Error&) {
      is_lost_ = true;
      lose();
      throw;
    }
  }
  // A sync that the disk itself lets fail has lost what it was asked for.
  void lose() {
    files_.disk_.fail_call(1, ErrorCode::ERR_IO, 5, 1, "sync_data");
    try {
      file_->sync_data();
    } catch (const Error&) {
      // As asked for.
    }
  }

  FaultFileSystem& files_;
  const std::unique_ptr<File> file_;
  Kind kind_;
  bool is_lost_ = false;  // a sync has failed
};

inline std::unique_ptr<File> FaultFileSystem::open(const std::string& path, OpenMode mode) {
  const EngineScope scope(false);
  std::lock_guard lock(mutex_);
  const Kind kind = kind_of(path);
  std::unique_ptr<File> file =
      call(mode.create ? "create" : "open", kind, [&] { return disk_.open(path, mode); });
  auto wrapped = std::make_unique<FaultFile>(*this, std::move(file), kind);
  open_.insert(wrapped.get());
  return wrapped;
}

inline void FaultFileSystem::move_kinds(Kind source) {
  for (FaultFile* file : open_) {
    if (file->kind_ == Kind::kDatabase) file->kind_ = Kind::kReplaced;
  }
  for (FaultFile* file : open_) {
    if (file->kind_ == source) file->kind_ = Kind::kDatabase;
  }
}

}  // namespace hotbolt::testing
