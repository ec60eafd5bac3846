// See defrag.h.
#include "core/defrag.h"

#include <algorithm>

#include "core/recovery.h"
#include "core/replayer.h"

namespace hotbolt {

namespace {

// For each byte of the journal that the page file lacks, so many have to be free for a new segment
// (journal_segments.cc).
constexpr uint64_t kFreePerJournalByte = 3;
// How often it looks.
constexpr uint64_t kLookUs = 20'000;
// The journal is allowed for up to this many checkpoints' bytes before the copy begins.
constexpr uint64_t kJournalCheckpoints = 4;

constexpr uint64_t kPollUs = 200;

// Segments before the one with transaction `covered` + 1: a checkpoint may take them away while
// others are read.
void drop_covered(std::vector<JournalSegment>& segments, Seq covered) {
  const auto begins_behind = [&](const JournalSegment& segment) {
    return segment.first_seq > covered + 1;
  };
  const auto behind = std::find_if(segments.begin(), segments.end(), begins_behind);
  if (behind != segments.begin()) segments.erase(segments.begin(), behind - 1);
}

}  // namespace

Defrag::Defrag(std::shared_ptr<Store> store, DefragOptions options)
    : store_(std::move(store)),
      options_(options),
      copy_pacer_(store_->files_, store_->latency_, options.bytes_per_second),
      replay_pacer_(store_->files_, store_->latency_, 0) {
  for (Pacer* pacer : {&copy_pacer_, &replay_pacer_}) pacer->watch([this] { watch_space(); });
}

Defrag::~Defrag() = default;

void Defrag::require_space() {
  std::shared_ptr<PageFile> file = store_->file_;
  {
    std::lock_guard lock(store_->merge_mutex_);
    if (!file->freelist_loaded()) file->load_freelist();
  }
  Meta meta = file->meta();
  uint64_t unused = file->free_pages() + file->pending_pages();
  total_bytes_ = (meta.high_water - std::min(meta.high_water, unused)) * meta.page_size;
  const uint64_t journal =
      std::min(total_bytes_, kJournalCheckpoints * store_->options_.checkpoint_bytes);
  uint64_t needed = total_bytes_ + total_bytes_ / 10 + journal + space_reserve(total_bytes_);
  uint64_t available = store_->files_.free_space_bytes(directory_of(store_->path_));
  if (available >= needed) return;
  throw Error(ErrorCode::ERR_NO_SPACE, "a defragmentation needs about " + std::to_string(needed) +
                                           " bytes beside " + store_->path_ + ", " +
                                           std::to_string(available) + " are available")
      .with_path(store_->path_);
}

// The journal is kept from the pinned state on, and nothing but space bounds it. Writers are slowed
// down before (see spare_bytes()); in the end it is the defragmentation that gives way, so that it
// is not the journal that finds no space for a new segment.
void Defrag::watch_space() {
  const uint64_t now_us = store_->files_.now_us();
  if (looked_us_ != 0 && now_us - looked_us_ < kLookUs) return;
  looked_us_ = now_us;
  const uint64_t available = store_->files_.free_space_bytes(directory_of(store_->path_));
  const uint64_t copied = std::min<uint64_t>(progress_.bytes, total_bytes_);
  const uint64_t reserve = space_reserve(total_bytes_);
  const uint64_t of_journal = kFreePerJournalByte * store_->journal_->uncovered_bytes();
  const uint64_t needed = total_bytes_ - copied + reserve + of_journal;
  spare_bytes_ = available - std::min(available, needed);
  if (available >= reserve / 2 + of_journal) return;
  throw Error(ErrorCode::ERR_NO_SPACE,
              "the disk is nearly full, and the defragmentation keeps the journal: it gave way")
      .with_path(store_->path_);
}

void Defrag::prepare() {
  require_space();
  temp_path_ = defrag_path(store_->files_, store_->path_);
  target_ = PageFile::create_empty(store_->files_, temp_path_, store_->file_->page_size(),
                                   store_->file_->status());
}

void Defrag::pin() {
  HOTBOLT_ASSERT(store_->defrag_ == nullptr && target_ != nullptr && !published_);
  pinned_ = store_->view_->base;
  covered_ = store_->covered_seq();
  pinned_seq_ = covered_;
  pinned_written_bytes_ = store_->written_bytes_;
  for (const auto& memtable : store_->view_->layers) {
    pinned_written_bytes_ -= memtable->journal_bytes();
  }
  store_->recycle_limit_ = covered_.load();
  store_->defrag_ = shared_from_this();
  store_->update_backlog();
}

void Defrag::copy() {
  HOTBOLT_ASSERT(pinned_ != nullptr && target_ != nullptr);
  bulk_copy(*pinned_, target_, store_->history_.mark_at(covered_), options_.fill, copy_pacer_,
            progress_);
  pinned_.reset();
}

uint64_t Defrag::backlog_bytes() const {
  return store_->written_bytes_ - pinned_written_bytes_ - replayed_bytes_;
}

bool Defrag::is_caught_up() const {
  return covers_base() && backlog_bytes() <= store_->options_.checkpoint_bytes / 2;
}

// Each step rewrites the pages that it touches, so that small ones would rewrite the file again and
// again.
Seq Defrag::step_seqs() const {
  const uint64_t step_bytes = store_->options_.checkpoint_bytes;
  const Seq seqs = store_->last_seq_ - pinned_seq_;
  const uint64_t bytes = store_->written_bytes_ - pinned_written_bytes_;
  return seqs == 0 ? 1 : std::max<Seq>(1, step_bytes / std::max<uint64_t>(1, bytes / seqs));
}

CatchUp Defrag::begin_catch_up() {
  HOTBOLT_ASSERT(store_->defrag_.get() == this && target_ != nullptr && !published_);
  CatchUp round;
  const Seq merged = store_->covered_seq();
  if (merged > covered_) round.journal_until = std::min(merged, covered_ + step_seqs());
  round.covered = std::max(covered_.load(), round.journal_until);
  round.is_complete = round.covered >= merged;
  store_->submit();
  if (!round.is_complete) return round;
  store_->seal();
  store_->submit();
  for (size_t i = 1; i < store_->view_->layers.size(); i++) {
    const auto& memtable = store_->view_->layers[i];
    if (memtable->last_seq() <= round.covered) continue;
    round.memtables.push_back(memtable);
    round.bytes += memtable->journal_bytes();
  }
  if (!round.memtables.empty()) round.covered = round.memtables.front()->last_seq();
  return round;
}

void Defrag::run_catch_up(CatchUp& round) {
  if (round.journal_until != 0) {
    // Checkpoints may be ahead of the journal's syncs; what is read back must be written.
    while (store_->journal_->durable_seq() < round.journal_until) {
      replay_pacer_.throw_if_cancelled();
      if (store_->poisoned()) throw Error(ErrorCode::ERR_POISONED);
      store_->files_.sleep_us(kPollUs);
    }
    JournalDirectory journal = list_journal(store_->files_, store_->path_);
    drop_covered(journal.segments, covered_);
    ReplayResult result = replay_into_file(
        store_->files_, journal.segments, covered_, round.journal_until, target_, store_->history_,
        options_.fill, store_->options_.checkpoint_bytes, replay_pacer_);
    round.bytes += result.bytes;
    round.transactions += result.transactions;
    covered_ = result.last_seq;
    HOTBOLT_ASSERT(covered_ == round.journal_until);
  }
  if (!round.memtables.empty()) {
    std::vector<const Memtable*> pointers;
    for (const auto& memtable : round.memtables) pointers.push_back(memtable.get());
    round.transactions += round.covered - covered_;
    WriteTx tx(target_, replay_pacer_, {.fill = options_.fill});
    tx.apply(pointers);
    tx.commit(store_->history_.mark_at(round.covered));
  }
  covered_ = round.covered;
  replayed_bytes_ += round.bytes;
  store_->recycle_limit_ = covered_.load();
  replay_pacer_.hurry(true);  // the first round alone has time
}

void Defrag::cancel() noexcept {
  copy_pacer_.cancel();
  replay_pacer_.cancel();
}

void Defrag::publish() {
  HOTBOLT_ASSERT(target_ != nullptr && !published_);
  replay_pacer_.throw_if_cancelled();
  if (store_->poisoned()) throw Error(ErrorCode::ERR_POISONED);
  target_->trim();
  store_->files_.rename(temp_path_, store_->path_);
  published_ = true;
  // Which file a crash would leave is unknown when this fails; opening again is right with either.
  try {
    target_->set_path(store_->path_);
    store_->journal_->sync_directory();
  } catch (...) {
    store_->poison(current_error());
    throw;
  }
  try {
    // Not only when its last reader has gone: this process may end before.
    store_->file_->revoke();
  } catch (const std::exception&) {
    // The new file is in place all the same.
  }
}

void Defrag::install() {
  try {
    install_target();
  } catch (const std::exception&) {
    // The path names a file that this store does not write: no checkpoint, and no close that
    // removes the journal.
    store_->poison(Error(ErrorCode::ERR_OUT_OF_MEMORY));
    throw;
  }
}

void Defrag::install_target() {
  HOTBOLT_ASSERT(target_ != nullptr && published_ && store_->defrag_.get() == this);
  HOTBOLT_ASSERT(covers_base());
  std::shared_ptr<PageFile> old = std::exchange(store_->file_, target_);
  std::vector<std::shared_ptr<const Memtable>> newer;
  for (size_t i = 1; i < store_->view_->layers.size(); i++) {
    if (store_->view_->layers[i]->last_seq() > covered_) newer.push_back(store_->view_->layers[i]);
  }
  {
    std::lock_guard lock(store_->mutex_);
    store_->old_files_.push_back(std::move(old));
  }
  store_->defrag_.reset();
  store_->install(std::move(newer), target_->begin_read());
  store_->forget_nesting();
}

void Defrag::clean() {
  HOTBOLT_ASSERT(target_ != nullptr && published_);
  store_->recycle_limit_ = kSeqMax;
  store_->journal_->rebind(store_->binding_of(target_->meta()));
  target_.reset();  // the store's now
  store_->journal_->recycle(covered_);
  store_->retire_old_files();
}

void Defrag::abort() noexcept {
  pinned_.reset();
  const std::shared_ptr<PageFile> target = std::exchange(target_, nullptr);
  // Published it is the database; the poisoned store goes on reading the old file until it is
  // closed.
  if (target == nullptr || published_) return;
  try {
    store_->files_.remove(temp_path_);
    // The file has no name any more: emptied in steps so that freeing its blocks does not delay the
    // journal.
    Pacer pacer(store_->files_, store_->latency_, 0);
    target->retire(pacer);
  } catch (const std::exception&) {
    // The next open removes what has a name still; the kernel frees the rest.
  }
}

void Defrag::release() {
  if (!published_) store_->recycle_limit_ = kSeqMax;
  if (store_->defrag_.get() == this) store_->defrag_.reset();
  store_->update_backlog();
}

}  // namespace hotbolt
