// When background work waits: for its own rate, and for the journal's syncs.
#include "core/pacer.h"

#include "harness.h"
#include "sim_file.h"

namespace hotbolt::testing {
namespace {

// The simulated clock moves only when somebody sleeps.
uint64_t slept_us(FileSystem& files, Pacer& pacer, uint64_t bytes) {
  const uint64_t before = files.now_us();
  pacer.moved(bytes);
  return files.now_us() - before;
}

std::shared_ptr<SyncLatency> latency(uint32_t idle_us, uint32_t recent_us) {
  auto figures = std::make_shared<SyncLatency>();
  figures->idle_us = idle_us;
  figures->recent_us = recent_us;
  figures->count = 1;
  return figures;
}

TEST("without a limit and without a journal nobody waits") {
  SimFileSystem files;
  Pacer pacer(files, nullptr, 0);
  EXPECT_EQ(slept_us(files, pacer, 1 << 30), 0);
}

TEST("a limit is kept over many pieces, after a short burst") {
  SimFileSystem files;
  Pacer pacer(files, nullptr, 1 << 20);
  const uint64_t before = files.now_us();
  for (int i = 0; i < 40; i++) pacer.moved(256 << 10);
  const uint64_t took_us = files.now_us() - before;
  EXPECT_TRUE(took_us > 9'500'000 && took_us <= 10'000'000);
}

TEST("work waits while syncs are slow, but not for ever and not for old figures") {
  SimFileSystem files;
  Pacer calm(files, latency(200, 300), 0);
  EXPECT_EQ(slept_us(files, calm, 1), 0);
  Pacer unknown(files, latency(0, 90'000), 0);
  EXPECT_EQ(slept_us(files, unknown, 1), 0);
  const auto slow = latency(200, 9'000);
  Pacer pacer(files, slow, 0);
  EXPECT_TRUE(slept_us(files, pacer, 1) > 0);
  EXPECT_EQ(slept_us(files, pacer, 1), 0);
  slow->count = 2;
  const uint64_t again = slept_us(files, pacer, 1);
  EXPECT_TRUE(again > 0 && again <= 50'000);
}

TEST("work in a hurry waits for no sync") {
  SimFileSystem files;
  Pacer pacer(files, latency(200, 9'000), 0);
  pacer.hurry(true);
  EXPECT_EQ(slept_us(files, pacer, 1), 0);
  pacer.hurry(false);
  EXPECT_TRUE(slept_us(files, pacer, 1) > 0);
}

TEST("the watcher looks on while work waits for its rate") {
  SimFileSystem files;
  Pacer pacer(files, nullptr, 1 << 10);
  int looks = 0;
  pacer.watch([&] { looks++; });
  pacer.moved(10 << 10);
  EXPECT_TRUE(looks > 100);
}

TEST("cancelled work stops at its next piece") {
  SimFileSystem files;
  Pacer pacer(files, nullptr, 0);
  pacer.moved(1);
  pacer.cancel();
  EXPECT_TRUE(pacer.cancelled());
  EXPECT_THROWS_CODE(ErrorCode::ERR_ABORTED, pacer.moved(1));
}

}  // namespace
}  // namespace hotbolt::testing
