// A transaction that is being built: a buffer of operations over a snapshot, and what it has read.
//
// Its own writes are visible to its own reads: they are replayed into a private memtable on top of
// the snapshot, lazily, so that a transaction which only writes (a bulk load) never pays for it.
// Commit appends the buffer to the journal as one frame.
//
// The private memtable has version numbers of its own. Each iteration pins the newest: what is
// replayed later is newer, and the iteration goes on in the state in which it began. Versions that
// no iteration could see are replaced in place; so there are at most as many as operations.
//
// If the store has moved on since the snapshot (asynchronous callbacks only), commit first proves
// that everything it read still reads the same, and that its operations still apply: serialisable,
// by value comparison, as etcd's STM. Owner thread.
#pragma once

#include <unordered_set>

#include "core/memtable_writer.h"
#include "core/read_set.h"
#include "core/store.h"

namespace hotbolt {

// An iteration over a transaction. It counts as a read as far as it has come, whether it ends or is
// left. REQUIRES: not moved or destroyed while the transaction knows it.
struct OpenRange {
  BucketPath path;
  RangeRead read;  // its bounds are where the iteration was to go
  bool reverse = false;
  bool ended = false;                  // it has come to the end of its bounds
  std::optional<std::string> reached;  // the last key that it gave

  // What was read so far.
  std::optional<RangeRead> so_far() const;
  // What is left to read behind `key`.
  Bounds behind(const std::string& key) const;
};

class Update {
 public:
  explicit Update(std::shared_ptr<Store> store);
  ~Update() { rollback(); }
  Update(const Update&) = delete;
  Update& operator=(const Update&) = delete;

  bool closed() const { return snapshot_ == nullptr; }
  // This transaction's view of the bucket.
  const BucketView& resolve(BucketRef& ref);
  // What reads are recorded as. Calls that read through resolve() must record what they looked at.
  void read_value(const BucketRef& ref, Bytes key);
  void read_existence(const BucketRef& ref);
  void read_sequence(const BucketRef& ref);
  void read_count(const BucketRef& ref, const Bounds& bounds);
  // The bucket as the iteration sees it until close_range(), or the transaction's end.
  BucketView open_range(OpenRange& range);
  void close_range(OpenRange& range) noexcept;
  Store& store() const { return *store_; }
  const std::shared_ptr<Snapshot>& snapshot() const { return snapshot_; }

  void put(BucketRef& ref, Bytes key, const Value& value);
  void remove(BucketRef& ref, Bytes key);
  void create_bucket(const BucketRef& ref);
  void delete_bucket(const BucketRef& ref);
  void set_sequence(BucketRef& ref, uint64_t value);

  // Ends the transaction. nullopt: conflict.
  std::optional<Seq> commit();
  void rollback() noexcept;

 private:
  // What is left of a transaction.
  struct Garbage {
    View view;
    std::shared_ptr<Memtable> own;
    OpWriter ops;
    ReadSet reads;
  };

  void require_open() const;
  // Once proven, and then written to, a path stays one until the update deletes a bucket, whose
  // name a key may take.
  bool path_is_proven(const BucketRef& ref) const;
  void set_path_proven(BucketRef& ref) const;
  void require_path(const BucketPath& path);
  void require_key_is_no_bucket(BucketRef& ref, Bytes key);
  void require_key_in_bucket(const BucketRef& ref, Bytes key) const;
  template <typename Proof>
  void prove_name(const BucketPath& path, Proof&& proof);
  void read_name(const BucketPath& path, Bytes name);
  void read_names(const BucketPath& path);
  OwnBucket own_bucket(const BucketPath& path) const;
  Seq pin() { return pinned_ = own_seq_++; }
  void discard(Garbage garbage) noexcept;
  void index();  // replays what is not yet in the private memtable
  bool still_reads_the_same();
  bool may_contradict() const;
  bool still_applies() const;

  const std::shared_ptr<Store> store_;
  const uint64_t id_;
  std::shared_ptr<Snapshot> snapshot_;
  const Seq seq_;
  OpWriter ops_;
  ReadSet reads_;
  std::unordered_set<OpenRange*> open_ranges_;
  bool nests_ = false;
  bool creates_ = false;    // buckets, by name and not by writing to them
  uint64_t deletions_ = 0;  // of buckets

  std::shared_ptr<Memtable> own_;  // made by the first read after a write
  Seq own_seq_ = 1;                // of what is replayed next
  Seq pinned_ = 0;                 // the newest that an iteration sees
  View view_;
  size_t indexed_bytes_ = 0;
  BucketPath indexed_path_;
  uint64_t version_ = 1;  // of the structure that resolve() remembers
};

}  // namespace hotbolt
