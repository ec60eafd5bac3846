// See store.h.
#include "core/store.h"

#include "core/defrag.h"
#include "core/journal_reader.h"
#include "core/memtable_writer.h"
#include "core/recovery.h"
#include "core/update.h"

namespace hotbolt {

namespace {

constexpr uint32_t kDefaultPageSize = 4096;

// At most this much of a checkpoint's bytes is in a segment that is covered only in part, as much
// in the rest of the newest one, and twice as much prepared.
constexpr uint64_t kSegmentsPerCheckpoint = 4;
constexpr uint64_t kSegmentBytesLeast = 8 << 20;

StoreOptions with_segments(StoreOptions options) {
  const uint64_t wanted =
      std::max(options.checkpoint_bytes / kSegmentsPerCheckpoint, kSegmentBytesLeast);
  options.journal.segment_bytes_max = std::min(options.journal.segment_bytes_max, wanted);
  return options;
}

}  // namespace

// --- Store: life ---

Store::Store(FileSystem& files, std::string path, StoreOptions options,
             std::shared_ptr<StoreListener> listener)
    : files_(files),
      path_(std::move(path)),
      options_(with_segments(std::move(options))),
      listener_(std::move(listener)),
      id_(new_reader_id()),
      pacer_(files, latency_, 0),
      retire_pacer_(files, latency_, 0) {}

namespace {

// The real path of a file that there is not yet. Says what stands in its way.
std::string place_of(FileSystem& files, const std::string& path) {
  if (files.link_status(path)) {
    throw Error(ErrorCode::ERR_NOT_FOUND, path + " is a symbolic link to nothing").with_path(path);
  }
  const std::string directory = directory_of(path);
  const std::optional<FileStatus> status = files.status(directory);
  if (status && status->is_regular) {
    throw Error(ErrorCode::ERR_NOT_A_FILE, directory + " is a file, not a directory")
        .with_path(path);
  }
  try {
    return files.real_path(directory) + "/" + name_of(path);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::ERR_NOT_FOUND) throw;
    throw Error(ErrorCode::ERR_NOT_FOUND, "the directory " + directory + " does not exist")
        .with_path(path);
  }
}

// Makes the database if it may, where there is nothing, or an empty file. Gives the real path.
std::string find_or_create(FileSystem& files, const std::string& path,
                           const StoreOptions& options) {
  const bool may_create = options.create && !options.read_only;
  const uint32_t page_size = options.page_size ? options.page_size : kDefaultPageSize;
  const std::optional<FileStatus> status = files.status(path);
  if (!status && !may_create)
    throw Error(ErrorCode::ERR_NOT_FOUND, path + " does not exist").with_path(path);
  if (status && !status->is_regular) {
    throw Error(ErrorCode::ERR_NOT_A_FILE, path + " is not a regular file").with_path(path);
  }
  const std::string resolved = status ? files.real_path(path) : place_of(files, path);
  if (status && (status->size_bytes > 0 || !may_create)) return resolved;
  // An empty file beside a journal is what is left of a database.
  if (status && !list_journal(files, resolved).segments.empty()) return resolved;
  DatabaseId id{};
  files.random(id.data(), id.size());
  if (status) {
    PageFile::initialize(
        files, resolved, page_size, id,
        {.lock_timeout_us = options.lock_timeout_us, .cancelled = options.cancelled});
  } else {
    PageFile::create(files, resolved, page_size, options.mode, id);
  }
  return resolved;
}

}  // namespace

std::shared_ptr<Store> Store::open(FileSystem& files, const std::string& path,
                                   const StoreOptions& options,
                                   std::shared_ptr<StoreListener> listener) {
  if (path.empty()) throw Error(ErrorCode::ERR_INVALID_ARGUMENT, "the path is empty");
  const std::string resolved = find_or_create(files, path, options);
  std::shared_ptr<Store> store(new Store(files, resolved, options, std::move(listener)));
  Recovery::run(*store);
  return store;
}

Store::~Store() { halt(); }

void Store::halt() noexcept {
  retire_pacer_.cancel();
  pacer_.cancel();
  if (defrag_ != nullptr) defrag_->cancel();
  for (StoreClient* client : clients_) client->halt();
  stop_workers();
  urgent_.stop();
  if (journal_ != nullptr) journal_->stop();
  // They hold each other.
  const std::shared_ptr<Defrag> defrag = std::move(defrag_);
}

// All but the one that closes. The reclaimer gets what the others leave.
void Store::stop_workers() noexcept {
  copier_.stop();
  replayer_.stop();
  checker_.stop();
  worker_.stop();
  reclaimer_.stop();
}

