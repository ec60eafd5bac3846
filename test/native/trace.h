// A recording of what a run asks of its storage, from which the states that a power cut may leave
// are derived (crash_states.h).
//
// TracingFileSystem passes every call on to another file system (in memory, or the real one) and
// notes, in order, those that change something: with their bytes, so that nothing else is needed to
// rebuild any state. The run adds what it promised: "transaction n started", "acknowledged up to
// n", and what it is doing.
//
// The order is that in which a disk may see the calls. A change is noted and made under one lock;
// of a sync both ends are noted and only what was noted before its beginning is covered by its end;
// a promise is noted before anybody can rely on it. A write that fails stays in the trace, as one
// that may have had its effect: so a point that is taken after a power cut is as good as one taken
// before, as long as no sync succeeded in between.
//
//   Trace trace;
//   TracingFileSystem files(system_files(), trace, "/mnt/data");
//   ... Store::open(files, "/mnt/data/a.db", ...) ..., trace.acknowledged(7) ...
//   is_legal(trace, point, files_after_the_cut)
//
// Any thread, but Trace::calls is to be read when nobody writes it any more; visit() at any time.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/file.h"

namespace hotbolt::testing {

enum class CallKind : uint8_t {
  kCreate,                // path, inode
  kWrite,                 // inode, offset, bytes
  kResize,                // inode, offset: the new size
  kSyncStarted,           // inode
  kSynced,                // inode, offset: the index of its kSyncStarted
  kRename,                // path, target, inode
  kRemove,                // path, inode
  kDirectorySyncStarted,  // path: the directory
  kDirectorySynced,       // path, offset: the index of its kDirectorySyncStarted
  kStarted,               // offset: the transaction's number
  kAcknowledged,          // offset: that of the newest one that is durable by promise
  kPublished,             // path: a backup that is complete and durable by promise
  kActivity,              // path: what the run is doing from here on
};

struct Call {
  CallKind kind{};
  uint64_t inode = 0;  // a number of the trace: each file that ever was has its own
  uint64_t offset = 0;
  std::string bytes{};
  std::string path{};
  std::string target{};
  std::thread::id thread = std::this_thread::get_id();
};

// A file that was there, and durable, before the first call.
struct InitialFile {
  std::string path;
  uint64_t inode = 0;
  std::string bytes;
};

class Trace {
 public:
  std::vector<InitialFile> initial;
  std::vector<Call> calls;
  // Told of each promise, on the thread that makes it. Set it before the run.
  std::function<void(uint64_t transaction)> on_acknowledged;

  // What a run promises, and what it is at.
  void started(uint64_t transaction) { add({.kind = CallKind::kStarted, .offset = transaction}); }
  void acknowledged(uint64_t transaction) {
    if (on_acknowledged) on_acknowledged(transaction);
    add({.kind = CallKind::kAcknowledged, .offset = transaction});
  }
  void published(const std::string& path) { add({.kind = CallKind::kPublished, .path = path}); }
  void activity(const std::string& name) { add({.kind = CallKind::kActivity, .path = name}); }
  // How many calls there are: the point at which a power cut now would happen.
  size_t point() const {
    std::lock_guard lock(mutex_);
    return calls.size();
  }
  // Shows the calls from `first` on, while nobody adds any, and returns their number.
  size_t visit(const std::function<void(const Call&)>& look, size_t first = 0) const {
    std::lock_guard lock(mutex_);
    for (size_t i = first; i < calls.size(); i++) look(calls[i]);
    return calls.size();
  }

 private:
  friend class TracingFileSystem;
  friend class TracingFile;
  void add(Call call) {
    std::lock_guard lock(mutex_);
    calls.push_back(std::move(call));
  }
  size_t add_locked(Call call) {
    calls.push_back(std::move(call));
    return calls.size() - 1;
  }

  mutable std::mutex mutex_;
};

class TracingFile : public File {
 public:
  TracingFile(Trace& trace, std::unique_ptr<File> base, uint64_t inode)
      : trace_(trace), base_(std::move(base)), inode_(inode) {}

  size_t read(uint64_t offset, void* buffer, size_t size) override {
    return base_->read(offset, buffer, size);
  }
  void write(uint64_t offset, Bytes bytes) override {
    std::lock_guard lock(trace_.mutex_);
    trace_.add_locked(
        {.kind = CallKind::kWrite, .inode = inode_, .offset = offset, .bytes = std::string(bytes)});
    base_->write(offset, bytes);
  }
  void resize(uint64_t size_bytes) override {
    std::lock_guard lock(trace_.mutex_);
    add_resize(size_bytes);
    base_->resize(size_bytes);
  }
  // As a change of the size, if that is what the file system made of it.
  void allocate(uint64_t offset, uint64_t size_bytes) override {
    std::lock_guard lock(trace_.mutex_);
    const uint64_t before = base_->status().size_bytes;
    base_->allocate(offset, size_bytes);
    const uint64_t after = base_->status().size_bytes;
    if (after != before) add_resize(after);
  }
  void sync_data() override {
    const size_t start = begin_sync();
    base_->sync_data();
    end_sync(start);
  }
  void sync_all() override {
    const size_t start = begin_sync();
    base_->sync_all();
    end_sync(start);
  }
  void start_writeback(uint64_t offset, uint64_t size) override {
    base_->start_writeback(offset, size);
  }
  void wait_writeback(uint64_t offset, uint64_t size) override {
    base_->wait_writeback(offset, size);
  }
  bool try_lock(LockKind kind) override { return base_->try_lock(kind); }
  std::shared_ptr<const Mapping> map(uint64_t reserve_bytes) override {
    return base_->map(reserve_bytes);
  }
  FileStatus status() override { return base_->status(); }
  void set_mode_and_owner(const FileStatus& like) override { base_->set_mode_and_owner(like); }
  const std::string& path() const override { return base_->path(); }

