// Preparing, recycling and removing of segment files.
#include "core/journal_segments.h"

#include <algorithm>

#include "core/error.h"
#include "core/journal_reader.h"

namespace hotbolt {

namespace {

constexpr uint64_t kPieceSize = 256 << 10;  // of zeros, at a time
constexpr uint64_t kPiecesInFlight =
    4;  // dirty or being written back: 1 MiB delays a sync by a few ms at most
constexpr uint64_t kPieceSleepUs = 1000;  // about 200 MiB/s, when nobody waits
constexpr uint64_t kShrinkStep =
    4 << 20;  // freeing blocks holds up the file system's journal, and with it our syncs
constexpr uint64_t kShrinkSleepUs = 20'000;  // 200 MiB/s
constexpr uint64_t kGrowth = 4;              // of segment sizes
constexpr uint64_t kUrgentSizeMax = 4 << 20;
constexpr size_t kPreparedMax = 2;
constexpr uint64_t kBlockSize = 4096;
constexpr uint64_t kPlenty = 2;
constexpr uint64_t kPageBytesPerByte = 3;  // of a segment: what the page file may take for it

// Segments are whole blocks, so that a recycled one is recognised as being of the size that is
// wanted.
uint64_t whole_blocks(uint64_t size) { return (size + kBlockSize - 1) / kBlockSize * kBlockSize; }

JournalOptions in_whole_blocks(JournalOptions options) {
  options.segment_bytes_min = whole_blocks(options.segment_bytes_min);
  options.segment_bytes_max = whole_blocks(options.segment_bytes_max);
  return options;
}

void insert_by_number(std::vector<std::shared_ptr<Segment>>& list,
                      std::shared_ptr<Segment> segment) {
  auto place = list.begin();
  while (place != list.end() && (*place)->number < segment->number) ++place;
  list.insert(place, std::move(segment));
}

}  // namespace

JournalSegments::JournalSegments(FileSystem& files, std::string path, const JournalOptions& options,
                                 uint64_t first_number,
                                 std::vector<std::shared_ptr<Segment>> earlier)
    : files_(files),
      path_(std::move(path)),
      options_(in_whole_blocks(options)),
      full_(std::move(earlier)),
      next_number_(first_number),
      target_size_(options_.segment_bytes_min) {}

std::shared_ptr<Segment> JournalSegments::current() const {
  std::lock_guard lock(mutex_);
  return current_;
}

uint64_t JournalSegments::take_number() {
  std::lock_guard lock(mutex_);
  return next_number_++;
}

// Never called again when it has failed: it would succeed without the names that were lost.
void JournalSegments::sync_directory() {
  std::lock_guard lock(directory_mutex_);  // so that no thread begins one while another fails
  if (directory_lost_) throw Error(ErrorCode::ERR_POISONED);
  const std::string directory = directory_of(path_);
  try {
    files_.sync_directory(directory);
  } catch (const Error& error) {
    // A directory that could not be opened was not asked to sync: nothing is lost.
    directory_lost_ = error.syscall() != "open";
    throw;
  } catch (const std::bad_alloc&) {
    directory_lost_ = true;  // nobody knows what there was no memory to report
    throw;
  }
}

// A file of this name that somebody else made stays: the next number is free.
std::unique_ptr<File> JournalSegments::create_file(Segment& segment) {
  constexpr int kTriesMax = 100;
  for (int i = 0;; i++) {
    segment.number = take_number();
    segment.path = segment_path(path_, segment.number);
    try {
      return files_.open(segment.path, {.write = true, .create = true, .exclusive = true});
    } catch (const Error& error) {
      if (error.code() != ErrorCode::ERR_EXISTS || i == kTriesMax) throw;
    }
  }
}

// Its blocks only, so that they are there, and lie together.
std::shared_ptr<Segment> JournalSegments::create(uint64_t size) {
  auto segment = std::make_shared<Segment>();
  segment->size = whole_blocks(size);
  segment->file = create_file(*segment);
  try {
    if (options_.like) segment->file->set_mode_and_owner(*options_.like);
    segment->file->allocate(0, segment->size);
  } catch (const std::exception&) {
    try {
      files_.remove(segment->path);
    } catch (const std::exception&) {
      // The first error says what happened; what is left is an unusable file, which recovery
      // removes.
    }
    throw;
  }
  return segment;
}

// Blocks that were never written would make the first sync over them commit metadata. The header
// says that the segment holds nothing, and that it is ours. What is written at once, up to `taken`,
// is not filled before: a large frame would be written twice to save one sync its metadata.
void JournalSegments::finish(Segment& segment, bool paced, uint64_t taken) {
  if (segment.ready >= segment.size) return;
  fill_with_zeros(*segment.file, std::max(segment.ready, taken), segment.size, paced);
  if (segment.ready == 0) segment.file->write(0, empty_segment_block(segment.number));
  segment.file->sync_all();
  if (segment.ready == 0) sync_directory();
  segment.ready = segment.size;
}

void JournalSegments::fill_with_zeros(File& file, uint64_t from, uint64_t to, bool paced) {
  const std::string zeros(kPieceSize, '\0');
  uint64_t waited = from;
  for (uint64_t at = from; at < to; at += kPieceSize) {
    const uint64_t size = std::min(kPieceSize, to - at);
    file.write(at, Bytes(zeros).substr(0, size));
    file.start_writeback(at, size);
    if (at - waited >= (kPiecesInFlight - 1) * kPieceSize) {
      file.wait_writeback(waited, kPieceSize);
      waited += kPieceSize;
    }
    if (paced) files_.sleep_us(kPieceSleepUs);
  }
}

// A prepared segment that is too small for one frame grows, because its number has its place in the
// order.
void JournalSegments::extend(Segment& segment, uint64_t size) {
  segment.file->allocate(segment.size, size - segment.size);
  std::lock_guard lock(mutex_);
  segment.size = size;
}

// What the segments hold, or will, has to find room in the page file too, and may take more than
// twice as much there: of an entry that is little longer than half a page, each has the rest of a
// page for itself. A file system that says "0" may not know: whether there is space is then found
// out by taking it.
void JournalSegments::require_room_for_page_file(uint64_t size, uint64_t times) const {
  const auto content = static_cast<int64_t>(kPageBytesPerByte * size + page_file_share());
  const uint64_t needed =
      size + static_cast<uint64_t>(std::max<int64_t>(content + copies_bytes_, 0));
  const uint64_t available = files_.free_space_bytes(directory_of(path_));
  if (available == 0 || available >= times * needed) return;
  throw Error(ErrorCode::ERR_NO_SPACE,
              "the disk has " + std::to_string(available) +
                  " bytes left, and the database needs them for what was written before: free some "
                  "space, then try again")
      .with_path(path_);
}

// As large as the traffic asks for, or as small as it can be.
void JournalSegments::make_spare(uint64_t bytes, uint64_t reserve) {
  const uint64_t least = whole_blocks(kSegmentBlockSize + bytes + reserve);
  uint64_t wanted = std::max(options_.segment_bytes_min, least);
  {
    std::lock_guard lock(mutex_);
    wanted = std::max(wanted, std::min(target_size_ / 16, kUrgentSizeMax));
  }
  const auto make = [&](uint64_t size) {
    if (reserve > 0) require_room_for_page_file(size, size == least ? 1 : kPlenty);
    keep(create(size));
  };
  try {
    make(wanted);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::ERR_NO_SPACE || wanted == least) throw;
    make(least);
  }
}

