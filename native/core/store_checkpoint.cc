// The half of the store that works in the background: sealing memtables, merging them into the page
// file, and letting go of what is replaced. See store.h.
#include "core/defrag.h"
#include "core/store.h"

namespace hotbolt {

void Store::install(std::vector<std::shared_ptr<const Memtable>> sealed,
                    std::shared_ptr<const ReadTx> base) {
  install_over(active_, std::move(sealed), std::move(base));
}

// Nothing has changed when it throws.
void Store::install_over(std::shared_ptr<Memtable> active,
                         std::vector<std::shared_ptr<const Memtable>> sealed,
                         std::shared_ptr<const ReadTx> base) {
  auto view = std::make_shared<View>();
  view->layers.reserve(sealed.size() + 1);
  view->layers.push_back(active);
  for (auto& memtable : sealed) view->layers.push_back(std::move(memtable));
  view->base = std::move(base);
  std::shared_ptr<const View> old = std::exchange(view_, std::move(view));
  if (active != active_) records_until_look_ = 0;
  active_ = std::move(active);
  structure_version_++;
  update_backlog();
  discard(std::move(old));
}

// A foreign file is taken to nest buckets until its pages have been looked at.
void Store::forget_nesting() {
  const auto& mark = view_->base->meta().mark;
  may_nest_ = !(mark && mark->is_flat);
  for (const auto& memtable : view_->layers)
    may_nest_ = may_nest_ || memtable->has_nested_buckets();
}

bool Store::seal() {
  require_open();
  require_sound();  // what a poisoned store has in memory must not be merged
  return seal_active();
}

bool Store::seal_active() {
  is_short_ = refusal_told_ = false;
  // A transaction that changes nothing is in the journal all the same.
  if (active_->empty() && active_->journal_bytes() == 0) return false;
  const std::shared_ptr<Memtable> sealed = active_;
  install_over(std::make_shared<Memtable>(), view_->layers, view_->base);
  sealed->seal(last_seq_);
  return true;
}

std::shared_ptr<const View> Store::settled_state(const Snapshot& snapshot) {
  require_open();
  const View& view = snapshot.view();
  if (torn_ && snapshot.seq() == last_seq_) {
    throw Error(ErrorCode::ERR_POISONED, "the newest transaction is there by half");
  }
  auto state = std::make_shared<View>();
  state->base = view.base;
  for (const auto& memtable : view.layers) {
    if (memtable->holds_any(snapshot.seq())) state->layers.push_back(memtable);
  }
  if (!state->layers.empty() && !state->layers.front()->sealed()) {
    HOTBOLT_ASSERT(state->layers.front() == active_);
    seal_active();
  }
  return state;
}

void Store::update_backlog() {
  sealed_weight_ = 0;
  sealed_records_ = 0;
  for (size_t i = 1; i < view_->layers.size(); i++) {
    sealed_weight_ += view_->layers[i]->weight();
    sealed_records_ += view_->layers[i]->record_count();
  }
  const uint64_t kept = defrag_ == nullptr ? 0 : options_.retained_bytes_max;
  backlog_bytes_ = sealed_weight_ - std::min(sealed_weight_, kept);
}

std::unique_ptr<Checkpoint> Store::begin_checkpoint() {
  require_open();
  if (view_->layers.size() < 2) return nullptr;
  auto checkpoint = std::make_unique<Checkpoint>();
  checkpoint->memtables.assign(view_->layers.begin() + 1, view_->layers.end());
  checkpoint->file = file_;
  checkpoint->covered = checkpoint->memtables.front()->last_seq();
  for (const auto& memtable : checkpoint->memtables) checkpoint->bytes += memtable->weight();
  return checkpoint;
}

// Runs a transaction; if there is no space for it, again with the pages that were kept for the
// previous meta. Scattered writes need as many pages each time as the whole tree has.
void Store::with_all_pages(const std::shared_ptr<PageFile>& file,
                           const std::function<void()>& transaction) {
  try {
    return transaction();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::ERR_NO_SPACE || file->poisoned()) throw;
    if (!WriteTx::release_fallback(file, pacer_)) throw;
  }
  transaction();
}

