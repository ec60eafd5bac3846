// Where a frame will be written exists before it is appended: a disk that is full refuses writes
// before anything has happened, and removals have a reserve.
#include "journal_fixture.h"

namespace hotbolt::testing {
namespace {

constexpr uint64_t kForever = ~uint64_t{0};

void fill_disk(SimFileSystem& files) {
  files.fail_call(1, ErrorCode::ERR_NO_SPACE, 28, kForever, "allocate");
}
void free_disk(SimFileSystem& files) { files.fail_call(0, ErrorCode::ERR_IO, 0, 0); }

std::string body_of_removal() {
  OpWriter writer;
  static const BucketPath path{"bucket"};
  writer.remove(path, "key");
  return writer.body().flat();
}

// Appends until it is refused; how many were not.
size_t append_until_refused(JournalFixture& fixture, Growth growth) {
  for (size_t count = 0;; count++) {
    const Seq last = fixture.journal->last_seq();
    try {
      fixture.journal->append(growth == Growth::kGrows ? body_of(last + 1) : body_of_removal(),
                              growth);
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::ERR_NO_SPACE);
      EXPECT_EQ(fixture.journal->last_seq(), last);
      return count;
    }
  }
}

Seq last_seq_on_disk(FileSystem& files) {
  return read_journal(files, list_journal(files, kDatabase).segments, 0, kSeqMax, [](Seq, Bytes) {})
      .last_seq;
}

void submit_and_wait(JournalFixture& fixture) {
  fixture.journal->submit();
  EXPECT_TRUE(fixture.listener.wait_for(fixture.journal->last_seq()));
}

TEST("a full disk refuses a write before anything has happened, and takes it when it has space") {
  JournalFixture fixture;
  fixture.write(1);
  fill_disk(fixture.files);
  EXPECT_TRUE(append_until_refused(fixture, Growth::kGrows) > 0);
  submit_and_wait(fixture);
  EXPECT_EQ(append_until_refused(fixture, Growth::kGrows), 0);
  EXPECT_EQ(fixture.listener.failures(), 0);
  free_disk(fixture.files);
  fixture.write(200);
  fixture.journal->stop();
  EXPECT_EQ(read_back(fixture.files).last_seq, fixture.journal->last_seq());
  EXPECT_EQ(read_back(*fixture.files.crash(1)).last_seq, fixture.journal->last_seq());
}

TEST("a transaction that is larger than what is left is refused as a whole") {
  JournalFixture fixture;
  fixture.write(1);
  fill_disk(fixture.files);
  const std::string large(100'000, 'x');
  EXPECT_THROWS_CODE(ErrorCode::ERR_NO_SPACE, fixture.journal->append(large));
  EXPECT_THROWS_CODE(ErrorCode::ERR_NO_SPACE, fixture.journal->append(large, Growth::kShrinks));
  EXPECT_EQ(fixture.journal->last_seq(), 1);
  fixture.write(1);
  fixture.journal->stop();
  EXPECT_EQ(read_back(fixture.files).last_seq, 2);
}

TEST("removals go on when writes are refused, for a bounded number") {
  JournalFixture fixture;
  fixture.write(1);
  fill_disk(fixture.files);
  append_until_refused(fixture, Growth::kGrows);
  const size_t removed = append_until_refused(fixture, Growth::kShrinks);
  EXPECT_TRUE(removed >= 3 && removed < 1000);
  submit_and_wait(fixture);
  fixture.journal->stop();
  EXPECT_EQ(last_seq_on_disk(fixture.files), fixture.journal->last_seq());
}

TEST("a write that has its place makes no call") {
  JournalFixture fixture;
  fixture.write(1);
  const uint64_t calls = fixture.files.calls();
  for (Seq seq = 2; seq <= 10; seq++) fixture.journal->append(body_of(seq));
  EXPECT_EQ(fixture.files.calls(), calls);
  submit_and_wait(fixture);
}

TEST("what the disk has left is the page file's, as much as the journal holds") {
  JournalFixture fixture;
  for (int group = 0; group < 40; group++) fixture.write(5);
  fixture.files.set_free_space(150'000);
  append_until_refused(fixture, Growth::kGrows);
  submit_and_wait(fixture);
  // Covered by the page file, it needs no room there.
  fixture.journal->recycle(fixture.journal->last_seq());
  fixture.write(20);
  EXPECT_EQ(fixture.listener.failures(), 0);
}

TEST("what is covered needs no room in the page file, though somebody keeps it to read it") {
  size_t accepted[2] = {0, 0};
  for (const bool is_covered : {false, true}) {
    JournalFixture fixture;
    for (int group = 0; group < 400; group++) fixture.write(5);
    const uint64_t before = fixture.journal->disk_bytes();
    if (is_covered) fixture.journal->recycle(fixture.journal->last_seq() - 1, 0);
    EXPECT_EQ(fixture.journal->disk_bytes(), before);
    fixture.files.set_free_space(3 * before);
    accepted[is_covered] = append_until_refused(fixture, Growth::kGrows);
    submit_and_wait(fixture);
  }
  EXPECT_TRUE(accepted[true] > accepted[false] + 500);
}

TEST("what was prepared is given back to a checkpoint, but for a reserve for removals") {
  JournalFixture fixture;
  for (int group = 0; group < 200; group++) fixture.write(5);
  const uint64_t before = fixture.journal->disk_bytes();
  fixture.journal->give_back();
  EXPECT_TRUE(fixture.journal->disk_bytes() <= before);
  fixture.files.set_free_space(1);
  append_until_refused(fixture, Growth::kGrows);
  fill_disk(fixture.files);
  EXPECT_TRUE(append_until_refused(fixture, Growth::kShrinks) > 0);
  submit_and_wait(fixture);
  fixture.journal->stop();
  EXPECT_EQ(last_seq_on_disk(fixture.files), fixture.journal->last_seq());
}

TEST("segments that cannot be made for another reason refuse the write too") {
  JournalFixture fixture;
  fixture.files.fail_call(1, ErrorCode::ERR_PERMISSION, 13, kForever, "open");
  EXPECT_THROWS_CODE(ErrorCode::ERR_PERMISSION, fixture.journal->append(body_of(1)));
  free_disk(fixture.files);
  fixture.write(3);
  EXPECT_EQ(fixture.listener.failures(), 0);
}

TEST("a file that somebody puts in a segment's place is passed by, and stays") {
  JournalFixture fixture;
  for (const uint64_t number : {1, 2, 3, 5, 8, 13})
    fixture.files.put_file(segment_path(kDatabase, number), "somebody's");
  for (int round = 0; round < 20; round++) {
    for (int group = 0; group < 10; group++) fixture.write(5);
    fixture.journal->recycle(fixture.journal->last_seq() - 20);
  }
  fixture.journal->stop();
  fixture.journal->remove_all();
  EXPECT_EQ(fixture.files.paths().size(), 6);
  EXPECT_EQ(fixture.files.contents(segment_path(kDatabase, 8)), "somebody's");
}

TEST("only what proves to be a segment, or to hold nothing, is ours") {
  SimFileSystem files;
  std::string damaged = empty_segment_block(3) + std::string(4096, 'f');
  damaged[20] ^= 1;
  damaged[kSegmentCopyOffset + 20] ^= 1;
  files.put_file(segment_path(kDatabase, 1), "");
  files.put_file(segment_path(kDatabase, 2), empty_segment_block(2) + std::string(4096, '\0'));
  files.put_file(segment_path(kDatabase, 3), damaged);
  files.put_file(segment_path(kDatabase, 4), empty_segment_block(2) + "frames of an earlier use");
  files.put_file(segment_path(kDatabase, 5), "a text");
  files.put_file(segment_path(kDatabase, 6), std::string(1 << 21, '\0') + "x");
  const JournalDirectory journal = list_journal(files, kDatabase);
  EXPECT_EQ(journal.segments.size(), 0);
  EXPECT_TRUE(journal.unusable ==
              (std::vector{segment_path(kDatabase, 1), segment_path(kDatabase, 2),
                           segment_path(kDatabase, 4)}));
  EXPECT_TRUE(journal.foreign ==
              (std::vector{segment_path(kDatabase, 3), segment_path(kDatabase, 5),
                           segment_path(kDatabase, 6)}));
  EXPECT_EQ(journal.last_number, 6);
}

TEST("an epoch continues the one before, and is read as one with it") {
  JournalFixture fixture;
  fixture.write(30);
  fixture.journal->stop();
  for (uint32_t epoch = 2; epoch <= 5; epoch++) {
    const JournalEnd end = read_back(fixture.files);
    const uint64_t number = list_journal(fixture.files, kDatabase).last_number;
    fixture.journal =
        std::make_unique<Journal>(fixture.files, kDatabase, small_segments(), JournalBinding{},
                                  JournalStart{.last_seq = end.last_seq,
                                               .first_segment = number + 1,
                                               .epoch = epoch,
                                               .chain = end.chain},
                                  fixture.listener, fixture.latency);
    fixture.write(size_t{epoch} * 20);
    fixture.journal->stop();
  }
  EXPECT_EQ(read_back(fixture.files).last_seq, 30 + 40 + 60 + 80 + 100);
  EXPECT_EQ(read_back(fixture.files, 50).frames, 310 - 50);
}

TEST("a later epoch proves that a frame of an earlier one was acknowledged") {
  JournalFixture fixture;
  fixture.write(3);
  fixture.journal->stop();
  const JournalEnd end = read_back(fixture.files);
  fixture.journal = std::make_unique<Journal>(
      fixture.files, kDatabase, small_segments(), JournalBinding{},
      JournalStart{.last_seq = 3, .first_segment = 2, .epoch = 2, .chain = end.chain},
      fixture.listener, fixture.latency);
  fixture.write(1);
  fixture.journal->stop();
  const std::string first = segment_path(kDatabase, 1);
  std::string bytes = fixture.files.contents(first);
  bytes[end.ends[0].offset - 10] ^= 1;  // of the last frame, about which its own epoch says nothing
  fixture.files.put_file(first, bytes);
  EXPECT_THROWS_CODE(ErrorCode::ERR_JOURNAL_CORRUPT, read_back(fixture.files));
}

}  // namespace
}  // namespace hotbolt::testing
