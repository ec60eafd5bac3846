// A commit under failing calls and power losses: the file holds the state before it or the one
// after it, never another.
#include "core/commit.h"

#include "core/bulk_copier.h"
#include "sim_file.h"
#include "tree_fixture.h"

using namespace hotbolt;
using namespace hotbolt::testing;

namespace {

const std::string kPath = "/db/data.db";

void commit(FileSystem& files, const std::shared_ptr<PageFile>& file, const Memtable& memtable,
            bool with_freelist) {
  Pacer pacer(files, nullptr, 0);
  WriteTx tx(file, pacer, {});
  tx.apply({&memtable});
  const Mark mark{.database_id = {}, .journal_seq = memtable.last_seq(), .is_flat = false};
  if (with_freelist) {
    tx.commit_with_freelist(mark);
  } else {
    tx.commit(mark);
  }
}

// What a file may hold: state i after commit i.
struct Commits {
  explicit Commits(uint64_t seed) : random(seed) { states.emplace_back(); }
  const Memtable& next(size_t op_count) {
    Model model = states.back();
    RandomBatch batch(random, model);
    batch.key_space = 3000;
    memtables.push_back(batch.make(op_count, states.size()));
    states.push_back(std::move(model));
    return *memtables.back();
  }
  std::mt19937_64 random;
  std::vector<Model> states;
  std::vector<std::unique_ptr<Memtable>> memtables;
};

// The mark says which state it must be.
uint64_t state_of(PageFile& file) {
  const Meta meta = file.meta();
  return meta.mark ? meta.mark->journal_seq : 0;
}

void expect_state(FileSystem& files, const Commits& history, uint64_t oldest) {
  const auto file = PageFile::open(files, kPath, {});
  const uint64_t state = state_of(*file);
  EXPECT_TRUE(state >= oldest && state < history.states.size());
  expect_same(*file, history.states[state]);
  file->load_freelist();
  expect_sound(*file);
}

}  // namespace

TEST(
    "whichever call of a commit fails, the file goes on or is poisoned, and holds one of the two "
    "states") {
  for (uint64_t n = 1;; ++n) {
    SimFileSystem files(n);
    PageFile::create(files, kPath, 1024, 0600, {});
    auto file = PageFile::open(files, kPath, {});
    Commits history(7);
    for (int i = 0; i < 3; ++i) commit(files, file, history.next(300), false);
    files.fail_call(n, ErrorCode::ERR_NO_SPACE, 28);
    const Memtable& memtable = history.next(300);
    bool failed = false;
    try {
      commit(files, file, memtable, n % 2 == 0);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::ERR_NO_SPACE);
      failed = true;
    }
    if (files.faults_injected() == 0) return;
    if (failed) {
      expect_same(*file, history.states[3]);
      try {
        file->throw_if_poisoned();
        commit(files, file, memtable, false);
        expect_same(*file, history.states[4]);
        expect_sound(*file);
      } catch (const Error& error) {
        EXPECT_EQ(error.code(), ErrorCode::ERR_POISONED);
        EXPECT_THROWS_CODE(ErrorCode::ERR_POISONED, commit(files, file, memtable, false));
      }
    }
    file.reset();
    expect_state(*files.restart(), history, 3);
  }
}

TEST("a failed write of pages leaves the file usable, a failed sync poisons it") {
  for (const bool sync_fails : {false, true}) {
    SimFileSystem files;
    PageFile::create(files, kPath, 4096, 0600, {});
    const auto file = PageFile::open(files, kPath, {});
    Commits history(1);
    const Memtable& memtable = history.next(300);
    files.fail_call(1, ErrorCode::ERR_IO, 5, 1, sync_fails ? "sync_data" : "write");
    EXPECT_THROWS_CODE(ErrorCode::ERR_IO, commit(files, file, memtable, false));
    if (sync_fails) {
      EXPECT_THROWS_CODE(ErrorCode::ERR_POISONED, commit(files, file, memtable, false));
    } else {
      commit(files, file, memtable, false);
      expect_same(*file, history.states[1]);
    }
  }
}

TEST(
    "a power loss at any call leaves the state before or after the commit, with sectors lost at "
    "random") {
  Commits history(11);
  for (int i = 0; i < 12; ++i) history.next(200);
  SimFileSystem files;
  PageFile::create(files, kPath, 1024, 0600, {});
  uint64_t durable = 0;
  bool armed = true;
  files.set_hook([&](uint64_t call, const char*) {
    if (!armed) return;
    for (uint64_t seed = 0; seed < 3; ++seed) {
      expect_state(*files.crash(call * 3 + seed), history, durable);
    }
  });
  armed = false;
  auto file = PageFile::open(files, kPath, {});
  for (const auto& memtable : history.memtables) {
    armed = true;
    commit(files, file, *memtable, durable % 5 == 4);
    armed = false;
    ++durable;
    expect_state(*files.crash(durable), history, durable);
    if (durable % 4 == 0) {
      file.reset();
      file = PageFile::open(files, kPath, {});
    }
  }
}

TEST("when the newest meta is lost, the state before it is whole") {
  SimFileSystem files;
  PageFile::create(files, kPath, 1024, 0600, {});
  auto file = PageFile::open(files, kPath, {});
  Commits history(13);
  for (uint64_t i = 1; i <= 20; ++i) {
    commit(files, file, history.next(200), false);
    auto damaged = files.restart();
    std::string bytes = damaged->contents(kPath);
    bytes[(value(file->meta().txid) % 2) * 1024 + 40] ^= 1;
    damaged->put_file(kPath, bytes);
    const auto older = PageFile::open(*damaged, kPath, {});
    EXPECT_EQ(state_of(*older), i - 1);
    expect_same(*older, history.states[i - 1]);
  }
}

TEST("whichever call of a copy fails, the source is as it was") {
  Commits history(17);
  SimFileSystem files;
  PageFile::create(files, kPath, 1024, 0600, {});
  const auto file = PageFile::open(files, kPath, {});
  for (int i = 0; i < 5; ++i) commit(files, file, history.next(500), false);
  Pacer pacer(files, nullptr, 0);
  for (uint64_t n = 1;; ++n) {
    files.remove(kPath + ".copy");
    const auto target = PageFile::create_empty(files, kPath + ".copy", 1024, file->status());
    const uint64_t faults = files.faults_injected();
    files.fail_call(n, ErrorCode::ERR_IO, 5);
    CopyProgress progress;
    try {
      bulk_copy(*file->begin_read(), target, {}, 0.9, pacer, progress);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::ERR_IO);
    }
    expect_same(*file, history.states.back());
    if (files.faults_injected() > faults) continue;
    expect_same(*target, history.states.back());
    return;
  }
}
