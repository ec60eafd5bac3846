// The whole engine over a file system that crashes: at random calls of a run of writes,
// checkpoints, defragmentations and reopenings the power is cut, and the state that is left must
// open, hold every acknowledged transaction and a prefix of all others, pass the complete check,
// take new writes, and survive a clean close.
//
// The steps of a checkpoint or a defragmentation run on the test's thread with writes between them;
// the journal has its own thread as always, so runs with the same seed differ in timing but not in
// what they prove.
#include "core/store.h"

#include <condition_variable>
#include <future>

#include "core/defrag.h"
#include "core/update.h"
#include "harness.h"
#include "sim_file.h"

namespace hotbolt::testing {

namespace {

const std::string kPath = "/data/a.db";

struct ModelBucket {
  std::map<std::string, std::string> values;
  std::map<std::string, ModelBucket> buckets;
  uint64_t sequence = 0;
  bool operator==(const ModelBucket&) const = default;
};

ModelBucket* find(ModelBucket& root, const BucketPath& path) {
  ModelBucket* bucket = &root;
  for (const std::string& name : path) {
    auto child = bucket->buckets.find(name);
    if (child == bucket->buckets.end()) return nullptr;
    bucket = &child->second;
  }
  return bucket;
}

ModelBucket& make(ModelBucket& root, const BucketPath& path) {
  ModelBucket* bucket = &root;
  for (const std::string& name : path) bucket = &bucket->buckets[name];
  return *bucket;
}

ModelBucket dump(const BucketView& bucket) {
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

ModelBucket dump(const Store& store) { return dump(BucketView::root(*store.view(), kSeqMax)); }

class Listener : public StoreListener {
 public:
  void on_durable(Seq seq, Seq) noexcept override {
    {
      std::lock_guard lock(mutex_);
      durable_ = seq;
    }
    changed_.notify_all();
  }
  void on_failure(const Error&) noexcept override {
    failed_ = true;
    changed_.notify_all();
  }
  void wait(Seq seq) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return durable_ >= seq || failed_; });
  }
  Seq durable() const { return durable_; }
  bool failed() const { return failed_; }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::atomic<Seq> durable_{0};
  std::atomic<bool> failed_{false};
};

StoreOptions small_options() {
  StoreOptions options;
  options.page_size = 1024;
  options.checkpoint_bytes = 16 << 10;
  options.journal.segment_bytes_min = 8 << 10;
  options.journal.segment_bytes_max = 64 << 10;
  return options;
}

// As the binding does it: on the worker, behind whatever is being let go there.
void close_store(std::shared_ptr<Store>& store) {
  store->begin_close();
  std::promise<void> closed;
  store->worker().post([&] {
    store->run_close();
    closed.set_value();
  });
  closed.get_future().wait();
  store.reset();
}

using Change = std::function<void(ModelBucket&)>;

struct CrashState {
  std::unique_ptr<SimFileSystem> files;
  Seq acknowledged = 0;
  uint64_t call = 0;
};

// A store, the model of every transaction, and the crashes.
class Run {
 public:
  Run(uint64_t seed, uint64_t crashes) : random_(seed), files_(seed) {
    for (uint64_t i = 0; i < crashes; i++) crash_at_.insert(1 + random_() % kCallsExpected);
    files_.set_hook([this](uint64_t call, const char*) { maybe_crash(call); });
    open();
  }

  void steps(int count) {
    for (int i = 0; i < count; i++) step();
  }
  void finish() {
    end_defrag();
    close();
    EXPECT_TRUE(files_.paths() == std::vector<std::string>{kPath});
  }
  std::vector<CrashState>& states() { return states_; }
  ModelBucket model_at(Seq seq) const {
    ModelBucket model;
    for (Seq i = 0; i < seq; i++) changes_[i](model);
    return model;
  }
  Seq last_seq() const { return changes_.size(); }

 private:
  static constexpr uint64_t kCallsExpected = 2500;

  void maybe_crash(uint64_t call) {
    std::lock_guard lock(crash_mutex_);
    if (crash_at_.erase(call) == 0) return;
    // Before the state is taken, so that what is acknowledged in between does not count.
    const Seq acknowledged = acknowledged_base_ + (listener_ ? listener_->durable() : 0);
    states_.push_back({files_.crash(call * 31 + 7), acknowledged, call});
  }

