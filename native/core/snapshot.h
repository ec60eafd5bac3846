// A stable state of a store, and the buckets as a reader has resolved them.
//
// A snapshot is a sequence number and a view: it pins the page file's state (pages are not reused,
// a replaced file is not emptied) and the memtables. Owner thread.
#pragma once

#include "core/view.h"

namespace hotbolt {

class Store;

// A bucket's path with what was last resolved for it. Owner thread.
struct BucketRef {
  BucketPath path;
  uint64_t reader_id = 0;       // whose view `bucket` is
  uint64_t reader_version = 0;  // of that reader's structure
  BucketView bucket;
  uint64_t writer_id = 0;  // whose memtable `table` is in
  uint64_t writer_version = 0;
  BucketTable* table = nullptr;
};

// A number that no other store, snapshot or update of this process has had.
uint64_t new_reader_id() noexcept;

// A stable state. Owner thread. Closing it lets pages and memtables go.
class Snapshot {
 public:
  Snapshot(std::shared_ptr<Store> store, std::shared_ptr<const View> view, Seq seq, uint64_t id);
  ~Snapshot() { close(); }
  void close() noexcept;
  bool closed() const { return view_ == nullptr; }
  const BucketView& resolve(BucketRef& ref) const;
  const View& view() const;  // throws ERR_CLOSED
  Seq seq() const { return seq_; }
  Store& store() const { return *store_; }

 private:
  std::shared_ptr<Store> store_;
  std::shared_ptr<const View> view_;
  const Seq seq_;
  const uint64_t id_;
};

}  // namespace hotbolt
