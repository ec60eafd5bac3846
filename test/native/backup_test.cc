// Backups of a store beside a model: what they hold, what they leave when they end early, and what
// other files they touch. What a power cut leaves of them is crash_test.cc's.
#include "core/backup.h"

#include <set>

#include "core/image.h"
#include "sim_file.h"
#include "store_run.h"
#include "tree_fixture.h"

namespace hotbolt::testing {
namespace {

const std::string kTarget = "/data/copy.db";

// A store on a disk in memory, with its model.
struct Rig {
  explicit Rig(uint32_t page_size = 1024, uint64_t seed = 1)
      : disk(seed), files(disk, trace, "/data"), run(files, trace, options(page_size), seed) {
    disk.set_hook([this](uint64_t, const char* name) {
      const std::lock_guard lock(hook_mutex);
      if (on_call) on_call(name);
    });
    run.open();
  }
  ~Rig() { run.abandon(); }
  static StoreOptions options(uint32_t page_size) {
    StoreOptions options = small_options();
    options.page_size = page_size;
    return options;
  }
  // Entries in the page file, others in memtables above it.
  void fill() {
    for (int i = 0; i < 300; i++) run.put({"b"}, "k" + numbered(i), std::string(60, 'a'));
    run.put({"b", "nested"}, "k", "v");
    run.checkpoint([] {});
    for (int i = 0; i < 300; i += 7) run.put({"b"}, "k" + numbered(i), "newer");
    run.put({"c", "nested", "deep"}, "k", std::string(3000, 'd'));
  }
  std::shared_ptr<Backup> backup(BackupOptions options = {}) {
    if (options.path.empty()) options.path = kTarget;
    return std::make_shared<Backup>(*run.store().snapshot(), std::move(options));
  }
  std::vector<std::string> temporaries() const {
    std::vector<std::string> found;
    for (const std::string& path : disk.paths()) {
      if (path.ends_with(".tmp")) found.push_back(path);
    }
    return found;
  }

  // Called before every call of the disk, whichever thread makes it.
  void set_hook(std::function<void(const std::string& name)> hook) {
    const std::lock_guard lock(hook_mutex);
    on_call = std::move(hook);
  }

