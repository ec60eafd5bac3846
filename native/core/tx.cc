// Write transactions: page accounting around the merge, and the meta of the state to be. See tx.h
// and commit.h.
#include "core/tx.h"

#include <algorithm>

#include "core/balance.h"
#include "core/commit.h"

namespace hotbolt {

namespace {

// A freelist of this size is stored whatever is in use.
constexpr uint64_t kFreelistPagesAlways = 64;

WriteTxOptions clamped(WriteTxOptions options) {
  options.fill = std::clamp(options.fill, 0.1, 1.0);
  return options;
}

// The state to change. The order matters: the freelist is found out before any page is looked at
// for writing.
std::shared_ptr<const ReadTx> begin_base(PageFile& file) {
  file.throw_if_poisoned();
  file.require_whole();
  if (!file.freelist_loaded()) file.load_freelist();
  return file.begin_read();
}

bool base_is_flat(const PageFile& file, const Meta& base) {
  if (const std::optional<bool> known = file.is_flat()) return *known;
  return base.mark && base.mark->is_flat;
}

bool same(const Mark& a, const Mark& b) {
  return a.database_id == b.database_id && a.journal_seq == b.journal_seq && a.is_flat == b.is_flat;
}

}  // namespace

WriteTx::WriteTx(std::shared_ptr<PageFile> file, Pacer& pacer, WriteTxOptions options)
    : file_(std::move(file)),
      base_(begin_base(*file_)),
      options_(clamped(options)),
      sink_(*file_, pacer),
      meta_(base_->meta()),
      base_is_flat_(base_is_flat(*file_, meta_)) {
  HOTBOLT_ASSERT(!file_->read_only());
  meta_.txid = TxId{value(meta_.txid) + 1};
  meta_.mark.reset();
  file_->freelist().begin(meta_.txid, file_->readers());
}

WriteTx::~WriteTx() {
  if (done_) return;
  try {
    file_->freelist().rollback();
  } catch (const std::exception&) {
    file_->poison(Error(ErrorCode::ERR_INTERNAL));
  }
}

void WriteTx::apply(const std::vector<const Memtable*>& newest_first, Seq seq) {
  merge_into_root(*this, Overlay(newest_first, seq));
}

PageId WriteTx::allocate(uint64_t page_count) {
  changed_ = true;
  if (const std::optional<PageId> id = file_->freelist().allocate(page_count)) {
    // The cheap part of: never write into a page that a committed meta can reach.
    HOTBOLT_ASSERT(value(*id) >= 2 && *id != base_->meta().root);
    return *id;
  }
  const PageId id{meta_.high_water};
  meta_.high_water += page_count;
  file_->freelist().note_allocated({id, page_count});
  if (meta_.high_water > reserved_pages_) {
    file_->reserve(meta_.high_water);
    reserved_pages_ = file_->size_bytes() / page_size();
  }
  return id;
}

void WriteTx::free(PageId id, uint64_t page_count) {
  changed_ = true;
  file_->freelist().free({id, page_count});
}

void WriteTx::set_root(PageId root, uint64_t sequence) {
  changed_ = changed_ || root != meta_.root || sequence != meta_.root_sequence;
  meta_.root = root;
  meta_.root_sequence = sequence;
}

bool WriteTx::needs_commit(const Mark& mark) const {
  const std::optional<Mark>& old = base_->meta().mark;
  return changed_ || !old || !same(*old, mark);
}

Meta WriteTx::commit(Mark mark) {
  HOTBOLT_ASSERT(!done_);
  mark.is_flat = is_flat();
  if (!needs_commit(mark)) return base_->meta();
  free_old_freelist();
  return finish(mark);
}

Meta WriteTx::commit_with_freelist(Mark mark) {
  HOTBOLT_ASSERT(!done_);
  mark.is_flat = is_flat();
  if (!needs_commit(mark) && base_->meta().freelist_stored()) return base_->meta();
  free_old_freelist();
  store_freelist();
  return finish(mark);
}

Meta WriteTx::commit_unmarked() {
  HOTBOLT_ASSERT(!done_);
  const Meta& base = base_->meta();
  if (!changed_ && !base.mark && base.freelist_stored()) return base;
  free_old_freelist();
  store_freelist();
  return finish(std::nullopt);
}

bool WriteTx::release_fallback(const std::shared_ptr<PageFile>& file, Pacer& pacer) {
  const Meta newest = file->meta();
  const std::optional<Meta> previous = file->previous_meta();
  const bool is_released = previous && previous->root == newest.root;
  if (is_released || !newest.mark) return false;
  WriteTx tx(file, pacer, {});
  tx.free_old_freelist();
  tx.finish(newest.mark);
  return true;
}

void WriteTx::free_old_freelist() {
  if (!meta_.freelist_stored()) return;
  const PageId id{meta_.freelist};
  free(id, base_->run(id).size() / page_size());
  meta_.freelist = kFreelistNotStored;
}

// The size is taken before the freelist's own pages leave it: it can only get smaller by that. One
// that is larger than all that is in use is left out: a walk over that finds it sooner.
void WriteTx::store_freelist() {
  const Freelist& freelist = file_->freelist();
  const uint64_t id_count = freelist.free_count() + freelist.pending_count();
  const uint64_t pages = freelist_page_count(id_count, page_size());
  if (pages > std::max(kFreelistPagesAlways, meta_.high_water - id_count)) return;
  const PageId id = allocate(pages);
  std::string run = encode_freelist_page(id, freelist.all_ids(), page_size());
  HOTBOLT_ASSERT(run.size() <= pages * page_size());
  // All pages of the run belong to it, those too that turned out not to be needed.
  run.resize(pages * page_size(), '\0');
  PageHeader header = load_page_header(run.data());
  header.overflow = static_cast<uint32_t>(pages - 1);
  store(run.data(), header);
  sink_.write(id, run);
  meta_.freelist = value(id);
}

Meta WriteTx::finish(const std::optional<Mark>& mark) {
  meta_.mark = mark;
  HOTBOLT_ASSERT(value(meta_.root) < meta_.high_water);
  base_->require_intact();
  commit_pages(*file_, sink_, meta_);
  done_ = true;
  if (nested_ || base_is_flat_) file_->set_flat(is_flat());
  return meta_;
}

}  // namespace hotbolt
