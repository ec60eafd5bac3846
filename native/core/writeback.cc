// See writeback.h.
#include "core/writeback.h"

#include <algorithm>

namespace hotbolt {

uint64_t WritebackWindow::wrote(uint64_t offset, uint64_t bytes) {
  if (written_.bytes == 0) written_ = {offset, offset, 0};
  written_.begin = std::min(written_.begin, offset);
  written_.end = std::max(written_.end, offset + bytes);
  written_.bytes += bytes;
  if (written_.bytes < kWritePieceBytes) return 0;
  const Extent extent = written_;
  written_ = {};
  started_.push_back(extent);
  file_.start_writeback(extent.begin, extent.end - extent.begin);
  if (started_.size() > kPiecesMax) {
    const Extent oldest = started_.front();
    started_.pop_front();
    file_.wait_writeback(oldest.begin, oldest.end - oldest.begin);
  }
  return extent.bytes;
}

}  // namespace hotbolt
