// What a stack of memtables says of one bucket, on top of the page file. Each table is read at a
// sequence number of its own: a transaction numbers the versions of its private memtable by itself.
//
// Tables are ordered newest memtable first. The newest visible version of a name in the first table
// that has one decides: a value or a removal hides older layers; a created bucket hides all older
// layers under its name, the page file included; a touched bucket is merged with what the older
// layers have.
#pragma once

#include <optional>
#include <vector>

#include "core/memtable.h"

namespace hotbolt {

class Overlay {
 public:
  Overlay() = default;
  // A bucket's table in one memtable, and up to which version of its records it is read.
  struct Layer {
    const BucketTable* table;
    Seq seq;
  };

  // The root bucket. Memtables newest first; they must outlive the overlay.
  Overlay(const std::vector<const Memtable*>& newest_first, Seq seq);
  // Puts another one on top. Only of the root bucket.
  void cover(const Memtable& newest, Seq seq);

  // The deciding version of `key`; nullptr: the layers say nothing, ask the page file unless
  // hides_page_file(). A value that no snapshot pins may be overwritten in place by the owner's
  // next write: copy it before.
  const Version* find(Bytes key) const;
  // Whether any of the memtables names a bucket in here, or did.
  bool names_buckets() const;

  // The overlay of the child bucket `name`. `child` is another object than this one; it is set for
  // kBucket only.
  enum class Child : uint8_t {
    kSilent,  // the layers say nothing: whatever the page file has (nothing, if hides_page_file())
    kBucket,  // `child` is set: merge it with the page file's bucket unless child.hides_page_file()
    kDeleted,  // was a bucket and is deleted, or removed
    kValue,    // a key with a value, not a bucket
  };
  Child child(Bytes name, Overlay& child) const;

  // The bucket's own sequence if a layer has set it; 0 if a layer created the bucket and none has
  // set it; else nullopt.
  std::optional<uint64_t> sequence() const;

  bool hides_page_file() const { return hides_page_file_; }
  bool empty() const { return layers_.empty(); }
  const std::vector<Layer>& layers() const { return layers_; }

 private:
  std::vector<Layer> layers_;  // newest first
  bool hides_page_file_ = false;
};

// The deciding versions of all names of an overlay in key order, removals included. Stable while
// the owner writes (what it writes is newer than what the layers are read at).
class OverlayCursor {
 public:
  explicit OverlayCursor(const Overlay& overlay);  // the overlay must outlive the cursor
  void first();
  void last();
  void seek(Bytes key);         // the first name >= `key`
  void seek_before(Bytes key);  // the last name < `key`
  void next();                  // REQUIRES: valid()
  void prev();                  // REQUIRES: valid(). next() and prev() may be mixed
  bool valid() const { return version_ != nullptr; }
  Bytes key() const { return name_; }                   // REQUIRES: valid()
  const Version& version() const { return *version_; }  // REQUIRES: valid()

 private:
  // Which way the cursors stand: each at its first record >= name_ (forward) or its last record <=
  // name_ (backward). A handful of tables at most: a linear scan for the next name beats a heap.
  void settle(bool forward);
  void step_past(Bytes name, bool forward);
  void turn(bool forward);
  void move(bool forward);
  const Record* nearest(bool forward) const;
  bool decide(Bytes name);

  const Overlay* overlay_;
  std::vector<BucketTable::Cursor> cursors_;  // one per layer, newest first
  Bytes name_;                                // in the memtable that decides
  const Version* version_ = nullptr;          // nullptr: not valid
  bool forward_ = true;
};

}  // namespace hotbolt
