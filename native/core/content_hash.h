// The canonical dump of a database, hashed: what it says, whatever its pages look like.
//
// Depth first, in byte order of the keys, starting with the content of the root bucket:
//
//   key     'K' u32le(key length) u32le(value length) key value
//   bucket  'B' u32le(name length) u64le(sequence) name, its content, 'E'
#pragma once

#include <string>

#include "core/pacer.h"
#include "core/view.h"

namespace hotbolt {

// SHA-256 of the dump in hexadecimal. On the thread that may read the view's memtables; ends with
// ERR_ABORTED once the pacer is cancelled, and with ERR_CORRUPT when there are more entries than
// fit in the file and the memtables: then buckets lead round in circles, or share their pages.
std::string content_hash(const View& view, Seq seq, Pacer& pacer);

}  // namespace hotbolt
