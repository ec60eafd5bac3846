// See recovery.h.
#include "core/recovery.h"

#include <algorithm>

#include "core/journal_segments.h"
#include "core/replayer.h"
#include "core/temp_file.h"

namespace hotbolt {

namespace {

constexpr std::string_view kDefragInfix = "-defrag-";
constexpr std::string_view kCreateInfix = "-create-";  // see PageFile::create
constexpr size_t kRandomDigits = 32;
// What a leftover journal may take in memory, if it is not more than four memtables. It takes about
// twice its size there when its records are small.
constexpr uint64_t kReplayedBytesMin = 256 << 20;

// The random digits of its name are the proof that it is ours: what a crash leaves of its content
// may be anything.
void remove_temporary(FileSystem& files, const std::string& path) {
  const std::optional<FileStatus> status = files.link_status(path);
  if (status && status->is_regular) files.remove(path);
}

void remove_stale_temporaries(FileSystem& files, const std::string& path) {
  std::string directory = directory_of(path);
  bool has_temps = false;  // of streams of backups
  for (const std::string& name : files.list(directory)) {
    if (is_temporary_name(name_of(path), name)) remove_temporary(files, directory + "/" + name);
    has_temps = has_temps || is_temp_name(name_of(path), name);
  }
  if (has_temps) remove_stale_temps(files, path, nullptr);
}

// Whether the journal holds no transaction after `last`.
bool ends_by(FileSystem& files, const std::vector<JournalSegment>& segments, Seq last) {
  const JournalEnd end = read_journal(files, segments, last, kSeqMax, [](Seq, Bytes) {});
  return end.last_seq == last;
}

void require_bound(FileSystem& files, const std::vector<JournalSegment>& segments, const Meta& meta,
                   const std::string& database_path) {
  if (is_bound(files, segments, meta)) return;
  const std::string& path = segments.front().path;
  throw Error(ErrorCode::ERR_JOURNAL_STALE,
              "the journal " + path +
                  " is refused: somebody has written to the database since, or to a copy that is "
                  "in its place now, or it belongs to another database" +
                  recovery_advice(database_path))
      .with_path(path);
}

void require_ours(const JournalDirectory& journal) {
  if (journal.foreign.empty()) return;
  const std::string& path = journal.foreign.front();
  throw Error(ErrorCode::ERR_EXISTS,
              path +
                  " has the name of a segment of the database's journal but is none, or is "
                  "damaged: it is left as it is. Move it away to open the database")
      .with_path(path);
}

Seq covered_by(const Meta& meta) { return meta.mark ? meta.mark->journal_seq : 0; }

// Writes bytes again that the cache may have, and the disk may have not.
void rewrite(File& file, uint64_t from, uint64_t to) {
  constexpr uint64_t kPieceSize = 1 << 20;
  std::string piece;
  for (uint64_t at = from; at < to; at += kPieceSize) {
    piece.resize(std::min(kPieceSize, to - at));
    piece.resize(file.read(at, piece.data(), piece.size()));
    file.write(at, piece);
  }
}

// The segments of the chain, ready to be followed by a new epoch. See journal_reader.h, rule 5.
std::vector<std::shared_ptr<Segment>> keep_segments(FileSystem& files,
                                                    const std::vector<JournalSegment>& segments,
                                                    const JournalEnd& end) {
  std::vector<std::shared_ptr<Segment>> kept;
  Seq last_seq = 0;
  for (size_t i = 0; i < end.ends.size() && last_seq < end.last_seq; i++) {
    const uint64_t end_offset = end.ends[i].offset;
    last_seq = std::max(last_seq, end.ends[i].last_seq);
    auto segment = std::make_shared<Segment>();
    segment->path = segments[i].path;
    segment->number = segments[i].number;
    segment->used = end_offset;
    segment->last_seq = last_seq;
    segment->epoch = segments[i].epoch;
    segment->file = files.open(segment->path, {.write = true, .no_follow = true});
    if (i >= end.unsynced_segment) {
      const bool has_header = i > end.unsynced_segment || end.unsynced_offset == kSegmentBlockSize;
      rewrite(*segment->file, has_header ? 0 : end.unsynced_offset, end_offset);
      if (last_seq == end.last_seq) segment->file->resize(end_offset);
      segment->file->sync_all();
    }
    segment->size = segment->ready = segment->file->status().size_bytes;
    kept.push_back(std::move(segment));
  }
  return kept;
}

}  // namespace

bool is_bound(FileSystem& files, const std::vector<JournalSegment>& segments, const Meta& meta) {
  const auto all = [&](auto&& holds) { return std::ranges::all_of(segments, holds); };
  if (!meta.mark) {
    return all([&](const JournalSegment& segment) {
      return segment.binding.base_txid == value(meta.txid) &&
             segment.binding.base_checksum == meta.checksum;
    });
  }
  const Mark& mark = *meta.mark;
  const bool is_same_database = all([&](const JournalSegment& segment) {
    return segment.binding.database_id == mark.database_id;
  });
  if (segments.empty() || !is_same_database) return is_same_database;
  const auto is_of_epoch = [&](const JournalSegment& segment) {
    return segment.epoch == mark.epoch;
  };
  const JournalSegment& first = segments.front();
  if (std::ranges::any_of(segments, is_of_epoch)) return true;
  // It begins after what the file holds. Where there is a gap, reading says whether that is a loss.
  if (first.binding.origin_epoch == mark.epoch && first.first_seq > mark.journal_seq) return true;
  return segments.back().epoch == mark.origin_epoch && ends_by(files, segments, mark.origin_seq);
}

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

JournalStart Recovery::continue_journal(Store& store, JournalDirectory journal,
                                        const JournalEnd& end) {
  FileSystem& files = store.files_;
  JournalStart start{.last_seq = store.last_seq_, .first_segment = journal.last_number + 1};
  const Meta meta = store.file_->meta();
  const bool was_closed = meta.freelist_stored() && journal.last_number == 0;
  if (!was_closed && meta.mark) store.file_->rewrite_meta();
  if (store.last_seq_ > covered_by(meta)) {
    start.chain = end.chain;
    start.earlier = keep_segments(files, journal.segments, end);
    journal.segments.erase(journal.segments.begin(),
                           journal.segments.begin() + ptrdiff_t(start.earlier.size()));
  }
  remove_journal(files, journal);
  // What the epoch before has removed is gone for good, too: journal_reader.h, rule 6.
  if (!was_closed) files.sync_directory(directory_of(store.path_));
  begin_epoch(store, start);
  return start;
}

void Recovery::begin_epoch(Store& store, JournalStart& start) {
  const std::optional<Mark> mark = store.file_->meta().mark;
  History& history = store.history_;
  history.origin_seq = store.last_seq_;
  history.origin_epoch = !start.earlier.empty() ? start.earlier.back()->epoch
                         : mark                 ? mark->epoch
                                                : 0;
  while (history.epoch == 0) store.files_.random(&history.epoch, sizeof history.epoch);
  start.epoch = history.epoch;
}

void Recovery::open_file(Store& store) {
  const StoreOptions& options = store.options_;
  FileSystem& files = store.files_;
  store.file_ = PageFile::open(files, store.path_,
                               {.read_only = options.read_only,
                                .lock_timeout_us = options.lock_timeout_us,
                                .cancelled = options.cancelled});
  if (options.read_only) return;
  files.require_writable(directory_of(store.path_));
  remove_stale_temporaries(files, store.path_);
}

JournalDirectory Recovery::find_journal(Store& store) {
  const Meta meta = store.file_->meta();
  JournalDirectory journal = list_journal(store.files_, store.path_);
  require_ours(journal);
  require_bound(store.files_, journal.segments, meta, store.path_);
  DatabaseId& id = store.history_.database_id;
  if (meta.mark) {
    id = meta.mark->database_id;
  } else if (!journal.segments.empty()) {
    id = journal.segments.front().binding.database_id;
  } else {
    store.files_.random(id.data(), id.size());
  }
  return journal;
}

JournalEnd Recovery::read(Store& store, const JournalDirectory& journal, View& view) {
  const StoreOptions& options = store.options_;
  JournalEnd end;
  end.last_seq = covered_by(store.file_->meta());
  if (journal.segments.empty()) return end;
  ReplayBounds bounds{.chunk_bytes = options.checkpoint_bytes};
  if (!options.read_only)
    bounds.bytes_max = std::max(kReplayedBytesMin, 4 * options.checkpoint_bytes);
  return replay_into_memory(store.files_, journal.segments, end.last_seq, store.file_,
                            store.history_.database_id, bounds, store.pacer_, view.layers);
}

void Recovery::begin_journal(Store& store, JournalStart start) {
  const bool continues = !start.earlier.empty();
  JournalOptions options = store.options_.journal;
  options.like = store.file_->status();  // whoever may open the database may recover it
  store.journal_ = std::make_unique<Journal>(store.files_, store.path_, options,
                                             store.binding_of(store.view_->base->meta()),
                                             std::move(start), store, store.latency_);
  // On a full disk there is none but what recovery has just given back.
  if (continues) store.journal_->take_reserve();
}

void Recovery::run(Store& store) {
  open_file(store);
  const JournalDirectory journal = find_journal(store);
  auto view = std::make_shared<View>();
  const JournalEnd end = read(store, journal, *view);
  store.last_seq_ = end.last_seq;
  std::optional<JournalStart> start;
  if (!store.options_.read_only) start = continue_journal(store, journal, end);

  store.active_ = std::make_shared<Memtable>();
  view->layers.insert(view->layers.begin(), store.active_);
  view->base = store.file_->begin_read();
  store.view_ = std::move(view);
  store.update_backlog();
  store.forget_nesting();
  if (start) begin_journal(store, std::move(*start));
}

}  // namespace hotbolt
