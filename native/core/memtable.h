// The memtable: recent writes in key order, in memory, many versions of each key.
//
// A tree of BucketTables that mirrors the buckets that were written to. Each record of a table (a
// key, or a bucket's name: they share one name space, as in bbolt) has a chain of versions, newest
// first, each with the sequence number of the transaction that wrote it.
//
// Threading: written only by the owning (JS) thread. After seal() it is immutable and any thread
// may read it. Before that only the owner may read it.
//
// Memory: records and versions live in an arena of growing chunks (4 KiB, doubling to 1 MiB; what
// is larger than a quarter of the next chunk gets an allocation of its own) and are freed together
// with the memtable. Nothing is ever moved or removed before that: keys, records and versions keep
// their address. Large values (value.h) lie outside, shared with the journal, and go with the
// version that replaces them in place. Destroying a large memtable takes milliseconds: drop the
// last reference on a worker, not on the JS thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_map>

#include "core/arena.h"
#include "core/value.h"
#include "core/version_chain.h"

namespace hotbolt {

using Seq = uint64_t;  // sequence number of a transaction; 0 = before the first
inline constexpr Seq kSeqMax = ~Seq{0};

class BucketTable;
struct TableLeaf;  // the nodes of a table's tree, and a way down to a leaf: bucket_table.h
struct TableBranch;
struct TablePath;

enum class VersionKind : uint8_t {
  kPut,            // a value
  kRemoved,        // the key does not exist
  kBucketTouched,  // a bucket; `bucket` lies over what older memtables and the page file say of it
  kBucketCreated,  // a bucket; `bucket` is all of it: whatever older layers have under the name is
                   // hidden
  kBucketDeleted,  // the bucket does not exist
};

struct Version {
  Seq seq;
  Version* older;  // nullptr: the oldest in this memtable
  Version* jump;   // version_chain.h
  union {
    char* data;           // of the value
    BucketTable* bucket;  // when is_bucket()
  };
  uint32_t size;  // bytes of the value
  // Bytes there is room for at `data`; 0 for a shared value, which an overwrite does not touch.
  uint32_t capacity;
  uint32_t depth;  // older versions in this memtable
  VersionKind kind;
  Bytes value() const { return {data, size}; }  // REQUIRES: not is_bucket()
  bool is_shared() const { return size > capacity; }
  bool is_bucket() const {
    return kind == VersionKind::kBucketTouched || kind == VersionKind::kBucketCreated;
  }
};
static_assert(sizeof(Version) == 48, "every record has one");

struct Record {
  const char* key_data;
  uint32_t key_size;
  Version* newest;
  Bytes key() const { return {key_data, key_size}; }
  // The newest version written at or before `seq`; nullptr when this memtable has none.
  const Version* visible(Seq seq) const { return version_at<const Version>(newest, seq); }
};

// One bucket's records in key order: a B+tree of 64-slot nodes whose slots carry the key's first 8
// bytes, so that most comparisons touch no record. Records are only ever added. A full node splits
// in halves, except that at the right edge of the table a split leaves the left node full: records
// that come in key order fill their nodes.
class BucketTable {
 public:
  const Record* find(Bytes key) const;

  // A position in the table. Stays usable while the owner writes: when the tree has changed under
  // it, it finds its record again by its key.
  class Cursor {
   public:
    explicit Cursor(const BucketTable& table) : table_(&table) {}
    void first();
    void last();
    void seek(Bytes key);         // the first record with a key >= `key`
    void seek_before(Bytes key);  // the last record with a key < `key`
    void next();                  // REQUIRES: valid()
    void prev();                  // REQUIRES: valid()
    bool valid() const { return record_ != nullptr; }
    const Record* record() const { return record_; }

   private:
    void take(const TableLeaf* leaf, uint32_t slot);
    void take_before(const TableLeaf* leaf, uint32_t slot);
    void find_again();
    const BucketTable* table_;
    // The record is at leaf_->records[slot_], or has moved to another leaf since. Leaves are never
    // freed before the memtable is, so looking there is safe and tells which.
    const TableLeaf* leaf_ = nullptr;
    uint32_t slot_ = 0;
    const Record* record_ = nullptr;  // nullptr: not valid
  };

  // The bucket's own sequence (bbolt's counter) as set at or before `seq`; nullopt when never set
  // here.
  std::optional<uint64_t> sequence(Seq seq) const;

  size_t record_count() const { return record_count_; }
  // Whether any of its names is, or was, one of a bucket.
  bool names_buckets() const { return names_buckets_; }

 private:
  friend class Memtable;
  struct SequenceVersion {
    Seq seq;
    uint64_t value;
    SequenceVersion* older;
    SequenceVersion* jump;
    uint32_t depth;
  };

