// What happens at open before the owner gets the store: create, lock, find the journal, prove that
// it belongs to this state of the file, replay it, remove what a crash left behind. Blocking; on a
// worker.
//
//   1. create the file if it is missing and that was asked for (page_file: complete or not at all)
//   2. open and lock it
//   3. remove temporary files that a crash left (never adopt them); those of backups only when nobody
//      has them locked
//   4. segments beside the file: all must be bound to it. Bound means: our mark is in the newest
//      meta and has the journal's database id; or there is no mark and the segment was begun over
//      exactly this meta. Else ERR_JOURNAL_STALE.
//   5. replay what is newer than the mark's sequence number into the page file (read-only: into
//      memory)
//   6. remove the segments, only after 5 is committed; a crash in between repeats 4 and 5 and
//      changes nothing. If there was nothing to replay, the meta that says so is written and synced
//      again before: the sync that failed may have been its own
#pragma once

#include "core/store.h"

namespace hotbolt {

struct Recovery {
  // Fills in file, ids, journal, first view of a store that was just made.
  static void run(Store& store);
};

// A new name for the file of a defragmentation: "<path>-defrag-<32 hex digits>".
std::string defrag_path(FileSystem& files, const std::string& path);
// Whether a file of this name beside the database is what a crash left of a defragmentation or a
// creation.
bool is_temporary_name(const std::string& database_name, const std::string& name);

}  // namespace hotbolt
