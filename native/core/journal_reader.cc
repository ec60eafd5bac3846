// Finding segments, walking the chain, and telling a torn tail from damage.
#include "core/journal_reader.h"

#include <algorithm>

#include "core/checksum.h"

namespace hotbolt {

namespace {

constexpr std::string_view kNameSuffix = "-journal-";
constexpr size_t kNumberDigitsMin = 8;
constexpr size_t kNumberDigitsMax = 18;
constexpr size_t kWindowSize = 1 << 20;

// The number of a segment's name, if it is one of this database.
std::optional<uint64_t> segment_number(const std::string& database_name, const std::string& name) {
  const size_t prefix = database_name.size() + kNameSuffix.size();
  if (name.size() < prefix + kNumberDigitsMin || name.size() > prefix + kNumberDigitsMax) return {};
  if (!name.starts_with(database_name)) return {};
  if (name.compare(database_name.size(), kNameSuffix.size(), kNameSuffix) != 0) return {};
  uint64_t number = 0;
  for (const char digit : name.substr(prefix)) {
    if (digit < '0' || digit > '9') return {};
    number = number * 10 + static_cast<uint64_t>(digit - '0');
  }
  return number;
}

// A file seen through a buffer. Offsets may come from hostile bytes: nothing beyond the end is ever
// asked of the file, and the buffer never grows beyond the file's size.
class Window {
 public:
  explicit Window(File& file) : file_(file), file_size_(file.status().size_bytes) {}
  uint64_t file_size() const { return file_size_; }
  bool holds(uint64_t offset, uint64_t size) const {
    return offset <= file_size_ && size <= file_size_ - offset;
  }
  // nullptr when the file ends before. Valid until the next call.
  const char* at(uint64_t offset, uint64_t size) {
    if (offset < begin_ || offset + size > begin_ + filled_) fill(offset, size);
    return offset + size <= begin_ + filled_ ? buffer_.get() + (offset - begin_) : nullptr;
  }

 private:
  void fill(uint64_t offset, uint64_t size) {
    if (!holds(offset, size)) {
      begin_ = offset;
      filled_ = 0;
      return;
    }
    const uint64_t wanted = std::min(std::max<uint64_t>(size, kWindowSize), file_size_ - offset);
    if (wanted > capacity_) {
      buffer_.reset();
      buffer_ = std::make_unique_for_overwrite<char[]>(wanted);
      capacity_ = wanted;
    }
    begin_ = offset;
    filled_ = file_.read(offset, buffer_.get(), wanted);
  }

  File& file_;
  const uint64_t file_size_;
  std::unique_ptr<char[]> buffer_;
  uint64_t capacity_ = 0;
  uint64_t begin_ = 0;
  uint64_t filled_ = 0;
};

std::optional<SegmentHeader> decode_header(Window& window, uint64_t offset) {
  const char* bytes = window.at(offset, sizeof(SegmentHeader));
  if (bytes == nullptr) return {};
  const auto header = load<SegmentHeader>(bytes);
  const bool valid = header.magic == kSegmentMagic && header.version == kSegmentVersion &&
                     header.header_size == sizeof header && header.crc == segment_crc(header);
  return valid ? std::optional(header) : std::nullopt;
}

bool holds_zeros(Window& window) {
  const uint64_t size = window.file_size();
  for (uint64_t at = 0; at < size; at += kWindowSize) {
    const uint64_t piece = std::min<uint64_t>(kWindowSize, size - at);
    const char* bytes = window.at(at, piece);
    if (bytes == nullptr || Bytes(bytes, piece).find_first_not_of('\0') != Bytes::npos)
      return false;
  }
  return true;
}

JournalSegment segment_of(const SegmentHeader& header, const std::string& path) {
  JournalSegment segment;
  segment.path = path;
  segment.number = header.number;
  segment.binding = {.database_id = header.database_id,
                     .base_txid = header.base_txid,
                     .base_checksum = header.base_checksum,
                     .origin_epoch = header.origin_epoch};
  segment.first_seq = header.first_seq;
  segment.synced_seq = header.synced_seq;
  segment.chain = header.chain;
  segment.epoch = header.epoch;
  return segment;
}

// A file with the name of segment `number`. The copies of its header differ when a first group is
// torn, or a sector damaged: one that is in use decides.
void classify(File& file, uint64_t number, JournalDirectory& result) {
  Window window(file);
  bool is_ours = false;
  for (const uint64_t offset : {uint64_t{0}, kSegmentCopyOffset}) {
    const std::optional<SegmentHeader> header = decode_header(window, offset);
    if (header && header->first_seq > 0 && header->number == number) {
      result.segments.push_back(segment_of(*header, file.path()));
      return;
    }
    is_ours = is_ours || (header && (header->first_seq == 0 || header->number < number));
  }
  is_ours = is_ours || holds_zeros(window);
  (is_ours ? result.unusable : result.foreign).push_back(file.path());
}

// nullptr: it has been renamed or removed since the directory was listed.
std::unique_ptr<File> open_if_there(FileSystem& files, const std::string& path) {
  try {
    return files.open(path, {.no_follow = true});
  } catch (const Error& error) {
    if (error.code() != ErrorCode::ERR_NOT_FOUND) throw;
    return nullptr;
  }
}

// What root leaves when it ends between making a segment and giving it to the database's owner, who
// may not open it, holds nothing.
bool is_empty_of_another(FileSystem& files, const std::string& path, const Error& error) {
  if (error.code() != ErrorCode::ERR_PERMISSION) return false;
  const std::optional<FileStatus> status = files.link_status(path);
  return status && status->is_regular && status->size_bytes == 0;
}

// The frame header at `offset`, if there is one of this epoch.
std::optional<FrameHeader> frame_header_at(Window& window, uint64_t offset, uint32_t epoch) {
  const char* bytes = window.at(offset, sizeof(FrameHeader));
  if (bytes == nullptr || load<uint32_t>(bytes) != kFrameMagic) return {};
  const auto header = load<FrameHeader>(bytes);
  return header.crc == frame_crc(header, epoch) ? std::optional(header) : std::nullopt;
}

// The walk along the chain.
class JournalScan {
 public:
  JournalScan(FileSystem& files, const std::vector<JournalSegment>& segments, Seq covered,
              Seq until, const std::function<void(Seq, Bytes)>& visit)
      : files_(files), segments_(segments), covered_(covered), until_(until), visit_(visit) {
    end_.last_seq = covered;
    next_ = covered + 1;
  }
  JournalEnd run();

