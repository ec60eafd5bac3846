// What a power cut may leave, and what it may not.
#include "crash_states.h"

#include "harness.h"
#include "sim_file.h"

namespace hotbolt::testing {
namespace {

const std::string kDirectory = "/data";

OpenMode to_write(bool create = false) {
  return {.write = true, .create = create, .exclusive = create};
}

Files files_of(const SimFileSystem& system) {
  Files files;
  for (const std::string& path : system.paths()) files[path] = system.contents(path);
  return files;
}

struct Recording {
  SimFileSystem base;
  Trace trace;
  std::unique_ptr<TracingFileSystem> files;

  explicit Recording(const Files& initial = {}, uint64_t seed = 1) : base(seed) {
    for (const auto& [path, bytes] : initial) base.put_file(path, bytes);
    files = std::make_unique<TracingFileSystem>(base, trace, kDirectory);
  }
  bool allows(const Files& left) const { return is_legal(trace, trace.point(), left); }
};

std::string sectors(const std::string& letters) {
  std::string bytes;
  for (const char letter : letters) bytes += std::string(kSectorBytes, letter);
  return bytes;
}

TEST("an unsynced sector is old or new, each for itself") {
  Recording run(Files{{"/data/a", sectors("aaaa")}});
  const auto file = run.files->open("/data/a", to_write());
  file->write(0, sectors("bbb"));
  EXPECT_TRUE(run.allows({{"/data/a", sectors("aaaa")}}));
  EXPECT_TRUE(run.allows({{"/data/a", sectors("baba")}}));
  EXPECT_FALSE(run.allows({{"/data/a", sectors("bbbb")}}));
  file->sync_data();
  EXPECT_TRUE(run.allows({{"/data/a", sectors("bbba")}}));
  EXPECT_FALSE(run.allows({{"/data/a", sectors("baba")}}));
}

TEST("a sync covers what was written before its beginning, and only when it has ended") {
  Recording run(Files{{"/data/a", sectors("aa")}});
  const auto file = run.files->open("/data/a", to_write());
  file->write(0, sectors("b"));
  file->sync_data();
  const size_t before_end = run.trace.point() - 1;
  EXPECT_TRUE(is_legal(run.trace, before_end, {{"/data/a", sectors("aa")}}));
  EXPECT_FALSE(is_legal(run.trace, before_end + 1, {{"/data/a", sectors("aa")}}));
  file->write(kSectorBytes, sectors("c"));
  EXPECT_TRUE(run.allows({{"/data/a", sectors("ba")}}));
}

TEST("a file that grew has zeros where its data is missing, and ends at a sector on the way") {
  Recording run(Files{{"/data/a", sectors("a")}});
  const auto file = run.files->open("/data/a", to_write());
  file->write(kSectorBytes, sectors("bbb"));
  EXPECT_TRUE(run.allows({{"/data/a", sectors("a") + std::string(3 * kSectorBytes, '\0')}}));
  EXPECT_TRUE(run.allows({{"/data/a", sectors("ab")}}));
  EXPECT_FALSE(run.allows({{"/data/a", sectors("abbx")}}));
  EXPECT_FALSE(run.allows({{"/data/a", sectors("a") + "bbb"}}));
  file->resize(100);
  EXPECT_TRUE(run.allows({{"/data/a", std::string(100, 'a')}}));
  EXPECT_FALSE(run.allows({{"/data/a", std::string(99, 'a')}}));
}

TEST("names are old or new until their directory is synced; a rename is whole or not at all") {
  Recording run(Files{{"/data/a", "old"}});
  run.files->open("/data/b", to_write(true))->write(0, "new");
  run.files->rename("/data/b", "/data/a");
  EXPECT_TRUE(run.allows({{"/data/a", "old"}}));
  EXPECT_TRUE(run.allows({{"/data/a", "old"}, {"/data/b", "new"}}));
  EXPECT_TRUE(run.allows({{"/data/a", "new"}}));
  EXPECT_TRUE(run.allows({{"/data/a", ""}}));  // its data was never synced
  EXPECT_FALSE(run.allows({{"/data/b", "new"}}));
  EXPECT_FALSE(run.allows({{"/data/a", "new"}, {"/data/b", "new"}}));
  run.files->sync_directory(kDirectory);
  EXPECT_FALSE(run.allows({{"/data/a", "old"}}));
}

TEST("a later removal may be durable without an earlier one") {
  Recording run(Files{{"/data/a", "a"}, {"/data/b", "b"}});
  run.files->remove("/data/a");
  run.files->remove("/data/b");
  EXPECT_TRUE(run.allows({{"/data/a", "a"}}));
  EXPECT_TRUE(run.allows({{"/data/b", "b"}}));
  EXPECT_TRUE(run.allows({}));
}

TEST("what the file system in memory leaves after a power cut is always legal") {
  std::mt19937_64 random(7);
  for (uint64_t seed = 0; seed < 40; seed++) {
    Recording run(Files{{"/data/0", sectors("0000")}}, seed);
    for (int i = 0; i < 60; i++) {
      const std::string path = "/data/" + std::to_string(random() % 4);
      const std::string other = "/data/" + std::to_string(random() % 4);
      const bool exists = run.base.status(path).has_value();
      const auto file = random() % 8 < 6 ? run.files->open(path, to_write(!exists)) : nullptr;
      if (file == nullptr) {
        if (exists && random() % 2 == 0 && path != other) run.files->rename(path, other);
        if (random() % 4 == 0) run.files->remove(path);
        if (random() % 2 == 0) run.files->sync_directory(kDirectory);
      } else if (random() % 6 == 0) {
        file->sync_data();
      } else if (random() % 6 == 0) {
        file->resize(random() % 3000);
      } else {
        file->write(random() % 3000, std::string(random() % 1500, char('a' + random() % 26)));
      }
      EXPECT_EQ(why_illegal(run.trace, run.trace.point(), files_of(*run.base.crash(random()))), "");
    }
  }
}

}  // namespace
}  // namespace hotbolt::testing
