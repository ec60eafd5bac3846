// See state_reader.h.
#include "core/state_reader.h"

#include "core/content_hash.h"

namespace hotbolt {

StateReader::StateReader(Snapshot& snapshot, uint64_t bytes_per_second)
    : store_(snapshot.store().shared_from_this()),
      seq_(snapshot.seq()),
      state_(store_->settled_state(snapshot)),
      pacer_(store_->files(), store_->latency(), bytes_per_second) {
  store_->add_client(this);
}

StateReader::~StateReader() {
  worker_.stop();
  release();
  store_->remove_client(this);
}

void StateReader::begin() {
  if (begun_) throw Error(ErrorCode::ERR_INVALID_ARGUMENT, "it runs once");
  if (state_ == nullptr) throw Error(ErrorCode::ERR_CLOSED);
  begun_ = true;
}

void StateReader::end() noexcept {
  pacer_.cancel();
  if (!begun_) release();
}

void StateReader::halt() noexcept {
  pacer_.cancel();
  worker_.stop();
}

void StateReader::release() noexcept {
  if (state_ != nullptr) store_->discard(std::move(state_));
  state_ = nullptr;
}

std::string Survey::hash() {
  return read_and_release([&] { return content_hash(*state_, seq_, pacer_); });
}

uint64_t Survey::count(const BucketPath& bucket, const Bounds& bounds) {
  constexpr uint64_t kKeysAtOnce = 10'000;
  return read_and_release([&] {
    const BucketView view = BucketView::at(*state_, seq_, bucket);
    MergedCursor cursor(view, bounds, false);
    uint64_t keys = 0;
    while (cursor.valid()) {
      keys += cursor.count_keys(kKeysAtOnce);
      pacer_.throw_if_cancelled();
    }
    view.require_intact();
    return keys;
  });
}

}  // namespace hotbolt
