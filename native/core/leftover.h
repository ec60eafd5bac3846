// What the journal beside a closed database holds, read without opening the database: for whoever
// wants to look before open() merges it, or must look because open() refuses it.
//
// Reading takes the file's shared lock, writes nothing, and needs memory for what the journal holds
// that the page file lacks, as opening read-only does.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/journal_reader.h"

namespace hotbolt {

struct LeftoverTransaction {
  Seq seq = 0;
  std::string body;  // see op.h
};

struct Leftover {
  std::vector<JournalSegment> segments;
  // Whether the segments belong to this state of the file: open() merges them, and refuses others.
  bool is_bound = true;
  // Of the newest transaction that the page file holds; between it and the first of the journal
  // some may be missing, when the file is an older copy of itself. Nothing: it does not say so any
  // more, and some of the transactions may be in it.
  std::optional<Seq> covered;
  std::vector<LeftoverTransaction> transactions;  // newer than that; all that there are without it
};

// The segments beside `journal_path`: the database's own path, or what they were moved to.
// `covered` says what the file had when they were; otherwise the file is asked.
// ERR_LOCKED while somebody writes, ERR_JOURNAL_CORRUPT, and what opening throws.
Leftover read_leftover(FileSystem& files, const std::string& path, const std::string& journal_path,
                       std::optional<Seq> covered);

}  // namespace hotbolt
