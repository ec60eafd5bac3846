// Any bytes as a database: opening and checking them ends, in both modes alike, and changes
// nothing.
#include "target.h"

namespace hotbolt::fuzz {

void open_check(Bytes input) {
  MemoryFiles files;
  files.put(kPath, input);
  bool opened[2] = {};
  CheckReport reports[2];
  for (const bool read_only : {true, false}) {
    std::shared_ptr<Store> store;
    attempt([&] { store = open_store(files, read_only); });
    if (store == nullptr) continue;
    opened[read_only] = true;
    // Damage is reported, never thrown.
    reports[read_only] = check_store(*store);
    const CheckReport& report = reports[read_only];
    require(report.page_count <= input.size() / kPageSizeMin, "more pages than the file has");
    require(report.reachable_pages + report.free_pages <= report.page_count, "pages count twice");
    require(!report.ok() || report.reachable_pages + report.free_pages == report.page_count,
            "a sound file has pages that are neither reachable nor free");
    close_unwritten(store);
  }
  require(opened[0] == opened[1], "what opens depends on the mode");
  require(reports[0].issue_count == reports[1].issue_count, "issues depend on the mode");
  require(files.contents(kPath) == input, "opening and closing changed the file");
}

}  // namespace hotbolt::fuzz