  void open() {
    auto listener = std::make_shared<Listener>();
    {
      std::lock_guard lock(crash_mutex_);
      // What is open again is durable: everything before was closed or recovered.
      acknowledged_base_ = 0;
      listener_ = nullptr;
      last_acknowledged_ = std::max(last_acknowledged_, acknowledged_floor_);
      acknowledged_base_ = last_acknowledged_;
    }
    store_ = Store::open(files_, kPath, small_options(), listener);
    EXPECT_TRUE(dump(*store_) == model_at(last_seq()));
    std::lock_guard lock(crash_mutex_);
    acknowledged_base_ = 0;
    listener->on_durable(std::max(last_acknowledged_, last_seq()), 0);
    listener_ = listener;
  }

  void close() {
    close_store(store_);
    std::lock_guard lock(crash_mutex_);
    last_acknowledged_ = acknowledged_floor_ = last_seq();
    acknowledged_base_ = last_acknowledged_;
    listener_ = nullptr;
  }

  void step() {
    switch (random_() % 24) {
      case 0:
        checkpoint();
        break;
      case 1:
      case 2:
      case 3:
        defrag_step();
        break;
      case 4:
        if (random_() % 6 == 0) reopen();
        break;
      case 5:
      case 6:
        listener_->wait(store_->submit());
        break;
      case 7:
        store_->submit();
        break;
      case 8:
        transaction();
        break;
      default:
        write();
    }
    EXPECT_EQ(store_->last_seq(), last_seq());
  }

  std::string name(const char* prefix, unsigned count) {
    return prefix + std::to_string(random_() % count);
  }
  BucketPath path() {
    BucketPath path{name("b", 3)};
    if (random_() % 4 == 0) path.push_back(name("n", 2));
    return path;
  }
  std::string value() {
    size_t size = random_() % 100;
    if (random_() % 20 == 0) size = random_() % 5000;
    return std::string(size, static_cast<char>('a' + random_() % 26));
  }

  void write() {
    BucketRef ref;
    ref.path = path();
    BucketPath path = ref.path;
    std::string key = name("k", 40);
    switch (random_() % 8) {
      case 0: {
        uint64_t sequence = random_();
        store_->set_sequence(ref, sequence);
        changes_.push_back([=](ModelBucket& root) { make(root, path).sequence = sequence; });
        break;
      }
      case 1:
      case 2: {
        const Seq before = store_->last_seq();
        if (store_->remove(ref, key) == before) break;
        changes_.push_back([=](ModelBucket& root) {
          if (ModelBucket* bucket = find(root, path)) bucket->values.erase(key);
        });
        break;
      }
      default: {
        std::string bytes = value();
        store_->put(ref, key, bytes);
        changes_.push_back([=](ModelBucket& root) { make(root, path).values[key] = bytes; });
      }
    }
  }

  void transaction() {
    Update update(store_, false);
    std::vector<Change> parts;
    BucketPath top{name("b", 3)};
    BucketRef ref;
    ref.path = top;
    if (update.resolve(ref).exists() && random_() % 2 == 0) {
      update.delete_bucket(ref);
      parts.push_back([=](ModelBucket& root) { root.buckets.erase(top[0]); });
    }
    for (int i = 0; i < 5; i++) {
      std::string key = name("k", 40);
      std::string bytes = value();
      update.put(ref, key, bytes);
      parts.push_back([=](ModelBucket& root) { make(root, top).values[key] = bytes; });
    }
    EXPECT_TRUE(update.commit().has_value());
    changes_.push_back([=](ModelBucket& root) {
      for (const Change& part : parts) part(root);
    });
  }

  void checkpoint() {
    // During a defragmentation this is what happens when the kept memtables outgrow their limit.
    if (defrag_step_ > kCaughtUp) return;
    store_->seal();
    if (auto checkpoint = store_->begin_checkpoint()) {
      store_->run_checkpoint(*checkpoint);
      write();
      store_->finish_checkpoint(*checkpoint);
      if (defrag_step_ == kCaughtUp) defrag_step_ = kCopied;
    }
  }

  enum Step { kIdle, kPinned, kCopied, kCaughtUp, kPublished, kInstalled };