  // The way to the first record with a key >= `key` (its slot may be the leaf's count). REQUIRES:
  // not empty.
  void descend(Bytes key, TablePath& path) const;
  // Adds a record where descend() has looked for its key in vain.
  void insert(Arena& arena, TablePath& path, Record* record);
  void insert_first(Arena& arena, Record* record);
  void insert_child(Arena& arena, TablePath& path, Record* least, void* child, bool at_right_edge);
  const TableLeaf* edge_leaf(bool rightmost) const;

  void* root_ = nullptr;  // a TableLeaf when height_ is 0, else a TableBranch
  uint32_t height_ = 0;   // levels of branches above the leaves
  bool is_root_bucket_ = false;
  bool names_buckets_ = false;
  size_t record_count_ = 0;
  SequenceVersion* sequence_ = nullptr;  // newest first
};

class Memtable {
 public:
  Memtable();
  ~Memtable();
  Memtable(const Memtable&) = delete;
  Memtable& operator=(const Memtable&) = delete;

  BucketTable& root() noexcept { return root_; }
  const BucketTable& root() const noexcept { return root_; }

  // Writers. `seq` never decreases. `pinned` is the newest sequence number that a live snapshot
  // reads at: a version newer than it is seen by nobody but later readers and may be replaced in
  // place. All copy their bytes, but for shared values.
  void put(BucketTable& table, Bytes key, const Value& value, Seq seq, Seq pinned);
  void remove(BucketTable& table, Bytes key, Seq seq, Seq pinned);
  // The table of a bucket that exists: the one this memtable has (its newest version is a bucket),
  // or a new kBucketTouched version. Requires: the newest version of `name`, if any, is a bucket.
  BucketTable& touch_bucket(BucketTable& parent, Bytes name, Seq seq);
  // A bucket that starts empty (kBucketCreated).
  BucketTable& create_bucket(BucketTable& parent, Bytes name, Seq seq);
  void delete_bucket(BucketTable& parent, Bytes name, Seq seq);
  // Without `pinned` no older value is ever replaced.
  void set_sequence(BucketTable& table, uint64_t value, Seq seq, Seq pinned = kSeqMax);

  // No more writes. Records the last sequence number.
  void seal(Seq last_seq);
  bool sealed() const noexcept { return sealed_; }
  Seq first_seq() const noexcept { return first_seq_; }  // of the first write; 0 when empty
  Seq last_seq() const noexcept { return last_seq_; }    // as given to seal()
  // In use, all of it: the arena's bytes, and those of shared values.
  size_t bytes() const noexcept { return arena_.bytes() + shared_bytes_; }
  bool empty() const noexcept { return !written_; }  // nothing was ever written
  // Bytes of its transactions in the journal, told by whoever appends them: more than bytes() where
  // keys were overwritten in place.
  void note_journaled(uint64_t bytes) noexcept { journal_bytes_ += bytes; }
  uint64_t journal_bytes() const noexcept { return journal_bytes_; }
  // What it takes of memory or of the journal, whichever is more: by this it is sealed, and by this
  // acknowledgements are held back.
  uint64_t weight() const noexcept { return std::max<uint64_t>(bytes(), journal_bytes_); }
  // Keys and names of buckets that it says something of.
  size_t record_count() const noexcept { return record_count_; }
  // Whether a reader at `seq` may see something of it.
  bool holds_any(Seq seq) const noexcept { return written_ && first_seq_ <= seq; }
  // A bucket inside a bucket was touched or created here.
  bool has_nested_buckets() const noexcept { return has_nested_buckets_; }

 private:
  void start_write(Seq seq);
  Record* find_for_write(BucketTable& table, Bytes key, TablePath& path);
  void add_record(BucketTable& table, TablePath& path, Bytes key, const Version& version,
                  const Value& value);
  void add_version(Record& record, const Version& version, const Value& value);
  void replace(Version& version, VersionKind kind, const Value& value, Seq seq);
  void set_value(Version& version, char* room, size_t capacity, const Value& value);
  void share_value(Version& version, const Value& value);
  void write(BucketTable& table, Bytes key, VersionKind kind, const Value& value, Seq seq,
             Seq pinned);
  BucketTable& add_bucket(BucketTable& parent, TablePath& path, Record* record, Bytes name,
                          VersionKind kind, Seq seq);

  Arena arena_;
  // What holds the shared values.
  std::unordered_map<const Version*, std::shared_ptr<const char[]>> shared_;
  size_t shared_bytes_ = 0;
  BucketTable root_;
  Seq first_seq_ = 0;
  Seq newest_seq_ = 0;  // of the newest write
  Seq last_seq_ = 0;
  uint64_t journal_bytes_ = 0;
  size_t record_count_ = 0;
  bool written_ = false;
  bool sealed_ = false;
  bool has_nested_buckets_ = false;
};

}  // namespace hotbolt
