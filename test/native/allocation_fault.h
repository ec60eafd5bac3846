// The operators new of this executable, which fail on demand, and whose memory is full of a canary.
// Counted are the allocations of the engine: on the test's own thread those inside its calls
// (EngineScope), on its background threads all of them.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace hotbolt::testing {

inline constexpr char kCanary = '\xDB';

// Whether this thread runs the engine, not the test or the file system under it: there alone
// allocations are made to fail. Background threads are the engine's.
inline thread_local bool in_engine = true;

class EngineScope {
 public:
  explicit EngineScope(bool enters) : before_(std::exchange(in_engine, enters)) {}
  ~EngineScope() { in_engine = before_; }
  EngineScope(const EngineScope&) = delete;
  EngineScope& operator=(const EngineScope&) = delete;

 private:
  const bool before_;
};

struct AllocationFault {
  std::atomic<bool> armed{false};
  std::atomic<uint64_t> n{0};  // the allocation that fails first
  std::atomic<bool> persistent{false};
  std::atomic<uint64_t> counted{0};
  std::atomic<uint64_t> failed{0};

  void arm(uint64_t first, bool for_good) {
    n = first;
    persistent = for_good;
    counted = failed = 0;
    armed = true;
  }
};

AllocationFault& allocation_fault() noexcept;

}  // namespace hotbolt::testing
