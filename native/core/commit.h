// The ordered steps that make a write transaction durable, and nothing else.
//
//   1. flush the sink: all new pages are written into pages that neither committed meta can reach
//   2. sync_data of the file (covers its growth too)
//   3. write the meta page txid mod 2, mark included
//   4. sync_data again: the commit point
//   5. publish the meta in memory; freelist commits
//
// A failure in 1 rolls the transaction back and the file stays usable (no space), unless a
// writeback failed. A failure from 2 on poisons the file.
#pragma once

#include "core/page_file.h"
#include "core/page_sink.h"

namespace hotbolt {

void commit_pages(PageFile& file, PageSink& sink, Meta& meta);

}  // namespace hotbolt
