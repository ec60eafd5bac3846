// The commit sequence. See commit.h.
#include "core/commit.h"

namespace hotbolt {

void commit_pages(PageFile& file, PageSink& sink, Meta& meta) {
  sink.flush();
  const std::string page = encode_meta_page(meta);
  // From here on nobody knows what the disk holds when a call fails: the kernel drops pages that it
  // could not write, and a second sync would succeed without them.
  try {
    file.file().sync_data();
    file.write(PageId{value(meta.txid) % 2}, page);
    file.file().sync_data();
    file.freelist().commit();
    file.publish(meta);
  } catch (...) {
    file.poison(current_error());
    throw;
  }
}

}  // namespace hotbolt
