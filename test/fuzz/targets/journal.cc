// Any bytes as the segments of a journal beside a sound database. What recovery accepts is proven
// here once more, by a slower and simpler reading of the format: every transaction is a frame whose
// checksums are right, that follows the one before by number and by chain. And what the database
// holds afterwards is what these transactions say.
//
//   byte 0       what the rest is: 0 segments as they are, 1 an edit of a valid journal: at most
//                five bits of a frame (which CRC-32C always notices), so that nothing but a prefix
//                of what was written may come back
//   byte 1       number of segments (1 to 8), equally long
//   byte 2       the database: 0 is empty, 1 covers three transactions, 2 is empty, without a mark
//   byte 3       the number of the first segment
//   bytes 4..15  reserved
#include <algorithm>

#include "acknowledgements.h"
#include "core/checksum.h"
#include "core/journal_reader.h"
#include "core/memtable_writer.h"
#include "target.h"

namespace hotbolt::fuzz {

namespace {

constexpr Seq kCovered = 3;
constexpr Seq kTransactions = 24;

// Transactions of a new database, two to a group. Its id is the same every time.
class Written {
 public:
  Written() {
    StoreOptions options = fuzz::options(false);
    options.create = true;
    options.page_size = kPageSizeMin;
    options.journal.segment_bytes_min = options.journal.segment_bytes_max = 2 << 10;
    store_ = Store::open(files_, kPath, options, listener_);
  }
  ~Written() { end(); }
  void end() {
    if (store_ != nullptr) store_->halt();
    store_.reset();
  }
  void write(Seq seq) {
    OpWriter ops;
    const BucketPath path{"bucket" + std::to_string(seq % 3)};
    ops.put(path, "key" + std::to_string(seq % 5), std::string(seq * 37 % 400, 'v'));
    if (seq % 4 == 0) ops.remove(path, "key1");
    if (seq % 6 == 5) ops.set_sequence(path, seq);
    if (seq % 8 == 7) ops.create_bucket(path, "inner" + std::to_string(seq));
    store_->commit(ops);
    if (seq % 2 == 0) listener_->wait(store_->submit());
  }
  void checkpoint() {
    store_->seal();
    const auto checkpoint = store_->begin_checkpoint();
    store_->run_checkpoint(*checkpoint);
    store_->finish_checkpoint(*checkpoint);
  }
  MemoryFiles& files() { return files_; }
  Content content() const { return content_of(*store_->view()); }

 private:
  MemoryFiles files_;
  const std::shared_ptr<testing::Acknowledgements> listener_ =
      std::make_shared<testing::Acknowledgements>();
  std::shared_ptr<Store> store_;
};

// The database that journals lie beside, and a valid journal of it.
struct Base {
  std::string empty;
  std::string covering;                                       // kCovered transactions
  std::vector<std::pair<std::string, std::string>> segments;  // path and bytes
  std::vector<std::string> bodies;                            // of the transactions
  std::vector<Content> prefixes;                              // after none, one, two, ...
};

Base make_base() {
  Base base;
  Written covering;
  for (Seq seq = 1; seq <= kCovered; seq++) covering.write(seq);
  covering.checkpoint();
  base.covering = covering.files().contents(kPath);

  Written all;
  base.empty = all.files().contents(kPath);
  base.prefixes.push_back(all.content());
  for (Seq seq = 1; seq <= kTransactions; seq++) {
    all.write(seq);
    base.prefixes.push_back(all.content());
  }
  all.end();
  const auto list = list_journal(all.files(), kPath).segments;
  for (const JournalSegment& segment : list)
    base.segments.emplace_back(segment.path, all.files().contents(segment.path));
  read_journal(all.files(), list, 0, kSeqMax,
               [&](Seq, Bytes body) { base.bodies.emplace_back(body); });
  require(base.bodies.size() == kTransactions, "the journal of the target is not as it should be");
  return base;
}

const Base& base() {
  static const Base base = make_base();
  return base;
}

struct Frame {
  FrameHeader header;
  Bytes body;
  uint64_t segment = 0;
};

struct Bytewise {
  SegmentHeader header;
  std::vector<Frame> frames;  // every one whose checksums are right, wherever it lies
};

std::optional<SegmentHeader> segment_header(Bytes bytes, uint64_t number) {
  for (const uint64_t at : {uint64_t{0}, kSegmentCopyOffset}) {
    if (bytes.size() < at + sizeof(SegmentHeader)) continue;
    const auto header = load<SegmentHeader>(bytes.data() + at);
    const Bytes checked = bytes.substr(at, offsetof(SegmentHeader, crc));
    if (header.magic == kSegmentMagic && header.version == kSegmentVersion &&
        header.header_size == sizeof header && header.number == number && header.first_seq > 0 &&
        header.crc == crc32c(checked))
      return header;
  }
  return std::nullopt;
}

std::vector<Frame> frames_of(Bytes bytes, const SegmentHeader& header) {
  std::vector<Frame> frames;
  for (uint64_t at = 0; at + sizeof(FrameHeader) <= bytes.size(); at += 8) {
    const auto frame = load<FrameHeader>(bytes.data() + at);
    if (frame.magic != kFrameMagic) continue;
    if (frame.crc != crc32c(bytes.substr(at + 8, sizeof(FrameHeader) - 8), header.epoch)) continue;
    if (frame.body_size > bytes.size() - at - sizeof(FrameHeader)) continue;
    const Bytes body = bytes.substr(at + sizeof(FrameHeader), frame.body_size);
    if (frame.body_crc == crc32c(body)) frames.push_back({frame, body, header.number});
  }
  return frames;
}

class Journals {
 public:
  explicit Journals(Bytes input) : head_(input.substr(0, kJournalHeadSize)) {
    const Bytes rest = input.substr(kJournalHeadSize);
    if (is_edit()) {
      edit(rest);
    } else {
      const uint64_t count = 1 + byte(1) % 8;
      const uint64_t size = rest.size() / count;
      for (uint64_t i = 0; i < count; i++)
        add(segment_path(kPath, byte(3) + i), rest.substr(i * size, size));
    }
    files_.put(kPath, database());
  }

