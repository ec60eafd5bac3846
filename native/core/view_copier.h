// The bulk copy of a view: what memtables and page file show together at a sequence number, merged
// on the way, in key order. Slower than the copy of a page file alone (bulk_copier.h), which does
// not compare keys.
#pragma once

#include "core/bulk_copier.h"
#include "core/view.h"

namespace hotbolt {

// Writes all of it into `tx`, whose own trees are not looked at; returns the root page. The view's
// memtables are sealed. Work and result are bounded by the sizes of the source, whatever its bytes
// are: else ERR_CORRUPT.
PageId copy_view(const View& view, Seq seq, WriteTx& tx, Pacer& pacer, CopyProgress& progress);

}  // namespace hotbolt
