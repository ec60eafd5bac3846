// A store at work, beside a model of what it holds: what tests of the whole engine are made of.
//
// StoreRun makes each change to both, and keeps a fingerprint of the model after every transaction,
// so that any state can be compared with the one it should be. The steps of a checkpoint or a
// defragmentation run on the test's thread, so that writes can come between them; the journal and
// the workers have their own threads as always. settle() waits until none of them has anything left
// to do: a run that settles after every step makes the same calls each time.
#pragma once

#include <functional>
#include <future>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "acknowledgements.h"
#include "core/backup.h"
#include "core/defrag.h"
#include "core/journal_reader.h"
#include "core/store.h"
#include "core/update.h"
#include "harness.h"
#include "trace.h"

namespace hotbolt::testing {

inline const std::string kPath = "/data/a.db";
// Backups lie in a directory of their own: "/backups/<transactions>-<number>.db".
inline const std::string kBackups = "/backups/";
inline bool is_backup(const std::string& path) { return path.starts_with(kBackups); }

// The path, unless there is more than the database and its backups.
inline std::string stray_file(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (path != kPath && !is_backup(path)) return path;
  }
  return "";
}

struct ModelBucket {
  std::map<std::string, std::string> values;
  std::map<std::string, ModelBucket> buckets;
  uint64_t sequence = 0;
  bool operator==(const ModelBucket&) const = default;
};

inline ModelBucket* find(ModelBucket& root, const BucketPath& path) {
  ModelBucket* bucket = &root;
  for (const std::string& name : path) {
    auto child = bucket->buckets.find(name);
    if (child == bucket->buckets.end()) return nullptr;
    bucket = &child->second;
  }
  return bucket;
}

inline ModelBucket& make(ModelBucket& root, const BucketPath& path) {
  ModelBucket* bucket = &root;
  for (const std::string& name : path) bucket = &bucket->buckets[name];
  return *bucket;
}

inline ModelBucket dump(const BucketView& bucket) {
  ModelBucket model;
  model.sequence = bucket.sequence();
  for (MergedCursor cursor(bucket, {}, false); cursor.valid(); cursor.next()) {
    std::string name(cursor.key());
    if (cursor.is_bucket()) {
      model.buckets[name] = dump(bucket.child(name));
    } else {
      model.values[name] = std::string(cursor.value());
    }
  }
  return model;
}

inline ModelBucket dump(const Store& store) {
  return dump(BucketView::root(*store.view(), kSeqMax));
}

inline uint64_t fingerprint(const ModelBucket& bucket) {
  const auto combine = [](uint64_t a, uint64_t b) {
    return (a ^ (b + 0x9E3779B97F4A7C15 + (a << 6) + (a >> 2))) * 0xD6E8FEB86659FD93;
  };
  const std::hash<std::string> of;
  uint64_t hash = combine(bucket.sequence, bucket.values.size());
  for (const auto& [key, value] : bucket.values) hash = combine(combine(hash, of(key)), of(value));
  for (const auto& [name, child] : bucket.buckets)
    hash = combine(combine(hash, of(name)), fingerprint(child));
  return hash;
}

// Tells a trace what was promised to survive a power cut, if there is one: what was acknowledged
// when every acknowledgement waits for its sync, else what was synced.
class Listener : public Acknowledgements {
 public:
  explicit Listener(Trace* trace = nullptr, SyncMode sync = SyncMode::kAlways)
      : trace_(trace), acknowledges_synced_(sync == SyncMode::kAlways) {}
  void on_durable(Seq seq, Seq synced) noexcept override {
    if (trace_ != nullptr) trace_->acknowledged(acknowledges_synced_ ? seq : synced);
    Acknowledgements::on_durable(seq, synced);
  }

 private:
  Trace* const trace_;
  const bool acknowledges_synced_;
};

inline StoreOptions small_options() {
  StoreOptions options;
  options.page_size = 1024;
  options.checkpoint_bytes = 16 << 10;
  options.journal.segment_bytes_min = 8 << 10;
  options.journal.segment_bytes_max = 64 << 10;
  return options;
}

inline void wait_for(Worker& worker) {
  std::promise<void> reached;
  worker.post([&] { reached.set_value(); });
  reached.get_future().wait();
}

// As the binding does it: on the worker, behind whatever is being let go there. Throws what the
// close throws; the store is gone then too.
inline void close_store(std::shared_ptr<Store>& store) {
  store->begin_close();
  std::packaged_task<void()> close([&] { store->run_close(); });
  std::future<void> closed = close.get_future();
  store->urgent().post([&] { close(); });
  closed.wait();
  store.reset();
  closed.get();
}

