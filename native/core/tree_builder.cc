// Packing runs of entries into pages. See tree_builder.h for the rules.
#include "core/tree_builder.h"

#include <algorithm>

namespace hotbolt {

namespace {

// Long enough that rounding to whole pages does not matter, short enough to stay in the processor's
// cache.
constexpr size_t kRunPages = 64;

// A branch page of one child would not make the level above any smaller.
template <typename Entry>
constexpr size_t kEntriesMin = 1;
template <>
constexpr size_t kEntriesMin<BranchEntry> = 2;

size_t divide_up(size_t a, size_t b) { return (a + b - 1) / b; }

LeafEntry entry_at(const PageView& page, uint32_t index, const LeafEntry*) {
  return {page.key(index), page.value(index), page.is_bucket(index)};
}

BranchEntry entry_at(const PageView& page, uint32_t index, const BranchEntry*) {
  return {page.key(index), page.child(index), true};
}

template <typename Entry>
size_t total_size(const Entry* entries, size_t count) {
  size_t bytes = 0;
  for (size_t i = 0; i < count; ++i) bytes += entries[i].size();
  return bytes;
}

}  // namespace

TreeBuilder::TreeBuilder(WriteTx& tx)
    : tx_(tx),
      page_size_(tx.page_size()),
      capacity_(page_size_ - kPageHeaderSize),
      fill_bytes_(static_cast<size_t>(static_cast<double>(capacity_) * tx.fill())),
      run_bytes_max_(kRunPages * page_size_) {}

// --- what arrives ---

void TreeBuilder::add(const LeafEntry& entry) {
  if (!(last_key_ < entry.key)) throw_unordered();
  last_key_ = entry.key;
  leaves_.entries.push_back(entry);
  leaves_.bytes += weight(entry);
  if (leaves_.bytes > run_bytes_max_) flush(leaves_, 0, false);
}

void TreeBuilder::add_bucket(Bytes name, std::string value) {
  values_.push_back(std::move(value));
  add({name, values_.back(), true});
}

void TreeBuilder::keep(unsigned level, Bytes key, PageId child) {
  for (unsigned below = 0; below < level; ++below) flush_level(below);
  if (absorb_right(level, child)) return;
  flush_level(level);
  add_child(level + 1, {key, child, true});
}

void TreeBuilder::replaces_page(unsigned level) {
  if (level == 0) {
    ++leaves_.old_pages;
  } else {
    ++branch_run(level).old_pages;
  }
}

TreeBuilder::BranchRun& TreeBuilder::branch_run(unsigned level) {
  HOTBOLT_ASSERT(level > 0 && level <= 2 * kTreeDepthMax);
  if (branches_.size() < level) branches_.resize(level);
  return branches_[level - 1];
}

void TreeBuilder::add_child(unsigned level, const BranchEntry& entry) {
  BranchRun& run = branch_run(level);
  run.entries.push_back(entry);
  run.bytes += weight(entry);
  if (run.bytes > run_bytes_max_) flush(run, level, false);
}

// --- neighbours of small runs ---

template <typename Entry>
bool TreeBuilder::is_underfull(const Run<Entry>& run) const {
  return !run.entries.empty() && run.bytes < capacity_ / 4;
}

template <typename Entry>
void TreeBuilder::add_page_entries(Run<Entry>& run, const PageView& page, bool in_front) {
  std::vector<Entry> entries;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < page.count(); ++i) {
    entries.push_back(entry_at(page, i, static_cast<const Entry*>(nullptr)));
    count_entry(page, entries.back(), bytes);
    run.bytes += weight(entries.back());
  }
  run.entries.insert(in_front ? run.entries.begin() : run.entries.end(), entries.begin(),
                     entries.end());
  ++run.old_pages;
  tx_.free(page.id(), page.run_size() / page_size_);
}

// Instead of leaving a nearly empty page behind, the kept subtree that would end the run joins it.
bool TreeBuilder::absorb_right(unsigned level, PageId child) {
  const bool small = level == 0 ? is_underfull(leaves_) : is_underfull(branch_run(level));
  if (!small) return false;
  const PageView page = tx_.base().page(child);
  if (page.is_leaf() != (level == 0)) throw_corrupt(child, "a page is on the wrong level");
  if (page.run_size() != page_size_) return false;
  if (level == 0) {
    add_page_entries(leaves_, page, false);
    if (page.count() > 0) last_key_ = page.key(page.count() - 1);
  } else {
    add_page_entries(branch_run(level), page, false);
  }
  return true;
}

