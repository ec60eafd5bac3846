// The rows of test/ledger/README.md that can only be shown below the API: power cuts, calls that
// fail, and threads, each in the situation of the bug that the test is named after.
#include <sys/resource.h>

#include <csignal>
#include <future>
#include <thread>

#include "fault_session.h"
#include "image.h"
#include "tree_fixture.h"

namespace hotbolt::testing {

namespace {

// An open store with one bucket, and what was acknowledged.
class Life {
 public:
  explicit Life(FileSystem& files, Content content = {}) : acknowledged(std::move(content)) {
    StoreOptions options;
    options.page_size = 1024;
    options.journal.segment_bytes_min = 8 << 10;
    options.journal.segment_bytes_max = 64 << 10;
    ref_.path = {"b"};
    store = Store::open(files, kSessionPath, options, listener_);
  }
  ~Life() {
    if (store == nullptr) return;
    store->begin_close();
    std::promise<void> closed;
    store->urgent().post([&] {
      try {
        store->run_close();
      } catch (const Error&) {
        // A poisoned one says so.
      }
      closed.set_value();
    });
    closed.get_future().wait();
  }

  // True when it was acknowledged. Throws what the call throws.
  bool put(const std::string& key, const std::string& value) {
    store->put(ref_, key, value);
    const Seq last = store->submit();
    listener_->wait(last);
    const bool durable = listener_->durable() >= last;
    if (durable) acknowledged[key] = value;
    return durable;
  }
  void put_many(const std::string& prefix, int count, size_t bytes = 100) {
    for (int i = 0; i < count; i++) {
      const std::string key = prefix + std::to_string(i);
      EXPECT_TRUE(put(key, std::string(bytes, 'v') + key));
    }
  }
  void checkpoint() {
    store->seal();
    if (auto checkpoint = store->begin_checkpoint()) {
      store->run_checkpoint(*checkpoint);
      store->finish_checkpoint(*checkpoint);
    }
  }
  // As the defragmenter does it: what fails before the switch is undone.
  void defrag() {
    auto defrag = std::make_shared<Defrag>(store, DefragOptions{});
    try {
      defrag->prepare();
      checkpoint();
      defrag->pin();
      defrag->copy();
      CatchUp round = defrag->begin_catch_up();
      defrag->run_catch_up(round);
      defrag->publish();
    } catch (const Error&) {
      defrag->abort();
      defrag->release();
      throw;
    }
    defrag->install();
    defrag->clean();
  }
  Content content() {
    Content found;
    const BucketView& bucket = store->resolve(ref_);
    for (MergedCursor cursor(bucket, {}, false); cursor.valid(); cursor.next()) {
      found[std::string(cursor.key())] = std::string(cursor.value());
    }
    return found;
  }
  // All that was acknowledged, and nothing that was never put.
  void expect_acknowledged() {
    const Content found = content();
    for (const auto& [key, value] : acknowledged) {
      EXPECT_TRUE(found.contains(key) && found.at(key) == value);
    }
    EXPECT_TRUE(store->run_check(*store->view()->base->file()).ok());
  }

  Content acknowledged;
  std::shared_ptr<Store> store;

 private:
  const std::shared_ptr<Acknowledgements> listener_ = std::make_shared<Acknowledgements>();
  BucketRef ref_;
};

void expect_only_the_database(const SimFileSystem& files) {
  EXPECT_TRUE(files.paths() == std::vector<std::string>{kSessionPath});
}

}  // namespace

TEST("etcd #16596: power lost at any call of the creation leaves a database or nothing") {
  std::vector<std::unique_ptr<SimFileSystem>> cuts;
  SimFileSystem files;
  files.set_hook([&](uint64_t call, const char*) {
    for (uint64_t seed = 0; seed < 16; seed++) cuts.push_back(files.crash(call * 97 + seed));
  });
  PageFile::create(files, kSessionPath, 1024, 0600, {});
  EXPECT_TRUE(cuts.size() >= 16 * 4);
  for (const auto& left : cuts) {
    {
      Life(*left).put_many("k", 3);
    }
    {
      EXPECT_EQ(Life(*left).content().size(), 3u);
    }
    expect_only_the_database(*left);
  }
}

TEST("etcd #18810: no space at any call of a defragmentation leaves the database serving") {
  for (uint64_t n = 1;; n++) {
    SimFileSystem files;
    Life life(files);
    life.put_many("k", 60);
    life.checkpoint();
    files.fail_call(n, ErrorCode::ERR_NO_SPACE, 28);
    try {
      life.defrag();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::ERR_NO_SPACE);
    }
    const bool reached_the_end = files.faults_injected() == 0;
    files.fail_call(1, ErrorCode::ERR_NO_SPACE, 28, 0);
    for (const std::string& path : files.paths()) EXPECT_EQ(path.find("-defrag-"), path.npos);
    life.expect_acknowledged();
    // Only a switch of which nobody knows whether it is durable ends the writing.
    if (!life.store->poisoned()) {
      life.put_many("after ", 3);
      life.defrag();
      life.expect_acknowledged();
    }
    const auto left = files.restart();
    Life(*left, life.acknowledged).expect_acknowledged();
    if (reached_the_end) return;
  }
}