void Store::begin_close() {
  closing_ = true;
  for (StoreClient* client : clients_) client->end();
  defrag_.reset();
  while (!updates_.empty()) (*updates_.begin())->rollback();
  while (!snapshots_.empty()) (*snapshots_.begin())->close();
  if (journal_ == nullptr || poisoned_) return;
  try {
    seal_active();
  } catch (const std::bad_alloc&) {
    // Closed all the same; the journal, which has everything, stays for the next open.
    poison(Error(ErrorCode::ERR_OUT_OF_MEMORY));
  }
}

void Store::checkpoint_all() {
  std::vector<const Memtable*> sealed;
  for (size_t i = 1; i < view_->layers.size(); i++) sealed.push_back(view_->layers[i].get());
  bool untouched = last_seq_ == covered_seq() && sealed.empty() && !file_->freelist_loaded();
  if (untouched) return;
  with_all_pages(file_, [&] {
    WriteTx tx(file_, pacer_, {});
    if (!sealed.empty()) tx.apply(sealed);
    tx.commit_with_freelist(history_.mark_at(last_seq_));
  });
  file_->trim();
}

// Nothing is appended any more, so all that the journal has not used is the page file's.
void Store::checkpoint_rest() {
  try {
    return checkpoint_all();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::ERR_NO_SPACE || file_->poisoned()) throw;
  }
  give_back_journal();
  try {
    checkpoint_all();
  } catch (const Error& error) {
    if (error.code() != ErrorCode::ERR_NO_SPACE || file_->poisoned()) throw;
    file_->trim();  // the next open needs some
    throw Error(ErrorCode::ERR_NO_SPACE,
                "the database is closed, but there was no space to bring its file up to date: the "
                "journal beside it holds the rest, which the next open reads. Leave the two "
                "together (" +
                    std::string(error.what()) + ")")
        .with_system(error.error_number(), error.syscall(), path_);
  }
}

void Store::release_file() noexcept {
  view_ = nullptr;
  active_ = nullptr;
  file_ = nullptr;
  journal_ = nullptr;
  std::lock_guard lock(mutex_);
  old_files_.clear();
}

void Store::run_close() {
  retire_pacer_.cancel();
  pacer_.hurry(true);
  stop_workers();
  try {
    if (journal_ != nullptr) {
      journal_->stop();
      require_sound();
      checkpoint_rest();
      journal_->remove_all();
    }
  } catch (...) {
    release_file();
    throw;
  }
  release_file();
}

void Store::require_sound() const {
  if (!poisoned_) return;
  std::lock_guard lock(mutex_);
  throw Error(ErrorCode::ERR_POISONED, std::string(error_sentence(ErrorCode::ERR_POISONED)) + " (" +
                                           (cause_ ? cause_->what() : "") + ")");
}

// --- Store: reads ---

const BucketView& Store::resolve(BucketRef& ref) {
  require_open();
  if (ref.reader_id != id_ || ref.reader_version != structure_version_) {
    ref.bucket = BucketView::at(*view_, kSeqMax, ref.path);
    ref.reader_id = id_;
    ref.reader_version = structure_version_;
  }
  return ref.bucket;
}

std::shared_ptr<Snapshot> Store::snapshot() {
  require_open();
  auto snapshot = std::make_shared<Snapshot>(shared_from_this(), view_, last_seq_, new_reader_id());
  pins_[last_seq_]++;
  snapshots_.insert(snapshot.get());
  return snapshot;
}

void Store::forget(Snapshot& snapshot) noexcept {
  snapshots_.erase(&snapshot);
  auto pin = pins_.find(snapshot.seq());
  if (pin != pins_.end() && --pin->second == 0) pins_.erase(pin);
}

// --- Store: writes ---

void Store::require_writable() {
  require_open();
  if (options_.read_only) throw Error(ErrorCode::ERR_READ_ONLY);
  if (!view_->base->meta().leaves_room()) {
    throw Error(ErrorCode::ERR_CORRUPT,
                "the numbers of the database's transactions are out of range: it can only be read")
        .with_path(path_);
  }
  require_sound();
  try {
    view_->base->require_intact();
  } catch (const Error& error) {
    poison(error);
    throw;
  }
}

// The journal has the transaction already: a memtable that broke on the way must not be written or
// merged.
template <typename Change>
void Store::change_memtable(Change&& change) {
  try {
    change();
  } catch (...) {
    torn_ = true;
    poison(current_error());
    throw;
  }
}

