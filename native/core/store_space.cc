// Space on the disk: which writes a store admits. See store.h.
//
// The journal makes sure of the place of each frame, and leaves room for what its bytes become in
// the page file. But a checkpoint takes more than that: it writes a new page for each that it
// touches, before it gives any back, at most the whole tree. So a write is admitted only if the
// copies have room too, on the disk or in what the page file has free. Some is left for removals.
//
// The store asks once for each memtable and for every 1,000 keys in it, and more often where the
// disk is nearly full. Half of the room is the sign for an early checkpoint, so that the other half
// is seldom met. Others may take what was counted: then the checkpoint fails, and is done again.
#include <algorithm>

#include "core/store.h"

namespace hotbolt {

namespace {

constexpr uint64_t kPagesForRemovals = 1024;  // at most
constexpr uint64_t kPagesPerBranch = 32;      // there are fewer branches than one in so many pages
constexpr size_t kRecordsPerLook = 1000;
constexpr uint64_t kReliefBytesMin = 256 << 10;  // a checkpoint of less gives little back

uint64_t difference(uint64_t a, uint64_t b) { return a - std::min(a, b); }

}  // namespace

void Store::require_accepting(Growth growth, size_t ops) {
  require_writable();
  const auto require = [&] {
    require_bounded_backlog(growth);
    if (active_->record_count() + ops > records_until_look_) look_for_space(growth, ops);
  };
  or_refuse(require);
}

// Memory stays bounded when the page file cannot take what the journal still can. Removals may have
// a little more, since they are how a program makes room.
void Store::require_bounded_backlog(Growth growth) const {
  uint64_t limit = options_.retained_bytes_max;
  if (growth == Growth::kShrinks) limit += options_.checkpoint_bytes;
  if (!checkpoint_failed_ || backlog_bytes_ <= limit) return;
  throw Error(
      ErrorCode::ERR_NO_SPACE,
      "the page file cannot grow, and more than maxRetainedBytes wait for it: free some space, "
      "then try again")
      .with_path(path_);
}

void Store::look_for_space(Growth growth, size_t ops) {
  const size_t active_records = active_->record_count() + ops;
  const uint64_t page_size = file_->page_size();
  const uint64_t used = file_->used_bytes();
  const uint64_t whole = used + used / 8;  // pages split
  const uint64_t leaves = (sealed_records_ + active_records) * page_size;
  const uint64_t copies = std::min(leaves + used / kPagesPerBranch, whole);
  const uint64_t for_removals = std::min(kPagesForRemovals * page_size, whole / 4);
  const uint64_t needed = std::min(copies + for_removals, whole);

  const uint64_t inside = free_inside();
  const uint64_t space = files_.free_space_bytes(directory_of(path_)) + inside;
  const uint64_t content = journal_->page_file_share();
  const uint64_t left = difference(space, content);
  journal_->leave_for_copies(static_cast<int64_t>(needed) - static_cast<int64_t>(inside));

  const uint64_t weight = sealed_weight_ + active_->weight();
  const bool is_half_content = content > space / 2 && weight > kReliefBytesMin;
  const bool is_half_copies = left < needed + copies;
  is_short_ = is_short_ || is_half_content || is_half_copies;
  const bool fits = growth == Growth::kGrows
                        ? left >= needed
                        : left >= copies || active_records <= kPagesForRemovals;
  // Before the freelist is loaded nobody knows what is free; the next checkpoint loads it.
  if (!fits && file_->freelist_loaded()) {
    throw Error(ErrorCode::ERR_NO_SPACE,
                "the disk has " + std::to_string(space - inside) +
                    " bytes left, and the next checkpoint needs more: free some space, then try "
                    "again")
        .with_path(path_);
  }
  const uint64_t spare = is_half_copies ? difference(left, needed) : (left - needed - copies) / 2;
  records_until_look_ = active_records + std::min<uint64_t>(spare / page_size, kRecordsPerLook);
}

// Bytes of the page file that a checkpoint may write to. What snapshots hold is not among them.
uint64_t Store::free_inside() const {
  const uint64_t held = snapshots_.empty() ? 0 : file_->pending_pages() * file_->page_size();
  const uint64_t taken = file_->used_bytes() + held;
  return difference(file_->size_bytes(), taken);
}

void Store::note_refusal(const Error& error) noexcept {
  if (error.code() != ErrorCode::ERR_NO_SPACE) return;
  is_short_ = true;
  if (!std::exchange(refusal_told_, true)) listener_->on_refusal();
}

}  // namespace hotbolt
