// See backup.h.
#include "core/backup.h"

#include <algorithm>

#include "core/file_copier.h"
#include "core/image.h"
#include "core/journal_reader.h"

namespace hotbolt {

namespace {

// Whoever opens the copy would find the journal of another database.
void require_no_journal(FileSystem& files, const std::string& path) {
  const JournalDirectory journal = list_journal(files, path);
  if (journal.segments.empty() && journal.unusable.empty() && journal.foreign.empty()) return;
  throw Error(ErrorCode::ERR_EXISTS,
              "a journal lies beside " + path + ", though the database it belongs to is not there")
      .with_path(path);
}

}  // namespace

// --- Backup: owner ---

Backup::Backup(Snapshot& snapshot, BackupOptions options)
    : StateReader(snapshot, options.bytes_per_second),
      options_(std::move(options)),
      discard_pacer_(store_->files_, store_->latency_, 0) {
  const PageFile& file = *state_->base->file();
  uint64_t pages = state_->base->meta().high_water;
  if (options_.compact && file.freelist_loaded())
    pages -= std::min(pages, file.free_pages() + file.pending_pages());
  total_bytes_ = pages * state_->base->page_size();
  for (const auto& memtable : state_->layers) total_bytes_ += memtable->bytes();
}

Backup::~Backup() { halt(); }

void Backup::end() noexcept {
  discard_pacer_.cancel();
  StateReader::end();
}

void Backup::halt() noexcept {
  discard_pacer_.cancel();
  StateReader::halt();
}

uint64_t Backup::bytes_copied() const noexcept { return progress_.bytes + copied_; }

// --- Backup: its thread ---

BackupResult Backup::run() {
  return read_and_release([&] {
    FileSystem& files = store_->files_;
    pacer_.throw_if_cancelled();
    require_free_path(files, options_.path);
    require_no_journal(files, options_.path);
    remove_stale_temps(files, options_.path, &pacer_);
    require_space();
    const auto temp =
        std::make_shared<TempFile>(files, options_.path, state_->base->file()->status());
    try {
      return build(*temp);
    } catch (...) {
      temp->remove();
      empty_later(temp);
      throw;
    }
  });
}

// Nobody waits for its blocks to be free.
void Backup::empty_later(std::shared_ptr<TempFile> temp) noexcept {
  try {
    worker().post([this, temp = std::move(temp)] { temp->empty(discard_pacer_); });
  } catch (const std::exception&) {
    // The kernel frees them at the last close.
  }
}

void Backup::require_space() {
  FileSystem& files = store_->files_;
  const std::string directory = directory_of(options_.path);
  const std::optional<FileStatus> place = files.status(directory);
  const bool is_shared = place && place->device == state_->base->file()->status().device;
  const uint64_t needed = total_bytes_ + (is_shared ? space_reserve(total_bytes_) : 0);
  const uint64_t available = files.free_space_bytes(directory);
  if (available >= needed) return;
  throw Error(ErrorCode::ERR_NO_SPACE, "a backup needs about " + std::to_string(needed) +
                                           " bytes in " + directory + ", " +
                                           std::to_string(available) + " are available")
      .with_path(options_.path);
}

BackupResult Backup::build(TempFile& temp) {
  if (options_.compact) {
    copy_entries(temp);
  } else {
    copy_pages(temp);
    if (!state_->layers.empty()) merge_memtables(temp);
  }
  state_->base->require_intact();
  if (options_.verify) verify(temp);
  BackupResult result = complete(temp);
  pacer_.throw_if_cancelled();
  temp.publish();
  return result;
}

void Backup::copy_pages(TempFile& temp) {
  const ReadTx& base = *state_->base;
  const std::string metas = metas_of_copy(base.meta());
  PieceWriter(temp.file(), pacer_).write(0, metas);
  copied_ = metas.size();
  copy_range(base.file()->file(), temp.file(), metas.size(),
             base.meta().high_water * base.page_size(), pacer_, copied_);
}

void Backup::copy_entries(TempFile& temp) {
  PageFile::write_empty(temp.file(), state_->base->page_size());
  bulk_copy_unmarked(*state_, seq_, temp.page_file(), options_.fill, pacer_, progress_);
}

void Backup::merge_memtables(TempFile& temp) {
  WriteTx tx(temp.page_file(), pacer_, {.fill = options_.fill});
  tx.apply(state_->pointers(), seq_);
  tx.commit_unmarked();
  temp.page_file()->trim();
  copied_ += tx.sink().bytes_written();
}

void Backup::verify(TempFile& temp) {
  const auto copy = temp.page_file()->begin_read();
  const CheckReport report = check(*copy, nullptr, &pacer_);
  copy->require_intact();
  if (report.ok()) return;
  const CheckIssue& issue = report.issues.front();
  throw Error(ErrorCode::ERR_CORRUPT, "the copy of " + store_->path_ +
                                          " does not pass the check: page " +
                                          std::to_string(issue.page) + ": " + issue.message)
      .with_page(issue.page)
      .with_path(store_->path_);
}

// What belongs to the file as a whole: its hash, and what is made of that.
BackupResult Backup::complete(TempFile& temp) {
  BackupResult result;
  result.txid = value(temp.page_file()->meta().txid);
  result.size_bytes = temp.file().status().size_bytes;
  if (!options_.hash && !options_.etcd_snapshot) return result;
  Sha256 hash;
  hash_range(temp.file(), result.size_bytes, pacer_, hash);
  if (options_.etcd_snapshot) {
    const Sha256::Digest digest = Sha256(hash).finish();
    const Bytes bytes(digest.data(), digest.size());
    temp.file().write(result.size_bytes, bytes);
    result.size_bytes += bytes.size();
    hash.update(bytes);
    result.snapshot_sha256 = hex_digest(digest);
  }
  if (options_.hash) result.sha256 = hex_digest(hash.finish());
  return result;
}

}  // namespace hotbolt
