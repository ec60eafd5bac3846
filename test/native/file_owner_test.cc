// To whom a file is given that is made in the place of another, or beside it.
#include <grp.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/file.h"
#include "harness.h"
#include "image.h"

namespace hotbolt::testing {
namespace {

constexpr uint32_t kStranger = 2003;

// As a user without privileges when root runs the tests. True: `run` has not thrown.
template <typename Run>
bool as_stranger(Run run) {
  const pid_t child = ::fork();
  if (child == 0) {
    const bool became = ::getuid() != 0 || (::setgroups(0, nullptr) == 0 &&
                                            ::setgid(kStranger) == 0 && ::setuid(kStranger) == 0);
    try {
      if (!became) ::_exit(2);
      run();
      ::_exit(0);
    } catch (...) {
      ::_exit(1);
    }
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

FileStatus like(uint32_t mode, uint32_t user, uint32_t group) {
  FileStatus status;
  status.mode = mode;
  status.user = user;
  status.group = group;
  return status;
}

TEST("a file that cannot be given to its group gives nobody a right that he had not") {
  // A group that no user is in.
  constexpr uint32_t kGroup = 4'000'001;
  const std::pair<uint32_t, uint32_t> cases[] = {
      {0600, 0600}, {0660, 0600}, {0640, 0600}, {0666, 0666},
      {0664, 0644}, {0646, 0644}, {0606, 0600}, {0777, 0777},
  };
  for (const auto& [mode, expected] : cases) {
    TestFolder folder;
    const std::string path = folder.write("f", "");
    OpenMode writing;
    writing.write = true;
    const auto file = system_files().open(path, writing);
    if (::getuid() == 0) EXPECT_EQ(::chown(path.c_str(), kStranger, kStranger), 0);
    EXPECT_TRUE(as_stranger([&] { file->set_mode_and_owner(like(mode, kGroup, kGroup)); }));
    EXPECT_EQ(file->status().mode, expected);
  }
}

TEST("a file of the same user and group gets exactly the mode") {
  TestFolder folder;
  OpenMode mode;
  mode.write = mode.create = mode.exclusive = true;
  const auto file = system_files().open(folder.path("f"), mode);
  FileStatus status = file->status();
  status.mode = 0664;
  file->set_mode_and_owner(status);
  EXPECT_EQ(file->status().mode, 0664);
}

}  // namespace
}  // namespace hotbolt::testing
