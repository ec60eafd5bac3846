// See leftover.h.
#include "core/leftover.h"

#include "core/page_file.h"
#include "core/recovery.h"

namespace hotbolt {

namespace {

// A program that commits once leaves the meta of our last commit beside its own.
std::optional<Seq> covered_by(FileSystem& files, const PageFile& file,
                              const std::vector<JournalSegment>& segments) {
  for (const std::optional<Meta>& meta : {std::optional(file.meta()), file.previous_meta()}) {
    if (meta && is_bound(files, segments, *meta)) return meta->mark ? meta->mark->journal_seq : 0;
  }
  return {};
}

// Of the transactions after `after`.
void read_transactions(FileSystem& files, Leftover& leftover, Seq after) {
  leftover.transactions.clear();
  read_journal(files, leftover.segments, after, kSeqMax, [&](Seq seq, Bytes body) {
    leftover.transactions.push_back({seq, std::string(body)});
  });
}

}  // namespace

Leftover read_leftover(FileSystem& files, const std::string& path, const std::string& journal_path,
                       std::optional<Seq> covered) {
  PageFileOptions options;
  options.read_only = true;
  const auto file = PageFile::open(files, path, options);
  Leftover leftover;
  leftover.segments = list_journal(files, journal_path).segments;
  if (leftover.segments.empty()) return leftover;
  leftover.is_bound = is_bound(files, leftover.segments, file->meta());
  leftover.covered = covered ? covered : covered_by(files, *file, leftover.segments);
  const Seq oldest = leftover.segments.front().first_seq - 1;
  try {
    read_transactions(files, leftover, leftover.covered.value_or(oldest));
  } catch (const Error& error) {
    // The file is an older copy of itself, and the journal begins later.
    if (error.code() != ErrorCode::ERR_JOURNAL_STALE || !leftover.covered) throw;
    leftover.is_bound = false;
    read_transactions(files, leftover, oldest);
  }
  return leftover;
}

}  // namespace hotbolt
