// See snapshot.h.
#include "core/snapshot.h"

#include <atomic>

#include "core/store.h"

namespace hotbolt {

uint64_t new_reader_id() noexcept {
  static std::atomic<uint64_t> next{1};
  return next++;
}

Snapshot::Snapshot(std::shared_ptr<Store> store, std::shared_ptr<const View> view, Seq seq,
                   uint64_t id)
    : store_(std::move(store)), view_(std::move(view)), seq_(seq), id_(id) {}

void Snapshot::close() noexcept {
  if (closed()) return;
  store_->forget(*this);
  std::shared_ptr<const View> view = std::move(view_);
  view_ = nullptr;
  if (view != store_->view()) store_->discard(std::move(view));
}

const View& Snapshot::view() const {
  if (closed()) throw Error(ErrorCode::ERR_CLOSED, "the snapshot is closed");
  return *view_;
}

const BucketView& Snapshot::resolve(BucketRef& ref) const {
  const View& state = view();
  if (ref.reader_id != id_) {
    ref.bucket = BucketView::at(state, seq_, ref.path);
    ref.reader_id = id_;
    ref.reader_version = 0;
  }
  return ref.bucket;
}

}  // namespace hotbolt
