// Replays a journal into a page file: journal_reader -> memtables -> write transactions. Bounded
// memory: whenever the memtable reaches `chunk_bytes` it is merged and committed. Used by recovery
// at open, and by a defragmentation whose backlog outgrew the memory it may keep. Any one thread.
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
                              Seq covered, Seq until, std::shared_ptr<PageFile> file, DatabaseId id,
                              double fill, size_t chunk_bytes, Pacer& pacer);

// The same into one memtable over `base`, for a read-only open. Unbounded.
ReplayResult replay_into_memory(FileSystem& files, const std::vector<JournalSegment>& segments,
                                Seq covered, std::shared_ptr<const ReadTx> base,
                                std::shared_ptr<Memtable>& memtable);

}  // namespace hotbolt
