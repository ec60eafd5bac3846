// The cold half of PageView: what is wrong with a page, in words.
#include "core/page.h"

namespace hotbolt {

void throw_corrupt(PageId page, const std::string& reason) {
  std::string message = "page " + std::to_string(value(page)) + " is damaged: " + reason;
  throw Error(ErrorCode::ERR_CORRUPT, std::move(message)).with_page(value(page));
}

void PageView::corrupt(const char* reason) const { throw_corrupt(id_, reason); }

void PageView::throw_bad_header() const {
  if (run_.size() < kPageHeaderSize) corrupt("it is shorter than a page header");
  const PageHeader header = load_page_header(run_.data());
  if (header.flags != kLeafFlag && header.flags != kBranchFlag) {
    throw_corrupt(id_, "flags " + std::to_string(header.flags) + " are neither branch nor leaf");
  }
  if (header.flags == kBranchFlag && header.count == 0) corrupt("a branch without children");
  throw_corrupt(id_, std::to_string(header.count) + " elements do not fit");
}

}  // namespace hotbolt