Meta Store::merge(Checkpoint& checkpoint) {
  std::lock_guard lock(merge_mutex_);
  Meta meta;
  const auto merge_all = [&] {
    std::vector<const Memtable*> pointers;
    for (const auto& memtable : checkpoint.memtables) pointers.push_back(memtable.get());
    WriteTx tx(checkpoint.file, pacer_, {});
    tx.apply(pointers);
    meta = tx.commit(history_.mark_at(checkpoint.covered));
  };
  try {
    with_all_pages(checkpoint.file, merge_all);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::ERR_NO_SPACE || checkpoint.file->poisoned()) throw;
    if (!checkpoint.reduce_to_oldest()) throw;
    merge_all();
  }
  checkpoint.result = checkpoint.file->begin_read();
  return meta;
}

bool Checkpoint::reduce_to_oldest() {
  if (memtables.size() < 2) return false;
  memtables.erase(memtables.begin(), memtables.end() - 1);
  covered = memtables.front()->last_seq();
  bytes = memtables.front()->weight();
  is_partial = true;
  return true;
}

void Store::run_checkpoint(Checkpoint& checkpoint) {
  if (poisoned_) throw Error(ErrorCode::ERR_POISONED);
  try {
    journal_->rebind(binding_of(merge(checkpoint)));
    checkpoint_failed_ = false;
    journal_->recycle(checkpoint.covered, recycle_limit_);
  } catch (const Error& error) {
    checkpoint_failed_ = error.code() == ErrorCode::ERR_NO_SPACE;
    // A disk that is full leaves the file as it was, unless a sync met it; everything else that
    // fails here is final.
    const bool is_harmless =
        error.code() == ErrorCode::ERR_NO_SPACE || error.code() == ErrorCode::ERR_ABORTED;
    if (!is_harmless || checkpoint.file->poisoned()) poison(error);
    if (checkpoint_failed_) give_back_journal();
    throw;
  } catch (const std::bad_alloc&) {
    if (checkpoint.file->poisoned()) poison(Error(ErrorCode::ERR_OUT_OF_MEMORY));
    throw;
  }
}

// For the next checkpoint. What cannot be given back now stays until then.
void Store::give_back_journal() noexcept {
  try {
    journal_->give_back();
  } catch (const std::exception&) {
    // The space stays where it is.
  }
}

void Store::finish_checkpoint(Checkpoint& checkpoint) {
  if (closing_) return;
  HOTBOLT_ASSERT(checkpoint.file == file_);
  std::vector<std::shared_ptr<const Memtable>> newer;
  for (size_t i = 1; i < view_->layers.size(); i++) {
    if (view_->layers[i]->last_seq() > checkpoint.covered) newer.push_back(view_->layers[i]);
  }
  install(std::move(newer), std::move(checkpoint.result));
  forget_nesting();
  discard(std::make_shared<std::vector<std::shared_ptr<const Memtable>>>(
      std::move(checkpoint.memtables)));
}

// On a worker of its own, so that memory does not wait behind a long checkpoint. `this` outlives
// the tasks: the destructor drains the workers first.
void Store::discard(std::shared_ptr<const void> garbage) noexcept {
  try {
    reclaimer_.post([this, garbage = std::move(garbage)]() mutable {
      garbage.reset();
      post_retirement();
    });
  } catch (const std::exception&) {
    // No thread or no memory for a task: the garbage was freed here, on the way out.
  }
}

void Store::post_retirement() noexcept {
  {
    std::lock_guard lock(mutex_);
    if (old_files_.empty()) return;
  }
  try {
    copier_.post([this] { retire_old_files(); });
  } catch (const std::exception&) {
    // The next garbage tries again.
  }
}

void Store::retire_old_files() noexcept {
  for (;;) {
    std::shared_ptr<PageFile> idle;
    {
      std::lock_guard lock(mutex_);
      for (auto& file : old_files_) {
        if (file->readers().count() == 0) idle = file;
      }
    }
    if (idle == nullptr) return;
    try {
      idle->retire(retire_pacer_);
    } catch (const std::exception&) {
      // The inode has no name any more: whatever could not be emptied is freed by the kernel at the
      // last close.
    }
    std::lock_guard lock(mutex_);
    std::erase(old_files_, idle);
  }
}

}  // namespace hotbolt
