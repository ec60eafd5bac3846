// The journal when its process dies, when calls fail, and under threads: what was acknowledged is
// there, nothing else is. Power cuts are crash_test.cc's.
#include <atomic>
#include <thread>

#include "journal_fixture.h"

namespace hotbolt::testing {
namespace {

TEST("a process that dies loses nothing that was acknowledged, in any mode") {
  for (const SyncMode sync : {SyncMode::kAlways, SyncMode::kInterval, SyncMode::kNever}) {
    JournalFixture fixture(small_segments(sync));
    for (int group = 0; group < 50; group++) fixture.write(3);
    EXPECT_EQ(read_back(*fixture.files.restart()).last_seq, 150);
  }
}

TEST("a removed segment is not missed when the page file covers all of it that was synced") {
  JournalFixture fixture(small_segments(SyncMode::kNever));
  const auto write_until_segments = [&](size_t count) {
    while (fixture.journal->segment_paths().size() < count) fixture.write(1);
  };
  write_until_segments(2);
  fixture.journal->force_sync();
  while (fixture.journal->synced_seq() < fixture.journal->last_seq()) std::this_thread::yield();
  const Seq covered = fixture.journal->last_seq();
  write_until_segments(3);
  const std::unique_ptr<SimFileSystem> after = fixture.files.restart();
  // Recovery removes all three; a power cut may leave any of them.
  after->remove(list_journal(*after, kDatabase).segments[1].path);
  EXPECT_EQ(read_back(*after, covered).last_seq, covered);
}

TEST("after a crash a new epoch continues, and a second crash finds both") {
  for (uint64_t seed = 1; seed <= 100; seed++) {
    JournalFixture fixture(small_segments(), seed);
    for (int group = 0; group < 30; group++) fixture.write(2);
    for (Seq seq = 61; seq <= 70; seq++) fixture.journal->append(body_of(seq));
    fixture.journal->stop();
    const std::unique_ptr<SimFileSystem> after = fixture.files.crash(seed);
    const Seq recovered = read_back(*after).last_seq;
    // The page file now covers what was recovered, but the old segments could not be removed yet.
    const uint64_t number = list_journal(*after, kDatabase).segments.back().number + 1;
    TestListener listener;
    Journal second(*after, kDatabase, small_segments(), {},
                   {.last_seq = recovered, .first_segment = number + 10}, listener,
                   std::make_shared<SyncLatency>());
    for (int i = 0; i < 20; i++) second.append(body_of(second.last_seq() + 1));
    second.submit();
    listener.wait_for(second.last_seq());
    EXPECT_EQ(read_back(*after->crash(seed + 1), recovered).last_seq, recovered + 20);
  }
}

// One run in which the n-th call fails. False: there was no n-th call.
bool run_with_fault(uint64_t n, uint64_t times, ErrorCode code, int error_number) {
  JournalFixture fixture(small_segments(), n);
  fixture.files.fail_call(n, code, error_number, times);
  Seq appended = 0;
  try {
    for (int group = 0; group < 40; group++) {
      for (int i = 0; i < 3; i++) appended = fixture.journal->append(body_of(appended + 1));
      fixture.journal->submit();
      if (!fixture.listener.wait_for(appended)) break;
      if (group % 10 == 9) fixture.journal->recycle(0);
    }
  } catch (const Error& error) {
    EXPECT_EQ(fixture.journal->last_seq(), appended);
    // No place could be made for the transaction: nothing of it is left, and the next call tries
    // again.
    const bool is_refused = error.code() == code;
    EXPECT_TRUE(is_refused || error.code() == ErrorCode::ERR_POISONED);
    if (is_refused && times == 1) appended = fixture.journal->append(body_of(appended + 1));
  }
  fixture.journal->stop();
  const Seq acked = fixture.listener.acked();
  EXPECT_TRUE(fixture.listener.failures() <= 1);
  if (fixture.listener.failures() == 1) {
    // Equal when it was a sync of the directory, for a segment that nothing was written to yet.
    EXPECT_TRUE(acked <= appended);
    EXPECT_THROWS_CODE(ErrorCode::ERR_POISONED, fixture.journal->append("x"));
  } else {
    EXPECT_EQ(acked, appended);
  }
  const bool injected = fixture.files.faults_injected() > 0;
  fixture.files.fail_call(0, code, 0, 0);
  for (uint64_t seed = 0; seed < 3; seed++) {
    EXPECT_TRUE(read_back(*fixture.files.crash(seed)).last_seq >= acked);
  }
  EXPECT_TRUE(read_back(*fixture.files.restart()).last_seq >= acked);
  return injected;
}

TEST("whichever call fails, the listener hears of it once and nothing is acknowledged falsely") {
  for (const uint64_t times : {uint64_t{1}, ~uint64_t{0}}) {
    uint64_t n = 1;
    while (run_with_fault(n, times, n % 2 ? ErrorCode::ERR_IO : ErrorCode::ERR_NO_SPACE,
                          n % 2 ? 5 : 28))
      n++;
    EXPECT_TRUE(n > 100);
  }
}

TEST("appending, recycling and looking go together on three threads") {
  JournalFixture fixture;
  std::atomic<bool> done{false};
  std::thread recycler([&] {
    while (!done) {
      fixture.journal->recycle(fixture.journal->durable_seq() / 2);
      std::this_thread::yield();
    }
  });
  std::thread looker([&] {
    while (!done) {
      fixture.journal->disk_bytes();
      fixture.journal->segment_paths();
      fixture.journal->rebind({});
      std::this_thread::yield();
    }
  });
  for (int group = 0; group < 1500; group++) {
    for (int i = 0; i < 8; i++) fixture.journal->append(body_of(fixture.journal->last_seq() + 1));
    fixture.journal->submit();
    if (group % 64 == 0) fixture.listener.wait_for(fixture.journal->last_seq());
  }
  fixture.listener.wait_for(fixture.journal->last_seq());
  done = true;
  recycler.join();
  looker.join();
  fixture.journal->stop();
  EXPECT_EQ(fixture.listener.acked(), 12000);
  EXPECT_EQ(read_back(fixture.files, 6000).last_seq, 12000);
}

}  // namespace
}  // namespace hotbolt::testing
