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
                                 uint64_t first_number)
    : files_(files),
      path_(std::move(path)),
      options_(in_whole_blocks(options)),
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

// Blocks first, so that they lie together; then zeros, because blocks that were never written would
// make the first sync over them commit metadata.
std::shared_ptr<Segment> JournalSegments::create(uint64_t number, uint64_t size, bool paced) {
  auto segment = std::make_shared<Segment>();
  segment->number = number;
  segment->path = segment_path(path_, segment->number);
  segment->size = whole_blocks(size);
  segment->file = files_.open(
      segment->path, {.write = true, .create = true, .exclusive = true, .mode = options_.mode});
  try {
    segment->file->allocate(0, segment->size);
    fill_with_zeros(*segment->file, 0, segment->size, paced);
    segment->file->sync_all();
    sync_directory();
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
  fill_with_zeros(*segment.file, segment.size, size, false);
  segment.file->sync_all();
  segment.size = size;
}

// nullptr: there is none; then `number` is that of the segment to be created. Both under one lock:
// nothing that gets ready meanwhile may come to lie between.
std::shared_ptr<Segment> JournalSegments::take_prepared(uint64_t& number) {
  std::lock_guard lock(mutex_);
  std::shared_ptr<Segment> segment;
  if (prepared_.empty()) {
    number = next_number_++;
  } else {
    segment = std::move(prepared_.front());
    prepared_.erase(prepared_.begin());
    number = segment->number;
  }
  begun_number_ = number;
  return segment;
}

std::shared_ptr<Segment> JournalSegments::next(uint64_t bytes) {
  uint64_t number = 0;
  std::shared_ptr<Segment> segment = take_prepared(number);
  if (segment == nullptr) {
    uint64_t urgent;
    {
      std::lock_guard lock(mutex_);
      urgent = std::min(target_size_ / 16, kUrgentSizeMax);
    }
    segment = create(number, std::max({options_.segment_bytes_min, urgent, bytes}), false);
  } else if (segment->size < bytes) {
    extend(*segment, bytes);
  }
  std::lock_guard lock(mutex_);
  if (current_ != nullptr) full_.push_back(std::move(current_));
  current_ = segment;
  const uint64_t grown = std::min(segment->size * kGrowth, options_.segment_bytes_max);
  target_size_ = std::max(target_size_, grown);
  return segment;
}

bool JournalSegments::wants_preparation() {
  std::lock_guard lock(mutex_);
  if (preparing_ || !prepared_.empty() || current_ == nullptr) return false;
  if (current_->left() > current_->size / 2) return false;
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
  const uint64_t idle_count = idle_count_;
  lock.unlock();
  try {
    const std::shared_ptr<Segment> segment = create(take_number(), size, true);
    lock.lock();
    const bool outdated = idle_count != idle_count_;
    lock.unlock();
    if (outdated) {
      remove_in_steps({segment});
    } else {
      keep(segment);
    }
  } catch (const std::exception&) {
    // next() meets the same obstacle on the journal thread, where it counts; a directory that is
    // lost is the caller's to report.
  }
  cancel_preparation();
}

// Puts a ready file among the prepared. The journal thread may have passed its number meanwhile:
// then it gets another.
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
  const uint64_t number = take_number();
  const std::string path = segment_path(path_, number);
  files_.rename(segment.path, path);
  sync_directory();
  segment.path = path;
  segment.number = number;
  segment.used = 0;
  segment.last_seq = 0;
}

void JournalSegments::recycle(Seq covered) {
  std::vector<std::shared_ptr<Segment>> kept;
  std::vector<std::shared_ptr<Segment>> removed;
  {
    std::lock_guard lock(mutex_);
    auto end = full_.begin();
    for (; end != full_.end() && (*end)->last_seq <= covered; ++end) {
      const bool fits = (*end)->size >= target_size_ && (*end)->size <= options_.segment_bytes_max;
      const bool wanted = prepared_.size() + kept.size() + preparing_ < kPreparedMax;
      (fits && wanted ? kept : removed).push_back(*end);
    }
    full_.erase(full_.begin(), end);
  }
  for (const std::shared_ptr<Segment>& segment : kept) {
    rename_to_next(*segment);
    keep(segment);
  }
  remove_in_steps(removed);
}

std::vector<std::shared_ptr<Segment>> JournalSegments::take_idle() {
  std::lock_guard lock(mutex_);
  idle_count_++;
  target_size_ = options_.segment_bytes_min;
  std::vector<std::shared_ptr<Segment>> taken = std::move(full_);
  full_.clear();
  if (current_ != nullptr && current_->size > options_.segment_bytes_min) {
    taken.push_back(std::move(current_));
    current_ = nullptr;
  }
  for (std::shared_ptr<Segment>& segment : prepared_) taken.push_back(std::move(segment));
  prepared_.clear();
  return taken;
}

// Needs no directory sync: a file that comes back after a crash holds covered frames only.
void JournalSegments::remove_in_steps(const std::vector<std::shared_ptr<Segment>>& segments) {
  for (const std::shared_ptr<Segment>& segment : segments) {
    for (uint64_t size = segment->size; size > kShrinkStep;) {
      size -= kShrinkStep;
      segment->file->resize(size);
      files_.sleep_us(kShrinkSleepUs);
    }
    files_.remove(segment->path);
  }
}

uint64_t JournalSegments::disk_bytes() const {
  std::lock_guard lock(mutex_);
  uint64_t bytes = current_ == nullptr ? 0 : current_->size;
  for (const std::shared_ptr<Segment>& segment : full_) bytes += segment->size;
  for (const std::shared_ptr<Segment>& segment : prepared_) bytes += segment->size;
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
  prepared_.clear();
  const JournalDirectory all = list_journal(files_, path_);
  remove_journal(files_, all);
  if (!all.unusable.empty() || !all.segments.empty()) sync_directory();
}

}  // namespace hotbolt
