// See replayer.h.
#include "core/replayer.h"

#include <map>

#include "core/memtable_writer.h"

namespace hotbolt {

namespace {

[[noreturn]] void throw_does_not_fit(Seq seq, const Error& error) {
  throw Error(ErrorCode::ERR_JOURNAL_CORRUPT,
              "transaction " + std::to_string(seq) +
                  " of the journal does not fit the file: " + error.what());
}

bool is_of_key(const Op& op) { return op.kind == OpKind::kPut || op.kind == OpKind::kRemove; }

// The memtable that is being filled, over those that are full and the page file.
//
// A journal was proven when it was written, so a transaction that does not apply means damage. It
// is proven again, since the checksums of a frame can be right and its operations wrong. But where
// no bucket holds a bucket, a key cannot be one, and only its bucket has to be looked up.
class Filling {
 public:
  explicit Filling(std::shared_ptr<PageFile> file) : file_(std::move(file)) {
    const std::optional<Mark> mark = file_->meta().mark;
    may_nest_ = !(mark && mark->is_flat) && file_->is_flat() != true;
    begin({});
  }
  void apply(Seq seq, Bytes body) {
    memtable_->note_journaled(frame_size(body.size()));
    OpReader reader(body);
    Op op;
    while (reader.next(op)) {
      try {
        apply(op, seq);
      } catch (const Error& error) {
        if (!does_not_apply(error)) throw;
        throw_does_not_fit(seq, error);
      }
    }
  }
  size_t bytes() const { return memtable_->bytes(); }
  // Ends with `last_seq`, and begins another over all that are full.
  void seal(Seq last_seq) {
    memtable_->seal(last_seq);
    full_.insert(full_.begin(), memtable_);
    begin(full_);
  }
  void merge(Seq last_seq, const History& history, double fill, Pacer& pacer) {
    WriteTx tx(file_, pacer, {.fill = fill});
    std::vector<const Memtable*> memtables;
    for (const auto& memtable : full_) memtables.push_back(memtable.get());
    tx.apply(memtables);
    tx.commit(history.mark_at(last_seq));
    full_.clear();
    begin({});
  }
  const std::vector<std::shared_ptr<const Memtable>>& full() const { return full_; }

 private:
  // A bucket whose keys are written: good until any bucket is made, deleted or touched first.
  struct KnownBucket {
    BucketView bucket;
    BucketTable* table;
  };

  void begin(std::vector<std::shared_ptr<const Memtable>> older) {
    known_.clear();
    memtable_ = std::make_shared<Memtable>();
    older.insert(older.begin(), memtable_);
    view_ = {std::move(older), file_->begin_read()};
  }
  void apply(const Op& op, Seq seq) {
    const bool makes_bucket = op.kind == OpKind::kCreateBucket;
    if (op.path->size() + makes_bucket > 1) may_nest_ = true;
    if (!is_of_key(op)) return apply_to_any(op, seq);
    const auto known = known_.find(*op.path);
    if (known == known_.end()) return apply_to_any(op, seq);
    const auto& [bucket, table] = known->second;
    if (may_nest_) require_no_bucket(bucket, op.key);
    if (op.kind == OpKind::kPut) {
      memtable_->put(*table, op.key, op.value, seq, 0);
    } else {
      memtable_->remove(*table, op.key, seq, 0);
    }
  }
  void apply_to_any(const Op& op, Seq seq) {
    bool changed = false;
    MemtableWriter writer(view_, *memtable_);
    writer.apply(op, seq, 0, true, changed);
    if (changed) known_.clear();
    if (!is_of_key(op) || op.path->empty()) return;
    if (BucketTable* const table = writer.table(*op.path, false, seq, changed))
      known_.insert({*op.path, {ViewAt{view_}.bucket(*op.path), table}});
  }

  const std::shared_ptr<PageFile> file_;
  std::vector<std::shared_ptr<const Memtable>> full_;  // newest first
  std::shared_ptr<Memtable> memtable_;
  View view_;
  bool may_nest_ = true;
  std::map<BucketPath, KnownBucket> known_;
};

// Of the last frame.
uint32_t newest_epoch(FileSystem& files, const std::vector<JournalSegment>& segments, Seq covered) {
  const JournalEnd end = read_journal(files, segments, covered, kSeqMax, [](Seq, Bytes) {});
  size_t i = end.ends.size() - 1;
  while (i > 0 && end.ends[i].last_seq == 0) i--;
  return segments[i].epoch;
}

uint64_t bytes_of(const std::vector<std::shared_ptr<const Memtable>>& memtables) {
  uint64_t bytes = 0;
  for (const auto& memtable : memtables) bytes += memtable->bytes();
  return bytes;
}

}  // namespace

ReplayResult replay_into_file(FileSystem& files, const std::vector<JournalSegment>& segments,
                              Seq covered, Seq until, std::shared_ptr<PageFile> file,
                              const History& history, double fill, size_t chunk_bytes,
                              Pacer& pacer) {
  Seq committed = covered;
  Filling filling(file);
  const auto commit = [&](Seq seq) {
    filling.seal(seq);
    filling.merge(seq, history, fill, pacer);
    committed = seq;
  };
  const JournalEnd end = read_journal(files, segments, covered, until, [&](Seq seq, Bytes body) {
    filling.apply(seq, body);
    if (filling.bytes() >= chunk_bytes) commit(seq);
  });
  // Even when the last transactions changed nothing: the mark must say that they are covered.
  if (committed < end.last_seq) commit(end.last_seq);
  return {.last_seq = end.last_seq, .transactions = end.frames, .bytes = end.bytes};
}

JournalEnd replay_into_memory(FileSystem& files, const std::vector<JournalSegment>& segments,
                              Seq covered, std::shared_ptr<PageFile> file, DatabaseId id,
                              ReplayBounds bounds, Pacer& pacer,
                              std::vector<std::shared_ptr<const Memtable>>& memtables) {
  Seq sealed = covered;
  bool is_full = false;
  std::optional<History> history;  // of what is merged on the way
  Filling filling(file);
  JournalEnd end = read_journal(files, segments, covered, kSeqMax, [&](Seq seq, Bytes body) {
    filling.apply(seq, body);
    if (filling.bytes() < bounds.chunk_bytes) return;
    filling.seal(seq);
    sealed = seq;
    if (is_full || bytes_of(filling.full()) <= bounds.bytes_max) return;
    try {
      if (!history) history = {.database_id = id, .epoch = newest_epoch(files, segments, covered)};
      filling.merge(seq, *history, WriteTxOptions{}.fill, pacer);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::ERR_NO_SPACE || file->poisoned()) throw;
      is_full = true;
    }
  });
  // Even when the last transactions changed nothing: their numbers are taken.
  if (sealed < end.last_seq) filling.seal(end.last_seq);
  memtables = filling.full();
  return end;
}

}  // namespace hotbolt