inline bool is_segment(const std::string& path) {
  return path.find("-journal-") != std::string::npos;
}

// A write to a segment that brings no frame: zeros, or a header that says so.
inline bool brings_no_frame(const Call& call) {
  if (call.bytes.find_first_not_of('\0') == std::string::npos) return true;
  if (call.offset != 0 || call.bytes.size() != kSegmentBlockSize) return false;
  return load<SegmentHeader>(call.bytes.data()).first_seq == 0;
}

// The journal's helper begins a segment while the group that made it wanted is still being synced.
// Held back until that group is acknowledged, the two make their calls in one order only.
inline void hold_helper(const Trace& trace, const std::string& path) {
  if (!is_segment(path)) return;
  const auto is_held = [&] {
    bool held = false;
    std::map<uint64_t, std::string> segments;
    trace.visit([&](const Call& call) {
      if (call.kind == CallKind::kCreate && is_segment(call.path)) segments[call.inode];
      if (call.kind == CallKind::kAcknowledged) held = false;
      const bool has_frames =
          call.kind == CallKind::kWrite && segments.contains(call.inode) && !brings_no_frame(call);
      if (has_frames && call.thread != std::this_thread::get_id()) held = true;
    });
    return held;
  };
  while (is_held()) std::this_thread::yield();
}

// What a trace says about the segments of the journal.
class SegmentWatch {
 public:
  void take(const Call& call) {
    if (call.kind == CallKind::kCreate && is_segment(call.path))
      segments_[call.inode].path = call.path;
    if (call.kind == CallKind::kRemove) segments_.erase(call.inode);
    const auto entry = segments_.find(call.inode);
    if (entry == segments_.end()) return;
    Segment& segment = entry->second;
    if (call.kind == CallKind::kRename) segment.path = call.target;
    if (call.kind == CallKind::kResize) segment.size = call.offset;
    if (call.kind != CallKind::kWrite) return;
    const uint64_t end = call.offset + call.bytes.size();
    segment.size = std::max(segment.size, end);
    if (brings_no_frame(call)) return;
    segment.used = end;
    current_ = call.inode;
  }
  // The helper thread has been asked for another segment.
  bool is_preparing() const {
    const auto current = segments_.find(current_);
    if (current == segments_.end()) return false;
    if (current->second.size - current->second.used > current->second.size / 2) return false;
    return std::none_of(segments_.begin(), segments_.end(), [&](const auto& other) {
      return other.second.path > current->second.path && other.second.size > 0;
    });
  }
  uint64_t bytes() const {
    uint64_t bytes = 0;
    for (const auto& [inode, segment] : segments_) bytes += segment.size;
    return bytes;
  }

 private:
  struct Segment {
    std::string path;
    uint64_t size = 0;
    uint64_t used = 0;
  };
  std::map<uint64_t, Segment> segments_;  // by inode
  uint64_t current_ = 0;
};

class StoreRun {
 public:
  StoreRun(FileSystem& files, Trace& trace, StoreOptions options, uint64_t seed,
           ModelBucket initial = {}, Seq initial_seq = 0)
      : files_(files),
        trace_(trace),
        options_(options),
        random_(seed),
        model_(std::move(initial)),
        initial_seq_(initial_seq),
        fingerprints_{fingerprint(model_)} {}

  // --- what it should be ---
  Seq last_seq() const { return initial_seq_ + fingerprints_.size() - 1; }
  const ModelBucket& model() const { return model_; }
  // Of the model after transaction `seq`; nullopt: there was none.
  std::optional<uint64_t> fingerprint_at(Seq seq) const {
    if (seq < initial_seq_ || seq > last_seq()) return std::nullopt;
    return fingerprints_[seq - initial_seq_];
  }
  // What its maker was told of its bytes.
  const std::string& backup_hash(const std::string& path) const { return backup_hashes_.at(path); }