TEST("etcd #22340: what is acknowledged after a switch survives a power cut") {
  for (uint64_t seed = 0; seed < 40; seed++) {
    SimFileSystem files(seed);
    Life life(files);
    life.put_many("k", 30);
    life.defrag();
    life.put_many("after the switch ", 2);
    const auto left = files.crash(seed);
    Life again(*left, life.acknowledged);
    again.expect_acknowledged();
  }
}

TEST("bbolt #797: pages allocated by transactions that were rolled back are free again") {
  TestFile test(1024);
  std::map<std::string, std::string> values;
  for (int i = 0; i < 500; i++) values[numbered(i)] = std::string(60, 'v');
  apply_and_commit(test, *puts("b", values, 1), 1);
  apply_and_commit(test, *puts("b", {{"x", "1"}}, 2), 2);
  const uint64_t high_water = test.file->meta().high_water;
  std::mt19937_64 random(797);
  for (uint64_t seq = 3; seq < 200; seq++) {
    const auto reader = test.file->begin_read();
    {
      const auto rolled_back = puts("b", values, seq);
      WriteTx tx(test.file, test.pacer, {});
      tx.apply({rolled_back.get()});
    }
    apply_and_commit(test, *puts("b", {{numbered(random() % 500), "new"}}, seq), seq);
    EXPECT_EQ(expect_sound(*test.file).key_count, 501u);
    EXPECT_TRUE(check(*reader, nullptr).ok());
  }
  EXPECT_TRUE(test.file->meta().high_water < high_water + 40);
}

TEST("bbolt #362: a rollback after the file could not grow or be mapped leaves it usable") {
  SimFileSystem files;
  PageFile::create(files, kSessionPath, 1024, 0600, {});
  auto file = PageFile::open(files, kSessionPath, {});
  Pacer pacer(files, nullptr, 0);
  Model model;
  uint64_t seq = 0;
  const auto put = [&](const std::string& key, size_t size) {
    const std::string value(size, key.back());
    const auto memtable = puts(key, {{"value", value}}, ++seq);
    WriteTx tx(file, pacer, {});
    tx.apply({memtable.get()});
    tx.commit({.database_id = {}, .journal_seq = seq});
    model.buckets[key].values["value"] = value;
  };
  // The mapping has room for 64 MiB; the file grows ahead of what is needed.
  put("k1", 52 << 20);
  for (const char* call : {"map", "allocate"}) {
    const auto reader = file->begin_read();
    files.fail_call(1, ErrorCode::ERR_OUT_OF_MEMORY, 12, 2, call);
    EXPECT_THROWS_CODE(ErrorCode::ERR_OUT_OF_MEMORY, put("k2", 13 << 20));
    files.fail_call(1, ErrorCode::ERR_IO, 5, 0);
    expect_same(PageBucket::root(*reader), model);
    expect_same(*file, model);
  }
  for (const char* key : {"k3", "k4", "k5", "k6", "k7"}) {
    put(key, 3 << 20);
    expect_same(*file, model);
  }
  expect_sound(*file);
}

TEST("mintlayer #536: a store is closed on another thread, and both threads end") {
  for (int round = 0; round < 20; round++) {
    SimFileSystem files;
    std::unique_ptr<Life> life;
    std::thread([&] {
      life = std::make_unique<Life>(files);
      life->put_many("k", 20);
      life->checkpoint();
    }).join();
    std::thread([&] {
      life->put_many("l", 20);
      life.reset();
    }).join();
    EXPECT_EQ(Life(files).content().size(), 40u);
  }
}