 private:
  void add_resize(uint64_t size_bytes) {
    trace_.add_locked({.kind = CallKind::kResize, .inode = inode_, .offset = size_bytes});
  }
  size_t begin_sync() {
    std::lock_guard lock(trace_.mutex_);
    return trace_.add_locked({.kind = CallKind::kSyncStarted, .inode = inode_});
  }
  void end_sync(size_t start) {
    trace_.add({.kind = CallKind::kSynced, .inode = inode_, .offset = start});
  }

  Trace& trace_;
  const std::unique_ptr<File> base_;
  const uint64_t inode_;
};

class TracingFileSystem : public FileSystem {
 public:
  // Files of `directory` are the trace's initial ones; nothing else may change them meanwhile.
  TracingFileSystem(FileSystem& base, Trace& trace, const std::string& directory)
      : base_(base), trace_(trace) {
    for (const std::string& name : base.list(directory)) read_initial(directory + "/" + name);
  }

  // Called before a file is created, on the caller's thread and without any lock: the place to hold
  // it back. Set it before the file system is used.
  void set_before_create(std::function<void(const std::string& path)> hook) {
    before_create_ = std::move(hook);
  }

  std::unique_ptr<File> open(const std::string& path, OpenMode mode) override {
    if (before_create_ && mode.create) before_create_(path);
    std::lock_guard lock(trace_.mutex_);
    std::unique_ptr<File> file = base_.open(path, mode);
    auto entry = inodes_.find(path);
    if (entry == inodes_.end()) {
      entry = inodes_.emplace(path, next_inode_++).first;
      trace_.add_locked({.kind = CallKind::kCreate, .inode = entry->second, .path = path});
    }
    return std::make_unique<TracingFile>(trace_, std::move(file), entry->second);
  }
  std::optional<FileStatus> status(const std::string& path) override { return base_.status(path); }
  std::string real_path(const std::string& path) override { return base_.real_path(path); }
  void rename(const std::string& source, const std::string& target) override {
    std::lock_guard lock(trace_.mutex_);
    base_.rename(source, target);
    note_rename(source, target);
  }
  bool rename_new(const std::string& source, const std::string& target) override {
    std::lock_guard lock(trace_.mutex_);
    if (!base_.rename_new(source, target)) return false;
    note_rename(source, target);
    return true;
  }
  void remove(const std::string& path) override {
    std::lock_guard lock(trace_.mutex_);
    base_.remove(path);
    const auto entry = inodes_.find(path);
    if (entry == inodes_.end()) return;
    trace_.add_locked({.kind = CallKind::kRemove, .inode = entry->second, .path = path});
    inodes_.erase(entry);
  }
  void sync_directory(const std::string& directory) override {
    size_t start;
    {
      std::lock_guard lock(trace_.mutex_);
      start = trace_.add_locked({.kind = CallKind::kDirectorySyncStarted, .path = directory});
    }
    base_.sync_directory(directory);
    trace_.add({.kind = CallKind::kDirectorySynced, .offset = start, .path = directory});
  }
  void require_writable(const std::string& directory) override {
    base_.require_writable(directory);
  }
  std::vector<std::string> list(const std::string& directory) override {
    return base_.list(directory);
  }
  uint64_t free_space_bytes(const std::string& directory) override {
    return base_.free_space_bytes(directory);
  }
  void random(void* buffer, size_t size) override { base_.random(buffer, size); }
  uint64_t now_us() override { return base_.now_us(); }
  void sleep_us(uint64_t duration_us) override { base_.sleep_us(duration_us); }

 private:
  void read_initial(const std::string& path) {
    const std::optional<FileStatus> status = base_.status(path);
    if (!status || !status->is_regular) return;
    const std::unique_ptr<File> file = base_.open(path, {});
    std::string bytes(status->size_bytes, '\0');
    bytes.resize(file->read(0, bytes.data(), bytes.size()));
    inodes_[path] = next_inode_;
    trace_.initial.push_back({path, next_inode_++, std::move(bytes)});
  }
  void note_rename(const std::string& source, const std::string& target) {
    auto entry = inodes_.extract(source);
    const uint64_t inode = entry.mapped();
    inodes_[target] = inode;
    trace_.add_locked(
        {.kind = CallKind::kRename, .inode = inode, .path = source, .target = target});
  }

  FileSystem& base_;
  Trace& trace_;
  std::function<void(const std::string&)> before_create_;
  std::map<std::string, uint64_t> inodes_;  // by path
  uint64_t next_inode_ = 1;
};

}  // namespace hotbolt::testing
