// The transaction ids that open readers look at. A page allocated by transaction a and freed by
// transaction f is needed by the readers r with a <= r < f. Any thread.
#pragma once

#include <map>
#include <mutex>
#include <vector>

#include "core/page.h"

namespace hotbolt {

class Readers {
 public:
  void add(TxId txid);
  void remove(TxId txid) noexcept;
  size_t count() const;
  std::vector<TxId> distinct() const;  // ascending

 private:
  mutable std::mutex mutex_;
  std::map<TxId, size_t> open_;
};

}  // namespace hotbolt