bool Store::has_table(const BucketRef& ref) const {
  return ref.writer_id == id_ && ref.writer_version == structure_version_;
}

void Store::require_path(const BucketRef& ref) const {
  if (!has_table(ref)) require_buckets({*view_}, ref.path);
}

// Requires: require_path().
BucketTable& Store::table_for(BucketRef& ref, Seq seq) {
  if (has_table(ref)) return *ref.table;
  bool changed = false;
  ref.table = MemtableWriter(*view_, *active_).table(ref.path, true, seq, changed);
  if (changed) structure_version_++;
  if (changed && ref.path.size() > 1) may_nest_ = true;
  ref.writer_id = id_;
  ref.writer_version = structure_version_;
  return *ref.table;
}

// What throws here leaves no trace.
Seq Store::commit_body(const OpWriter& ops) {
  Seq seq;
  or_refuse(
      [&] { seq = journal_->append(ops.body(), ops.grows() ? Growth::kGrows : Growth::kShrinks); });
  HOTBOLT_ASSERT(seq == last_seq_ + 1);
  last_seq_ = seq;
  const uint64_t bytes = frame_size(ops.body().size());
  written_bytes_ += bytes;
  active_->note_journaled(bytes);
  return seq;
}

// The operation in ops_.
Seq Store::commit_one() {
  const Seq seq = commit_body(ops_);
  ops_.clear();  // a large value is the memtable's and the journal's now
  return seq;
}

Seq Store::put(BucketRef& ref, Bytes key, const Value& value) {
  require_accepting();
  require_key(key);
  require_value(value.bytes);
  if (ref.path.empty()) {
    throw Error(ErrorCode::ERR_INCOMPATIBLE_VALUE,
                "the root holds buckets only: put keys into a bucket");
  }
  if (may_nest_ && resolve(ref).has_bucket(key)) {
    throw Error(ErrorCode::ERR_INCOMPATIBLE_VALUE, quoted(key) + " is a bucket");
  }
  require_path(ref);
  ops_.clear();
  const Value kept = value.kept();
  ops_.put(ref.path, key, kept);
  const Seq seq = commit_one();
  change_memtable([&] { active_->put(table_for(ref, seq), key, kept, seq, pinned_seq()); });
  return seq;
}

Seq Store::remove(BucketRef& ref, Bytes key) {
  require_accepting(Growth::kShrinks);
  require_key(key);
  if (ref.path.empty())
    throw Error(ErrorCode::ERR_INCOMPATIBLE_VALUE, "the root holds buckets only");
  const BucketView& bucket = resolve(ref);
  if (!bucket.exists()) return last_seq_;
  if (may_nest_ && bucket.has_bucket(key)) {
    throw Error(ErrorCode::ERR_INCOMPATIBLE_VALUE, quoted(key) + " is a bucket");
  }
  require_path(ref);
  ops_.clear();
  ops_.remove(ref.path, key);
  const Seq seq = commit_one();
  change_memtable([&] { active_->remove(table_for(ref, seq), key, seq, pinned_seq()); });
  return seq;
}

Seq Store::create_bucket(const BucketRef& ref) {
  require_writable();
  if (ref.path.empty()) throw Error(ErrorCode::ERR_BUCKET_EXISTS, "the root bucket exists always");
  BucketPath parent(ref.path.begin(), ref.path.end() - 1);
  require_key(ref.path.back());
  require_buckets({*view_}, parent);
  require_missing({*view_}, parent, ref.path.back());
  OpWriter ops;
  ops.create_bucket(parent, ref.path.back());
  return commit(ops);
}

Seq Store::delete_bucket(const BucketRef& ref) {
  require_writable();
  if (ref.path.empty())
    throw Error(ErrorCode::ERR_INVALID_ARGUMENT, "the root bucket cannot be deleted");
  BucketPath parent(ref.path.begin(), ref.path.end() - 1);
  require_bucket({*view_}, parent, ref.path.back());
  OpWriter ops;
  ops.delete_bucket(parent, ref.path.back());
  return commit(ops);
}

Seq Store::set_sequence(BucketRef& ref, uint64_t value) {
  require_accepting();
  if (ref.path.empty())
    throw Error(ErrorCode::ERR_INVALID_ARGUMENT, "the root bucket has no sequence");
  require_path(ref);
  ops_.clear();
  ops_.set_sequence(ref.path, value);
  const Seq seq = commit_one();
  change_memtable([&] { active_->set_sequence(table_for(ref, seq), value, seq); });
  return seq;
}