TEST("rocksdb-js #572: a write that the system cuts short goes on behind what it has taken") {
  TestFolder folder;
  const auto file = system_files().open(folder.write("data", ""), {.write = true});
  std::string bytes(9000, '\0');
  for (size_t i = 0; i < bytes.size(); i++) bytes[i] = static_cast<char>(i * 7);
  // The system takes 5,000 bytes of a write that would go beyond this limit.
  rlimit before{};
  ::getrlimit(RLIMIT_FSIZE, &before);
  rlimit limited = before;
  limited.rlim_cur = 5000;
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  ::setrlimit(RLIMIT_FSIZE, &limited);
  std::optional<ErrorCode> code;
  try {
    file->write(0, bytes);
  } catch (const Error& error) {
    code = error.code();
  }
  ::setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  EXPECT_TRUE(code == ErrorCode::ERR_NO_SPACE);
  std::string found(bytes.size(), '\0');
  EXPECT_EQ(file->read(0, found.data(), found.size()), 5000u);
  EXPECT_TRUE(found.compare(0, 5000, bytes, 0, 5000) == 0);
}

TEST("rocksdb-js #748: the bytes of a failed append never stand between acknowledged writes") {
  int torn = 0;
  for (uint64_t n = 1; n < 12; n++) {
    SimFileSystem files;
    Content acknowledged;
    {
      Life life(files);
      life.put_many("first ", 5);
      // Half of what the failing call was to write is in the file.
      files.fail_call(n, ErrorCode::ERR_NO_SPACE, 28, 1, "write");
      int i = 0;
      while (i < 40 && life.put("second " + std::to_string(i), std::string(300, 's'))) i++;
      // Zeros of a segment that was being prepared: not an append.
      if (i == 40) continue;
      torn++;
      EXPECT_THROWS_CODE(ErrorCode::ERR_POISONED, life.put("third", "v"));
      acknowledged = life.acknowledged;
    }
    std::unique_ptr<SimFileSystem> after = files.restart();
    for (int lives = 0; lives < 3; lives++) {
      std::unique_ptr<SimFileSystem> next;
      {
        Life life(*after, acknowledged);
        life.expect_acknowledged();
        life.put_many("life " + std::to_string(lives), 10);
        acknowledged = life.acknowledged;
        next = after->restart();
      }
      after = std::move(next);
    }
  }
  EXPECT_TRUE(torn > 3);
}

TEST("rocksdb-js #730: a full disk is forgotten when a checkpoint succeeds, a broken one never") {
  SimFileSystem files;
  Life life(files);
  for (int round = 0; round < 3; round++) {
    const std::string name = "round " + std::to_string(round) + " ";
    life.put_many(name, 40, 10'000);  // more than the file has grown ahead
    files.fail_call(1, ErrorCode::ERR_NO_SPACE, 28, ~uint64_t{0}, "allocate");
    EXPECT_THROWS_CODE(ErrorCode::ERR_NO_SPACE, life.checkpoint());
    files.fail_call(1, ErrorCode::ERR_NO_SPACE, 28, 0);
    EXPECT_TRUE(life.store->stats().checkpoint_failing && !life.store->poisoned());
    life.put_many(name + "while it is full ", 3);
    life.checkpoint();
    EXPECT_FALSE(life.store->stats().checkpoint_failing);
    EXPECT_EQ(life.store->stats().covered_seq, life.store->last_seq());
    life.expect_acknowledged();
  }
  EXPECT_TRUE(life.put("last", "v"));
  files.fail_call(1, ErrorCode::ERR_IO, 5, 1, "sync_data");
  EXPECT_THROWS_CODE(ErrorCode::ERR_IO, life.checkpoint());
  // The disk works again, and that is not believed.
  EXPECT_THROWS_CODE(ErrorCode::ERR_POISONED, life.checkpoint());
  EXPECT_THROWS_CODE(ErrorCode::ERR_POISONED, life.put("k", "v"));
  const auto after = files.restart();
  Life again(*after, life.acknowledged);
  again.expect_acknowledged();
}

TEST("redb: a second power cut, in the recovery from the first, loses nothing either") {
  size_t states = 0;
  for (uint64_t seed = 1; seed <= 6; seed++) {
    SimFileSystem files(seed);
    Life life(files);
    life.put_many("checkpointed ", 30);
    life.checkpoint();
    life.put_many("journaled ", 30);
    if (seed % 2 == 0) life.defrag();
    life.put_many("last ", 5);
    const auto first = files.crash(seed);
    std::vector<std::unique_ptr<SimFileSystem>> cuts;
    first->set_hook([&](uint64_t call, const char*) {
      if (cuts.size() < 200) cuts.push_back(first->crash(seed * 1000 + call));
    });
    {
      Life recovering(*first, life.acknowledged);
    }
    for (const auto& second : cuts) {
      {
        Life(*second, life.acknowledged).expect_acknowledged();
      }
      expect_only_the_database(*second);
      states++;
    }
  }
  EXPECT_TRUE(states > 200);
}

}  // namespace hotbolt::testing
