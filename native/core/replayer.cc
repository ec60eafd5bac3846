// See replayer.h.
#include "core/replayer.h"

#include "core/memtable_writer.h"

namespace hotbolt {

namespace {

// A journal was proven when it was written, so a transaction that does not apply means damage. It
// is proven again, since the checksums of a frame can be right and its operations wrong.
void apply_transaction(const View& view, Memtable& memtable, Seq seq, Bytes body) {
  OpReader reader(body);
  MemtableWriter writer(view, memtable);
  Op op;
  bool changed = false;
  while (reader.next(op)) {
    try {
      writer.apply(op, seq, 0, true, changed);
    } catch (const Error& error) {
      if (!does_not_apply(error)) throw;
      throw Error(ErrorCode::ERR_JOURNAL_CORRUPT,
                  "transaction " + std::to_string(seq) +
                      " of the journal does not fit the file: " + error.what());
    }
  }
}

struct Chunk {
  std::shared_ptr<Memtable> memtable = std::make_shared<Memtable>();
  View view;
  explicit Chunk(std::shared_ptr<const ReadTx> base) : view{{memtable}, std::move(base)} {}
};

void commit_chunk(Chunk& chunk, Seq last_seq, const std::shared_ptr<PageFile>& file, DatabaseId id,
                  double fill, Pacer& pacer) {
  chunk.memtable->seal(last_seq);
  WriteTx tx(file, pacer, {.fill = fill});
  tx.apply({chunk.memtable.get()});
  tx.commit({.database_id = id, .journal_seq = last_seq});
}

}  // namespace

ReplayResult replay_into_file(FileSystem& files, const std::vector<JournalSegment>& segments,
                              Seq covered, Seq until, std::shared_ptr<PageFile> file, DatabaseId id,
                              double fill, size_t chunk_bytes, Pacer& pacer) {
  ReplayResult result{.last_seq = covered};
  Seq committed = covered;
  auto chunk = std::make_unique<Chunk>(file->begin_read());
  JournalEnd end = read_journal(files, segments, covered, until, [&](Seq seq, Bytes body) {
    apply_transaction(chunk->view, *chunk->memtable, seq, body);
    result.last_seq = seq;
    if (chunk->memtable->bytes() < chunk_bytes) return;
    commit_chunk(*chunk, seq, file, id, fill, pacer);
    committed = seq;
    chunk = std::make_unique<Chunk>(file->begin_read());
  });
  // Even when the last transactions changed nothing: the mark must say that they are covered.
  if (committed < result.last_seq) commit_chunk(*chunk, result.last_seq, file, id, fill, pacer);
  result.transactions = end.frames;
  result.bytes = end.bytes;
  return result;
}

ReplayResult replay_into_memory(FileSystem& files, const std::vector<JournalSegment>& segments,
                                Seq covered, std::shared_ptr<const ReadTx> base,
                                std::shared_ptr<Memtable>& memtable) {
  Chunk chunk(std::move(base));
  ReplayResult result{.last_seq = covered};
  JournalEnd end = read_journal(files, segments, covered, kSeqMax, [&](Seq seq, Bytes body) {
    apply_transaction(chunk.view, *chunk.memtable, seq, body);
    result.last_seq = seq;
  });
  chunk.memtable->seal(result.last_seq);
  memtable = chunk.memtable;
  result.transactions = end.frames;
  result.bytes = end.bytes;
  return result;
}

}  // namespace hotbolt
