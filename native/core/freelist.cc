// Allocation, release and the stored form of free pages.
#include "core/freelist.h"

#include <algorithm>

namespace hotbolt {
namespace {

// The count of a freelist page that says "the real count is the first u64".
constexpr uint64_t kCountEscape = 0xFFFF;
// Below this many entries a sweep of the allocation map is not worth its time.
constexpr size_t kSweepMin = 1024;

void append_run(std::vector<PageRun>& runs, PageRun run) {
  if (!runs.empty() && value(runs.back().first) + runs.back().count == value(run.first)) {
    runs.back().count += run.count;
  } else {
    runs.push_back(run);
  }
}

}  // namespace

void Freelist::load(PageSet free) {
  *this = Freelist();
  free_ = std::move(free);
  free_count_ = free_.count();
  set_high_water(free_.size());
}

void Freelist::set_high_water(uint64_t high_water) {
  high_water_ = high_water;
  free_.resize(high_water);
  pending_.resize(high_water);
  fresh_.resize(high_water);
}

void Freelist::begin(TxId txid, const Readers& readers) {
  HOTBOLT_ASSERT(!in_tx_);
  const std::vector<TxId> open = readers.distinct();
  remember_allocations(open);
  release_what_readers_allow(txid, open);
  in_tx_ = true;
  txid_ = txid;
  high_water_before_ = high_water_;
}

// Only now is it known whether a reader older than the last transaction is open: one may have begun
// while that ran, but none can begin there any more.
void Freelist::remember_allocations(const std::vector<TxId>& open) {
  if (open.empty() || open.front() >= txid_) {
    allocated_by_.clear();
    allocated_by_swept_ = 0;
  } else {
    for (const auto* runs : {&taken_, &raised_}) {
      for (const PageRun& run : *runs) {
        for (uint64_t i = 0; i < run.count; i++) allocated_by_[value(run.first) + i] = txid_;
      }
    }
  }
  taken_.clear();
  raised_.clear();
  // What the oldest reader sees anyway counts as 0. Sweeping at every doubling keeps the cost per
  // entry constant.
  if (allocated_by_.size() > 2 * allocated_by_swept_ + kSweepMin) {
    std::erase_if(allocated_by_, [&](const auto& entry) { return entry.second <= open.front(); });
    allocated_by_swept_ = allocated_by_.size();
  }
}

void Freelist::release_what_readers_allow(TxId txid, const std::vector<TxId>& open) {
  while (!young_.empty() && value(young_.front().freed_by) + 2 <= value(txid)) {
    settle(young_.front(), open);
    young_.pop_front();
  }
  for (auto held = held_.begin(); held != held_.end();) {
    if (std::binary_search(open.begin(), open.end(), held->first)) {
      ++held;
      continue;
    }
    const std::vector<FreedRun> runs = std::move(held->second);
    held = held_.erase(held);
    for (const FreedRun& freed : runs) settle(freed, open);
  }
}

// Rule 2. A run that is held again goes to a younger reader than the one that ended, so the
// caller's walk over held_ meets an open reader there at most once more.
void Freelist::settle(const FreedRun& freed, const std::vector<TxId>& open) {
  const auto reader = std::lower_bound(open.begin(), open.end(), freed.allocated_by);
  if (reader == open.end() || *reader >= freed.freed_by) {
    release(freed.run);
  } else {
    held_[*reader].push_back(freed);
  }
}

void Freelist::release(PageRun run) {
  for (uint64_t i = 0; i < run.count; i++) {
    pending_.remove(value(run.first) + i);
    free_.add(value(run.first) + i);
  }
  pending_count_ -= run.count;
  free_count_ += run.count;
  no_run_of_ = kAnyRun;
}

std::optional<PageId> Freelist::allocate(uint64_t count) {
  HOTBOLT_ASSERT(in_tx_ && count > 0);
  if (count > free_count_ || count >= no_run_of_) return std::nullopt;
  std::optional<uint64_t> found = find_run(cursor_, count);
  if (!found) found = find_run(0, count);
  if (!found) {
    no_run_of_ = count;
    return std::nullopt;
  }
  free_.prepare(*found, count);
  fresh_.prepare(*found, count);
  append_run(taken_, {PageId{*found}, count});  // first: a rollback gives back what is in it
  for (uint64_t i = 0; i < count; i++) {
    free_.remove(*found + i);
    fresh_.add(*found + i);
  }
  free_count_ -= count;
  cursor_ = *found + count;
  return PageId{*found};
}

std::optional<uint64_t> Freelist::find_run(uint64_t from, uint64_t count) const {
  uint64_t first = free_.next(from);
  if (count == 1) return first < free_.size() ? std::optional(first) : std::nullopt;
  while (first < free_.size()) {
    const uint64_t end = free_.next_missing(first);
    if (end - first >= count) return first;
    first = free_.next(end);
  }
  return std::nullopt;
}

void Freelist::note_allocated(PageRun run) {
  HOTBOLT_ASSERT(in_tx_ && value(run.first) >= high_water_);
  set_high_water(value(run.first) + run.count);
  fresh_.prepare(value(run.first), run.count);
  append_run(raised_, run);
  for (uint64_t i = 0; i < run.count; i++) fresh_.add(value(run.first) + i);
}

TxId Freelist::allocated_by(uint64_t id) const {
  if (fresh_.contains(id)) return txid_;
  const auto found = allocated_by_.find(id);
  return found == allocated_by_.end() ? TxId{} : found->second;
}

void Freelist::free(PageRun run) {
  HOTBOLT_ASSERT(in_tx_);
  const uint64_t first = value(run.first);
  if (first < 2 || first >= high_water_ || run.count > high_water_ - first) {
    throw_corrupt(run.first, "freed, but outside the file");
  }
  for (uint64_t id = first; id < first + run.count; id++) {
    if (is_free_or_pending(PageId{id})) throw_corrupt(PageId{id}, "freed twice");
  }
  for (PageSet* set : {&pending_, &free_}) set->prepare(first, run.count);
  for (uint64_t id = first; id < first + run.count; id++) {
    const TxId allocated = allocated_by(id);
    if (id > first && freed_.back().allocated_by == allocated) {
      freed_.back().run.count++;
    } else {
      freed_.push_back({{PageId{id}, 1}, allocated, txid_});
    }
    pending_.add(id);
    pending_count_++;
  }
}

// taken_ and raised_ stay until the next begin(), which knows the readers.
void Freelist::commit() {
  HOTBOLT_ASSERT(in_tx_);
  for (const FreedRun& freed : freed_) {
    if (freed.allocated_by == TxId{}) continue;
    for (uint64_t i = 0; i < freed.run.count; i++) allocated_by_.erase(value(freed.run.first) + i);
  }
  young_.insert(young_.end(), freed_.begin(), freed_.end());
  freed_.clear();
  forget_fresh();
  in_tx_ = false;
}

void Freelist::forget_fresh() {
  for (const auto* runs : {&taken_, &raised_}) {
    for (const PageRun& run : *runs) {
      for (uint64_t i = 0; i < run.count; i++) fresh_.remove(value(run.first) + i);
    }
  }
}

void Freelist::rollback() {
  HOTBOLT_ASSERT(in_tx_);
  for (const FreedRun& freed : freed_) {
    for (uint64_t i = 0; i < freed.run.count; i++) pending_.remove(value(freed.run.first) + i);
    pending_count_ -= freed.run.count;
  }
  for (const PageRun& run : taken_) {
    for (uint64_t i = 0; i < run.count; i++) free_.add(value(run.first) + i);
    free_count_ += run.count;
  }
  forget_fresh();
  freed_.clear();
  taken_.clear();
  raised_.clear();
  set_high_water(high_water_before_);
  no_run_of_ = kAnyRun;
  in_tx_ = false;
}

void Freelist::hold_back(const std::vector<uint64_t>& ids, TxId freed_by) {
  HOTBOLT_ASSERT(!in_tx_ && (young_.empty() || young_.back().freed_by <= freed_by));
  for (const uint64_t id : ids) {
    HOTBOLT_ASSERT(id < high_water_ && !pending_.contains(id));
    if (free_.contains(id)) {
      free_.remove(id);
      free_count_--;
    }
    pending_.add(id);
    if (!young_.empty() && young_.back().freed_by == freed_by &&
        value(young_.back().run.first) + young_.back().run.count == id) {
      young_.back().run.count++;
    } else {
      young_.push_back({{PageId{id}, 1}, TxId{}, freed_by});
    }
  }
  pending_count_ += ids.size();
}

uint64_t Freelist::free_count() const { return free_count_; }
uint64_t Freelist::pending_count() const { return pending_count_; }

std::vector<uint64_t> Freelist::all_ids() const {
  std::vector<uint64_t> ids;
  ids.reserve(free_count_ + pending_count_);
  uint64_t free = free_.next(0);
  uint64_t pending = pending_.next(0);
  while (free < free_.size() || pending < pending_.size()) {
    if (free < pending) {
      ids.push_back(free);
      free = free_.next(free + 1);
    } else {
      ids.push_back(pending);
      pending = pending_.next(pending + 1);
    }
  }
  return ids;
}

PageSet Freelist::all() const {
  PageSet all = free_;
  all.unite(pending_);
  return all;
}

bool Freelist::is_free_or_pending(PageId id) const {
  return free_.contains(value(id)) || pending_.contains(value(id));
}

uint64_t freelist_page_count(uint64_t id_count, uint32_t page_size) {
  const uint64_t escape = id_count >= kCountEscape ? 1 : 0;
  const uint64_t bytes = kPageHeaderSize + (id_count + escape) * sizeof(uint64_t);
  return (bytes + page_size - 1) / page_size;
}

std::string encode_freelist_page(PageId id, const std::vector<uint64_t>& ids, uint32_t page_size) {
  const uint64_t page_count = freelist_page_count(ids.size(), page_size);
  const bool escaped = ids.size() >= kCountEscape;
  std::string run(page_count * page_size, '\0');
  const auto count = static_cast<uint16_t>(escaped ? kCountEscape : ids.size());
  store(run.data(),
        PageHeader{value(id), kFreelistFlag, count, static_cast<uint32_t>(page_count - 1)});
  char* at = run.data() + kPageHeaderSize;
  if (escaped) {
    store<uint64_t>(at, ids.size());
    at += sizeof(uint64_t);
  }
  if (!ids.empty()) std::memcpy(at, ids.data(), ids.size() * sizeof(uint64_t));
  return run;
}

PageSet decode_freelist_page(PageId id, Bytes run, uint64_t high_water) {
  if (run.size() < kPageHeaderSize) throw_corrupt(id, "it is shorter than a page header");
  const PageHeader header = load_page_header(run.data());
  if (header.flags != kFreelistFlag) throw_corrupt(id, "it is not a freelist page");
  Bytes rest = run.substr(kPageHeaderSize);
  uint64_t count = header.count;
  if (count == kCountEscape) {
    if (rest.size() < sizeof(uint64_t)) throw_corrupt(id, "the freelist's count does not fit");
    count = load<uint64_t>(rest.data());
    rest.remove_prefix(sizeof(uint64_t));
  }
  if (count > rest.size() / sizeof(uint64_t)) throw_corrupt(id, "the freelist does not fit");

  PageSet free(high_water);
  uint64_t previous = 0;
  for (; count > 0; count--, rest.remove_prefix(sizeof(uint64_t))) {
    const auto free_id = load<uint64_t>(rest.data());
    if (free_id < 2 || free_id >= high_water) throw_corrupt(id, "a free page id is out of range");
    if (free_id <= previous) throw_corrupt(id, "free page ids do not ascend");
    free.add(free_id);
    previous = free_id;
  }
  return free;
}

}  // namespace hotbolt
