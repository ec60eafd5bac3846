// Group commit: two buffers, one thread. Files are journal_segments.cc's business, the format is in
// journal_reader.h.
#include "core/journal.h"

#include <algorithm>

#include "core/frame_buffer.h"
#include "core/journal_segments.h"
#include "core/writeback.h"

namespace hotbolt {

namespace {

constexpr size_t kWakeBytes = 1 << 20;           // pending: more would only make the group slower
constexpr size_t kBufferCapacityKept = 4 << 20;  // by a journal at work
constexpr size_t kWriteSizeMax = 4 << 20;  // with one call; more is kept from being dirty at once
constexpr std::chrono::seconds kIdleTime{2};

}  // namespace

Journal::Journal(FileSystem& files, std::string path, JournalOptions options,
                 JournalBinding binding, JournalStart start, JournalListener& listener,
                 std::shared_ptr<SyncLatency> latency)
    : files_(files),
      options_(options),
      reserve_(options.segment_bytes_min / 4),
      listener_(listener),
      latency_(std::move(latency)),
      segments_(std::make_unique<JournalSegments>(files, std::move(path), options,
                                                  start.first_segment, std::move(start.earlier))),
      binding_(binding),
      pending_(std::make_unique<FrameBuffer>()),
      last_seq_(start.last_seq),
      durable_seq_(start.last_seq),
      synced_seq_(start.last_seq),
      writing_(std::make_unique<FrameBuffer>()),
      chain_(start.chain),
      epoch_(start.epoch) {}

Journal::~Journal() { stop(); }

// --- owner thread ---

Seq Journal::append(const Body& body, Growth growth) {
  HOTBOLT_ASSERT(!body.text.empty());
  std::unique_lock lock(mutex_);
  if (failed_) throw Error(ErrorCode::ERR_POISONED);
  if (stopping_) throw Error(ErrorCode::ERR_CLOSED);
  // Before the frame is added: what throws here leaves no trace.
  if (pending_->size() >= kWakeBytes && !submitted_) {
    ensure_running();
    submitted_ = true;
    wake_.notify_one();
  }
  pending_->make_room(body);
  admit(frame_size(body.size()), growth);
  const Seq seq = last_seq_.load(std::memory_order_relaxed) + 1;
  pending_->append(seq, body);
  last_seq_.store(seq, std::memory_order_release);
  return seq;
}

void Journal::take_reserve() noexcept {
  try {
    std::lock_guard lock(mutex_);
    segments_->require_spare(0);
  } catch (const std::exception&) {
    // The first append tries again.
  }
}

// REQUIRES: nothing that throws comes between this and the frame. What is claimed is written to.
void Journal::admit(uint64_t frame_bytes, Growth growth) {
  const uint64_t reserve = growth == Growth::kShrinks ? 0 : reserve_;
  if (room_ < frame_bytes) {
    room_ = segments_->claim(frame_bytes, reserve);
    return;
  }
  if (room_ - frame_bytes < reserve) segments_->require_spare(reserve);
  room_ -= frame_bytes;
}

void Journal::submit() {
  {
    std::lock_guard lock(mutex_);
    if (failed_ || pending_->empty()) return;
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

// What cannot be removed or renamed stays beside the database until it is closed or recovered: it
// holds covered frames only. A directory whose sync failed is another matter.
void Journal::recycle(Seq covered, Seq limit) {
  try {
    or_fail([&] { recycle_segments(covered, limit); });
  } catch (const std::exception&) {
    if (segments_->directory_lost()) throw;
  }
}

void Journal::recycle_segments(Seq covered, Seq limit) {
  std::unique_lock lock(mutex_);
  const bool idle = !busy_ && pending_->empty() && last_seq_ <= std::min(covered, limit);
  if (idle) {
    // Under the mutex, so that no group begins while its segment is taken away.
    const std::vector<std::shared_ptr<Segment>> taken = segments_->take_idle();
    if (segments_->current() == nullptr) room_ = 0;
    lock.unlock();
    remove(taken);
  } else {
    lock.unlock();
    remove(segments_->recycle(covered, limit));
  }
}

// In steps, which nobody waits for. All of them one after the other: the oldest is gone first.
void Journal::remove(std::vector<std::shared_ptr<Segment>> segments) {
  if (!JournalSegments::may_wait(segments)) return segments_->remove_in_steps(segments);
  remover_.post([this, segments = std::move(segments)] {
    try {
      segments_->remove_in_steps(segments);
    } catch (const std::exception&) {
      // They stay beside the database until it is closed or recovered.
    }
  });
}

void Journal::give_back() {
  or_fail([&] { give_segments_back(); });
}

void Journal::give_segments_back() {
  std::vector<std::shared_ptr<Segment>> taken;
  bool stopped;
  {
    std::lock_guard lock(mutex_);
    taken = segments_->take_prepared();
    stopped = stopping_;
  }
  if (!stopped) return segments_->give_back(taken);
  segments_->remove_in_steps(taken);
  segments_->cut_current();
}

// Whichever thread meets it: a failed sync is final.
void Journal::fail_if_directory_is_lost() noexcept {
  if (segments_->directory_lost()) fail(Error(ErrorCode::ERR_IO));
}

template <typename Work>
void Journal::or_fail(const Work& work) {
  try {
    work();
  } catch (const std::exception&) {
    fail_if_directory_is_lost();
    throw;
  }
}

void Journal::sync_directory() { segments_->sync_directory(); }

uint64_t Journal::disk_bytes() const noexcept { return segments_->disk_bytes(); }
uint64_t Journal::uncovered_bytes() const noexcept { return segments_->uncovered_bytes(); }

uint64_t Journal::page_file_share() const noexcept { return segments_->page_file_share(); }

void Journal::leave_for_copies(int64_t bytes) noexcept { segments_->leave_for_copies(bytes); }

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
  segments_->hurry();
  remover_.stop();
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
  return !failed_ && (force_ || (submitted_ && !pending_->empty()) || sync_due());
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
  writing_->clear(0);
  if (pending_->empty()) pending_->clear(0);
}

void Journal::run_group(std::unique_lock<std::mutex>& lock) {
  const bool force = std::exchange(force_, false);
  const Seq last = last_seq_;
  submitted_ = false;
  busy_ = true;
  std::swap(pending_, writing_);
  lock.unlock();
  const bool acknowledges = force || !writing_->empty();
  const bool done = write_and_sync(force, last);
  writing_->clear(kBufferCapacityKept);
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
    if (!writing_->empty()) write_frames();
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
  const Seq synced = synced_seq_;
  for (FramePlace at; at != writing_->end(); at = writing_->behind(at)) {
    FrameHeader header = writing_->header(at);
    header.synced_seq = synced;
    header.chain = chain_;
    header.body_crc = writing_->body_crc(at);
    header.crc = frame_crc(header, epoch_);
    writing_->set_header(at, header);
    chain_ = header.crc;
  }
}

void Journal::write_frames() {
  chain_frames();
  for (FramePlace from; from != writing_->end();) {
    std::shared_ptr<Segment> segment = segments_->current();
    const uint64_t first = frame_size(writing_->header(from).body_size);
    if (segment == nullptr || segment->left() < first) segment = segments_->next(first);
    const uint64_t room = segment->left() - (segment->used == 0 ? kSegmentBlockSize : 0);
    Seq last = 0;
    const FramePlace to = fitting_end(from, room, last);
    write_run(segment, from, to, last);
    from = to;
  }
  prepare_if_wanted();
}

// How far the frames from `from` on fit into `room`, and the last one's sequence number.
FramePlace Journal::fitting_end(FramePlace from, uint64_t room, Seq& last) const {
  FramePlace to = from;
  while (to != writing_->end()) {
    const FrameHeader header = writing_->header(to);
    const uint64_t size = frame_size(header.body_size);
    if (size > room) break;
    room -= size;
    last = header.seq;
    to = writing_->behind(to);
  }
  return to;
}

void Journal::write_run(const std::shared_ptr<Segment>& segment, FramePlace from, FramePlace to,
                        Seq last) {
  const size_t block = segment->used == 0 ? kSegmentBlockSize : 0;
  if (block > 0) make_header(*segment, from);
  if (unsynced_.empty()) unsynced_since_ = Clock::now();
  if (unsynced_.empty() || unsynced_.back() != segment) unsynced_.push_back(segment);
  uint64_t offset = segment->used;
  WritebackWindow window(*segment->file);
  writing_->for_each_piece(from, block, to, [&](Bytes piece) {
    const bool is_large = piece.size() > kWriteSizeMax;
    while (!piece.empty()) {
      const Bytes part = piece.substr(0, is_large ? kWritePieceBytes : kWriteSizeMax);
      segment->file->write(offset, part);
      if (is_large) window.wrote(offset, part.size());
      offset += part.size();
      piece.remove_prefix(part.size());
    }
  });
  segments_->wrote(*segment, offset - segment->used, last);
}

void Journal::make_header(const Segment& segment, FramePlace first_frame) {
  const FrameHeader frame = writing_->header(first_frame);
  SegmentHeader header;
  {
    std::lock_guard lock(mutex_);
    header.database_id = binding_.database_id;
    header.base_txid = binding_.base_txid;
    header.base_checksum = binding_.base_checksum;
    header.origin_epoch = binding_.origin_epoch;
  }
  header.number = segment.number;
  header.first_seq = frame.seq;
  header.synced_seq = frame.synced_seq;
  header.chain = frame.chain;
  header.epoch = epoch_;
  store_header(writing_->block_before(first_frame), header);
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
    pending_->clear(0);
  }
  listener_.on_failure(error);
}

}  // namespace hotbolt