  bool is_edit() const { return byte(0) % 2 == 1; }

  // Read directly, proven frame by frame.
  void read() {
    std::vector<std::pair<Seq, std::string>> visited;
    const auto list = list_journal(files_, kPath).segments;
    const Seq covered = byte(2) % 3 == 1 ? kCovered : 0;
    ended_ = attempt([&] {
      const JournalEnd end = read_journal(files_, list, covered, kSeqMax, [&](Seq seq, Bytes body) {
        visited.emplace_back(seq, std::string(body));
      });
      require(end.frames == visited.size(), "frames are counted wrong");
      require(end.last_seq == (visited.empty() ? covered : visited.back().first),
              "the journal ends elsewhere");
    });
    prove(visited, covered);
    if (!is_edit()) return;
    for (const auto& [seq, body] : visited)
      require(seq <= kTransactions && body == base().bodies[seq - 1], "an invented transaction");
    if (ended_) require_nothing_lost(covered + visited.size());
  }

  // The whole of recovery, in both modes: they say the same, and twice the same.
  void recover() {
    const std::string before = files_.contents(kPath);
    std::optional<Content> in_memory = open(true);
    require(files_.contents(kPath) == before, "a read-only open changed the file");
    std::optional<Content> in_file = open(false);
    require(in_memory.has_value() == in_file.has_value(), "what recovers depends on the mode");
    if (!in_file) return;
    require(*in_memory == *in_file, "the recovered content depends on the mode");
    require(open(false) == in_file, "the second recovery differs");
    if (is_edit()) require(is_prefix(*in_file), "the content is no prefix of what was written");
  }

 private:
  uint8_t byte(size_t index) const { return static_cast<uint8_t>(head_[index]); }
  std::string database() const {
    if (byte(2) % 3 == 1) return base().covering;
    std::string bytes = base().empty;
    // As bbolt makes it: zeros follow its metas.
    if (byte(2) % 3 == 2) {
      for (const size_t page : {0, 1})
        std::memset(bytes.data() + page * kPageSizeMin + kPageHeaderSize + kMetaSize, 0, kMarkSize);
    }
    return bytes;
  }

  void add(const std::string& path, Bytes bytes) {
    paths_.push_back(path);
    files_.put(path, bytes);
  }
  void edit(Bytes edits) {
    std::vector<std::pair<std::string, std::string>> segments = base().segments;
    const size_t count = std::min<size_t>(edits.size() / 4, 5);
    for (size_t i = 0; i < count; i++) {
      const uint32_t word = load<uint32_t>(edits.data() + 4 * i);
      std::string& bytes = segments[(word >> 16) % segments.size()].second;
      if (bytes.empty()) continue;
      // Rarely the file is cut instead.
      if (word >> 28 == 0xF) {
        bytes.resize((word & 0xFFFF) % (bytes.size() + 1));
      } else {
        bytes[(word & 0xFFFF) % bytes.size()] ^= static_cast<char>(1 << (word >> 24 & 7));
      }
    }
    for (const auto& [path, bytes] : segments) add(path, bytes);
  }

