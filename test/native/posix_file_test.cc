// The operating system behind core/file.h.
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "harness.h"
#include "image.h"

namespace hotbolt::testing {
namespace {

OpenMode creating(uint32_t mode = 0600) {
  OpenMode open_mode;
  open_mode.write = open_mode.create = open_mode.exclusive = true;
  open_mode.mode = mode;
  return open_mode;
}

OpenMode writing() {
  OpenMode open_mode;
  open_mode.write = true;
  return open_mode;
}

TEST("bytes written at an offset are read back, short only at the end") {
  TestFolder folder;
  const auto file = system_files().open(folder.path("f"), creating());
  file->write(5, "hello");
  char buffer[20] = {};
  EXPECT_EQ(file->read(0, buffer, sizeof buffer), 10);
  EXPECT_EQ(Bytes(buffer, 10), Bytes("\0\0\0\0\0hello", 10));
  EXPECT_EQ(file->read(10, buffer, 1), 0);
  file->resize(7);
  EXPECT_EQ(file->status().size_bytes, 7);
  file->allocate(0, 8192);
  file->start_writeback(0, 4096);
  file->wait_writeback(0, 4096);
  file->sync_data();
  file->sync_all();
  EXPECT_EQ(file->path(), folder.path("f"));
}

TEST("a created file has exactly the mode asked for, whatever the umask is") {
  TestFolder folder;
  const mode_t before = ::umask(077);
  const auto file = system_files().open(folder.path("f"), creating(0666));
  ::umask(before);
  EXPECT_EQ(file->status().mode, 0666);
  EXPECT_TRUE(file->status().is_regular);
  EXPECT_EQ(file->status().link_count, 1);
}

TEST("failures carry code, errno, call and path") {
  TestFolder folder;
  const std::string path = folder.path("missing");
  try {
    system_files().open(path, {});
    EXPECT_TRUE(false);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::ERR_NOT_FOUND);
    EXPECT_EQ(error.error_number(), ENOENT);
    EXPECT_EQ(error.syscall(), "open");
    EXPECT_EQ(error.path(), path);
  }
  EXPECT_THROWS_CODE(ErrorCode::ERR_NOT_FOUND, system_files().real_path(path));
  EXPECT_THROWS_CODE(ErrorCode::ERR_NOT_FOUND, system_files().list(path));
  const auto file = system_files().open(folder.path("f"), creating());
  EXPECT_THROWS_CODE(ErrorCode::ERR_NO_SPACE, file->write(~uint64_t{0}, "x"));
  EXPECT_THROWS_CODE(ErrorCode::ERR_EXISTS, system_files().open(folder.path("f"), creating()));
}

TEST("what is no regular file is refused without waiting") {
  TestFolder folder;
  EXPECT_EQ(::mkfifo(folder.path("fifo").c_str(), 0600), 0);
  for (const char* name : {"fifo", ""}) {
    EXPECT_THROWS_CODE(ErrorCode::ERR_NOT_A_FILE, system_files().open(folder.path(name), {}));
    EXPECT_THROWS_CODE(ErrorCode::ERR_NOT_A_FILE,
                       system_files().open(folder.path(name), writing()));
  }
}

TEST("a link is not followed when a file is to be created") {
  TestFolder folder;
  std::filesystem::create_symlink(folder.path("elsewhere"), folder.path("link"));
  EXPECT_THROWS_CODE(ErrorCode::ERR_EXISTS, system_files().open(folder.path("link"), creating()));
  EXPECT_FALSE(system_files().status(folder.path("elsewhere")).has_value());
}

TEST("shared locks go together, an exclusive one does not, and closing unlocks") {
  TestFolder folder;
  const std::string path = folder.write("f", "x");
  auto first = system_files().open(path, {});
  auto second = system_files().open(path, {});
  const auto third = system_files().open(path, writing());
  EXPECT_TRUE(first->try_lock(LockKind::kShared));
  EXPECT_TRUE(second->try_lock(LockKind::kShared));
  EXPECT_FALSE(third->try_lock(LockKind::kExclusive));
  first.reset();
  second.reset();
  EXPECT_TRUE(third->try_lock(LockKind::kExclusive));
}

TEST("a mapping shows what is written later, also beyond the old end") {
  TestFolder folder;
  const auto file = system_files().open(folder.path("f"), creating());
  file->write(0, "a");
  const auto mapping = file->map(1 << 20);
  EXPECT_EQ(mapping->size(), 1 << 20);
  file->write(100'000, "b");
  EXPECT_EQ(mapping->data()[0], 'a');
  EXPECT_EQ(mapping->data()[100'000], 'b');
}

TEST("a page that is cut off under a mapping reads as zeros and damages that mapping") {
  TestFolder folder;
  const auto file = system_files().open(folder.path("f"), creating());
  file->write(0, std::string(3 * 65536, 'x'));
  const auto mapping = file->map(1 << 20);
  const auto other = file->map(1 << 20);
  file->resize(65536);
  EXPECT_EQ(mapping->data()[0], 'x');
  EXPECT_FALSE(mapping->damaged());
  EXPECT_EQ(mapping->data()[2 * 65536], '\0');
  EXPECT_TRUE(mapping->damaged());
  EXPECT_FALSE(other->damaged());
  EXPECT_EQ(mapping->data()[65535], 'x');
}

// Whether a fault ends a process that runs this over an empty file, a mapping of it, and one that
// is not ours. Exit status 0 is for what the process finds wrong itself.
template <typename Run>
void expect_fault(Run run) {
  TestFolder folder;
  const auto file = system_files().open(folder.path("f"), creating());
  const auto ours = file->map(65536);
  const int descriptor = ::open(folder.path("f").c_str(), O_RDONLY);
  void* const foreign = ::mmap(nullptr, 65536, PROT_READ, MAP_SHARED, descriptor, 0);
  const pid_t child = ::fork();
  if (child == 0) ::_exit(run(*file, *ours, static_cast<const volatile char*>(foreign)));
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  ::munmap(foreign, 65536);
  ::close(descriptor);
  // A sanitizer, which handled it before us, ends the process in its own way.
  EXPECT_TRUE(WIFSIGNALED(status) ? WTERMSIG(status) == SIGBUS || WTERMSIG(status) == SIGABRT
                                  : WEXITSTATUS(status) != 0);
}

TEST("a fault in memory that is not ours still ends the process") {
  expect_fault([](File&, const Mapping&, const volatile char* foreign) { return *foreign; });
}

struct sigaction chained_to{};
volatile sig_atomic_t chained = 0;

void chain(int signal, siginfo_t* info, void* context) {
  chained = chained + 1;
  chained_to.sa_sigaction(signal, info, context);
}

// Puts a handler over ours that passes on to it, and a mapping over that. Gives what the process
// ends with, unless a fault ends it.
int read_under_chain(File& file, const Mapping& earlier, const volatile char* foreign) {
  struct sigaction action{};
  action.sa_sigaction = chain;
  action.sa_flags = SA_SIGINFO;
  ::sigaction(SIGBUS, &action, &chained_to);
  const auto later = file.map(65536);
  const bool zeros = earlier.data()[0] == '\0' && later->data()[0] == '\0';
  if (!zeros || !earlier.damaged() || !later->damaged() || chained != 0) return 0;
  return *foreign;
}

TEST("of two handlers that pass on to each other ours comes first, and neither goes on for ever") {
  expect_fault(read_under_chain);
}

TEST("names are renamed, listed and removed, and rename_new replaces nothing") {
  TestFolder folder;
  FileSystem& files = system_files();
  const std::string a = folder.write("a", "1");
  const std::string b = folder.write("b", "22");
  EXPECT_FALSE(files.rename_new(a, b));
  EXPECT_EQ(files.status(b)->size_bytes, 2);
  EXPECT_TRUE(files.rename_new(a, folder.path("c")));
  files.rename(b, folder.path("c"));
  EXPECT_TRUE(files.list(directory_of(a)) == std::vector<std::string>{"c"});
  files.sync_directory(directory_of(a));
  files.remove(folder.path("c"));
  files.remove(folder.path("c"));
  EXPECT_FALSE(files.status(folder.path("c")).has_value());
  EXPECT_TRUE(files.free_space_bytes(directory_of(a)) > 0);
}

TEST("identity is the inode, and links resolve to it") {
  TestFolder folder;
  const std::string path = folder.write("f", "x");
  std::filesystem::create_symlink(path, folder.path("link"));
  FileSystem& files = system_files();
  EXPECT_TRUE(files.status(path)->same_inode(*files.status(folder.path("link"))));
  EXPECT_EQ(files.real_path(folder.path("link")), files.real_path(path));
  EXPECT_FALSE(files.status(path)->same_inode(*files.status(folder.write("g", "x"))));
}

TEST("the clock goes on and random bytes differ") {
  const uint64_t before = system_files().now_us();
  system_files().sleep_us(1000);
  EXPECT_TRUE(system_files().now_us() >= before + 1000);
  char bytes[2][300] = {};
  for (auto& buffer : bytes) system_files().random(buffer, sizeof buffer);
  EXPECT_TRUE(std::memcmp(bytes[0] + 284, bytes[1] + 284, 16) != 0);
}

TEST("paths are taken apart at the last slash") {
  EXPECT_EQ(directory_of("/a/b"), "/a");
  EXPECT_EQ(directory_of("/a"), "/");
  EXPECT_EQ(directory_of("a"), ".");
  EXPECT_EQ(name_of("/a/b"), "b");
  EXPECT_EQ(name_of("b"), "b");
}

}  // namespace
}  // namespace hotbolt::testing
