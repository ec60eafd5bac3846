// The whole engine where a call of it fails. What a power cut leaves is crash_test.cc's.
#include "core/store.h"

#include <future>

#include "core/replayer.h"
#include "crash_workloads.h"
#include "sim_file.h"
#include "store_run.h"

namespace hotbolt::testing {
namespace {

TEST("a directory sync that fails after the rename poisons the store and loses nothing") {
  SimFileSystem files(1);
  const auto listener = std::make_shared<Listener>();
  auto store = Store::open(files, kPath, small_options(), listener);
  BucketRef ref;
  ref.path = {"b"};
  store->put(ref, "k", "v");
  listener->wait(store->submit());
  auto defrag = std::make_shared<Defrag>(store, DefragOptions{});
  defrag->prepare();
  defrag->pin();
  defrag->copy();
  CatchUp round = defrag->begin_catch_up();
  defrag->run_catch_up(round);
  files.fail_call(1, ErrorCode::ERR_IO, 5, 1, "sync_directory");
  EXPECT_THROWS_CODE(ErrorCode::ERR_IO, defrag->publish());
  defrag->abort();
  defrag->release();
  defrag.reset();
  EXPECT_THROWS_CODE(ErrorCode::ERR_POISONED, store->put(ref, "l", "v"));
  EXPECT_EQ(std::string(*store->resolve(ref).get("k")), "v");
  store->begin_close();
  EXPECT_THROWS_CODE(ErrorCode::ERR_POISONED, store->run_close());
  store.reset();

  store = Store::open(files, kPath, small_options(), std::make_shared<Listener>());
  EXPECT_EQ(std::string(*BucketView::at(*store->view(), kSeqMax, {"b"}).get("k")), "v");
  close_store(store);
}

// A store that was written to and not closed.
std::unique_ptr<SimFileSystem> left_behind(int rows) {
  SimFileSystem files(1);
  const auto listener = std::make_shared<Listener>();
  auto store = Store::open(files, kPath, small_options(), listener);
  BucketRef ref;
  ref.path = {"b"};
  for (int i = 0; i < rows; i++) {
    store->put(ref, "k" + std::to_string(i), letters(100, size_t(i)));
    if (i % 10 == 0) listener->wait(store->submit());
  }
  listener->wait(store->submit());
  store->halt();
  return files.restart();
}

TEST("opening after a crash reads the journal, and writes only what may not have been synced") {
  constexpr int kRows = 1500;
  const std::unique_ptr<SimFileSystem> files = left_behind(kRows);
  const size_t segments = list_journal(*files, kPath).segments.size();
  std::atomic<int> writes{0};
  std::atomic<size_t> reads{0};
  files->set_hook([&](uint64_t, std::string_view name) {
    if (name == "write") writes++;
    if (name == "read") reads++;
  });
  auto store = Store::open(*files, kPath, small_options(), std::make_shared<Listener>());
  EXPECT_EQ(store->last_seq(), kRows);
  EXPECT_EQ(store->stats().covered_seq, 0);
  EXPECT_TRUE(writes <= 3);
  EXPECT_TRUE(reads <= 3 * segments + 10);
  EXPECT_EQ(dump(*store).buckets["b"].values.size(), kRows);
  close_store(store);
}

TEST("what a leftover journal weighs is what it weighed when it was written") {
  SimFileSystem files(1);
  const auto listener = std::make_shared<Listener>();
  auto store = Store::open(files, kPath, small_options(), listener);
  BucketRef ref;
  ref.path = {"b"};
  for (size_t i = 0; i < 500; i++) store->put(ref, "k", letters(100, i));
  listener->wait(store->submit());
  const uint64_t weight = store->backlog().active_bytes;
  EXPECT_TRUE(weight > 500 * 100);  // one key takes little memory
  store->halt();
  store.reset();
  store = Store::open(files, kPath, small_options(), listener);
  EXPECT_EQ(store->backlog().sealed_bytes, weight);
  close_store(store);
}

TEST("a leftover journal is proven bucket by bucket, also where buckets come and go") {
  SimFileSystem files(1);
  Trace trace;
  StoreRun run(files, trace, small_options(), 1);
  run.open();
  const BucketPath outer{"a"};
  const BucketPath inner{"a", "n"};
  for (int round = 0; round < 3; round++) {
    run.put(inner, "k", "in");
    run.put(outer, "k", "out");
    run.delete_bucket(inner);
    run.put(outer, "n", "a key where a bucket was");
    run.set_sequence(outer, uint64_t(round));
    run.remove(outer, "n");
    run.create_bucket(inner);
    run.put(inner, "again", std::to_string(round));
    run.remove({"a", "missing"}, "k");
    run.kill();
  }
  EXPECT_TRUE(dump(run.store()) == run.model());
  run.close();
}

TEST("a journal that takes too much memory is merged on the way, unless there is no space") {
  for (const bool is_full : {false, true}) {
    const std::unique_ptr<SimFileSystem> files = left_behind(1500);
    const auto file = PageFile::open(*files, kPath, {});
    if (is_full) files->fail_call(1, ErrorCode::ERR_NO_SPACE, 28, ~uint64_t{0}, "allocate");
    Pacer pacer(*files, std::make_shared<SyncLatency>(), 0);
    std::vector<std::shared_ptr<const Memtable>> memtables;
    const JournalEnd end = replay_into_memory(
        *files, list_journal(*files, kPath).segments, 0, file, file->meta().mark->database_id,
        {.chunk_bytes = 16 << 10, .bytes_max = 64 << 10}, pacer, memtables);
    const Seq covered = file->meta().mark->journal_seq;
    EXPECT_EQ(end.last_seq, 1500);
    EXPECT_EQ(memtables.front()->last_seq(), 1500);
    EXPECT_EQ(covered > 0, !is_full);
    EXPECT_EQ(memtables.size() > 5, is_full);
    for (const auto& memtable : memtables) EXPECT_TRUE(memtable->last_seq() > covered);
  }
}

void checkpoint(Store& store) {
  EXPECT_TRUE(store.seal());
  const auto checkpoint = store.begin_checkpoint();
  store.run_checkpoint(*checkpoint);
  store.finish_checkpoint(*checkpoint);
}

TEST("a defragmentation begins only if there is room for the journal that it may keep") {
  SimFileSystem files(1);
  auto store = Store::open(files, kPath, small_options(), std::make_shared<Listener>());
  BucketRef ref;
  ref.path = {"b"};
  for (int n = 0; n < 4000; n++) store->put(ref, std::to_string(n), std::string(1000, 'v'));
  checkpoint(*store);
  const StoreStats stats = store->stats();
  const uint64_t unused = (stats.free_pages + stats.pending_pages) * stats.page_size;
  const uint64_t in_use = stats.high_water_bytes - unused;
  const uint64_t copy = in_use + in_use / 10 + space_reserve(in_use);
  const uint64_t journal = std::min(in_use, 4 * small_options().checkpoint_bytes);
  files.set_free_space(copy + journal - 1);
  EXPECT_THROWS_CODE(ErrorCode::ERR_NO_SPACE,
                     std::make_shared<Defrag>(store, DefragOptions{})->prepare());
  files.set_free_space(copy + journal);
  auto defrag = std::make_shared<Defrag>(store, DefragOptions{});
  defrag->prepare();
  defrag->abort();
  defrag->release();
  defrag.reset();
  close_store(store);
}

TEST("a defragmentation gives way when the disk is nearly full; the writer does not notice") {
  SimFileSystem files(1);
  const auto listener = std::make_shared<Listener>();
  auto store = Store::open(files, kPath, small_options(), listener);
  BucketRef ref;
  ref.path = {"b"};
  for (int n = 0; n < 4000; n++) store->put(ref, std::to_string(n), std::string(1000, 'v'));
  listener->wait(store->submit());
  checkpoint(*store);
  auto defrag = std::make_shared<Defrag>(store, DefragOptions{});
  defrag->prepare();
  defrag->pin();
  files.set_free_space(3 << 20);
  EXPECT_THROWS_CODE(ErrorCode::ERR_NO_SPACE, defrag->copy());
  defrag->abort();
  defrag->release();
  defrag.reset();
  store->put(ref, "later", "v");
  listener->wait(store->submit());
  checkpoint(*store);
  EXPECT_EQ(store->stats().covered_seq, store->last_seq());
  close_store(store);
}

TEST("a defragmentation tells how much the journal may grow while it copies") {
  SimFileSystem files(1);
  auto store = Store::open(files, kPath, small_options(), std::make_shared<Listener>());
  BucketRef ref;
  ref.path = {"b"};
  for (int n = 0; n < 1000; n++) store->put(ref, std::to_string(n), std::string(1000, 'v'));
  checkpoint(*store);
  auto defrag = std::make_shared<Defrag>(store, DefragOptions{});
  defrag->prepare();
  defrag->pin();
  EXPECT_EQ(defrag->spare_bytes(), Defrag::kSpareUnknown);
  files.set_free_space(64 << 20);
  defrag->copy();
  // A reserve stays, and what the page file and a new segment of the journal need.
  EXPECT_TRUE(defrag->spare_bytes() > 0 && defrag->spare_bytes() <= 62 << 20);
  defrag->abort();
  defrag->release();
  defrag.reset();
  close_store(store);
}

// The simulated clock moves only when somebody sleeps.
TEST("bytes_per_second is the limit of the copy, not of catching up") {
  SimFileSystem files(1);
  const auto listener = std::make_shared<Listener>();
  auto store = Store::open(files, kPath, small_options(), listener);
  BucketRef ref;
  ref.path = {"b"};
  for (int n = 0; n < 1000; n++) store->put(ref, std::to_string(n), std::string(1000, 'v'));
  checkpoint(*store);
  auto defrag = std::make_shared<Defrag>(store, DefragOptions{.bytes_per_second = 1000});
  defrag->prepare();
  defrag->pin();
  const uint64_t begun_us = files.now_us();
  defrag->copy();
  const uint64_t copied_us = files.now_us();
  EXPECT_TRUE(copied_us - begun_us > 500'000'000);
  for (int n = 0; n < 2000; n++) store->put(ref, std::to_string(n), std::string(1000, 'w'));
  const uint64_t written_us = files.now_us();
  for (bool is_complete = false; !is_complete;) {
    CatchUp round = defrag->begin_catch_up();
    defrag->run_catch_up(round);
    is_complete = round.is_complete;
  }
  EXPECT_TRUE(defrag->is_caught_up());
  EXPECT_TRUE(files.now_us() - written_us < 50'000'000);
  defrag->abort();
  defrag->release();
  defrag.reset();
  close_store(store);
}

TEST("a checkpoint goes on beside a round of catching up, and hides nothing from the new file") {
  SimFileSystem files(1);
  const auto listener = std::make_shared<Listener>();
  auto store = Store::open(files, kPath, small_options(), listener);
  BucketRef ref;
  ref.path = {"b"};
  store->put(ref, "copied", "v");
  checkpoint(*store);
  auto defrag = std::make_shared<Defrag>(store, DefragOptions{});
  defrag->prepare();
  defrag->pin();
  defrag->copy();
  store->put(ref, "in the round", "v");
  CatchUp round = defrag->begin_catch_up();
  store->put(ref, "in the checkpoint", "v");
  listener->wait(store->submit());
  checkpoint(*store);
  defrag->run_catch_up(round);
  EXPECT_TRUE(!defrag->covers_base() && defrag->backlog_bytes() > 0);
  CatchUp second = defrag->begin_catch_up();
  defrag->run_catch_up(second);
  EXPECT_TRUE(defrag->is_caught_up());
  EXPECT_EQ(defrag->backlog_bytes(), 0);
  EXPECT_TRUE(round.bytes > 0 && second.bytes > 0);
  store->put(ref, "above the new file", "v");
  EXPECT_TRUE(defrag->is_caught_up() && defrag->backlog_bytes() > 0);
  defrag->publish();
  defrag->install();
  defrag->clean();
  defrag.reset();
  EXPECT_EQ(dump(*store).buckets["b"].values.size(), 4);
  close_store(store);
  store = Store::open(files, kPath, small_options(), std::make_shared<Listener>());
  EXPECT_EQ(dump(*store).buckets["b"].values.size(), 4);
  close_store(store);
}

// Three times as much as the file's content is written in all, with room for twice as much.
TEST("a checkpoint on a full disk uses what only the previous meta reaches") {
  SimFileSystem files(1);
  const auto listener = std::make_shared<Listener>();
  auto store = Store::open(files, kPath, small_options(), listener);
  BucketRef ref;
  ref.path = {"b"};
  const auto overwrite_all = [&](char byte) {
    for (int n = 0; n < 1000; n++) store->put(ref, std::to_string(n), std::string(300, byte));
    listener->wait(store->submit());
  };
  const auto checkpoint_on_full_disk = [&] {
    files.fail_call(1, ErrorCode::ERR_NO_SPACE, 28, ~uint64_t{0}, "allocate");
    checkpoint(*store);
    files.fail_call(0, ErrorCode::ERR_IO, 0, 0);
  };
  overwrite_all('a');
  checkpoint(*store);
  overwrite_all('b');
  checkpoint(*store);
  for (const char byte : {'c', 'd', 'e'}) {
    overwrite_all(byte);
    checkpoint_on_full_disk();
    EXPECT_EQ(store->stats().covered_seq, store->last_seq());
    const auto left = files.crash(static_cast<uint64_t>(byte));
    auto reopened = Store::open(*left, kPath, small_options(), std::make_shared<Listener>());
    EXPECT_TRUE(dump(*reopened) == dump(*store));
    close_store(reopened);
  }
  overwrite_all('f');
  files.fail_call(1, ErrorCode::ERR_NO_SPACE, 28, ~uint64_t{0}, "allocate");
  close_store(store);
  EXPECT_EQ(files.paths().size(), 1);
}

TEST("a transaction that changes nothing is covered by a checkpoint like any other") {
  SimFileSystem files(1);
  auto store = Store::open(files, kPath, small_options(), std::make_shared<Listener>());
  OpWriter ops;
  ops.remove({"no such bucket"}, "k");
  store->commit(ops);
  EXPECT_TRUE(store->backlog().active_bytes > 0);
  checkpoint(*store);
  EXPECT_EQ(store->stats().covered_seq, 1);
  EXPECT_EQ(store->backlog().active_bytes + store->backlog().sealed_bytes, 0);
  close_store(store);
}

TEST("memory is freed while a checkpoint runs") {
  SimFileSystem files(1);
  auto store = Store::open(files, kPath, small_options(), std::make_shared<Listener>());
  std::promise<void> checkpoint_ends;
  std::promise<void> freed;
  store->worker().post([&] { checkpoint_ends.get_future().wait(); });
  store->discard(std::shared_ptr<const void>(&freed, [&](const void*) { freed.set_value(); }));
  const auto outcome = freed.get_future().wait_for(std::chrono::seconds(60));
  EXPECT_TRUE(outcome == std::future_status::ready);
  checkpoint_ends.set_value();
  close_store(store);
}

}  // namespace
}  // namespace hotbolt::testing
