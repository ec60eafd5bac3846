// Replays a journal: journal_reader -> memtables, which recovery serves, and which are merged into
// a page file (by write transactions) as soon as they take more memory than they may. For a
// defragmentation whose backlog outgrew the memory it may keep, each is merged at once. Any one
// thread.
#pragma once

#include "core/journal_reader.h"
#include "core/tx.h"
#include "core/view.h"

namespace hotbolt {

struct ReplayResult {
  Seq last_seq = 0;
  uint64_t transactions = 0;
  uint64_t bytes = 0;  // of journal frames
};

// Applies the transactions (covered, until] to `file`, which holds everything up to `covered`.
ReplayResult replay_into_file(FileSystem& files, const std::vector<JournalSegment>& segments,
                              Seq covered, Seq until, std::shared_ptr<PageFile> file,
                              const History& history, double fill, size_t chunk_bytes,
                              Pacer& pacer);

// What is replayed into memory: sealed memtables of about `chunk_bytes`. When they exceed
// `bytes_max` they are merged into the file, as long as that has space.
struct ReplayBounds {
  size_t chunk_bytes = 32 << 20;
  size_t bytes_max = ~size_t{0};
};

// Everything newer than what `file` covers. `memtables` are newest first, over the newest state of
// `file`; the newest of them ends with the journal.
JournalEnd replay_into_memory(FileSystem& files, const std::vector<JournalSegment>& segments,
                              Seq covered, std::shared_ptr<PageFile> file, DatabaseId id,
                              ReplayBounds bounds, Pacer& pacer,
                              std::vector<std::shared_ptr<const Memtable>>& memtables);

}  // namespace hotbolt
