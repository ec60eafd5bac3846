// Any bytes as a database that is written to: what a script says, through checkpoints,
// defragmentations, crashes and reopenings. A file that passed the check before passes it
// afterwards and holds what the model says; of any other file nothing is asked but errors.
#include <algorithm>

#include "core/update.h"
#include "target.h"

namespace hotbolt::fuzz {

namespace {

// Bytes that decide what happens next; zeros when they are used up.
class Script {
 public:
  explicit Script(Bytes bytes) : bytes_(bytes) {}
  bool done() const { return at_ >= bytes_.size(); }
  uint8_t byte() { return done() ? 0 : static_cast<uint8_t>(bytes_[at_++]); }
  size_t below(size_t limit) { return limit == 0 ? 0 : byte() % limit; }

 private:
  const Bytes bytes_;
  size_t at_ = 0;
};

Content* find(Content& root, const BucketPath& path) {
  Content* bucket = &root;
  for (const std::string& name : path) {
    const auto child = bucket->buckets.find(name);
    if (child == bucket->buckets.end()) return nullptr;
    bucket = &child->second;
  }
  return bucket;
}

Content& make(Content& root, const BucketPath& path) {
  Content* bucket = &root;
  for (const std::string& name : path) bucket = &bucket->buckets[name];
  return *bucket;
}

// The n-th name of a map, counted round and round.
template <typename Map>
std::string nth(const Map& map, size_t n) {
  return map.empty() ? std::string() : std::next(map.begin(), n % map.size())->first;
}

// What a write may be refused with although the file is sound.
bool is_refusal(ErrorCode code) {
  switch (code) {
    case ErrorCode::ERR_INCOMPATIBLE_VALUE:
    case ErrorCode::ERR_BUCKET_EXISTS:
    case ErrorCode::ERR_BUCKET_NOT_FOUND:
    case ErrorCode::ERR_KEY_TOO_LARGE:
      return true;
    default:
      return false;
  }
}

class Writing {
 public:
  Writing(MemoryFiles& files, Bytes script) : files_(files), script_(script) {}

  void run() {
    if (!guarded([&] { open(); }) || store_ == nullptr) return;
    for (int i = 0; i < kOperationsMax && !script_.done() && store_ != nullptr; i++) {
      guarded([&] { step(); });
      if (full_) break;
    }
    if (store_ == nullptr || full_) return end();
    guarded([&] { reopen(); });
    if (store_ != nullptr && is_sound_) compare();
    end();
  }

 private:
  static constexpr int kOperationsMax = 48;

  static constexpr uint64_t kNumbersMax = 1 << 20;  // more than a script takes

  // One whose numbers leave no room for the whole script can be read only, sooner or later.
  static bool has_room(Meta meta) {
    meta.txid = TxId{meta.newest_number() + kNumbersMax};
    return meta.leaves_room();
  }

  // Errors may be met, of a sound file only those that say so.
  template <typename Action>
  bool guarded(Action&& action) {
    try {
      action();
      return true;
    } catch (const Error& error) {
      if (error.code() == ErrorCode::ERR_NO_SPACE) full_ = true;
      if (error.code() == ErrorCode::ERR_INTERNAL) report(error);
      if (is_sound_ && !full_ && !is_refusal(error.code())) report(error);
      return false;
    }
  }

  void open() {
    store_ = open_store(files_, false);
    if (opened_) return;
    opened_ = true;
    is_sound_ = check_store(*store_).ok() && has_room(store_->view()->base->meta());
    if (is_sound_) model_ = content_of(*store_->view());
  }

  // What holds the store must be gone before it is closed.
  void end() {
    snapshot_.reset();
    if (store_ == nullptr) return;
    store_->halt();
    store_.reset();
  }

  void compare() {
    const CheckReport report = check_store(*store_);
    if (!report.ok()) throw Finding("a sound file was damaged: " + report.issues.front().message);
    require(content_of(*store_->view()) == model_, "a sound file holds something else");
  }

  void reopen() {
    snapshot_.reset();
    attempt_close();
    store_.reset();
    open();
  }
  void attempt_close() {
    try {
      close_written(store_);
    } catch (const Error&) {
      store_.reset();
      throw;
    }
  }
  // The process ends; the journal has everything.
  void crash() {
    snapshot_.reset();
    store_->halt();
    store_.reset();
    open();
    if (is_sound_) compare();
  }

  BucketPath path() {
    const size_t choice = script_.byte();
    BucketPath path;
    if (choice % 4 == 0) {
      path.push_back("new" + std::to_string(choice / 4 % 3));
    } else {
      path.push_back(nth(model_.buckets, choice));
    }
    if (path[0].empty()) path[0] = "new";
    const Content* bucket = find(model_, path);
    for (size_t deeper = choice >> 6; deeper > 0 && bucket != nullptr; deeper--) {
      if (bucket->buckets.empty()) break;
      path.push_back(nth(bucket->buckets, choice));
      bucket = find(model_, path);
    }
    return path;
  }
  std::string key(const BucketPath& path) {
    const size_t choice = script_.byte();
    const Content* bucket = find(model_, path);
    if (bucket != nullptr && choice % 3 != 0 && !bucket->values.empty())
      return nth(bucket->values, choice);
    return "key" + std::to_string(choice) + std::string(choice % 7 == 0 ? choice : 0, 'k');
  }
  std::string value() {
    const size_t choice = script_.byte();
    const size_t size = choice < 128 ? choice : (choice - 128) * (choice % 5 == 0 ? 40 : 5);
    return std::string(size, static_cast<char>('a' + choice % 26));
  }

