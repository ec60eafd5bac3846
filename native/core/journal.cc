// Group commit: two buffers, one thread. Files are journal_segments.cc's business, the format is in
// journal_reader.h.
#include "core/journal.h"

#include <algorithm>

#include "core/checksum.h"
#include "core/journal_reader.h"
#include "core/journal_segments.h"

namespace hotbolt {

namespace {

constexpr size_t kWakeBytes = 1 << 20;           // pending: more would only make the group slower
constexpr size_t kBufferCapacityKept = 4 << 20;  // by a journal at work
constexpr std::chrono::seconds kIdleTime{2};

}  // namespace

Journal::Journal(FileSystem& files, std::string path, JournalOptions options,
                 JournalBinding binding, Seq last_seq, uint64_t first_segment,
                 JournalListener& listener, std::shared_ptr<SyncLatency> latency)
    : files_(files),
      options_(options),
      listener_(listener),
      latency_(std::move(latency)),
      segments_(std::make_unique<JournalSegments>(files, std::move(path), options, first_segment)),
      binding_(binding),
      last_seq_(last_seq),
      durable_seq_(last_seq),
      synced_seq_(last_seq) {}

Journal::~Journal() { stop(); }

// --- owner thread ---

Seq Journal::append(Bytes body) {
  HOTBOLT_ASSERT(!body.empty());
  std::unique_lock lock(mutex_);
  if (failed_) throw Error(ErrorCode::ERR_POISONED);
  if (stopping_) throw Error(ErrorCode::ERR_CLOSED);
  // Before the frame is added: what throws here leaves no trace.
  if (pending_.size() >= kWakeBytes && !submitted_) {
    ensure_running();
    submitted_ = true;
    wake_.notify_one();
  }
  const uint64_t size = frame_size(body.size());
  make_room(size);
  FrameHeader header;
  header.seq = last_seq_.load(std::memory_order_relaxed) + 1;
  header.body_size = body.size();
  pending_.append(reinterpret_cast<const char*>(&header), sizeof header);
  pending_.append(body);
  pending_.append(size - sizeof header - body.size(), '\0');
  last_seq_.store(header.seq, std::memory_order_release);
  return header.seq;
}

void Journal::make_room(size_t bytes) {
  const size_t needed = std::max(pending_.size(), size_t{kSegmentBlockSize}) + bytes;
  if (needed > pending_.capacity()) pending_.reserve(std::max(needed, 2 * pending_.capacity()));
  if (pending_.empty()) pending_.resize(kSegmentBlockSize);
}

void Journal::submit() {
  {
    std::lock_guard lock(mutex_);
    if (failed_ || pending_.empty()) return;
    ensure_running();
    submitted_ = true;
  }
  wake_.notify_one();
}

void Journal::force_sync() {
  {
    std::lock_guard lock(mutex_);
    if (failed_ || stopping_) return;
    ensure_running();
    force_ = true;
  }
  wake_.notify_one();
}

Seq Journal::last_seq() const noexcept { return last_seq_; }
Seq Journal::durable_seq() const noexcept { return durable_seq_; }
Seq Journal::synced_seq() const noexcept { return synced_seq_; }

// --- any thread ---

void Journal::rebind(const JournalBinding& binding) {
  std::lock_guard lock(mutex_);
  binding_ = binding;
}

void Journal::recycle(Seq covered) {
  try {
    recycle_segments(covered);
  } catch (const std::exception&) {
    fail_if_directory_is_lost();
    throw;
  }
}

void Journal::recycle_segments(Seq covered) {
  std::unique_lock lock(mutex_);
  const bool idle = !busy_ && pending_.empty() && last_seq_ <= covered;
  if (idle) {
    // Under the mutex, so that no group begins while its segment is taken away.
    const std::vector<std::shared_ptr<Segment>> taken = segments_->take_idle();
    lock.unlock();
    segments_->remove_in_steps(taken);
  } else {
    lock.unlock();
    segments_->recycle(covered);
  }
}

// Whichever thread met it: a failed sync is final.
void Journal::fail_if_directory_is_lost() noexcept {
  if (segments_->directory_lost()) fail(Error(ErrorCode::ERR_IO));
}

void Journal::sync_directory() { segments_->sync_directory(); }

uint64_t Journal::disk_bytes() const noexcept { return segments_->disk_bytes(); }

std::vector<std::string> Journal::segment_paths() const { return segments_->paths(); }

void Journal::stop() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  try {
    sync_rest();
  } catch (const std::exception&) {
    // What is pending reaches no disk, and a page file that was said to cover it would be wrong.
    fail(Error(ErrorCode::ERR_OUT_OF_MEMORY));
  }
  wake_.notify_all();
  writer_.stop();
  helper_.stop();
}

