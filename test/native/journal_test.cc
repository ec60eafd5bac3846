// The journal: what is acknowledged is read back, and what the reader makes of every kind of
// damage.
#include "core/journal.h"

#include <random>

#include "core/checksum.h"
#include "core/journal_reader.h"
#include "journal_fixture.h"

namespace hotbolt::testing {
namespace {

const std::string kFirst = segment_path(kDatabase, 1);

TEST("transactions are read back across segments, larger ones than a segment included") {
  JournalFixture fixture;
  for (int group = 0; group < 100; group++) fixture.write(static_cast<size_t>(group % 7 + 1));
  EXPECT_EQ(fixture.journal->durable_seq(), fixture.journal->last_seq());
  EXPECT_TRUE(fixture.journal->segment_paths().size() > 2);
  EXPECT_EQ(read_back(fixture.files).last_seq, fixture.journal->last_seq());
  EXPECT_EQ(read_back(fixture.files, 50, 120).last_seq, 120);
  EXPECT_EQ(read_back(fixture.files, 50, 120).frames, 70);

  OpWriter huge;
  huge.put({"b"}, "k", std::string(300'000, 'x'));
  const Seq seq = fixture.journal->append(huge.body());
  fixture.journal->submit();
  fixture.listener.wait_for(seq);
  const auto segments = list_journal(fixture.files, kDatabase).segments;
  std::string last;
  read_journal(fixture.files, segments, seq - 1, kSeqMax, [&](Seq, Bytes body) { last = body; });
  EXPECT_TRUE(last == huge.body().flat());
}

TEST("nothing is created before the first append, and nothing is left after a clean close") {
  JournalFixture fixture;
  fixture.journal->recycle(0);
  EXPECT_EQ(fixture.files.paths().size(), 0);
  fixture.write(3);
  EXPECT_EQ(fixture.journal->disk_bytes(), 8 << 10);
  fixture.journal->stop();
  EXPECT_THROWS_CODE(ErrorCode::ERR_CLOSED, fixture.journal->append("x"));
  fixture.journal->remove_all();
  EXPECT_EQ(fixture.files.paths().size(), 0);
}

TEST("stopping writes and syncs what was appended and never submitted") {
  for (const SyncMode sync : {SyncMode::kAlways, SyncMode::kInterval, SyncMode::kNever}) {
    JournalFixture fixture(small_segments(sync));
    for (Seq seq = 1; seq <= 10; seq++) fixture.journal->append(body_of(seq));
    fixture.journal->stop();
    EXPECT_EQ(fixture.listener.acked(), 10);
    EXPECT_EQ(fixture.journal->synced_seq(), 10);
    EXPECT_EQ(read_back(*fixture.files.crash(1, [](auto&&...) { return false; })).last_seq, 10);
  }
}

TEST("a tail that is torn at any byte of a group is the end, not damage") {
  JournalFixture fixture;
  fixture.write(2);
  fixture.write(3);
  const std::string whole = fixture.files.contents(kFirst);
  std::vector<uint64_t> ends{kSegmentBlockSize};
  for (Seq seq = 1; seq <= 5; seq++) ends.push_back(ends.back() + frame_size(body_of(seq).size()));
  for (uint64_t cut = ends[2]; cut <= ends[5]; cut++) {
    SimFileSystem torn;
    std::string bytes = whole.substr(0, cut);
    bytes.resize(whole.size());
    torn.put_file(kFirst, bytes);
    Seq complete = 2;
    while (complete < 5 &&
           whole.substr(0, ends[complete + 1]) == bytes.substr(0, ends[complete + 1]))
      complete++;
    EXPECT_EQ(read_back(torn).last_seq, complete);
    torn.put_file(kFirst, whole.substr(0, cut));  // a file that ends there is no different
    EXPECT_TRUE(read_back(torn).last_seq <= complete);
  }
}

// What comes of a journal whose byte at `offset` of `path` is changed.
std::optional<Error> error_after_change(const JournalFixture& fixture, const std::string& path,
                                        uint64_t offset) {
  SimFileSystem damaged;
  for (const std::string& other : fixture.files.paths())
    damaged.put_file(other, fixture.files.contents(other));
  std::string bytes = fixture.files.contents(path);
  bytes[offset] = static_cast<char>(bytes[offset] ^ 0x40);
  damaged.put_file(path, bytes);
  try {
    read_back(damaged);
    return std::nullopt;
  } catch (const Error& error) {
    return error;
  }
}

TEST("every damaged byte of a frame that was acknowledged is reported with file and offset") {
  JournalFixture fixture;
  for (int group = 0; group < 5; group++) fixture.write(1);
  uint64_t begin = kSegmentBlockSize;
  for (Seq seq = 1; seq <= 4; seq++) {
    const uint64_t used = sizeof(FrameHeader) + body_of(seq).size();
    for (uint64_t offset = begin; offset < begin + used; offset++) {
      // The newest group's synced sequence number proves 4, its own acknowledgement nothing.
      const std::optional<Error> error = error_after_change(fixture, kFirst, offset);
      EXPECT_TRUE(error.has_value());
      EXPECT_EQ(error->code(), ErrorCode::ERR_JOURNAL_CORRUPT);
      EXPECT_EQ(error->path(), kFirst);
      EXPECT_TRUE(std::string(error->what()).find("offset " + std::to_string(begin)) !=
                  std::string::npos);
      EXPECT_TRUE(std::string(error->what()).find(kFirst) != std::string::npos);
    }
    begin += frame_size(body_of(seq).size());
  }
  EXPECT_FALSE(error_after_change(fixture, kFirst, begin + 10).has_value());
}

TEST("damage in one segment is proven by the next one, and a header has a second copy") {
  JournalFixture fixture;
  for (int group = 0; group < 200; group++) fixture.write(1);
  const std::vector<JournalSegment> segments = list_journal(fixture.files, kDatabase).segments;
  EXPECT_TRUE(segments.size() >= 3);
  EXPECT_EQ(error_after_change(fixture, segments[0].path, kSegmentBlockSize + 50)->code(),
            ErrorCode::ERR_JOURNAL_CORRUPT);
  for (uint64_t offset = 0; offset < sizeof(SegmentHeader); offset++) {
    EXPECT_FALSE(error_after_change(fixture, segments[1].path, offset).has_value());
  }
  // A segment that is missing in the middle, and at the start.
  fixture.journal->stop();
  fixture.files.remove(segments[1].path);
  EXPECT_THROWS_CODE(ErrorCode::ERR_JOURNAL_CORRUPT, read_back(fixture.files));
  EXPECT_EQ(read_back(fixture.files, segments[2].first_seq - 1).last_seq, 200);
  fixture.files.remove(segments[0].path);
  EXPECT_THROWS_CODE(ErrorCode::ERR_JOURNAL_STALE, read_back(fixture.files));
  try {
    read_back(fixture.files);
  } catch (const Error& error) {
    const std::string path = segments[2].path.substr(0, segments[2].path.rfind("-journal-"));
    EXPECT_TRUE(std::string(error.what()).find("hotbolt recover " + path) != std::string::npos);
  }
  EXPECT_EQ(read_back(fixture.files, segments[2].first_seq - 1).last_seq, 200);
  EXPECT_EQ(read_back(fixture.files, 1000).last_seq, 1000);
}

// A frame header that any value may contain: valid, but for the epoch it cannot know.
std::string forged_frame() {
  FrameHeader header;
  header.seq = 1000;
  header.synced_seq = 999;
  header.body_size = 8;
  header.crc = frame_crc(header, 0);
  return std::string(reinterpret_cast<const char*>(&header), sizeof header);
}

TEST("large values among small ones are written as if they lay in their frames") {
  JournalFixture fixture;
  const Value shared = Value(std::string(5 << 20, 's')).kept();
  std::vector<std::string> bodies;
  const auto append = [&](const OpWriter& ops) {
    fixture.journal->append(ops.body());
    bodies.push_back(ops.body().flat());
  };
  std::mt19937_64 random(7);
  for (int i = 0; i < 60; i++) {
    OpWriter ops;
    for (uint64_t j = random() % 4 + 1; j > 0; j--) {
      const std::string key = std::to_string(random());
      const uint64_t dice = random() % 8;
      if (dice == 0 && i % 16 == 0) ops.put({"b"}, key, shared);
      if (dice == 1) ops.put({"b"}, key, std::string(kSharedValueSize + random() % 9, 'l'));
      ops.put({"b"}, key + "small", std::string(random() % 300, 'x'));
    }
    append(ops);
    if (random() % 5 == 0) fixture.journal->submit();
  }
  OpWriter last;
  last.put({"b"}, "k", shared);
  append(last);
  last.clear();
  fixture.journal->stop();
  EXPECT_EQ(shared.memory.use_count(), 1);
  const auto segments = list_journal(fixture.files, kDatabase).segments;
  std::vector<std::string> read;
  read_journal(fixture.files, segments, 0, kSeqMax,
               [&](Seq, Bytes body) { read.emplace_back(body); });
  EXPECT_TRUE(read == bodies);
}

TEST("a value that looks like a frame proves nothing") {
  JournalFixture fixture;
  fixture.write(1);
  std::string value;
  for (int i = 0; i < 8; i++) value += forged_frame() + std::string(static_cast<size_t>(i), ' ');
  OpWriter writer;
  writer.put({"b"}, "k", value);
  fixture.journal->append(writer.body());
  fixture.journal->stop();
  std::string bytes = fixture.files.contents(kFirst);
  bytes[kSegmentBlockSize + frame_size(body_of(1).size()) + 4] ^= 1;
  fixture.files.put_file(kFirst, bytes);
  EXPECT_EQ(read_back(fixture.files).last_seq, 1);
}

TEST("a frame of this epoch that claims to be longer than the file is the end") {
  JournalFixture fixture;
  fixture.write(1);
  fixture.journal->stop();
  const JournalSegment segment = list_journal(fixture.files, kDatabase).segments[0];
  std::string bytes = fixture.files.contents(kFirst);
  const uint64_t first_end = kSegmentBlockSize + frame_size(body_of(1).size());
  for (const uint64_t size :
       {~uint64_t{0}, ~uint64_t{0} - 40, uint64_t{1} << 40, uint64_t{0}, bytes.size()}) {
    FrameHeader header;
    header.seq = 2;
    header.body_size = size;
    header.chain = load<FrameHeader>(bytes.data() + kSegmentBlockSize).crc;
    header.crc = frame_crc(header, segment.epoch);
    store(bytes.data() + first_end, header);
    fixture.files.put_file(kFirst, bytes);
    EXPECT_EQ(read_back(fixture.files).last_seq, 1);
  }
}

TEST("a frame that is valid on its own but does not follow from the one before is the end") {
  JournalFixture fixture;
  fixture.write(2);
  fixture.journal->stop();
  const uint32_t epoch = list_journal(fixture.files, kDatabase).segments[0].epoch;
  std::string bytes = fixture.files.contents(kFirst);
  char* second = bytes.data() + kSegmentBlockSize + frame_size(body_of(1).size());
  auto header = load<FrameHeader>(second);
  header.chain ^= 1;
  header.crc = frame_crc(header, epoch);
  store(second, header);
  fixture.files.put_file(kFirst, bytes);
  EXPECT_EQ(read_back(fixture.files).last_seq, 1);
}

TEST("random damage never makes the reader invent a transaction or leave its bounds") {
  JournalFixture fixture;
  for (int group = 0; group < 40; group++) fixture.write(2);
  fixture.journal->stop();
  std::mt19937_64 random(11);
  SimFileSystem damaged;
  const std::vector<std::string> paths = fixture.files.paths();
  for (int round = 0; round < 3000; round++) {
    const std::string& path = paths[random() % paths.size()];
    std::string bytes = fixture.files.contents(path);
    for (size_t changes = random() % 4 + 1; changes > 0; changes--) {
      const size_t at = random() % bytes.size();
      const size_t size = std::min<size_t>(random() % 64, bytes.size() - at);
      for (size_t i = at; i < at + size; i++) bytes[i] = static_cast<char>(random());
    }
    if (random() % 10 == 0) bytes.resize(random() % bytes.size());
    for (const std::string& other : paths) damaged.put_file(other, fixture.files.contents(other));
    damaged.put_file(path, bytes);
    try {
      read_back(damaged, random() % 20);
    } catch (const Error& error) {
      const bool expected = error.code() == ErrorCode::ERR_JOURNAL_CORRUPT ||
                            error.code() == ErrorCode::ERR_JOURNAL_STALE;
      EXPECT_TRUE(expected);
    }
  }
}

TEST("covered segments are used again, and their old frames are never mistaken for new ones") {
  JournalFixture fixture;
  uint64_t most_bytes = 0;
  Seq covered = 0;
  for (int round = 0; round < 120; round++) {
    for (int group = 0; group < 10; group++) fixture.write(5);
    EXPECT_EQ(read_back(fixture.files, covered).last_seq, fixture.journal->last_seq());
    covered = fixture.journal->last_seq() - 20;
    fixture.journal->recycle(covered);
    most_bytes = std::max(most_bytes, fixture.journal->disk_bytes());
    EXPECT_EQ(read_back(fixture.files, covered).last_seq, fixture.journal->last_seq());
  }
  EXPECT_TRUE(most_bytes <= 6 * (64 << 10));
}

TEST("an idle journal keeps one small segment at most") {
  JournalFixture fixture;
  for (int group = 0; group < 400; group++) fixture.write(5);
  EXPECT_TRUE(fixture.journal->disk_bytes() > 64 << 10);
  fixture.journal->recycle(fixture.journal->last_seq());
  EXPECT_TRUE(fixture.journal->disk_bytes() <= 64 << 10);  // one may be about to be ready
  fixture.write(1);
  fixture.journal->stop();
  fixture.journal->recycle(fixture.journal->last_seq());
  EXPECT_TRUE(fixture.journal->disk_bytes() <= 8 << 10);
  EXPECT_EQ(read_back(fixture.files, 2000).last_seq, 2001);
}

TEST("without syncs an acknowledgement needs none, and a forced one does") {
  JournalFixture fixture(small_segments(SyncMode::kNever));
  fixture.write(5);
  EXPECT_EQ(fixture.journal->durable_seq(), 5);
  EXPECT_EQ(fixture.journal->synced_seq(), 0);
  const uint64_t calls = fixture.listener.calls();
  fixture.journal->force_sync();
  fixture.listener.wait_for_calls(calls + 1);
  EXPECT_EQ(fixture.journal->synced_seq(), 5);
  EXPECT_EQ(read_back(*fixture.files.crash(1, [](auto&&...) { return false; })).last_seq, 5);
}

TEST("in interval mode the sync comes by itself") {
  JournalOptions options = small_segments(SyncMode::kInterval);
  options.sync_interval_ms = 1;
  JournalFixture fixture(options);
  fixture.write(5);
  while (fixture.journal->synced_seq() < 5) std::this_thread::yield();
  EXPECT_EQ(read_back(*fixture.files.crash(1, [](auto&&...) { return false; })).last_seq, 5);
}

TEST("a new segment is bound to the state of the page file that was given last") {
  JournalFixture fixture;
  fixture.write(1);
  JournalBinding binding;
  binding.base_txid = 7;
  binding.database_id[3] = 'x';
  fixture.journal->rebind(binding);
  for (int group = 0; group < 60; group++) fixture.write(1);
  const std::vector<JournalSegment> segments = list_journal(fixture.files, kDatabase).segments;
  EXPECT_EQ(segments.front().binding.base_txid, 0);
  EXPECT_EQ(segments.back().binding.base_txid, 7);
  EXPECT_TRUE(segments.back().binding.database_id == binding.database_id);
}

TEST("files beside the database with other names are left alone") {
  SimFileSystem files;
  for (const char* suffix :
       {"-journal-", "-journal-1", "-journal-0000000x", "-journal", "x-journal-00000001"}) {
    files.put_file(kDatabase + suffix, "anything");
  }
  files.put_file(segment_path(kDatabase, 12), std::string(4096, '\0'));
  const JournalDirectory directory = list_journal(files, kDatabase);
  EXPECT_EQ(directory.segments.size(), 0);
  EXPECT_EQ(directory.unusable.size(), 1);
  EXPECT_EQ(directory.unusable[0], segment_path(kDatabase, 12));
}

}  // namespace
}  // namespace hotbolt::testing
