// See recovery.h.
#include "core/recovery.h"

#include <algorithm>

#include "core/replayer.h"
#include "core/temp_file.h"

namespace hotbolt {

namespace {

constexpr std::string_view kDefragInfix = "-defrag-";
constexpr std::string_view kCreateInfix = "-create-";  // see PageFile::create
constexpr size_t kRandomDigits = 32;

void remove_stale_temporaries(FileSystem& files, const std::string& path) {
  std::string directory = directory_of(path);
  bool has_temps = false;  // of streams of backups
  for (const std::string& name : files.list(directory)) {
    if (is_temporary_name(name_of(path), name)) files.remove(directory + "/" + name);
    has_temps = has_temps || is_temp_name(name_of(path), name);
  }
  if (has_temps) remove_stale_temps(files, path, nullptr);
}

bool is_bound(const JournalSegment& segment, const Meta& meta) {
  if (meta.mark) return segment.binding.database_id == meta.mark->database_id;
  return segment.binding.base_txid == value(meta.txid) &&
         segment.binding.base_checksum == meta.checksum;
}

void require_bound(const std::vector<JournalSegment>& segments, const Meta& meta) {
  for (const JournalSegment& segment : segments) {
    if (is_bound(segment, meta)) continue;
    const char* reason =
        meta.mark
            ? "it belongs to another database"
            : "another program has written to the database since, or it belongs to another one";
    throw Error(ErrorCode::ERR_JOURNAL_STALE, "the journal " + segment.path +
                                                  " is refused: " + reason +
                                                  ". Move it away to open the database without it")
        .with_path(segment.path);
  }
}

}  // namespace

std::string defrag_path(FileSystem& files, const std::string& path) {
  char random[kRandomDigits / 2];
  files.random(random, sizeof random);
  return path + std::string(kDefragInfix) + hex({random, sizeof random}).substr(2);
}

bool is_temporary_name(const std::string& database_name, const std::string& name) {
  for (const std::string_view infix : {kDefragInfix, kCreateInfix}) {
    const std::string prefix = database_name + std::string(infix);
    if (name.size() == prefix.size() + kRandomDigits && name.starts_with(prefix) &&
        name.find_first_not_of("0123456789abcdef", prefix.size()) == std::string::npos) {
      return true;
    }
  }
  return false;
}

void Recovery::run(Store& store) {
  const StoreOptions& options = store.options_;
  FileSystem& files = store.files_;
  store.file_ = PageFile::open(files, store.path_,
                               {.read_only = options.read_only,
                                .lock_timeout_us = options.lock_timeout_us,
                                .cancelled = options.cancelled});
  if (!options.read_only) remove_stale_temporaries(files, store.path_);

  Meta meta = store.file_->meta();
  JournalDirectory journal = list_journal(files, store.path_);
  require_bound(journal.segments, meta);
  if (meta.mark) {
    store.database_id_ = meta.mark->database_id;
  } else if (!journal.segments.empty()) {
    store.database_id_ = journal.segments.front().binding.database_id;
  } else {
    files.random(store.database_id_.data(), store.database_id_.size());
  }

  Seq covered = meta.mark ? meta.mark->journal_seq : 0;
  store.last_seq_ = covered;
  std::shared_ptr<Memtable> replayed;
  if (!journal.segments.empty() && options.read_only) {
    store.last_seq_ =
        replay_into_memory(files, journal.segments, covered, store.file_->begin_read(), replayed)
            .last_seq;
  } else if (!journal.segments.empty()) {
    store.last_seq_ =
        replay_into_file(files, journal.segments, covered, kSeqMax, store.file_, store.database_id_,
                         WriteTxOptions{}.fill, options.checkpoint_bytes, store.pacer_)
            .last_seq;
  }

  uint64_t next_segment = journal.segments.empty() ? 1 : journal.segments.back().number + 1;
  if (!options.read_only) {
    // Nothing was replayed, because the newest meta covers all; but was that ever synced?
    const bool covers_all = meta.mark && store.last_seq_ == covered;
    if (!journal.segments.empty() && covers_all) store.file_->rewrite_meta();
    remove_journal(files, journal);
    if (!journal.segments.empty()) files.sync_directory(directory_of(store.path_));
  }

  auto view = std::make_shared<View>();
  view->base = store.file_->begin_read();
  store.active_ = std::make_shared<Memtable>();
  view->layers.push_back(store.active_);
  if (replayed != nullptr) view->layers.push_back(replayed);
  store.view_ = std::move(view);
  const Meta& current = store.view_->base->meta();
  store.may_nest_ = !(current.mark && current.mark->is_flat) && store.file_->is_flat() != true;
  if (!options.read_only) {
    // Whoever may open the database may recover it.
    JournalOptions journal_options = options.journal;
    journal_options.mode = store.file_->status().mode;
    store.journal_ =
        std::make_unique<Journal>(files, store.path_, journal_options, store.binding_of(current),
                                  store.last_seq_, next_segment, store, store.latency_);
  }
}

}  // namespace hotbolt
