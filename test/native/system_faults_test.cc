// Below core/file.h: the system calls themselves fail, are interrupted, or do less than they were
// asked for. This executable defines them; they pass on to the C library unless a test says
// otherwise. Linux only: elsewhere some of the calls do not exist.
#if defined(__linux__)
#include <dlfcn.h>
#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstdarg>
#include <functional>

#include "core/file.h"
#include "harness.h"
#include "image.h"

namespace hotbolt::testing {

namespace {

// What the next calls of one name do on this thread.
struct Misbehaviour {
  const char* call = "";
  int error_number = 0;  // 0: short counts
  int times = 0;         // how many calls
  size_t count_max = 0;  // of bytes moved by a short one
  int calls = 0;         // made so far
};
thread_local Misbehaviour misbehaviour;

// Whether this call is to fail, with errno set.
bool fails(const char* call) {
  Misbehaviour& now = misbehaviour;
  if (std::string_view(now.call) != call) return false;
  now.calls++;
  if (now.error_number == 0 || now.times == 0) return false;
  now.times--;
  errno = now.error_number;
  return true;
}

size_t shortened(const char* call, size_t size) {
  const bool is_short = std::string_view(misbehaviour.call) == call &&
                        misbehaviour.error_number == 0 && misbehaviour.times > 0;
  return is_short ? std::min(size, misbehaviour.count_max) : size;
}

template <typename Function>
Function next(const char* name) {
  return reinterpret_cast<Function>(::dlsym(RTLD_NEXT, name));
}

}  // namespace

// The calls as the C library has them, to be used by the definitions below.
ssize_t test_pwrite(int descriptor, const void* bytes, size_t size, off_t offset) {
  static const auto real = next<ssize_t (*)(int, const void*, size_t, off_t)>("pwrite");
  if (fails("pwrite")) return -1;
  return real(descriptor, bytes, shortened("pwrite", size), offset);
}
ssize_t test_pread(int descriptor, void* bytes, size_t size, off_t offset) {
  static const auto real = next<ssize_t (*)(int, void*, size_t, off_t)>("pread");
  if (fails("pread")) return -1;
  return real(descriptor, bytes, shortened("pread", size), offset);
}
int test_call(const char* name, int descriptor) {
  if (fails(name)) return -1;
  return next<int (*)(int)>(name)(descriptor);
}
int test_call(const char* name, int descriptor, int argument) {
  if (fails(name)) return -1;
  return next<int (*)(int, int)>(name)(descriptor, argument);
}
int test_truncate(int descriptor, off_t size) {
  if (fails("ftruncate")) return -1;
  return next<int (*)(int, off_t)>("ftruncate")(descriptor, size);
}
int test_allocate(int descriptor, int mode, off_t offset, off_t size) {
  if (fails("fallocate")) return -1;
  return next<int (*)(int, int, off_t, off_t)>("fallocate")(descriptor, mode, offset, size);
}
int test_writeback(int descriptor, off_t offset, off_t size, unsigned flags) {
  if (fails("sync_file_range")) return -1;
  return next<int (*)(int, off_t, off_t, unsigned)>("sync_file_range")(descriptor, offset, size,
                                                                       flags);
}
int test_open(const char* path, int flags, mode_t mode) {
  if (fails("open")) return -1;
  return next<int (*)(const char*, int, ...)>("open")(path, flags, mode);
}

namespace {

constexpr int kForEver = 1 << 30;

OpenMode creating() {
  OpenMode mode;
  mode.write = mode.create = mode.exclusive = true;
  return mode;
}

// The calls that are made while this lives misbehave.
class Misbehaving {
 public:
  explicit Misbehaving(Misbehaviour how) { misbehaviour = how; }
  ~Misbehaving() { misbehaviour = {}; }
  int calls() const { return misbehaviour.calls; }
};

struct Use {
  const char* call;
  bool is_sync;  // never repeated
  std::function<void(File&, const std::string& directory)> run;
};

const std::vector<Use> kUses = {
    {"pwrite", false, [](File& file, const std::string&) { file.write(3, "hello"); }},
    {"pread", false,
     [](File& file, const std::string&) {
       char byte;
       file.read(0, &byte, 1);
     }},
    {"ftruncate", false, [](File& file, const std::string&) { file.resize(100); }},
    {"fallocate", false, [](File& file, const std::string&) { file.allocate(0, 8192); }},
    {"flock", false, [](File& file, const std::string&) { file.try_lock(LockKind::kShared); }},
    {"open", false,
     [](File& file, const std::string&) { system_files().open(file.path(), OpenMode{}); }},
    {"fdatasync", true, [](File& file, const std::string&) { file.sync_data(); }},
    {"fsync", true, [](File& file, const std::string&) { file.sync_all(); }},
    {"fsync", true,
     [](File&, const std::string& directory) { system_files().sync_directory(directory); }},
    {"sync_file_range", true, [](File& file, const std::string&) { file.start_writeback(0, 1); }},
    {"sync_file_range", true, [](File& file, const std::string&) { file.wait_writeback(0, 1); }},
};

struct Errno {
  int number;
  ErrorCode code;
};
const std::vector<Errno> kErrnos = {
    {EIO, ErrorCode::ERR_IO},
    {ENOSPC, ErrorCode::ERR_NO_SPACE},
    {EDQUOT, ErrorCode::ERR_NO_SPACE},
    {EFBIG, ErrorCode::ERR_NO_SPACE},
    {EAGAIN, ErrorCode::ERR_IO},
    {EROFS, ErrorCode::ERR_PERMISSION},
    {EACCES, ErrorCode::ERR_PERMISSION},
    {ENOMEM, ErrorCode::ERR_OUT_OF_MEMORY},
};

std::unique_ptr<File> file_with_bytes(const TestFolder& folder) {
  auto file = system_files().open(folder.path("f"), creating());
  file->write(0, "0123456789");
  return file;
}

TEST("each errno of each call is reported once, with its code, and the call is not repeated") {
  for (const Use& use : kUses) {
    for (const Errno& error : kErrnos) {
      // To flock this says that somebody else has the lock.
      if (std::string_view(use.call) == "flock" && error.number == EAGAIN) continue;
      TestFolder folder;
      const auto file = file_with_bytes(folder);
      const Misbehaving now({use.call, error.number, kForEver});
      try {
        use.run(*file, directory_of(file->path()));
        EXPECT_EQ(use.call, "an error");
      } catch (const Error& thrown) {
        EXPECT_EQ(thrown.code(), error.code);
        EXPECT_EQ(thrown.error_number(), error.number);
        EXPECT_EQ(thrown.syscall(), use.call);
      }
      EXPECT_EQ(now.calls(), 1);
    }
  }
}

TEST("a call that is interrupted goes on, and a sync that is interrupted has failed") {
  for (const Use& use : kUses) {
    TestFolder folder;
    const auto file = file_with_bytes(folder);
    const Misbehaving now({use.call, EINTR, 3});
    if (use.is_sync) {
      EXPECT_THROWS_CODE(ErrorCode::ERR_IO, use.run(*file, directory_of(file->path())));
      EXPECT_EQ(now.calls(), 1);
    } else {
      use.run(*file, directory_of(file->path()));
      EXPECT_EQ(now.calls(), 4);
    }
  }
}

TEST("a sync that failed is never asked of the system again") {
  for (const Use& failing : kUses) {
    const bool is_of_file = failing.is_sync && std::string_view(failing.call) != "fsync";
    if (!is_of_file) continue;
    TestFolder folder;
    const auto file = file_with_bytes(folder);
    {
      const Misbehaving now({failing.call, ENOSPC, 1});
      EXPECT_THROWS_CODE(ErrorCode::ERR_NO_SPACE, failing.run(*file, ""));
    }
    for (const char* call : {"fdatasync", "fsync", "sync_file_range"}) {
      const Misbehaving now({call, EIO, kForEver});
      EXPECT_THROWS_CODE(ErrorCode::ERR_NO_SPACE, file->sync_data());
      EXPECT_THROWS_CODE(ErrorCode::ERR_NO_SPACE, file->sync_all());
      EXPECT_THROWS_CODE(ErrorCode::ERR_NO_SPACE, file->start_writeback(0, 1));
      EXPECT_THROWS_CODE(ErrorCode::ERR_NO_SPACE, file->wait_writeback(0, 1));
      EXPECT_EQ(now.calls(), 0);
    }
  }
}

TEST("transfers of one byte at a time go on until all is done") {
  TestFolder folder;
  const auto file = file_with_bytes(folder);
  {
    const Misbehaving now({"pwrite", 0, kForEver, 1});
    file->write(2, "abcdef");
    EXPECT_EQ(now.calls(), 6);
  }
  const Misbehaving now({"pread", 0, kForEver, 1});
  char bytes[20];
  EXPECT_EQ(Bytes(bytes, file->read(0, bytes, sizeof bytes)), "01abcdef89");
  EXPECT_EQ(now.calls(), 11);
}

TEST("a write that takes nothing is an error, not a loop without end") {
  TestFolder folder;
  const auto file = file_with_bytes(folder);
  const Misbehaving now({"pwrite", 0, kForEver, 0});
  EXPECT_THROWS_CODE(ErrorCode::ERR_IO, file->write(0, "abc"));
  EXPECT_EQ(now.calls(), 1);
}

TEST("what a file system cannot do is no failure") {
  TestFolder folder;
  const auto file = file_with_bytes(folder);
  for (const int unsupported : {EOPNOTSUPP, ENOSYS}) {
    const Misbehaving now({"fallocate", unsupported, 1});
    file->allocate(0, 4096);
  }
  for (const int unsupported : {EINVAL, ENOSYS, ESPIPE}) {
    const Misbehaving now({"sync_file_range", unsupported, 1});
    file->start_writeback(0, 4096);
  }
  for (const int unsupported : {EINVAL, ENOTSUP}) {
    const Misbehaving now({"fsync", unsupported, 1});
    system_files().sync_directory(directory_of(file->path()));
  }
  const Misbehaving now({"flock", EWOULDBLOCK, 1});
  EXPECT_FALSE(file->try_lock(LockKind::kExclusive));
}

}  // namespace
}  // namespace hotbolt::testing

using namespace hotbolt::testing;

extern "C" {
ssize_t pwrite(int descriptor, const void* bytes, size_t size, off_t offset) {
  return test_pwrite(descriptor, bytes, size, offset);
}
ssize_t pread(int descriptor, void* bytes, size_t size, off_t offset) {
  return test_pread(descriptor, bytes, size, offset);
}
int fdatasync(int descriptor) { return test_call("fdatasync", descriptor); }
int fsync(int descriptor) { return test_call("fsync", descriptor); }
int flock(int descriptor, int operation) noexcept {
  return test_call("flock", descriptor, operation);
}
int ftruncate(int descriptor, off_t size) noexcept { return test_truncate(descriptor, size); }
int fallocate(int descriptor, int mode, off_t offset, off_t size) {
  return test_allocate(descriptor, mode, offset, size);
}
int sync_file_range(int descriptor, off_t offset, off_t size, unsigned flags) {
  return test_writeback(descriptor, offset, size, flags);
}
int open(const char* path, int flags, ...) {
  va_list arguments;
  va_start(arguments, flags);
  const auto mode = (flags & O_CREAT) != 0 ? va_arg(arguments, mode_t) : mode_t{0};
  va_end(arguments);
  return test_open(path, flags, mode);
}
}
#endif