// The next one, if it has room for `bytes` and, it or another, for `reserve`.
std::shared_ptr<Segment> JournalSegments::take_fitting(uint64_t bytes, uint64_t reserve,
                                                       std::shared_ptr<Segment>& too_small) {
  std::lock_guard lock(mutex_);
  if (prepared_.empty()) return nullptr;
  std::shared_ptr<Segment> segment = prepared_.front();
  if (segment->size < bytes) too_small = segment;
  const bool has_reserve = prepared_.size() > 1 || segment->size >= bytes + reserve;
  if (too_small != nullptr || !has_reserve) return nullptr;
  claimed_.push_back(segment);
  prepared_.erase(prepared_.begin());
  begun_number_ = segment->number;
  return segment;
}

// Another segment may become ready meanwhile, with a lower number.
uint64_t JournalSegments::claim(uint64_t frame_bytes, uint64_t reserve) {
  const uint64_t bytes = kSegmentBlockSize + frame_bytes;
  while (true) {
    std::shared_ptr<Segment> too_small;
    if (const auto segment = take_fitting(bytes, reserve, too_small)) return segment->size - bytes;
    if (too_small != nullptr) {
      if (reserve > 0) require_room_for_page_file(bytes);
      extend(*too_small, whole_blocks(bytes));
    } else {
      make_spare(has_prepared() ? 0 : frame_bytes, reserve);
    }
  }
}

