// A disk, a file system on it, and a switch for its power.
//
// The disk is memory behind a loop device. Its power is cut by the shutdown ioctl of ext4 and xfs,
// which lets nothing more through to the device, not even what the kernel has written into its log
// in memory: the next mount finds what a disk would hold.
//
// Nothing can be left behind: the mount is in a namespace of this process alone, the loop device
// lets go of its memory by itself, and both end with the process, however it ends.
#pragma once

#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>

#include "core/error.h"
#include "core/file.h"
#include "crash_states.h"

namespace hotbolt::testing {

[[noreturn]] inline void throw_errno(const std::string& what) {
  throw std::runtime_error(what + ": " + std::strerror(errno));
}

class Descriptor {
 public:
  Descriptor(const std::string& what, int value) : value_(value) {
    if (value == -1) throw_errno(what);
  }
  ~Descriptor() { ::close(value_); }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  operator int() const { return value_; }

 private:
  const int value_;
};

class LoopDisk {
 public:
  explicit LoopDisk(uint64_t size_bytes) {
    if (::ftruncate(memory_, static_cast<off_t>(size_bytes)) == -1) throw_errno("ftruncate");
    loop_config config{};
    config.fd = static_cast<uint32_t>(int{memory_});
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    // Another process may take the free device before us.
    while (::ioctl(attach(), LOOP_CONFIGURE, &config) == -1) {
      if (errno != EBUSY) throw_errno("configuration of " + path_);
    }
  }
  const std::string& path() const { return path_; }

 private:
  int attach() {
    const Descriptor control("open of loop-control",
                             ::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    const int number = ::ioctl(control, LOOP_CTL_GET_FREE);
    if (number == -1) throw_errno("search for a free loop device");
    path_ = "/dev/loop" + std::to_string(number);
    device_.emplace("open of " + path_, ::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    return *device_;
  }

  const Descriptor memory_{"memfd_create", ::memfd_create("disk", MFD_CLOEXEC)};
  std::string path_;
  std::optional<Descriptor> device_;  // held: the device ends with its last user
};

// What becomes of the file system's own log at the cut.
enum class LogAtCut : uint32_t { kWritten = 1, kLost = 2 };

class PoweredMount {
 public:
  // `mkfs` is a command that lacks the device; `options` are the file system's own.
  PoweredMount(const std::string& mkfs, std::string type, std::string options)
      : type_(std::move(type)), options_(std::move(options)) {
    if (::unshare(CLONE_NEWNS) == -1) throw_errno("unshare");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == -1)
      throw_errno("mount of /");
    const std::string command = mkfs + " " + disk_.path() + " >/dev/null";
    if (std::system(command.c_str()) != 0) throw std::runtime_error(command + " failed");
    mount();
  }
  ~PoweredMount() { ::umount2(kFolder, MNT_DETACH); }

  static std::string folder() { return kFolder; }
  // Ordered data is there before its block is; the other modes may show what a block held before.
  LostData lost_data() const {
    const bool is_ordered = options_.find("data=") == std::string::npos;
    return is_ordered ? LostData::kZeros : LostData::kAnything;
  }
  // Everything written is durable.
  void sync() {
    if (::syncfs(*root_) == -1) throw_errno("syncfs");
  }
  // Calls to the file system fail from now on.
  void cut(LogAtCut log) {
    constexpr unsigned long kShutdown = _IOR('X', 125, uint32_t);  // of ext4 and of xfs
    auto flags = static_cast<uint32_t>(log);
    if (::ioctl(*root_, kShutdown, &flags) == -1) throw_errno("shutdown");
  }
  // The power comes back. Throws when something still has a file open.
  void restart() {
    root_.reset();
    if (::umount2(kFolder, 0) == -1) throw_errno("umount");
    mount();
  }

 private:
  void mount() {
    if (::mount(disk_.path().c_str(), kFolder, type_.c_str(), 0, options_.c_str()) == -1) {
      throw_errno("mount of a " + type_ + " with \"" + options_ + "\"");
    }
    root_.emplace("open of the root", ::open(kFolder, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  }

  static constexpr const char* kFolder = "/mnt";     // only this process sees what is mounted there
  static constexpr uint64_t kDiskBytes = 320 << 20;  // xfs wants 300 MiB

  LoopDisk disk_{kDiskBytes};
  const std::string type_;
  const std::string options_;
  std::optional<Descriptor> root_;
};

// What the kernel may do at any time, here just before a cut: write back some of what is dirty. Of
// half of the files nothing, of others all, from some page on, or one page.
inline void write_some_back(FileSystem& files, const std::string& directory,
                            std::mt19937_64& random) {
  for (const std::string& name : files.list(directory)) {
    if (random() % 2 == 0) continue;
    try {
      const std::unique_ptr<File> file = files.open(directory + "/" + name, {.write = true});
      const uint64_t size = file->status().size_bytes;
      if (size == 0) continue;
      const uint64_t from = random() % 2 == 0 ? 0 : random() % size;
      file->wait_writeback(from, random() % 2 == 0 ? size - from : 1);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::ERR_NOT_FOUND) throw;  // removed since it was listed
    }
  }
}

}  // namespace hotbolt::testing