void Journal::sync_rest() {
  std::lock_guard lock(mutex_);
  if (failed_ || last_seq_ <= synced_seq_) return;
  force_ = true;
  ensure_running();
}

void Journal::remove_all() { segments_->remove_all(); }

// --- journal thread ---

void Journal::ensure_running() {
  if (running_) return;
  running_ = writer_.post([this] { run(); });
}

bool Journal::sync_due() const {
  return options_.sync == SyncMode::kInterval && !unsynced_.empty() && Clock::now() >= deadline();
}

bool Journal::has_work() const {
  return !failed_ && (force_ || (submitted_ && !pending_.empty()) || sync_due());
}

// When to look around again without being woken.
Journal::Clock::time_point Journal::deadline() const {
  if (options_.sync == SyncMode::kInterval && !unsynced_.empty()) {
    return unsynced_since_ + std::chrono::milliseconds(options_.sync_interval_ms);
  }
  return Clock::now() + kIdleTime;
}

// Ends after a while without work, and gives back the buffers: an idle journal costs nothing.
void Journal::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    if (has_work()) {
      run_group(lock);
    } else if (failed_ || stopping_) {
      break;
    } else if (!wake_.wait_until(lock, deadline(), [this] { return has_work() || stopping_; })) {
      break;
    }
  }
  running_ = false;
  writing_ = std::string();
  if (pending_.empty()) pending_ = std::string();
}

void Journal::run_group(std::unique_lock<std::mutex>& lock) {
  const bool force = std::exchange(force_, false);
  const Seq last = last_seq_;
  submitted_ = false;
  busy_ = true;
  std::swap(pending_, writing_);
  lock.unlock();
  const bool acknowledges = force || !writing_.empty();
  const bool done = write_and_sync(force, last);
  if (writing_.capacity() > kBufferCapacityKept) writing_ = std::string();
  writing_.clear();
  lock.lock();
  busy_ = false;  // before the listener hears of it: what it starts may find the journal idle
  if (!done || !acknowledges) return;
  lock.unlock();
  acknowledge(last);
  lock.lock();
}

// False: it has failed, for good.
bool Journal::write_and_sync(bool force, Seq last) {
  try {
    if (!writing_.empty()) write_frames();
    if (force || options_.sync == SyncMode::kAlways || sync_due()) {
      sync_segments();
      synced_seq_ = last;
    }
    return true;
  } catch (...) {
    fail(current_error());
    return false;
  }
}

void Journal::chain_frames() {
  if (life_ == 0) files_.random(&life_, sizeof life_);
  const Seq synced = synced_seq_;
  for (size_t at = kSegmentBlockSize; at < writing_.size();) {
    char* frame = writing_.data() + at;
    auto header = load<FrameHeader>(frame);
    header.synced_seq = synced;
    header.chain = chain_;
    header.body_crc = crc32c(Bytes(frame + sizeof header, header.body_size));
    header.crc = frame_crc(header, life_);
    store(frame, header);
    chain_ = header.crc;
    at += frame_size(header.body_size);
  }
}

