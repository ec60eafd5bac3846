// Bookkeeping of open readers.
#include "core/readers.h"

namespace hotbolt {

void Readers::add(TxId txid) {
  std::lock_guard lock(mutex_);
  open_[txid]++;
}

void Readers::remove(TxId txid) noexcept {
  std::lock_guard lock(mutex_);
  const auto found = open_.find(txid);
  if (found != open_.end() && --found->second == 0) open_.erase(found);
}

size_t Readers::count() const {
  std::lock_guard lock(mutex_);
  size_t total = 0;
  for (const auto& [txid, count] : open_) total += count;
  return total;
}

std::vector<TxId> Readers::distinct() const {
  std::lock_guard lock(mutex_);
  std::vector<TxId> txids;
  txids.reserve(open_.size());
  for (const auto& [txid, count] : open_) txids.push_back(txid);
  return txids;
}

}  // namespace hotbolt
