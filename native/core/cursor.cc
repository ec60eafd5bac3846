// Descents and moves from leaf to leaf.
#include "core/cursor.h"

#include <algorithm>

namespace hotbolt {

void PageCursor::reset() {
  branches_.clear();
  leaf_ = PageView();
  index_ = 0;
  valid_ = false;
  passed_bytes_ = 0;
}

// From `page` to a leaf, remembering the branches; `choose` picks the child of each.
template <typename Choose>
void PageCursor::descend(PageView page, Choose choose) {
  while (!page.is_leaf()) {
    if (branches_.size() + 1 >= kTreeDepthMax) throw_corrupt(page.id(), "the tree is too deep");
    const uint32_t index = choose(page);
    branches_.push_back({page, index});
    page = bucket_.tx()->page(page.child(index));
  }
  arrive(page);
}

void PageCursor::arrive(PageView leaf) {
  leaf.require_apart();
  const Meta& meta = bucket_.tx()->meta();
  passed_bytes_ += leaf.run_size();
  if (passed_bytes_ > meta.high_water * meta.page_size) {
    throw_corrupt(leaf.id(), "the pages of its tree overlap");
  }
  leaf_ = leaf;
}

void PageCursor::enter(PageView page, Side side) {
  descend(page,
          [side](const PageView& branch) { return side == Side::kFirst ? 0 : branch.count() - 1; });
}

void PageCursor::first() {
  reset();
  enter(bucket_.top(), Side::kFirst);
  index_ = 0;
  valid_ = leaf_.count() > 0 || move_to_leaf(Side::kFirst);
  if (!valid_) reset();
}

void PageCursor::last() {
  reset();
  enter(bucket_.top(), Side::kLast);
  valid_ = leaf_.count() > 0 || move_to_leaf(Side::kLast);
  if (!valid_) return reset();
  index_ = leaf_.count() - 1;
}

void PageCursor::seek(Bytes key) {
  reset();
  descend(bucket_.top(), [key](const PageView& branch) { return branch.child_index(key); });
  index_ = leaf_.lower_bound(key);
  valid_ = index_ < leaf_.count();
  if (valid_) return;
  // Everything in this leaf is smaller: separators say that the next leaf's first key is the one.
  valid_ = move_to_leaf(Side::kFirst);
  if (!valid_) return reset();
  index_ = 0;
}

void PageCursor::seek_before(Bytes key) {
  reset();
  descend(bucket_.top(), [key](const PageView& branch) { return branch.child_index(key); });
  index_ = leaf_.lower_bound(key);
  valid_ = index_ > 0;
  if (valid_) {
    index_--;
    return;
  }
  valid_ = move_to_leaf(Side::kLast);
  if (!valid_) return reset();
  index_ = leaf_.count() - 1;
}

uint64_t PageCursor::count_before(std::optional<Bytes> end, bool end_included, uint64_t& keys) {
  const uint32_t first = index_;
  uint32_t last = end ? leaf_.lower_bound(*end) : leaf_.count();
  if (end && end_included && last < leaf_.count() && leaf_.key(last) == *end) last++;
  last = std::max(last, first + 1);  // in a damaged leaf too, whose keys are in no order
  for (; index_ < last; index_++) keys += !leaf_.is_bucket(index_);
  const uint64_t passed = index_ - first;
  if (index_ == leaf_.count()) next_leaf();
  return passed;
}

void PageCursor::next_leaf() {
  if (!valid_) return reset();
  const PageView before = leaf_;
  valid_ = false;  // also when the following throws
  if (!move_to_leaf(Side::kFirst)) return reset();
  prove_order(before, leaf_);
  index_ = 0;
  valid_ = true;
}

void PageCursor::prev_leaf() {
  if (!valid_) return reset();
  const PageView before = leaf_;
  valid_ = false;
  if (!move_to_leaf(Side::kLast)) return reset();
  prove_order(leaf_, before);
  index_ = leaf_.count() - 1;
  valid_ = true;
}

bool PageCursor::move_to_leaf(Side side) {
  // A sound file has fewer leaves than pages; a damaged one may lead round in circles through empty
  // leaves.
  for (uint64_t budget = bucket_.tx()->meta().high_water; budget > 0; budget--) {
    if (!step_branches(side)) return false;
    Branch& branch = branches_.back();
    enter(bucket_.tx()->page(branch.page.child(branch.index)), side);
    if (leaf_.count() > 0) return true;
  }
  throw_corrupt(leaf_.id(), "the tree leads in circles");
}

// Moves the lowest branch that has another child on the way to it, and forgets those below.
bool PageCursor::step_branches(Side side) {
  while (!branches_.empty()) {
    Branch& branch = branches_.back();
    if (side == Side::kFirst && branch.index + 1 < branch.page.count()) {
      branch.index++;
      return true;
    }
    if (side == Side::kLast && branch.index > 0) {
      branch.index--;
      return true;
    }
    branches_.pop_back();
  }
  return false;
}

void PageCursor::prove_order(const PageView& before, const PageView& after) const {
  if (before.key(0) < after.key(0)) return;
  throw_corrupt(after.id(), "its keys do not follow those of page " +
                                std::to_string(hotbolt::value(before.id())));
}

}  // namespace hotbolt