  std::mutex hook_mutex;
  std::function<void(const std::string&)> on_call;
  SimFileSystem disk;
  Trace trace;
  TracingFileSystem files;
  StoreRun run;
};

BackupResult run_backup(const std::shared_ptr<Backup>& backup) {
  backup->begin();
  return backup->run();
}

ModelBucket content_of(PageFile& file) {
  return dump(BucketView::root(View{{}, file.begin_read()}, kSeqMax));
}

// The complete check, its content, and that nobody takes it for a database of ours.
ModelBucket proven_content(FileSystem& files, const std::string& path) {
  const auto file = PageFile::open(files, path, {.read_only = true});
  const auto tx = file->begin_read();
  const CheckReport report = check(*tx, nullptr);
  if (!report.ok()) throw Failure(__FILE__, __LINE__, report.issues.front().message);
  EXPECT_TRUE(report.has_fallback);
  EXPECT_FALSE(file->meta().mark.has_value());
  EXPECT_FALSE(file->previous_meta()->mark.has_value());
  EXPECT_EQ(file->size_bytes(), file->meta().high_water * file->page_size());
  return content_of(*file);
}

TEST("a backup holds what its snapshot saw, whatever goes on until and while it runs") {
  for (const uint32_t page_size : {1024, 4096, 65536}) {
    for (uint64_t seed = 1; seed <= 12; seed++) {
      Rig rig(page_size, seed);
      for (int round = 0; round < 6; round++) {
        for (int i = 0; i < 60; i++) rig.run.random_step();
        const ModelBucket expected = rig.run.model();
        BackupOptions options;
        options.path = kTarget + std::to_string(round);
        options.compact = (seed + round) % 2 == 0;
        const auto backup = rig.backup(options);
        const int later = round % 3 * 40;
        if (rig.run.is_open()) {
          // No step that closes the store, which would end the backup.
          for (int i = 0; i < later; i++) rig.run.put({"b0"}, "later" + std::to_string(i), "x");
          if (round % 2 == 0) rig.run.checkpoint([] {});
        }
        run_backup(backup);
        EXPECT_TRUE(proven_content(rig.files, options.path) == expected);
      }
      EXPECT_TRUE(rig.temporaries().empty());
      rig.run.end_defrag();
    }
  }
}

TEST("a backup goes on reading the file that a defragmentation replaces") {
  for (const bool compact : {false, true}) {
    Rig rig;
    rig.fill();
    const ModelBucket expected = rig.run.model();
    const auto backup = rig.backup({.path = kTarget, .compact = compact});
    rig.run.put({"b"}, "later", "x");
    rig.run.defrag_step([] {});
    rig.run.end_defrag();
    EXPECT_TRUE(rig.run.store().stats().pending_reclaim_bytes > 0);
    run_backup(backup);
    EXPECT_TRUE(proven_content(rig.files, kTarget) == expected);
    // Its last reader has let go.
    rig.run.settle();
    EXPECT_EQ(rig.run.store().stats().pending_reclaim_bytes, 0u);
  }
}

TEST("versions that are newer than the snapshot, in a memtable that it sees, stay out") {
  Rig rig;
  rig.run.put({"b"}, "k", "old");
  const auto snapshot = rig.run.store().snapshot();
  const ModelBucket expected = rig.run.model();
  rig.run.put({"b"}, "k", "new");
  rig.run.put({"b"}, "l", "new");
  rig.run.put({"b", "nested"}, "k", "new");
  rig.run.set_sequence({"b"}, 7);
  rig.run.put({"c"}, "k", "new");
  for (const bool compact : {false, true}) {
    const std::string path = kTarget + (compact ? "1" : "0");
    run_backup(
        std::make_shared<Backup>(*snapshot, BackupOptions{.path = path, .compact = compact}));
    EXPECT_TRUE(proven_content(rig.files, path) == expected);
  }
}

TEST("a compact backup has no more pages than the copy of a defragmentation") {
  Rig rig;
  rig.fill();
  for (int i = 0; i < 300; i++) rig.run.remove({"b"}, "k" + numbered(i));
  for (int i = 0; i < 50; i++) rig.run.put({"b"}, "k" + numbered(i), "v");
  rig.run.checkpoint([] {});
  for (int i = 25; i < 100; i++) rig.run.put({"b"}, "k" + numbered(i), "w");
  const uint64_t compact = run_backup(rig.backup({.path = "/data/1", .compact = true})).size_bytes;
  const uint64_t whole = run_backup(rig.backup({.path = "/data/2"})).size_bytes;
  rig.run.defrag_step([] {});
  rig.run.end_defrag();
  rig.run.settle();
  EXPECT_TRUE(compact < whole);
  EXPECT_TRUE(compact <= rig.run.store().stats().high_water_bytes + 2 * 1024);
}

TEST("an etcd snapshot ends with the SHA-256 of what is before; both hashes are told") {
  Rig rig;
  rig.fill();
  const BackupResult result =
      run_backup(rig.backup({.path = kTarget, .etcd_snapshot = true, .hash = true}));
  const std::string bytes = rig.disk.contents(kTarget);
  EXPECT_EQ(bytes.size(), result.size_bytes);
  EXPECT_EQ(bytes.size() % 512, Sha256::kDigestBytes);
  const Bytes content = Bytes(bytes).substr(0, bytes.size() - Sha256::kDigestBytes);
  Sha256 hash;
  hash.update(content);
  const Sha256::Digest digest = Sha256(hash).finish();
  EXPECT_TRUE(bytes.ends_with(Bytes(digest.data(), digest.size())));
  EXPECT_EQ(result.snapshot_sha256, hex_digest(digest));
  hash.update(Bytes(bytes).substr(content.size()));
  EXPECT_EQ(result.sha256, hex_digest(hash.finish()));
}

TEST("nothing is replaced, and nothing is left when a backup is refused") {
  Rig rig;
  rig.fill();
  rig.disk.put_file(kTarget, "something");
  EXPECT_THROWS_CODE(ErrorCode::ERR_EXISTS, run_backup(rig.backup()));
  EXPECT_THROWS_CODE(ErrorCode::ERR_EXISTS, run_backup(rig.backup({.path = kPath})));
  EXPECT_EQ(rig.disk.contents(kTarget), "something");
  EXPECT_TRUE(rig.temporaries().empty());
  rig.disk.set_free_space(1 << 10);
  EXPECT_THROWS_CODE(ErrorCode::ERR_NO_SPACE, run_backup(rig.backup({.path = "/data/other"})));
}

TEST("what appears under the name during a backup stays, and the backup is refused") {
  Rig rig;
  rig.fill();
  const auto backup = rig.backup();
  rig.run.settle();
  bool done = false;
  rig.set_hook([&](const std::string& name) {
    if (name == "sync_all" && !std::exchange(done, true)) rig.disk.put_file(kTarget, "new");
  });
  EXPECT_THROWS_CODE(ErrorCode::ERR_EXISTS, run_backup(backup));
  EXPECT_EQ(rig.disk.contents(kTarget), "new");
  EXPECT_TRUE(rig.temporaries().empty());
}

TEST("temporary files that nobody has locked are removed, others are left alone") {
  Rig rig;
  rig.fill();
  const std::string digits(32, 'a');
  const std::string stale = kTarget + "-backup-" + digits + ".tmp";
  const std::string nested = stale + "-backup-" + digits + ".tmp";
  const std::string locked = kTarget + "-backup-" + std::string(32, 'b') + ".tmp";
  const std::string others[] = {kTarget + "-backup-" + digits,
                                kTarget + "x-backup-" + digits + ".tmp",
                                kTarget + "-backup-" + digits.substr(1) + "A.tmp",
                                kTarget + "-backup-" + digits.substr(1) + ".tmp"};
  for (const std::string& path : others) rig.disk.put_file(path, "x");
  for (const std::string& path : {stale, nested, locked}) rig.disk.put_file(path, "x");
  const auto holder = rig.disk.open(locked, {});
  EXPECT_TRUE(holder->try_lock(LockKind::kExclusive));
  run_backup(rig.backup());
  EXPECT_EQ(rig.disk.contents(stale), "");
  EXPECT_EQ(rig.disk.contents(nested), "");
  EXPECT_EQ(rig.disk.contents(locked), "x");
  for (const std::string& path : others) EXPECT_EQ(rig.disk.contents(path), "x");
}

TEST("opening for writing removes what a killed stream has left beside the database") {
  Rig rig;
  rig.fill();
  rig.run.close();
  const std::string digits(32, 'c');
  const std::string stale = kPath + "-backup-" + digits + ".tmp";
  const std::string finished = kPath + "-backup-" + digits;
  for (const std::string& path : {stale, stale + "-backup-" + digits + ".tmp", finished})
    rig.disk.put_file(path, "x");
  StoreOptions options = Rig::options(1024);
  options.read_only = true;
  auto store = Store::open(rig.disk, kPath, options, std::make_shared<Listener>());
  EXPECT_EQ(rig.temporaries().size(), 2);
  close_store(store);
  rig.run.open();
  EXPECT_TRUE(rig.temporaries().empty());
  EXPECT_EQ(rig.disk.contents(finished), "x");
}

TEST("a backup that is cancelled at any call leaves nothing, or is complete") {
  for (const bool compact : {false, true}) {
    Rig rig;
    rig.fill();
    const ModelBucket expected = rig.run.model();
    rig.run.settle();
    bool ended = false;
    for (uint64_t n = 1; !ended; n++) {
      const auto backup = rig.backup({.path = kTarget, .compact = compact, .hash = true});
      uint64_t left = n;
      rig.set_hook([&](const std::string&) {
        if (left > 0 && --left == 0) backup->cancel();
      });
      try {
        run_backup(backup);
        rig.set_hook({});
        ended = left > 0;  // every call has been tried
        EXPECT_TRUE(proven_content(rig.disk, kTarget) == expected);
      } catch (const Error& error) {
        rig.set_hook({});
        EXPECT_EQ(error.code(), ErrorCode::ERR_ABORTED);
        EXPECT_EQ(rig.disk.contents(kTarget), "");
      }
      EXPECT_TRUE(rig.temporaries().empty());
      rig.disk.remove(kTarget);
      EXPECT_TRUE(n < 10'000);
    }
  }
}

TEST("a backup of which any call fails leaves nothing, and the database as it is") {
  for (const bool compact : {false, true}) {
    Rig rig;
    rig.fill();
    const ModelBucket expected = rig.run.model();
    for (uint64_t n = 1;; n++) {
      rig.run.settle();
      const auto backup = rig.backup({.path = kTarget, .compact = compact, .hash = true});
      const uint64_t before = rig.disk.faults_injected();
      rig.disk.fail_call(n, ErrorCode::ERR_IO, 5);
      bool failed = false;
      try {
        run_backup(backup);
      } catch (const Error& error) {
        failed = true;
        EXPECT_EQ(error.code(), ErrorCode::ERR_IO);
      }
      const bool reached = rig.disk.faults_injected() > before;
      rig.disk.fail_call(1, ErrorCode::ERR_IO, 5, 0);
      if (failed) EXPECT_EQ(rig.disk.contents(kTarget), "");
      if (!failed) EXPECT_TRUE(proven_content(rig.disk, kTarget) == expected);
      EXPECT_TRUE(rig.temporaries().empty());
      EXPECT_FALSE(rig.run.store().poisoned());
      rig.disk.remove(kTarget);
      if (!reached) break;
    }
    EXPECT_TRUE(dump(rig.run.store()) == expected);
  }
}

TEST("a poisoned store can be backed up: what is visible is whole transactions") {
  Rig rig;
  rig.fill();
  rig.run.store().poison(Error(ErrorCode::ERR_IO, "a test"));
  run_backup(rig.backup());
  EXPECT_TRUE(proven_content(rig.files, kTarget) == rig.run.model());
}

TEST("a read-only store with a leftover journal is backed up with what the journal holds") {
  for (const bool compact : {false, true}) {
    Rig rig;
    rig.fill();
    rig.run.listener().wait(rig.run.store().submit());
    const auto after = rig.disk.restart();
    StoreOptions options = Rig::options(1024);
    options.read_only = true;
    const auto store = Store::open(*after, kPath, options, std::make_shared<Listener>());
    const auto backup = std::make_shared<Backup>(
        *store->snapshot(), BackupOptions{.path = kTarget, .compact = compact});
    run_backup(backup);
    EXPECT_TRUE(proven_content(*after, kTarget) == rig.run.model());
    store->begin_close();
    store->run_close();
  }
}

TEST("closing the store ends its backups and lets their state go") {
  Rig rig;
  rig.fill();
  const auto never_run = rig.backup();
  const auto queued = rig.backup();
  queued->begin();
  rig.run.close();
  EXPECT_THROWS_CODE(ErrorCode::ERR_CLOSED, never_run->begin());
  EXPECT_THROWS_CODE(ErrorCode::ERR_ABORTED, queued->run());
  EXPECT_THROWS_CODE(ErrorCode::ERR_INVALID_ARGUMENT, queued->begin());
}

TEST("an image of a snapshot is the backup of it, page by page") {
  Rig rig;
  rig.fill();
  EXPECT_THROWS_CODE(ErrorCode::ERR_BUSY, StoreImage(*rig.run.store().snapshot()));
  rig.run.checkpoint([] {});
  const auto snapshot = rig.run.store().snapshot();
  StoreImage image(*snapshot);
  run_backup(std::make_shared<Backup>(*snapshot, BackupOptions{.path = kTarget}));
  const std::string expected = rig.disk.contents(kTarget);
  EXPECT_EQ(image.size_bytes(), expected.size());
  for (const size_t piece : {size_t{100}, size_t{1500}, size_t{1} << 20}) {
    std::string bytes;
    std::string buffer(piece, '\0');
    while (const size_t count = image.read(bytes.size(), buffer.data(), piece))
      bytes.append(buffer, 0, count);
    EXPECT_TRUE(bytes == expected);
  }
}

TEST("a source that is damaged or cut short ends the backup, and nothing is published") {
  for (const bool compact : {false, true}) {
    Rig rig;
    rig.fill();
    rig.run.checkpoint([] {});
    const auto file = rig.disk.open(kPath, {.write = true});
    const PageBucket bucket = *PageBucket::root(*rig.run.store().view()->base).child("b");
    const std::string page(rig.run.store().view()->base->run(bucket.root_page()));
    const uint64_t offset = value(bucket.root_page()) * 1024;
    file->write(offset, "damaged ");  // not its number any more
    EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT,
                       run_backup(rig.backup({.path = kTarget, .compact = compact})));
    EXPECT_EQ(rig.disk.contents(kTarget), "");
    EXPECT_TRUE(rig.temporaries().empty());
    // Page by page it is whatever it is, when nobody asks.
    if (!compact) run_backup(rig.backup({.path = "/data/unverified.db", .verify = false}));
    file->write(offset, page);
    const uint64_t size = file->status().size_bytes;
    const uint64_t used = rig.run.store().stats().high_water_bytes;
    if (compact) continue;
    file->resize(used - 1024);
    EXPECT_THROWS_CODE(ErrorCode::ERR_TRUNCATED, run_backup(rig.backup()));
    file->resize(size);
    EXPECT_EQ(rig.disk.contents(kTarget), "");
    EXPECT_TRUE(rig.temporaries().empty());
  }
}

// What is on a disk after `run` has backed a database up and written on, with the backup restored
// over the database.
std::unique_ptr<SimFileSystem> restored_over(Rig& rig) {
  run_backup(rig.backup());
  rig.run.put({"b"}, "after", "the backup");
  rig.run.listener().wait(rig.run.store().submit());
  auto after = rig.disk.restart();
  after->put_file(kPath, after->contents(kTarget));
  return after;
}

TEST("a leftover journal of the source is refused beside a backup that was restored") {
  Rig rig;
  rig.fill();
  rig.run.checkpoint([] {});
  rig.run.settle();
  const auto after = restored_over(rig);
  EXPECT_THROWS_CODE(ErrorCode::ERR_JOURNAL_STALE,
                     Store::open(*after, kPath, Rig::options(1024), std::make_shared<Listener>()));
}

// Then nothing but the number of the newest transaction tells the two apart.
TEST("a leftover journal of a source without a mark is refused too") {
  Rig rig;
  rig.fill();
  rig.run.close();
  std::string bytes = rig.disk.contents(kPath);
  for (const size_t page : {0, 1})
    bytes.replace(page * 1024 + kPageHeaderSize + kMetaSize, kMarkSize, kMarkSize, '\0');
  SimFileSystem disk;
  disk.put_file(kPath, bytes);
  const auto listener = std::make_shared<Listener>();
  auto store = Store::open(disk, kPath, Rig::options(1024), listener);
  run_backup(std::make_shared<Backup>(*store->snapshot(), BackupOptions{.path = kTarget}));
  BucketRef ref;
  ref.path = {"b"};
  store->put(ref, "after", "the backup");
  listener->wait(store->submit());
  const auto after = disk.restart();
  close_store(store);
  after->put_file(kPath, after->contents(kTarget));
  EXPECT_THROWS_CODE(ErrorCode::ERR_JOURNAL_STALE,
                     Store::open(*after, kPath, Rig::options(1024), std::make_shared<Listener>()));
}

}  // namespace
}  // namespace hotbolt::testing