template <typename Entry>
void TreeBuilder::absorb_left(Run<Entry>& run, unsigned level) {
  if (branches_.size() <= level || branches_[level].entries.empty()) return;
  const BranchEntry left = branches_[level].entries.back();
  if (!left.kept) return;
  const PageView page = tx_.base().page(left.child);
  if (page.is_leaf() != (level == 0)) throw_corrupt(left.child, "a page is on the wrong level");
  if (page.run_size() != page_size_) return;
  branches_[level].entries.pop_back();
  branches_[level].bytes -= weight(left);
  add_page_entries(run, page, true);
}

// --- packing ---

// Index behind the last entry of the page that begins with `first`: as near to `goal` bytes as
// whole entries allow.
template <typename Entry>
size_t TreeBuilder::page_end(const std::vector<Entry>& entries, size_t first, size_t goal) const {
  constexpr size_t kMin = kEntriesMin<Entry>;
  size_t bytes = 0;
  size_t end = first;
  for (; end < entries.size(); ++end) {
    const size_t size = entries[end].size();
    const bool fits = bytes + size <= capacity_ && bytes + size / 2 <= goal;
    if (!fits && end - first >= kMin) break;
    bytes += size;
  }
  if (entries.size() - end >= kMin || end == entries.size()) return end;
  // One child would be left over: it comes along, or takes its neighbour with it.
  const bool fits = bytes + entries[end].size() <= capacity_;
  return fits || end - first <= kMin ? end + 1 : end - 1;
}

template <typename Entry>
size_t TreeBuilder::pages_at(const Run<Entry>& run, size_t goal) const {
  size_t pages = 0;
  for (size_t at = 0; at < run.entries.size(); ++pages) at = page_end(run.entries, at, goal);
  return pages;
}

// Bytes that each page of the run should hold.
template <typename Entry>
size_t TreeBuilder::page_goal(const Run<Entry>& run) const {
  if (run.bytes <= capacity_) return capacity_;
  const size_t old_pages = std::max<size_t>(run.old_pages, 1);
  const size_t wanted = divide_up(run.bytes, fill_bytes_);
  if (wanted <= old_pages) return divide_up(run.bytes, wanted);
  if (run.bytes <= old_pages * capacity_) {
    // Whole entries decide whether they really fit, evenly or else from the left.
    for (const size_t goal : {divide_up(run.bytes, old_pages), capacity_}) {
      if (pages_at(run, goal) <= old_pages) return goal;
    }
  }
  if (run.old_pages == 0 || grew_right_) return fill_bytes_;
  return divide_up(run.bytes, wanted);
}

// Writes the run's pages and hands them to the level above; unless `all`, the last page or two wait
// for more.
template <typename Entry>
void TreeBuilder::flush(Run<Entry>& run, unsigned level, bool all) {
  const auto goal = static_cast<ptrdiff_t>(page_goal(run));
  std::vector<BranchEntry> pages;
  size_t at = 0;
  size_t bytes_left = run.bytes;
  ptrdiff_t owed = 0;  // what earlier pages got less than the goal: rounding evens out over the run
  while (at < run.entries.size() && (all || bytes_left > 2 * capacity_)) {
    const size_t end = page_end(run.entries, at, static_cast<size_t>(goal + owed));
    size_t bytes = 0;
    for (size_t i = at; i < end; ++i) bytes += weight(run.entries[i]);
    owed = std::clamp(goal + owed - static_cast<ptrdiff_t>(bytes), -goal / 4, goal / 4);
    pages.push_back({run.entries[at].key, write_page(&run.entries[at], end - at), false});
    bytes_left -= bytes;
    at = end;
  }
  run.bytes = bytes_left;
  drop_front(run, at, all ? run.old_pages : pages.size());
  // Last, because this may move the runs.
  for (const BranchEntry& page : pages) add_child(level + 1, page);
}

template <typename Entry>
void TreeBuilder::drop_front(Run<Entry>& run, size_t count, size_t pages) {
  run.entries.erase(run.entries.begin(), run.entries.begin() + static_cast<ptrdiff_t>(count));
  run.old_pages -= std::min(run.old_pages, pages);
  if constexpr (std::is_same_v<Entry, LeafEntry>) own_pending_values();
}

// Lets go of the bucket values that are written: the few that wait are copied.
void TreeBuilder::own_pending_values() {
  if (values_.empty()) return;
  std::list<std::string> pending;
  for (LeafEntry& entry : leaves_.entries) {
    if (!entry.is_bucket) continue;
    pending.emplace_back(entry.value);
    entry.value = pending.back();
  }
  values_.swap(pending);
}

