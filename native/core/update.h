// A transaction that is being built: a buffer of operations over a snapshot, and what it has read.
//
// Its own writes are visible to its own reads: they are replayed into a private memtable on top of
// the snapshot, lazily, so that a transaction which only writes (a bulk load) never pays for it.
// Commit appends the buffer to the journal as one frame.
//
// If the store has moved on since the snapshot (asynchronous callbacks only), commit first proves
// that everything it read still reads the same, and that its operations still apply: serialisable,
// by value comparison, as etcd's STM. Owner thread.
#pragma once

#include <unordered_map>

#include "core/memtable_writer.h"
#include "core/store.h"

namespace hotbolt {

class Update {
 public:
  Update(std::shared_ptr<Store> store, bool track_reads);
  ~Update() { rollback(); }
  Update(const Update&) = delete;
  Update& operator=(const Update&) = delete;

  bool closed() const { return snapshot_ == nullptr; }
  // This transaction's view of the bucket.
  const BucketView& resolve(BucketRef& ref);
  // What reads are recorded as. Calls that read through resolve() must record what they looked at.
  void read_value(const BucketRef& ref, Bytes key);
  void read_bucket(const BucketRef& ref);  // its existence and sequence
  void read_range(const BucketRef& ref, Bounds bounds, bool reverse);
  Store& store() const { return *store_; }
  const std::shared_ptr<Snapshot>& snapshot() const { return snapshot_; }
  // Changes when the private memtable is written: cursors opened before see the state before.
  const View& view();
  Seq seq() const { return seq_; }

  void put(BucketRef& ref, Bytes key, const Value& value);
  void remove(BucketRef& ref, Bytes key);
  void create_bucket(const BucketRef& ref);
  void delete_bucket(const BucketRef& ref);
  void set_sequence(BucketRef& ref, uint64_t value);

  // Ends the transaction. nullopt: conflict.
  std::optional<Seq> commit();
  void rollback() noexcept;

 private:
  enum class ReadKind : uint8_t { kValue, kBucket, kRange };
  struct Read {
    ReadKind kind;
    uint32_t path;  // index into paths_
    std::string key;
    Bounds bounds;
    bool reverse = false;
  };
  void require_open() const;
  // Once proven, a path stays one unless the update deletes buckets, whose names keys may take.
  bool path_is_proven(const BucketRef& ref) const { return ref.writer_id == id_ && !deletes_; }
  void require_path(const BucketPath& path);
  void require_key_is_no_bucket(BucketRef& ref, Bytes key);
  void require_key_in_bucket(const BucketRef& ref, Bytes key) const;
  void note(ReadKind kind, const BucketRef& ref, std::string key, Bounds bounds, bool reverse);
  void index();  // replays what is not yet in the private memtable
  bool still_reads_the_same() const;
  bool same_read(const Read& read, const View& now) const;
  bool still_applies() const;

  const std::shared_ptr<Store> store_;
  const bool track_reads_;
  const uint64_t id_;
  std::shared_ptr<Snapshot> snapshot_;
  Seq seq_;
  OpWriter ops_;
  std::vector<Read> reads_;
  std::vector<BucketPath> paths_;  // that were read, one for each change of bucket
  bool nests_ = false;
  bool deletes_ = false;  // buckets

  std::shared_ptr<Memtable> own_;  // made by the first read after a write
  View view_;
  size_t indexed_bytes_ = 0;
  BucketPath indexed_path_;
  uint64_t version_ = 1;
};

}  // namespace hotbolt
