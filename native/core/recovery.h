// What happens at open before the owner gets the store: create, lock, find the journal, prove that
// it belongs to this state of the file, replay it, remove what a crash left behind. Blocking; on a
// worker.
//
//   1. create the file if it is missing and that was asked for (page_file: complete or not at all)
//   2. open and lock it
//   3. remove temporary files that a crash left (never adopt them); those of backups only when nobody
//      has them locked
//   4. segments beside the file: all must be bound to it, or it is ERR_JOURNAL_STALE. Bound means:
//      there is no mark and they were begun over exactly this meta; or our mark is in the newest
//      meta, has their database id, and names the epoch of one of them, or the epoch that they
//      continue and no transaction of theirs. Or they hold only what the file's own epoch continued.
//      What has a segment's name and is none is refused (ERR_EXISTS), and never touched.
//   5. read what is newer than the mark's sequence number into memtables, which are served and merged
//      by the checkpoints that follow. Only a journal larger than it may be is merged on the way.
//   6. write and sync the newest meta again, unless the file was closed: the sync that failed may have
//      been its own, and what begins now would follow from what no disk has. If it
//      covers everything, the segments are removed; else the journal goes on where they end
//      (journal_reader.h, rule 5), and checkpoints remove them as they cover them. So nothing of
//      this takes space, and a crash at any point repeats it.
#pragma once

#include "core/journal_reader.h"
#include "core/store.h"

namespace hotbolt {

struct Recovery {
  // Fills in file, ids, journal, first view of a store that was just made.
  static void run(Store& store);

 private:
  static void open_file(Store& store);                                                // 2 and 3
  static JournalDirectory find_journal(Store& store);                                 // 4
  static JournalEnd read(Store& store, const JournalDirectory& journal, View& view);  // 5
  static JournalStart continue_journal(Store& store, JournalDirectory journal,
                                       const JournalEnd& end);  // 6
  static void begin_epoch(Store& store, JournalStart& start);
  static void begin_journal(Store& store, JournalStart start);
};

// Whether the segments of a journal were written over this state of the file (4 above).
bool is_bound(FileSystem& files, const std::vector<JournalSegment>& segments, const Meta& meta);

// A new name for the file of a defragmentation: "<path>-defrag-<32 hex digits>".
std::string defrag_path(FileSystem& files, const std::string& path);
// Whether a file of this name beside the database is what a crash left of a defragmentation or a
// creation.
bool is_temporary_name(const std::string& database_name, const std::string& name);

}  // namespace hotbolt