void JournalSegments::require_spare(uint64_t reserve) {
  if (!has_prepared()) make_spare(0, reserve);
}

bool JournalSegments::has_prepared() const {
  std::lock_guard lock(mutex_);
  return !prepared_.empty();
}

std::shared_ptr<Segment> JournalSegments::next(uint64_t frame_bytes) {
  std::shared_ptr<Segment> segment;
  {
    std::lock_guard lock(mutex_);
    HOTBOLT_ASSERT(!claimed_.empty());
    segment = claimed_.front();
  }
  finish(*segment, false, frame_bytes > kUrgentSizeMax ? kSegmentBlockSize + frame_bytes : 0);
  std::lock_guard lock(mutex_);
  claimed_.pop_front();
  if (current_ != nullptr) full_.push_back(std::move(current_));
  current_ = segment;
  // By one step: a segment that is larger because one frame is says little about the traffic.
  if (segment->size >= target_size_) {
    target_size_ = std::min(target_size_ * kGrowth, options_.segment_bytes_max);
  }
  return segment;
}

bool JournalSegments::wants_preparation() {
  std::lock_guard lock(mutex_);
  if (preparing_ || !prepared_.empty() || current_ == nullptr) return false;
  if (claimed_.empty() && current_->left() > current_->size / 2) return false;
  preparing_ = true;
  return true;
}

void JournalSegments::cancel_preparation() {
  std::lock_guard lock(mutex_);
  preparing_ = false;
}

void JournalSegments::wrote(Segment& segment, uint64_t bytes, Seq last_seq) {
  std::lock_guard lock(mutex_);
  segment.used += bytes;
  segment.last_seq = last_seq;
}

void JournalSegments::prepare_ahead() noexcept {
  std::unique_lock lock(mutex_);
  const uint64_t size = target_size_;
  const uint64_t taken_count = taken_count_;
  lock.unlock();
  try {
    require_room_for_page_file(size, kPlenty);
    const std::shared_ptr<Segment> segment = create(size);
    finish(*segment, true);
    lock.lock();
    const bool outdated = taken_count != taken_count_;
    lock.unlock();
    if (outdated) {
      remove_in_steps({segment});
    } else {
      keep(segment);
    }
  } catch (const std::exception&) {
    // claim() meets the same obstacle on the owner's thread, where it counts; a directory that is
    // lost is the caller's to report.
  }
  cancel_preparation();
}

// Puts a file among the prepared. The owner may have passed its number meanwhile: then it gets
// another.
void JournalSegments::keep(const std::shared_ptr<Segment>& segment) {
  while (true) {
    {
      std::lock_guard lock(mutex_);
      if (segment->number > begun_number_) {
        insert_by_number(prepared_, segment);
        return;
      }
    }
    rename_to_next(*segment);
  }
}

void JournalSegments::rename_to_next(Segment& segment) {
  uint64_t number;
  std::string path;
  do {
    number = take_number();
    path = segment_path(path_, number);
  } while (!files_.rename_new(segment.path, path));
  sync_directory();
  segment.path = path;
  segment.number = number;
  segment.used = 0;
  segment.last_seq = 0;
}

std::vector<std::shared_ptr<Segment>> JournalSegments::recycle(Seq covered, Seq limit) {
  std::vector<std::shared_ptr<Segment>> kept;
  std::vector<std::shared_ptr<Segment>> removed;
  {
    std::lock_guard lock(mutex_);
    given_back_ = 0;
    covered_ = covered;
    auto end = full_.begin();
    for (; end != full_.end() && (*end)->last_seq <= std::min(covered, limit); ++end) {
      const bool fits = (*end)->size >= target_size_ && (*end)->size <= options_.segment_bytes_max;
      const bool wanted = prepared_.size() + kept.size() + preparing_ < kPreparedMax;
      (fits && wanted && (*end)->epoch == 0 ? kept : removed).push_back(*end);
    }
    full_.erase(full_.begin(), end);
  }
  for (const std::shared_ptr<Segment>& segment : kept) {
    rename_to_next(*segment);
    keep(segment);
  }
  return removed;
}

