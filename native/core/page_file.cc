// An open page file at work: readers, freelist, growth, the end of its life. How it is opened is in
// page_file_open.cc.
#include "core/page_file.h"

#include <algorithm>
#include <bit>

#include "core/file_copier.h"
#include "core/pacer.h"
#include "core/reachability.h"

namespace hotbolt {
namespace {

constexpr uint64_t kMappingMin = 64 << 20;
constexpr uint64_t kMappingFactor = 8;
constexpr uint64_t kGrowthUnit = 64 << 10;
constexpr uint64_t kGrowthMax = 16 << 20;

uint64_t round_up(uint64_t bytes, uint64_t unit) { return (bytes + unit - 1) / unit * unit; }

}  // namespace

// --- ReadTx ---

ReadTx::ReadTx(std::shared_ptr<PageFile> file, Meta meta, std::shared_ptr<const Mapping> mapping,
               uint64_t readable_bytes)
    : file_(std::move(file)),
      meta_(std::move(meta)),
      mapping_(std::move(mapping)),
      data_(mapping_->data()),
      page_limit_(
          std::min(meta_.high_water, std::min(readable_bytes, mapping_->size()) / meta_.page_size)),
      page_shift_(static_cast<unsigned>(std::countr_zero(meta_.page_size))) {
  file_->readers().add(meta_.txid);
}

ReadTx::~ReadTx() { file_->readers().remove(meta_.txid); }

void ReadTx::throw_bad_run(PageId id) const {
  require_intact();
  const uint64_t index = value(id);
  if (index < 2) throw_corrupt(id, "a meta page cannot be part of a tree");
  if (index >= page_limit_) throw_corrupt(id, "it is beyond the high-water mark");
  const PageHeader header = load_page_header(data_ + (index << page_shift_));
  if (header.id != index) throw_corrupt(id, "its header says page " + std::to_string(header.id));
  throw_corrupt(id, "its overflow pages reach beyond the high-water mark");
}

void ReadTx::throw_damaged() const {
  file_->require_whole();
  const std::string& path = file_->path();
  throw Error(ErrorCode::ERR_IO, "a page of " + path + " could not be read").with_path(path);
}

// --- PageFile: any thread ---

PageFile::PageFile(FileSystem& files, std::string path, std::unique_ptr<File> file, bool read_only)
    : files_(files), path_(std::move(path)), file_(std::move(file)), read_only_(read_only) {}

PageFile::~PageFile() = default;

std::shared_ptr<const ReadTx> PageFile::begin_read() {
  // Registered under the lock that publish() takes: a writer that begins later sees this reader.
  std::lock_guard lock(mutex_);
  HOTBOLT_ASSERT(!retired_);
  return std::make_shared<ReadTx>(shared_from_this(), meta_, mapping_, size_bytes_);
}

Meta PageFile::meta() const {
  std::lock_guard lock(mutex_);
  return meta_;
}

std::optional<Meta> PageFile::previous_meta() const {
  std::lock_guard lock(mutex_);
  return previous_meta_;
}

FileStatus PageFile::status() const { return file_->status(); }
uint64_t PageFile::size_bytes() const { return size_bytes_; }

uint64_t PageFile::used_bytes() const {
  std::lock_guard lock(mutex_);
  return (meta_.high_water - std::min(meta_.high_water, free_pages_ + pending_pages_)) * page_size_;
}

// --- PageFile: the freelist ---

void PageFile::load_freelist() {
  HOTBOLT_ASSERT(!freelist_loaded_);
  const auto tx = begin_read();
  const bool stored = tx->meta().freelist_stored();
  PageSet free = stored ? stored_free(*tx) : find_free(*tx);
  tx->require_intact();
  if (stored && tx->meta().mark) is_flat_ = tx->meta().mark->is_flat;
  freelist_.load(std::move(free));
  hold_back_fallback(freelist_.all());
  count_pages();
  freelist_loaded_ = true;
}

PageSet PageFile::stored_free(const ReadTx& tx) const {
  const PageId id{tx.meta().freelist};
  PageSet free = decode_freelist_page(id, tx.run(id), tx.meta().high_water);
  const auto lists = [&](PageId run) {
    return free.next(value(run)) < value(run) + tx.run_length(run);
  };
  if (lists(id)) throw_corrupt(id, "the freelist lists its own pages");
  if (lists(tx.meta().root)) throw_corrupt(id, "the freelist lists the root's pages");
  return free;
}

PageSet PageFile::find_free(const ReadTx& tx) {
  Reachable reachable = find_reachable(tx);
  is_flat_ = reachable.is_flat;
  PageSet& pages = reachable.pages;
  pages.add_run(0, 2);
  pages.invert();
  return std::move(pages);
}

// What the newest transaction freed is all that separates the previous state from it: kept for one
// more transaction, the previous meta stays a state that can be fallen back on.
void PageFile::hold_back_fallback(const PageSet& free) {
  const std::optional<ReadTx> older = read_previous();
  if (!older) return;
  freelist_.hold_back(find_freed_since(*older, free), meta().txid);
}

std::optional<ReadTx> PageFile::read_previous() {
  std::lock_guard lock(mutex_);
  const bool follows = previous_meta_ && value(previous_meta_->txid) + 1 == value(meta_.txid) &&
                       previous_meta_->high_water <= meta_.high_water;
  if (!follows) return std::nullopt;
  return std::optional<ReadTx>(std::in_place, shared_from_this(), *previous_meta_, mapping_,
                               size_bytes_);
}

void PageFile::count_pages() {
  free_pages_ = freelist_.free_count();
  pending_pages_ = freelist_.pending_count();
}

// --- PageFile: writer ---

void PageFile::reserve(uint64_t high_water) {
  const uint64_t needed = high_water * page_size_;
  HOTBOLT_ASSERT(!read_only_ && needed / page_size_ == high_water);
  const uint64_t size = size_bytes_;
  if (needed <= size) return;
  const uint64_t step = std::min(kGrowthMax, round_up(size / 8, kGrowthUnit));
  try {
    grow(round_up(std::max(needed, size + step), page_size_));
  } catch (const Error& error) {
    if (error.code() != ErrorCode::ERR_NO_SPACE) throw;
    grow(needed);
  }
}

void PageFile::grow(uint64_t size_bytes) {
  map(size_bytes);  // first: what fails after the file has grown would be taken for done
  file_->allocate(size_bytes_, size_bytes - size_bytes_);
  size_bytes_ = size_bytes;
}

// Old readers keep the mapping they have; it shows the same pages.
void PageFile::map(uint64_t size_bytes) {
  std::lock_guard lock(mutex_);
  if (mapping_ && mapping_->size() >= size_bytes) return;
  const uint64_t wanted =
      read_only_ ? size_bytes : std::max(kMappingMin, size_bytes * kMappingFactor);
  try {
    mapping_ = file_->map(wanted);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::ERR_OUT_OF_MEMORY || wanted <= size_bytes) throw;
    mapping_ = file_->map(size_bytes);  // address space is limited: remap at each growth instead
  }
}