 private:
  bool continues(const JournalSegment& segment) const;
  void note_frame(const FrameHeader& header);
  void read_frames(const JournalSegment& segment, Window& window);
  bool read_frame(const JournalSegment& segment, Window& window);
  void require_nothing_lost(size_t broken) const;
  [[noreturn]] void fail_at(const JournalSegment& broken) const;
  // Of what is missing, the page file has everything up to covered_.
  bool proves_loss(Seq seq, Seq synced_seq) const {
    return seq > next_ && seq > covered_ && synced_seq >= std::max(next_, covered_ + 1);
  }
  bool proves_loss(const JournalSegment& segment, uint64_t offset) const;

  FileSystem& files_;
  const std::vector<JournalSegment>& segments_;
  const Seq covered_;
  const Seq until_;
  const std::function<void(Seq, Bytes)>& visit_;
  JournalEnd end_;
  Seq next_;              // the sequence number that comes next in the chain
  uint32_t chain_ = 0;    // CRC of the frame before
  Seq synced_ = kSeqMax;  // as the frame before says
  uint64_t offset_ = 0;   // in the segment that is read: where the next frame would be; 0: none is
};

JournalEnd JournalScan::run() {
  size_t broken = 0;
  for (size_t i = 0; i < segments_.size() && end_.last_seq < until_; i++) {
    const JournalSegment& segment = segments_[i];
    if (!continues(segment)) break;
    const std::unique_ptr<File> file = files_.open(segment.path, {.no_follow = true});
    Window window(*file);
    broken = i;
    end_.ends.resize(i + 1);
    read_frames(segment, window);
  }
  if (end_.last_seq < until_) require_nothing_lost(broken);
  return end_;
}

bool JournalScan::continues(const JournalSegment& segment) const {
  if (segment.first_seq == next_ && segment.chain == chain_) return true;
  return segment.first_seq <= covered_ + 1 && next_ <= covered_ + 1;
}

void JournalScan::read_frames(const JournalSegment& segment, Window& window) {
  next_ = segment.first_seq;
  chain_ = segment.chain;
  offset_ = kSegmentBlockSize;
  end_.ends.back().offset = offset_;
  while (end_.last_seq < until_ && read_frame(segment, window)) {
  }
}

// Visits the frame at offset_ if it is the chain's next, and moves behind it.
bool JournalScan::read_frame(const JournalSegment& segment, Window& window) {
  const std::optional<FrameHeader> header = frame_header_at(window, offset_, segment.epoch);
  if (!header || header->seq != next_ || header->chain != chain_) return false;
  const uint64_t body_offset = offset_ + sizeof(FrameHeader);
  if (header->body_size == 0 || !window.holds(body_offset, header->body_size)) return false;
  const char* bytes = window.at(body_offset, header->body_size);
  if (bytes == nullptr) return false;
  const Bytes body(bytes, header->body_size);
  if (crc32c(body) != header->body_crc) return false;
  note_frame(*header);
  if (header->seq <= covered_) return true;
  end_.last_seq = header->seq;
  end_.frames++;
  end_.bytes += frame_size(header->body_size);
  visit_(header->seq, body);
  return true;
}

// Frames that say the same of what was synced were written after that, and before the next sync.
void JournalScan::note_frame(const FrameHeader& header) {
  if (header.synced_seq != synced_) {
    synced_ = header.synced_seq;
    end_.unsynced_segment = end_.ends.size() - 1;
    end_.unsynced_offset = offset_;
  }
  next_ = header.seq + 1;
  chain_ = end_.chain = header.crc;
  offset_ += frame_size(header.body_size);
  end_.ends.back() = {header.seq, offset_};
}

// The chain ends at offset_ of segment `broken`. Throws if something behind that proves that
// transaction next_ had been acknowledged.
void JournalScan::require_nothing_lost(size_t broken) const {
  for (size_t i = broken; i < segments_.size(); i++) {
    const JournalSegment& segment = segments_[i];
    const bool was_entered = i == broken && offset_ > 0;
    if (!was_entered && proves_loss(segment.first_seq, segment.synced_seq))
      fail_at(segments_[broken]);
    if (proves_loss(segment, was_entered ? offset_ : kSegmentBlockSize)) fail_at(segments_[broken]);
  }
}

void JournalScan::fail_at(const JournalSegment& broken) const {
  if (offset_ == 0) {
    throw Error(ErrorCode::ERR_JOURNAL_STALE,
                "the journal " + broken.path + " begins with transaction " +
                    std::to_string(broken.first_seq) + " but the database file ends with " +
                    std::to_string(covered_) +
                    recovery_advice(broken.path.substr(0, broken.path.rfind(kNameSuffix))))
        .with_path(broken.path);
  }
  throw Error(ErrorCode::ERR_JOURNAL_CORRUPT,
              "the journal " + broken.path + " is damaged at offset " + std::to_string(offset_) +
                  ": transaction " + std::to_string(std::max(next_, covered_ + 1)) +
                  " was acknowledged and cannot be read")
      .with_path(broken.path);
}

// Looks at headers only, so that bytes that pretend to be many long frames cost no more than
// others.
bool JournalScan::proves_loss(const JournalSegment& segment, uint64_t offset) const {
  const std::unique_ptr<File> file = files_.open(segment.path, {.no_follow = true});
  Window window(*file);
  for (; window.holds(offset, sizeof(FrameHeader)); offset += 8) {
    const std::optional<FrameHeader> header = frame_header_at(window, offset, segment.epoch);
    if (header && proves_loss(header->seq, header->synced_seq)) return true;
  }
  return false;
}

}  // namespace

uint32_t segment_crc(const SegmentHeader& header) noexcept {
  return crc32c(Bytes(reinterpret_cast<const char*>(&header), offsetof(SegmentHeader, crc)));
}

uint32_t frame_crc(const FrameHeader& header, uint32_t epoch) noexcept {
  constexpr size_t kFrom = offsetof(FrameHeader, seq);
  const Bytes all(reinterpret_cast<const char*>(&header), sizeof header);
  return crc32c(all.substr(kFrom), epoch);
}

std::string recovery_advice(const std::string& database_path) {
  return ". See what it holds with: hotbolt recover " + database_path +
         " --list; and with --apply-stale put that on top of what the database holds now";
}

std::string segment_path(const std::string& database_path, uint64_t number) {
  std::string digits = std::to_string(number);
  if (digits.size() < kNumberDigitsMin) digits.insert(0, kNumberDigitsMin - digits.size(), '0');
  return database_path + std::string(kNameSuffix) + digits;
}

void store_header(char* block, SegmentHeader header) {
  header.crc = segment_crc(header);
  std::memset(block, 0, kSegmentBlockSize);
  store(block, header);
  store(block + kSegmentCopyOffset, header);
}

std::string empty_segment_block(uint64_t number) {
  std::string block(kSegmentBlockSize, '\0');
  SegmentHeader header;
  header.number = number;
  store_header(block.data(), header);
  return block;
}

JournalDirectory list_journal(FileSystem& files, const std::string& database_path) {
  JournalDirectory result;
  const std::string database_name = name_of(database_path);
  for (const std::string& name : files.list(directory_of(database_path))) {
    const std::optional<uint64_t> number = segment_number(database_name, name);
    if (!number) continue;
    const std::string path = segment_path(database_path, *number);
    result.last_number = std::max(result.last_number, *number);
    try {
      const std::unique_ptr<File> file = open_if_there(files, path);
      if (file != nullptr) classify(*file, *number, result);
    } catch (const Error& error) {
      if (is_empty_of_another(files, path, error)) {
        result.unusable.push_back(path);
      } else if (error.code() == ErrorCode::ERR_NOT_A_FILE) {
        result.foreign.push_back(path);
      } else {
        throw;
      }
    }
  }
  const auto by_number = [](const JournalSegment& a, const JournalSegment& b) {
    return a.number < b.number;
  };
  std::sort(result.segments.begin(), result.segments.end(), by_number);
  return result;
}

void remove_journal(FileSystem& files, const JournalDirectory& journal) {
  for (const std::string& path : journal.unusable) files.remove(path);
  uint32_t epoch = journal.segments.empty() ? 0 : journal.segments.front().epoch;
  for (const JournalSegment& segment : journal.segments) {
    if (segment.epoch != epoch) files.sync_directory(directory_of(segment.path));
    epoch = segment.epoch;
    files.remove(segment.path);
  }
}

JournalEnd read_journal(FileSystem& files, const std::vector<JournalSegment>& segments, Seq covered,
                        Seq until, const std::function<void(Seq, Bytes)>& visit) {
  return JournalScan(files, segments, covered, until, visit).run();
}

}  // namespace hotbolt
