// A real folder as a file system of its own, with a place to step in before each call that changes
// or promises something: the place to cut the power at, or to kill the process.
//
// Paths are as if the folder were the root. Calls that change something are counted from 1; calls
// that only read are not, since a crash before one leaves what a crash before the next counted one
// leaves. Any thread.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/file.h"

namespace hotbolt::testing {

struct SeamCall {
  uint64_t number = 0;
  std::string_view name;
  const std::string& path;  // of a rename the source
};

struct SeamHooks {
  // Says whether the call is to go through.
  std::function<bool(const SeamCall&)> before = [](const SeamCall&) { return true; };
  // After a sync that succeeded; it fails if this throws.
  std::function<void()> after_sync = [] {};
};

class SeamCounter {
 public:
  explicit SeamCounter(SeamHooks hooks) : hooks_(std::move(hooks)) {}
  bool passes(std::string_view name, const std::string& path) {
    return hooks_.before({++calls_, name, path});
  }
  template <typename Sync>
  void sync(std::string_view name, const std::string& path, Sync call) {
    if (!passes(name, path)) return;
    call();
    hooks_.after_sync();
  }
  uint64_t calls() const { return calls_; }

 private:
  const SeamHooks hooks_;
  std::atomic<uint64_t> calls_{0};
};

class SeamFile final : public File {
 public:
  SeamFile(std::shared_ptr<SeamCounter> counter, std::string path, std::unique_ptr<File> file)
      : counter_(std::move(counter)), path_(std::move(path)), file_(std::move(file)) {}

  void write(uint64_t offset, Bytes bytes) override {
    if (passes("write")) file_->write(offset, bytes);
  }
  void resize(uint64_t size_bytes) override {
    if (passes("resize")) file_->resize(size_bytes);
  }
  void allocate(uint64_t offset, uint64_t size_bytes) override {
    if (passes("allocate")) file_->allocate(offset, size_bytes);
  }
  void sync_data() override {
    counter_->sync("sync_data", path_, [this] { file_->sync_data(); });
  }
  void sync_all() override {
    counter_->sync("sync_all", path_, [this] { file_->sync_all(); });
  }
  void start_writeback(uint64_t offset, uint64_t size) override {
    if (passes("start_writeback")) file_->start_writeback(offset, size);
  }
  void wait_writeback(uint64_t offset, uint64_t size) override {
    if (passes("wait_writeback")) file_->wait_writeback(offset, size);
  }
  void set_mode_and_owner(const FileStatus& like) override {
    if (passes("set_mode_and_owner")) file_->set_mode_and_owner(like);
  }
  size_t read(uint64_t offset, void* buffer, size_t size) override {
    return file_->read(offset, buffer, size);
  }
  bool try_lock(LockKind kind) override { return file_->try_lock(kind); }
  std::shared_ptr<const Mapping> map(uint64_t reserve_bytes) override {
    return file_->map(reserve_bytes);
  }
  FileStatus status() override { return file_->status(); }
  const std::string& path() const override { return path_; }

 private:
  bool passes(std::string_view name) { return counter_->passes(name, path_); }

  const std::shared_ptr<SeamCounter> counter_;
  const std::string path_;
  const std::unique_ptr<File> file_;
};

class SeamFileSystem final : public FileSystem {
 public:
  explicit SeamFileSystem(std::string root, SeamHooks hooks = {})
      : root_(std::move(root)), counter_(std::make_shared<SeamCounter>(std::move(hooks))) {}
  uint64_t calls() const { return counter_->calls(); }

  std::unique_ptr<File> open(const std::string& path, OpenMode mode) override {
    if (mode.create) counter_->passes("create", path);
    return std::make_unique<SeamFile>(counter_, path, system_.open(root_ + path, mode));
  }
  void rename(const std::string& source, const std::string& target) override {
    if (counter_->passes("rename", source)) system_.rename(root_ + source, root_ + target);
  }
  bool rename_new(const std::string& source, const std::string& target) override {
    return counter_->passes("rename", source) && system_.rename_new(root_ + source, root_ + target);
  }
  void remove(const std::string& path) override {
    if (counter_->passes("remove", path)) system_.remove(root_ + path);
  }
  void sync_directory(const std::string& directory) override {
    counter_->sync("sync_directory", directory, [&] { system_.sync_directory(root_ + directory); });
  }
  std::optional<FileStatus> status(const std::string& path) override {
    return system_.status(root_ + path);
  }
  std::string real_path(const std::string& path) override {
    return system_.real_path(root_ + path).substr(root_.size());
  }
  void require_writable(const std::string& directory) override {
    system_.require_writable(root_ + directory);
  }
  std::vector<std::string> list(const std::string& directory) override {
    return system_.list(root_ + directory);
  }
  uint64_t free_space_bytes(const std::string& directory) override {
    return system_.free_space_bytes(root_ + directory);
  }
  void random(void* buffer, size_t size) override { system_.random(buffer, size); }
  uint64_t now_us() override { return system_.now_us(); }
  void sleep_us(uint64_t duration_us) override { system_.sleep_us(duration_us); }

 private:
  FileSystem& system_ = system_files();
  const std::string root_;  // resolved
  const std::shared_ptr<SeamCounter> counter_;
};

}  // namespace hotbolt::testing