  void step() {
    if (!is_sound_) model_ = shallow_names();
    switch (script_.byte() % 16) {
      case 0:
        return checkpoint();
      case 1:
        return defrag();
      case 2:
        return reopen();
      case 3:
        return crash();
      case 4:
        return delete_bucket();
      case 5:
        return create_bucket();
      case 6:
        return set_sequence();
      case 7:
        return transaction();
      case 8:
      case 9:
      case 10:
        return remove();
      case 11:
        return hold();
      default:
        return put();
    }
  }

  // Of a file that is no tree of buckets: some names of two levels.
  Content shallow_names() const {
    Content names;
    attempt([&] {
      const BucketView root = BucketView::root(*store_->view(), kSeqMax);
      collect(root, names, 0);
    });
    return names;
  }
  static void collect(const BucketView& bucket, Content& names, int depth) {
    attempt([&] {
      int count = 0;
      for (MergedCursor cursor(bucket, {}, false); cursor.valid(); cursor.next()) {
        if (++count > 8) break;
        const std::string name(cursor.key());
        if (!cursor.is_bucket()) {
          names.values[name];
        } else {
          Content& inner = names.buckets[name];
          if (depth < 3) collect(bucket.child(name), inner, depth + 1);
        }
      }
    });
  }

  void put() {
    BucketRef ref;
    ref.path = path();
    const std::string name = key(ref.path);
    const std::string bytes = value();
    store_->put(ref, name, bytes);
    make(model_, ref.path).values[name] = bytes;
  }
  void remove() {
    BucketRef ref;
    ref.path = path();
    const std::string name = key(ref.path);
    store_->remove(ref, name);
    if (Content* bucket = find(model_, ref.path)) bucket->values.erase(name);
  }
  void delete_bucket() {
    BucketRef ref;
    ref.path = path();
    store_->delete_bucket(ref);
    const std::string name = ref.path.back();
    ref.path.pop_back();
    if (Content* parent = find(model_, ref.path)) parent->buckets.erase(name);
  }
  void create_bucket() {
    BucketRef ref;
    ref.path = path();
    if (script_.byte() % 2 == 0) ref.path.push_back("inner");
    if (ref.path.size() > kDepthMax) return;
    store_->create_bucket(ref);
    make(model_, ref.path);
  }
  void set_sequence() {
    BucketRef ref;
    ref.path = path();
    const uint64_t sequence = script_.byte();
    store_->set_sequence(ref, sequence);
    make(model_, ref.path).sequence = sequence;
  }

  // Deletes a bucket, maybe, and puts some keys where it was.
  void transaction() {
    Update update(store_);
    BucketRef ref;
    ref.path = path();
    Content after = is_sound_ ? model_ : Content{};
    if (script_.byte() % 2 == 0 && update.resolve(ref).exists()) {
      update.delete_bucket(ref);
      BucketPath parent(ref.path.begin(), ref.path.end() - 1);
      if (Content* bucket = find(after, parent)) bucket->buckets.erase(ref.path.back());
    }
    for (size_t i = script_.below(4); i > 0; i--) {
      const std::string name = key(ref.path);
      const std::string bytes = value();
      update.put(ref, name, bytes);
      make(after, ref.path).values[name] = bytes;
    }
    require(update.commit().has_value(), "a transaction met a conflict that there is not");
    model_ = std::move(after);
  }

  // A state is held through what follows, and must not change.
  void hold() {
    if (snapshot_ != nullptr && is_sound_)
      require(content_of(snapshot_->view(), snapshot_->seq()) == held_, "a snapshot changed");
    snapshot_ = store_->snapshot();
    if (is_sound_) held_ = model_;
  }

  void checkpoint() {
    store_->seal();
    const std::unique_ptr<Checkpoint> checkpoint = store_->begin_checkpoint();
    if (checkpoint == nullptr) return;
    store_->run_checkpoint(*checkpoint);
    store_->finish_checkpoint(*checkpoint);
    if (is_sound_) compare();
  }

  void defrag() {
    defragment(store_, [&] { guarded([&] { put(); }); });
    if (is_sound_) compare();
  }

  MemoryFiles& files_;
  Script script_;
  std::shared_ptr<Store> store_;
  std::shared_ptr<Snapshot> snapshot_;
  Content model_;  // of a sound file; of another one, some names
  Content held_;
  bool opened_ = false;
  bool is_sound_ = false;
  bool full_ = false;  // the file system has no more room
};

}  // namespace

void write_then_check(Bytes input) {
  if (input.size() < kScriptSize) return;
  MemoryFiles files;
  files.put(kPath, input.substr(kScriptSize));
  Writing(files, input.substr(0, kScriptSize)).run();
}

}  // namespace hotbolt::fuzz