void TreeBuilder::flush_level(unsigned level) {
  if (level == 0) {
    if (is_underfull(leaves_)) absorb_left(leaves_, 0);
    flush(leaves_, 0, true);
  } else if (level <= branches_.size()) {
    if (is_underfull(branch_run(level))) absorb_left(branch_run(level), level);
    flush(branch_run(level), level, true);
  }
}

PageId TreeBuilder::write_page(const LeafEntry* entries, size_t count) {
  const size_t bytes = run_bytes_for(total_size(entries, count), page_size_);
  const PageId id = tx_.allocate(bytes / page_size_);
  if (bytes <= PageSink::kPieceBytes) {
    encode_leaf(tx_.sink().room(id, bytes), bytes, id, entries, count, page_size_);
  } else {
    HOTBOLT_ASSERT(count == 1);
    const std::string head = encode_leaf_head(id, *entries, bytes, page_size_);
    tx_.sink().write(id, head, entries->value, bytes);
  }
  return id;
}

PageId TreeBuilder::write_page(const BranchEntry* entries, size_t count) {
  const size_t bytes = run_bytes_for(total_size(entries, count), page_size_);
  const PageId id = tx_.allocate(bytes / page_size_);
  if (bytes <= PageSink::kPieceBytes) {
    encode_branch(tx_.sink().room(id, bytes), bytes, id, entries, count, page_size_);
  } else {
    // Only names of buckets can be that long.
    std::string run;
    encode_branch(run, id, entries, count, page_size_);
    tx_.sink().write(id, run);
  }
  return id;
}

// --- the end ---

bool TreeBuilder::has_branches() const {
  return std::any_of(branches_.begin(), branches_.end(),
                     [](const BranchRun& run) { return !run.entries.empty(); });
}

bool TreeBuilder::fits_inline(const std::vector<LeafEntry>& entries, size_t bytes) const {
  if (kPageHeaderSize + bytes > page_size_ / 4) return false;
  return std::none_of(entries.begin(), entries.end(),
                      [](const LeafEntry& entry) { return entry.is_bucket; });
}

// Flushes level by level until one page is left: a level that ends with a single child needs no
// branch above it.
TreeBuilder::Root TreeBuilder::finish_tree() {
  if (leaves_.entries.empty() && !has_branches()) {
    return {{Bytes{}, write_page(static_cast<const LeafEntry*>(nullptr), 0), false}, 0};
  }
  for (unsigned level = 0;; ++level) {
    flush_level(level);
    HOTBOLT_ASSERT(has_branches());
    const bool is_top = std::all_of(branches_.begin() + level + 1, branches_.end(),
                                    [](const BranchRun& run) { return run.entries.empty(); });
    const BranchRun& run = branches_[level];
    if (is_top && run.entries.size() == 1) return {run.entries.front(), level};
  }
}

// A tree that shrank to one page of the base may be small enough to live in its parent again.
std::optional<std::string> TreeBuilder::inline_kept_leaf(const Root& root, uint64_t sequence) {
  if (!root.entry.kept || root.level != 0) return std::nullopt;
  const PageView page = tx_.base().page(root.entry.child);
  if (!page.is_leaf() || page.run_size() != page_size_) return std::nullopt;
  std::vector<LeafEntry> entries;
  for (uint32_t i = 0; i < page.count(); ++i) {
    entries.push_back(entry_at(page, i, static_cast<const LeafEntry*>(nullptr)));
  }
  if (!fits_inline(entries, total_size(entries.data(), entries.size()))) return std::nullopt;
  tx_.free(page.id(), 1);
  return encode_inline_bucket(sequence, entries.data(), entries.size());
}

std::string TreeBuilder::finish(uint64_t sequence) {
  std::string value;
  if (!has_branches() && fits_inline(leaves_.entries, leaves_.bytes)) {
    value = encode_inline_bucket(sequence, leaves_.entries.data(), leaves_.entries.size());
  } else {
    const Root root = finish_tree();
    std::optional<std::string> small = inline_kept_leaf(root, sequence);
    value = small ? std::move(*small) : encode_bucket_header(root.entry.child, sequence);
  }
  reset();
  return value;
}

PageId TreeBuilder::finish_root() {
  const Root root = finish_tree();
  reset();
  return root.entry.child;
}

// Keeps the room of the runs: a copy finishes one small bucket after the other.
void TreeBuilder::reset() {
  leaves_.entries.clear();
  leaves_.bytes = leaves_.old_pages = 0;
  branches_.clear();
  values_.clear();
  last_key_ = {};
  grew_right_ = false;
}

void TreeBuilder::throw_unordered() const {
  throw_corrupt(reading_, "keys are not in ascending order");
}

}  // namespace hotbolt