  // --- life ---
  void open() {
    trace_.activity(files_.status(kPath) ? "recovery" : "create");
    trace_.started(last_seq());
    trace_.acknowledged(last_seq());
    listener_ = std::make_shared<Listener>(&trace_, options_.journal.sync);
    store_ = Store::open(files_, kPath, options_, listener_);
    EXPECT_TRUE(dump(*store_) == model_);
    listener_->on_durable(last_seq(), last_seq());
  }
  void close() {
    trace_.activity("close");
    close_store(store_);
    trace_.acknowledged(last_seq());
  }
  void reopen() {
    end_defrag();
    close();
    open();
  }
  // The process ends in the middle of whatever it does, and another one opens what is left.
  void kill() {
    const Seq seq = store_->submit();
    listener_->wait(seq);
    // The store has failed: nothing more is promised.
    if (listener_->durable() < seq) throw Error(ErrorCode::ERR_POISONED);
    defrag_.reset();
    defrag_step_ = kIdle;
    store_->halt();
    store_.reset();
    open();
  }
  // Lets go of everything after a failure.
  void abandon() {
    defrag_.reset();
    if (store_ == nullptr) return;
    try {
      close_store(store_);
    } catch (const Error&) {
      // The failure that led here says more.
    }
  }
  bool is_open() const { return store_ != nullptr; }
  void flush() {
    const uint64_t calls = listener_->calls();
    const Seq seq = store_->force_sync();
    listener_->wait_synced(seq, calls + 1);
  }
  // Until everything is acknowledged and no thread has work.
  void settle() {
    wait_for_workers();
    listener_->wait(store_->submit());
    wait_for_workers();
    // The helper is not always asked when it should be: when it has a segment ready, but not yet
    // said so, the next group does not ask, and the one after does. So this wait has an end.
    constexpr int kLooksMax = 20'000;
    for (int looks = 0; looks < kLooksMax;) {
      watched_ = trace_.visit([this](const Call& call) { watch_.take(call); }, watched_);
      const bool is_at_work = watch_.bytes() != store_->stats().journal_bytes;
      if (!is_at_work && !watch_.is_preparing()) return;
      if (!is_at_work) looks++;
      std::this_thread::yield();
    }
  }
  Store& store() { return *store_; }
  Listener& listener() { return *listener_; }

  // --- transactions ---
  void put(const BucketPath& path, const std::string& key, const std::string& value) {
    BucketRef ref;
    ref.path = path;
    start();
    store_->put(ref, key, value);
    make(model_, path).values[key] = value;
    done();
  }
  void remove(const BucketPath& path, const std::string& key) {
    BucketRef ref;
    ref.path = path;
    start();
    store_->remove(ref, key);
    if (ModelBucket* bucket = find(model_, path)) bucket->values.erase(key);
    done();
  }
  void set_sequence(const BucketPath& path, uint64_t sequence) {
    BucketRef ref;
    ref.path = path;
    start();
    store_->set_sequence(ref, sequence);
    make(model_, path).sequence = sequence;
    done();
  }
  void create_bucket(const BucketPath& path) {
    BucketRef ref;
    ref.path = path;
    start();
    store_->create_bucket(ref);
    make(model_, path);
    done();
  }
  void delete_bucket(const BucketPath& path) {
    BucketRef ref;
    ref.path = path;
    start();
    store_->delete_bucket(ref);
    BucketPath parent(path.begin(), path.end() - 1);
    if (ModelBucket* bucket = find(model_, parent)) bucket->buckets.erase(path.back());
    done();
  }
  // Several changes as one; first the bucket goes, if it is there and `deletes`.
  void transaction(const std::string& name, bool deletes,
                   const std::map<std::string, std::string>& values) {
    start();
    Update update(store_);
    BucketRef ref;
    ref.path = {name};
    if (deletes && update.resolve(ref).exists()) {
      update.delete_bucket(ref);
      model_.buckets.erase(name);
    }
    for (const auto& [key, value] : values) {
      update.put(ref, key, value);
      model_.buckets[name].values[key] = value;
    }
    EXPECT_TRUE(update.commit().has_value());
    done();
  }