void Journal::write_frames() {
  chain_frames();
  for (size_t from = kSegmentBlockSize; from < writing_.size();) {
    std::shared_ptr<Segment> segment = segments_->current();
    const uint64_t first = frame_size(load<FrameHeader>(writing_.data() + from).body_size);
    if (segment == nullptr || segment->left() < first) {
      segment = segments_->next(kSegmentBlockSize + first);
    }
    const uint64_t room = segment->left() - (segment->used == 0 ? kSegmentBlockSize : 0);
    Seq last = 0;
    const size_t to = fitting_end(from, room, last);
    write_run(segment, from, to, last);
    from = to;
  }
  prepare_if_wanted();
}

// How far the frames from `from` on fit into `room`, and the last one's sequence number.
size_t Journal::fitting_end(size_t from, uint64_t room, Seq& last) const {
  size_t to = from;
  while (to < writing_.size()) {
    const auto header = load<FrameHeader>(writing_.data() + to);
    const uint64_t size = frame_size(header.body_size);
    if (to + size - from > room) break;
    last = header.seq;
    to += size;
  }
  return to;
}

void Journal::write_run(const std::shared_ptr<Segment>& segment, size_t from, size_t to, Seq last) {
  // There is always room for the header before the frame: the block at the buffer's start, or
  // frames that are written.
  const size_t begin = segment->used == 0 ? from - kSegmentBlockSize : from;
  if (segment->used == 0) make_header(begin, *segment, from);
  if (unsynced_.empty()) unsynced_since_ = Clock::now();
  if (unsynced_.empty() || unsynced_.back() != segment) unsynced_.push_back(segment);
  segment->file->write(segment->used, Bytes(writing_).substr(begin, to - begin));
  segments_->wrote(*segment, to - begin, last);
}

void Journal::make_header(size_t at, const Segment& segment, size_t first_frame) {
  const auto frame = load<FrameHeader>(writing_.data() + first_frame);
  SegmentHeader header;
  {
    std::lock_guard lock(mutex_);
    header.database_id = binding_.database_id;
    header.base_txid = binding_.base_txid;
    header.base_checksum = binding_.base_checksum;
  }
  header.number = segment.number;
  header.first_seq = frame.seq;
  header.synced_seq = frame.synced_seq;
  header.chain = frame.chain;
  header.life = life_;
  header.crc = segment_crc(header);
  char* block = writing_.data() + at;
  std::memset(block, 0, kSegmentBlockSize);
  store(block, header);
  store(block + kSegmentCopyOffset, header);
}

void Journal::sync_segments() {
  for (const std::shared_ptr<Segment>& segment : unsynced_) {
    const uint64_t started_us = files_.now_us();
    segment->file->sync_data();
    note_latency(files_.now_us() - started_us);
  }
  unsynced_.clear();
}

void Journal::note_latency(uint64_t duration_us) {
  const double sample = static_cast<double>(std::min<uint64_t>(duration_us, 60'000'000));
  const auto follow = [sample](std::atomic<uint32_t>& value, double down, double up) {
    const double before = value;
    const double weight = before == 0 ? 1 : sample < before ? down : up;
    value = static_cast<uint32_t>(before + (sample - before) * weight + 0.5);
  };
  // Idle is near the fastest syncs of the last few hundred: it falls fast and rises slowly.
  follow(latency_->idle_us, 1.0 / 4, 1.0 / 256);
  follow(latency_->recent_us, 1.0 / 4, 1.0 / 4);
  latency_->count++;
}

void Journal::prepare_if_wanted() {
  if (!segments_->wants_preparation()) return;
  try {
    helper_.post([this] {
      segments_->prepare_ahead();
      fail_if_directory_is_lost();
    });
  } catch (const std::exception&) {
    segments_->cancel_preparation();  // no thread to be had: the next half-full segment asks again
  }
}

void Journal::acknowledge(Seq last) {
  durable_seq_ = last;
  listener_.on_durable(last);
}

void Journal::fail(const Error& error) noexcept {
  {
    std::lock_guard lock(mutex_);
    if (failed_) return;
    failed_ = true;
    pending_ = std::string();
  }
  listener_.on_failure(error);
}

}  // namespace hotbolt