Seq Store::commit(const OpWriter& ops) {
  require_accepting(ops.grows() ? Growth::kGrows : Growth::kShrinks, ops.count());
  if (ops.empty()) return last_seq_;
  Seq seq = commit_body(ops);
  change_memtable([&] { apply(ops.body(), seq); });
  return seq;
}

void Store::apply(const Body& body, Seq seq) {
  MemtableWriter writer(*view_, *active_);
  OpReader reader(body);
  Op op;
  bool changed = false;
  BucketTable* table = nullptr;  // of the last put's or removal's bucket
  BucketPath table_path;
  while (reader.next(op)) {
    bool keeps_tables = op.kind == OpKind::kPut || op.kind == OpKind::kRemove;
    if (table != nullptr && keeps_tables && *op.path == table_path) {
      if (op.kind == OpKind::kPut) active_->put(*table, op.key, op.value, seq, pinned_seq());
      if (op.kind == OpKind::kRemove) active_->remove(*table, op.key, seq, pinned_seq());
      continue;
    }
    writer.apply(op, seq, pinned_seq(), false, changed);
    if (op.path->size() + (keeps_tables ? 0 : 1) > 1) may_nest_ = true;
    table = keeps_tables ? writer.table(*op.path, false, seq, changed) : nullptr;
    table_path = *op.path;
  }
  if (changed) structure_version_++;
}

Seq Store::submit() {
  if (journal_ != nullptr) journal_->submit();
  return last_seq_;
}

Seq Store::force_sync() {
  if (journal_ != nullptr) journal_->force_sync();
  return last_seq_;
}

// --- Store: the rest ---

CheckReport Store::run_check(PageFile& file) {
  std::shared_ptr<const ReadTx> base;
  std::optional<PageSet> free;
  {
    std::lock_guard lock(merge_mutex_);
    base = file.begin_read();
    if (file.freelist_loaded()) free = file.freelist().all();
  }
  CheckReport report = check(*base, free ? &*free : nullptr);
  base->require_intact();
  return report;
}

JournalBinding Store::binding_of(const Meta& meta) const {
  // The id is all that counts over a mark. The other two would fit a file without one that has the
  // same meta: a backup, or what another program made of it.
  JournalBinding binding{.database_id = history_.database_id,
                         .origin_epoch = history_.origin_epoch};
  if (meta.mark) return binding;
  binding.base_txid = value(meta.txid);
  binding.base_checksum = meta.checksum;
  return binding;
}

Seq Store::covered_seq() const {
  const Meta& meta = view_->base->meta();
  return meta.mark ? meta.mark->journal_seq : 0;
}

void Store::poison(const Error& cause) noexcept {
  std::lock_guard lock(mutex_);
  if (!cause_) cause_ = copy_of(cause);
  poisoned_ = true;
}

void Store::on_durable(Seq seq) noexcept { listener_->on_durable(seq, journal_->synced_seq()); }

void Store::on_failure(const Error& error) noexcept {
  poison(error);
  listener_->on_failure(error);
}

StoreStats Store::stats() const {
  require_open();
  StoreStats stats;
  const Meta& meta = view_->base->meta();
  stats.size_bytes = file_->size_bytes();
  stats.high_water_bytes = meta.high_water * meta.page_size;
  stats.free_pages = file_->free_pages();
  stats.pending_pages = file_->pending_pages();
  stats.freelist_loaded = file_->freelist_loaded();
  stats.memtable_bytes = active_->bytes();
  stats.sealed_memtables = view_->layers.size() - 1;
  for (size_t i = 1; i < view_->layers.size(); i++) stats.sealed_bytes += view_->layers[i]->bytes();
  stats.journal_bytes = journal_ ? journal_->disk_bytes() : 0;
  stats.last_seq = last_seq_;
  stats.durable_seq = journal_ ? journal_->durable_seq() : last_seq_;
  stats.snapshots = snapshots_.size();
  stats.oldest_snapshot_seq = pins_.empty() ? 0 : pins_.begin()->first;
  stats.sync_latency_us = latency_->recent_us;
  stats.poisoned = poisoned_;
  stats.checkpoint_failing = checkpoint_failed_;
  stats.covered_seq = covered_seq();
  stats.txid = value(meta.txid);
  stats.page_size = meta.page_size;
  std::lock_guard lock(mutex_);
  for (const auto& file : old_files_) stats.pending_reclaim_bytes += file->size_bytes();
  return stats;
}

}  // namespace hotbolt