  // --- background work, step by step ---
  // `between` comes before the merge, and between it and the installation of its result.
  void checkpoint(const std::function<void()>& between) {
    // During a defragmentation this is what happens when the kept memtables outgrow their limit.
    if (defrag_step_ > kCaughtUp) return;
    store_->seal();
    if (auto checkpoint = store_->begin_checkpoint()) {
      between();
      store_->run_checkpoint(*checkpoint);
      between();
      store_->finish_checkpoint(*checkpoint);
      if (defrag_step_ == kCaughtUp) defrag_step_ = kCopied;
    }
  }
  // `between` comes when the state has been taken, and before it is copied.
  void back_up(bool compact, const std::function<void()>& between) {
    const std::string path =
        kBackups + std::to_string(last_seq()) + "-" + std::to_string(++backups_) + ".db";
    const auto backup = std::make_shared<Backup>(
        *store_->snapshot(), BackupOptions{.path = path, .compact = compact, .hash = true});
    between();
    backup->begin();
    backup_hashes_[path] = backup->run().sha256;
    trace_.published(path);
  }
  enum Step { kIdle, kPinned, kCopied, kCaughtUp, kPublished, kInstalled };
  Step defrag_at() const { return defrag_step_; }
  void defrag_step(const std::function<void()>& between, bool catches_up_again = false) {
    switch (defrag_step_) {
      case kIdle:
        defrag_ = std::make_shared<Defrag>(store_, DefragOptions{});
        defrag_->prepare();
        checkpoint(between);
        defrag_->pin();
        defrag_step_ = kPinned;
        break;
      case kPinned:
        defrag_->copy();
        defrag_step_ = kCopied;
        break;
      case kCopied: {
        CatchUp round = defrag_->begin_catch_up();
        between();
        defrag_->run_catch_up(round);
        defrag_step_ = catches_up_again || !round.is_complete ? kCopied : kCaughtUp;
        break;
      }
      case kCaughtUp:
        defrag_->publish();
        defrag_step_ = kPublished;
        break;
      case kPublished:
        defrag_->install();
        defrag_step_ = kInstalled;
        break;
      case kInstalled:
        defrag_->clean();
        defrag_.reset();
        defrag_step_ = kIdle;
        break;
    }
  }
  void abort_defrag() {
    defrag_->abort();
    defrag_->release();
    defrag_.reset();
    defrag_step_ = kIdle;
  }
  void end_defrag() {
    while (defrag_step_ != kIdle) defrag_step([] {});
  }

  // --- anything ---
  void random_step() {
    switch (random_() % 24) {
      case 0:
        trace_.activity("checkpoint");
        checkpoint([this] { random_write(); });
        break;
      case 1:
      case 2:
      case 3:
        trace_.activity("defragmentation");
        if (defrag_step_ == kCopied && random_() % 6 == 0) {
          abort_defrag();
        } else {
          defrag_step([this] { random_write(); }, random_() % 3 == 0);
        }
        break;
      case 4:
        if (random_() % 6 == 0) random_() % 2 == 0 ? reopen() : kill();
        break;
      case 5:
      case 6:
        listener_->wait(store_->submit());
        break;
      case 7:
        if (random_() % 2 == 0) {
          store_->submit();
        } else {
          flush();
        }
        break;
      case 8:
        trace_.activity("commit");
        random_transaction();
        break;
      default:
        trace_.activity("commit");
        random_write();
    }
  }

 private:
  void wait_for_workers() {
    wait_for(store_->reclaimer());
    wait_for(store_->copier());
  }
  void start() { trace_.started(store_->last_seq() + 1); }
  void done() {
    if (store_->last_seq() > last_seq()) fingerprints_.push_back(fingerprint(model_));
    EXPECT_EQ(store_->last_seq(), last_seq());
  }

  std::string name(const char* prefix, unsigned count) {
    return prefix + std::to_string(random_() % count);
  }
  BucketPath random_path() {
    BucketPath path{name("b", 3)};
    if (random_() % 4 == 0) path.push_back(name("n", 2));
    return path;
  }
  std::string random_value() {
    size_t size = random_() % 100;
    if (random_() % 20 == 0) size = random_() % 5000;
    return std::string(size, static_cast<char>('a' + random_() % 26));
  }
  void random_write() {
    const BucketPath path = random_path();
    const std::string key = name("k", 40);
    switch (random_() % 8) {
      case 0:
        return set_sequence(path, random_());
      case 1:
      case 2:
        return remove(path, key);
      default:
        return put(path, key, random_value());
    }
  }
  void random_transaction() {
    std::map<std::string, std::string> values;
    for (int i = 0; i < 5; i++) values[name("k", 40)] = random_value();
    transaction(name("b", 3), random_() % 2 == 0, values);
  }

  FileSystem& files_;
  Trace& trace_;
  const StoreOptions options_;
  std::mt19937_64 random_;
  ModelBucket model_;
  const Seq initial_seq_;
  std::vector<uint64_t> fingerprints_;  // after initial_seq_, and each transaction since
  std::shared_ptr<Listener> listener_;
  std::shared_ptr<Store> store_;
  std::shared_ptr<Defrag> defrag_;
  Step defrag_step_ = kIdle;
  int backups_ = 0;
  std::map<std::string, std::string> backup_hashes_;  // by path
  SegmentWatch watch_;
  size_t watched_ = 0;  // calls of the trace
};

}  // namespace hotbolt::testing