void PageFile::trim() {
  HOTBOLT_ASSERT(!read_only_);
  const uint64_t wanted = meta().high_water * page_size_;
  if (wanted >= size_bytes_) return;
  file_->resize(wanted);
  size_bytes_ = wanted;
}

void PageFile::write(PageId first, Bytes run) {
  const uint64_t offset = value(first) * page_size_;
  HOTBOLT_ASSERT(!read_only_ && run.size() % page_size_ == 0);
  HOTBOLT_ASSERT(offset <= size_bytes_ && run.size() <= size_bytes_ - offset);
  file_->write(offset, run);
}

// The very bytes where it lies, because what else is in the page may be another program's; unless
// the cache has forgotten meanwhile what no disk has.
void PageFile::rewrite_meta() {
  Meta newest = meta();
  const uint64_t place = value(newest.txid) % 2;
  for (const PageId id : {PageId{place}, PageId{1 - place}}) {
    std::string page(page_size_, '\0');
    file_->read(value(id) * page_size_, page.data(), page.size());
    const MetaResult found = decode_meta(page);
    if (!found.meta || found.meta->checksum != newest.checksum) continue;
    write(id, page);
    return file_->sync_data();
  }
  write(PageId{place}, encode_meta_page(newest));
  file_->sync_data();
}

void PageFile::publish(const Meta& meta) {
  std::lock_guard lock(mutex_);
  previous_meta_ = std::move(meta_);
  meta_ = meta;
  count_pages();
}

void PageFile::poison(const Error& cause) noexcept {
  if (poisoned_) return;
  try {
    poison_reason_ = cause.what();
  } catch (...) {
    // Out of memory: poisoned without a reason.
  }
  poisoned_ = true;
}

void PageFile::throw_if_poisoned() const {
  if (!poisoned_) return;
  std::string message = error_sentence(ErrorCode::ERR_POISONED);
  if (!poison_reason_.empty()) message += " (" + poison_reason_ + ")";
  throw Error(ErrorCode::ERR_POISONED, std::move(message)).with_path(path_);
}

void PageFile::require_whole() const {
  if (file_->status().size_bytes >= size_bytes_) return;
  throw Error(ErrorCode::ERR_TRUNCATED, path_ + " was cut short while it was open")
      .with_path(path_);
}

void PageFile::revoke() {
  if (!has_name()) zero_metas();
}

void PageFile::zero_metas() { file_->write(0, std::string(2 * size_t{page_size_}, '\0')); }

void PageFile::retire(Pacer& pacer) {
  HOTBOLT_ASSERT(!read_only_ && readers_.count() == 0);
  {
    std::lock_guard lock(mutex_);
    if (std::exchange(retired_, true)) return;
    mapping_.reset();  // touching it after the truncation would be a fault
  }
  if (has_name()) return;
  if (!poisoned_) {
    zero_metas();
    file_->sync_data();
  }
  // Down to the two zeroed metas: a bbolt that waits for this inode's lock would take an empty file
  // for a new database, and write into a file without a name.
  shrink_in_steps(files_, *file_, size_bytes_, 2 * uint64_t{page_size_}, pacer);
}

}  // namespace hotbolt