  void prove(const std::vector<std::pair<Seq, std::string>>& visited, Seq covered) const {
    std::vector<Frame> frames;
    std::vector<SegmentHeader> headers;
    std::vector<std::string> contents;
    for (const std::string& path : paths_) contents.push_back(files_.contents(path));
    for (size_t i = 0; i < paths_.size(); i++) {
      const uint64_t number = std::stoull(paths_[i].substr(paths_[i].rfind('-') + 1));
      const auto header = segment_header(contents[i], number);
      if (!header) continue;
      headers.push_back(*header);
      for (Frame& frame : frames_of(contents[i], *header)) frames.push_back(frame);
    }
    // Several frames may carry the same bytes: all chains that they may belong to are followed.
    std::vector<uint32_t> chains;
    Seq expected = covered + 1;
    for (const auto& [seq, body] : visited) {
      require(seq == expected++, "sequence numbers are not consecutive");
      std::vector<uint32_t> next;
      for (const Frame& frame : frames) {
        if (frame.header.seq != seq || frame.body != body) continue;
        const bool follows = std::count(chains.begin(), chains.end(), frame.header.chain) > 0;
        if (follows || (chains.empty() && seq == covered + 1)) next.push_back(frame.header.crc);
      }
      require(!next.empty(), "a transaction that no chain of checksums proves");
      chains = std::move(next);
    }
  }

  // Of a valid journal with a few flipped bits: an intact frame that says that a missing
  // transaction was synced makes the journal damaged.
  void require_nothing_lost(Seq last) const {
    for (const std::string& path : paths_) {
      const std::string bytes = files_.contents(path);
      const uint64_t number = std::stoull(path.substr(path.rfind('-') + 1));
      const auto header = segment_header(bytes, number);
      if (!header) continue;
      for (const Frame& frame : frames_of(bytes, *header)) {
        const bool proves = frame.header.seq > last + 1 && frame.header.synced_seq > last;
        require(!proves, "an acknowledged transaction was lost without a word");
      }
    }
  }

  std::optional<Content> open(bool read_only) {
    std::shared_ptr<Store> store;
    if (!attempt([&] { store = open_store(files_, read_only); })) return std::nullopt;
    std::optional<Content> content;
    if (!attempt([&] { content = content_of(*store->view()); }))
      throw Finding("what was recovered cannot be read");
    const CheckReport report = check_store(*store);
    if (!report.ok()) throw Finding("recovery damaged the file: " + report.issues.front().message);
    close_unwritten(store);
    return content;
  }

  static bool is_prefix(const Content& content) {
    const std::vector<Content>& prefixes = base().prefixes;
    return std::find(prefixes.begin(), prefixes.end(), content) != prefixes.end();
  }

  const Bytes head_;
  MemoryFiles files_;
  std::vector<std::string> paths_;
  bool ended_ = false;
};

}  // namespace

std::vector<std::string> journal_seeds() {
  std::vector<std::string> seeds;
  size_t size = 0;
  for (const auto& [path, bytes] : base().segments) size = std::max(size, bytes.size());
  for (const char variant : {0, 1, 2}) {
    std::string edit(kJournalHeadSize + 20, '\0');
    edit[0] = 1;
    edit[2] = variant;
    seeds.push_back(edit);
    std::string whole(kJournalHeadSize, '\0');
    whole[1] = static_cast<char>(std::min<size_t>(base().segments.size(), 8) - 1);
    whole[2] = variant;
    whole[3] = 1;
    for (size_t i = 0; i < base().segments.size() && i < 8; i++) {
      whole += base().segments[i].second;
      whole.resize(kJournalHeadSize + (i + 1) * size, '\0');
    }
    seeds.push_back(whole);
  }
  return seeds;
}

void journal(Bytes input) {
  if (input.size() < kJournalHeadSize) return;
  Journals journals(input);
  journals.read();
  journals.recover();
}

}  // namespace hotbolt::fuzz
