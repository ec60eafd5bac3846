// When background work sleeps.
#include "core/pacer.h"

#include <algorithm>

namespace hotbolt {
namespace {

constexpr uint64_t kSleepMaxUs = 50'000;
constexpr uint64_t kLatencyNapUs = 2'000;
// A sync may take this many times its idle value before background work waits for it.
constexpr uint64_t kLatencyMultiple = 4;
// An operation that was busy elsewhere may catch up with its rate this long, not for ever.
constexpr uint64_t kBurstMaxUs = 250'000;

}  // namespace

Pacer::Pacer(FileSystem& files, std::shared_ptr<const SyncLatency> latency,
             uint64_t bytes_per_second)
    : files_(files), latency_(std::move(latency)), bytes_per_second_(bytes_per_second) {}

void Pacer::throw_if_cancelled() const {
  if (cancelled_) throw Error(ErrorCode::ERR_ABORTED);
}

void Pacer::moved(uint64_t bytes) {
  throw_if_cancelled();
  if (watcher_) watcher_();
  keep_to_rate(bytes);
  yield_to_syncs();
}

// `due_us_` is when everything moved so far should have been moved.
void Pacer::keep_to_rate(uint64_t bytes) {
  if (bytes_per_second_ == 0) return;
  const uint64_t now = files_.now_us();
  due_us_ = std::max(due_us_, now > kBurstMaxUs ? now - kBurstMaxUs : 0);
  const double cost_us = static_cast<double>(bytes) * 1e6 / static_cast<double>(bytes_per_second_);
  due_us_ += static_cast<uint64_t>(cost_us);
  if (due_us_ > now) sleep(due_us_ - now);
}

// Sleeps while syncs go on and are slow. When no sync was made since the last look, the figure is
// old and nobody waits. Bounded, so that a disk that became slow for good does not stop the work.
void Pacer::yield_to_syncs() {
  if (!latency_) return;
  for (uint64_t slept_us = 0; slept_us < kSleepMaxUs; slept_us += kLatencyNapUs) {
    const uint64_t count = latency_->count;
    const uint64_t idle_us = latency_->idle_us;
    const bool is_slow = idle_us > 0 && latency_->recent_us > kLatencyMultiple * idle_us;
    if (count == seen_count_ || !is_slow || in_hurry_) return;
    seen_count_ = count;
    sleep(kLatencyNapUs);
  }
}

// In slices, so that neither cancelling nor the watcher waits for a long one.
void Pacer::sleep(uint64_t duration_us) {
  while (duration_us > 0) {
    throw_if_cancelled();
    if (watcher_) watcher_();
    const uint64_t slice_us = std::min(duration_us, kSleepMaxUs);
    files_.sleep_us(slice_us);
    duration_us -= slice_us;
  }
}

}  // namespace hotbolt