std::vector<std::shared_ptr<Segment>> JournalSegments::take_idle() {
  std::lock_guard lock(mutex_);
  taken_count_++;
  given_back_ = 0;
  target_size_ = options_.segment_bytes_min;
  std::vector<std::shared_ptr<Segment>> taken = std::move(full_);
  full_.clear();
  if (current_ != nullptr && current_->size > options_.segment_bytes_min) {
    taken.push_back(std::move(current_));
    current_ = nullptr;
  }
  // Claimed and never written: the journal has failed.
  taken.insert(taken.end(), claimed_.begin(), claimed_.end());
  claimed_.clear();
  taken.insert(taken.end(), prepared_.begin(), prepared_.end());
  prepared_.clear();
  return taken;
}

// A file that comes back after a crash holds covered frames only. So there is no directory sync,
// but between epochs: journal_reader.h, rule 6.
void JournalSegments::remove_in_steps(const std::vector<std::shared_ptr<Segment>>& segments) {
  uint32_t epoch = segments.empty() ? 0 : segments.front()->epoch;
  for (const std::shared_ptr<Segment>& segment : segments) {
    if (segment->epoch != epoch) sync_directory();
    epoch = segment->epoch;
    for (uint64_t size = segment->size; size > kShrinkStep;) {
      size -= kShrinkStep;
      segment->file->resize(size);
      if (!hurries_) files_.sleep_us(kShrinkSleepUs);
    }
    files_.remove(segment->path);
  }
}

bool JournalSegments::may_wait(const std::vector<std::shared_ptr<Segment>>& segments) {
  const auto is_large = [](const auto& segment) { return segment->size > kShrinkStep; };
  const auto is_own = [](const auto& segment) { return segment->epoch == 0; };
  return std::ranges::any_of(segments, is_large) && std::ranges::all_of(segments, is_own);
}

std::vector<std::shared_ptr<Segment>> JournalSegments::take_prepared() {
  std::lock_guard lock(mutex_);
  taken_count_++;
  for (const std::shared_ptr<Segment>& segment : prepared_) given_back_ += segment->size;
  return std::exchange(prepared_, {});
}

void JournalSegments::give_back(const std::vector<std::shared_ptr<Segment>>& segments) {
  if (segments.empty()) return;
  const std::shared_ptr<Segment>& kept = segments.front();
  if (kept->size > options_.segment_bytes_min) {
    kept->size = options_.segment_bytes_min;
    kept->file->resize(kept->size);
    kept->ready = std::min(kept->ready, kept->size);
  }
  keep(kept);
  remove_in_steps({segments.begin() + 1, segments.end()});
}

void JournalSegments::cut_current() {
  if (current_ == nullptr || current_->used == 0) return;
  current_->file->resize(current_->used);
  std::lock_guard lock(mutex_);
  current_->size = current_->used;
}

uint64_t JournalSegments::page_file_share() const {
  const uint64_t content = uncovered_bytes();
  std::lock_guard lock(mutex_);
  return kPageBytesPerByte * content + given_back_;
}

uint64_t JournalSegments::disk_bytes() const {
  std::lock_guard lock(mutex_);
  uint64_t bytes = current_ == nullptr ? 0 : current_->size;
  for (const std::shared_ptr<Segment>& segment : claimed_) bytes += segment->size;
  for (const std::shared_ptr<Segment>& segment : full_) bytes += segment->size;
  for (const std::shared_ptr<Segment>& segment : prepared_) bytes += segment->size;
  return bytes;
}

uint64_t JournalSegments::uncovered_bytes() const {
  uint64_t bytes = disk_bytes();
  std::lock_guard lock(mutex_);
  for (const std::shared_ptr<Segment>& segment : full_) {
    if (segment->last_seq <= covered_) bytes -= std::min(bytes, segment->size);
  }
  return bytes;
}

std::vector<std::string> JournalSegments::paths() const {
  std::lock_guard lock(mutex_);
  std::vector<std::string> paths;
  for (const std::shared_ptr<Segment>& segment : full_) paths.push_back(segment->path);
  if (current_ != nullptr && current_->used > 0) paths.push_back(current_->path);
  return paths;
}

// By their names, because a file whose preparing or recycling failed is in no list.
void JournalSegments::remove_all() {
  full_.clear();
  current_ = nullptr;
  claimed_.clear();
  prepared_.clear();
  const JournalDirectory all = list_journal(files_, path_);
  remove_journal(files_, all);
  if (!all.unusable.empty() || !all.segments.empty()) sync_directory();
}

}  // namespace hotbolt
