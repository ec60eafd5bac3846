// Mappings that survive the loss of what they map.
//
// Reading a mapped page that the file does not have any more, or that the disk cannot deliver, is a
// SIGBUS, which ends a process. Here it is not: one handler for the process looks for the mapping
// around the address, marks it damaged, puts a page of zeros in the place of the missing one, and
// lets the read go on. No jump over frames, so nothing leaks; and a read costs nothing more than
// the question afterwards (Mapping::damaged). Wayland's servers guard the memory that their clients
// share with them in the same way (wl_shm_buffer_begin_access).
//
// A SIGBUS that is about something else goes to whatever handled it before. Somebody may put
// another handler in the place of ours (libuv does for `process.on('SIGBUS')`), which returns, so
// that the read would fail again for ever. So ours is put on top again with each mapping, and by
// guard_mappings(): what comes in between and is not followed by either is not ours to survive.
#pragma once

#include "core/file.h"

namespace hotbolt {

// Owns `data`, a page-aligned mapping of `size` bytes.
class GuardedMapping final : public Mapping {
 public:
  GuardedMapping(char* data, uint64_t size);
  ~GuardedMapping() override;

  // In the signal handler: zeros in the place of the page around `address`, which is inside. False
  // if the system has no page for that.
  bool cover(const char* address) noexcept;

 private:
  char* const begin_;
};

}  // namespace hotbolt