  void defrag_step() {
    switch (defrag_step_) {
      case kIdle:
        defrag_ = std::make_shared<Defrag>(store_, DefragOptions{});
        defrag_->prepare();
        checkpoint();
        defrag_->pin();
        defrag_step_ = kPinned;
        break;
      case kPinned:
        defrag_->copy();
        defrag_step_ = kCopied;
        break;
      case kCopied: {
        if (random_() % 6 == 0) {
          defrag_->abort();
          defrag_->release();
          defrag_.reset();
          defrag_step_ = kIdle;
          break;
        }
        CatchUp round = defrag_->begin_catch_up();
        write();
        defrag_->run_catch_up(round);
        defrag_step_ = random_() % 3 == 0 ? kCopied : kCaughtUp;
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

  void end_defrag() {
    while (defrag_step_ != kIdle) defrag_step();
  }

  void reopen() {
    end_defrag();
    close();
    open();
  }

  std::mt19937_64 random_;
  SimFileSystem files_;
  std::vector<Change> changes_;  // by sequence number - 1
  std::shared_ptr<Store> store_;
  std::shared_ptr<Defrag> defrag_;
  Step defrag_step_ = kIdle;

  std::mutex crash_mutex_;
  std::set<uint64_t> crash_at_;
  std::vector<CrashState> states_;
  std::shared_ptr<Listener> listener_;
  Seq acknowledged_base_ = 0;
  Seq acknowledged_floor_ = 0;
  Seq last_acknowledged_ = 0;
};

// Opens what a crash left; returns why it is wrong, "" if it is right.
std::string verify(const Run& run, CrashState& state) {
  const auto listener = std::make_shared<Listener>();
  if (!state.files->status(kPath) && state.acknowledged == 0) return "";
  auto store = Store::open(*state.files, kPath, small_options(), listener);
  const Seq seq = store->last_seq();
  if (seq < state.acknowledged) {
    return "lost: transaction " + std::to_string(state.acknowledged) + " was acknowledged, " +
           std::to_string(seq) + " is the last";
  }
  if (seq > run.last_seq()) return "invented a transaction";
  if (dump(*store) != run.model_at(seq)) return "differs from the model at " + std::to_string(seq);
  BucketRef ref;
  ref.path = {"after"};
  store->put(ref, "crash", "x");
  listener->wait(store->submit());
  CheckReport report = store->run_check(*store->view()->base->file());
  if (!report.ok()) return "check: " + report.issues.front().message;
  close_store(store);
  if (state.files->paths() != std::vector<std::string>{kPath}) return "leaves files behind";
  store = Store::open(*state.files, kPath, small_options(), listener);
  report = store->run_check(*store->view()->base->file());
  if (!report.ok()) return "check after close: " + report.issues.front().message;
  ModelBucket expected = run.model_at(seq);
  expected.buckets["after"].values["crash"] = "x";
  return dump(*store) == expected ? "" : "differs after close";
}

// The number of states that were verified.
size_t crash_run(uint64_t seed, uint64_t crashes, int steps) {
  Run run(seed, crashes);
  run.steps(steps);
  run.finish();
  for (CrashState& state : run.states()) {
    std::string wrong;
    try {
      wrong = verify(run, state);
    } catch (const Error& error) {
      wrong = std::string(error_name(error.code())) + ": " + error.what();
    }
    if (!wrong.empty())
      wrong = "seed " + std::to_string(seed) + " call " + std::to_string(state.call) + ": " + wrong;
    EXPECT_EQ(wrong, "");
  }
  return run.states().size();
}

TEST("a directory sync that fails after the rename poisons the store and loses nothing") {
  SimFileSystem files(1);
  const auto listener = std::make_shared<Listener>();
  auto store = Store::open(files, kPath, small_options(), listener);
  BucketRef ref;
  ref.path = {"b"};
  store->put(ref, "k", "v");
  listener->wait(store->submit());
  auto defrag = std::make_shared<Defrag>(store, DefragOptions{});
  defrag->prepare();
  defrag->pin();
  defrag->copy();
  CatchUp round = defrag->begin_catch_up();
  defrag->run_catch_up(round);
  files.fail_call(1, ErrorCode::ERR_IO, 5, 1, "sync_directory");
  EXPECT_THROWS_CODE(ErrorCode::ERR_IO, defrag->publish());
  defrag->abort();
  defrag->release();
  defrag.reset();
  EXPECT_THROWS_CODE(ErrorCode::ERR_POISONED, store->put(ref, "l", "v"));
  EXPECT_EQ(std::string(*store->resolve(ref).get("k")), "v");
  store->begin_close();
  EXPECT_THROWS_CODE(ErrorCode::ERR_POISONED, store->run_close());
  store.reset();

  store = Store::open(files, kPath, small_options(), std::make_shared<Listener>());
  EXPECT_EQ(std::string(*BucketView::at(*store->view(), kSeqMax, {"b"}).get("k")), "v");
  close_store(store);
}

TEST("a power cut at any call loses nothing acknowledged") {
  size_t states = 0;
  for (uint64_t seed = 1; seed <= 60; seed++) states += crash_run(seed, 60, 1500);
  EXPECT_TRUE(states > 2000);
}

}  // namespace

}  // namespace hotbolt::testing
