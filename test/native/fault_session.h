// A program that uses a store while things fail: what it has started and what was acknowledged, and
// the judgement of what is left. For tests that inject faults; owner thread.
//
// A session goes on after an error as a patient program does: it notes the code and takes the next
// step. What it started is its model: state n is the content after the first n transactions.
#pragma once

#include <condition_variable>
#include <future>

#include "acknowledgements.h"
#include "core/backup.h"
#include "core/defrag.h"
#include "core/store.h"
#include "core/update.h"
#include "fault_file.h"

namespace hotbolt::testing {

inline const std::string kSessionPath = "/data/a.db";

// "bucket/nested/key" -> value; "bucket/" -> sequence.
using Content = std::map<std::string, std::string>;

inline void add_content(const BucketView& bucket, const std::string& prefix, Content& to) {
  if (!prefix.empty()) to[prefix] = std::to_string(bucket.sequence());
  for (MergedCursor cursor(bucket, {}, false); cursor.valid(); cursor.next()) {
    const std::string name = prefix + std::string(cursor.key());
    if (cursor.is_bucket()) {
      add_content(bucket.child(cursor.key()), name + "/", to);
    } else {
      to[name] = std::string(cursor.value());
    }
  }
}

inline Content content_of(const Store& store) {
  Content content;
  add_content(BucketView::root(*store.view(), kSeqMax), "", content);
  return content;
}

inline StoreOptions session_options() {
  StoreOptions options;
  options.page_size = 1024;
  options.journal.segment_bytes_min = 4 << 10;
  options.journal.segment_bytes_max = 16 << 10;
  return options;
}

// As the binding does it: on the worker, behind whatever is being let go there.
inline void close_session_store(std::shared_ptr<Store>& store) {
  std::exception_ptr failure;
  std::mutex mutex;
  std::condition_variable changed;
  bool closed = false;
  const auto close = [&] {
    try {
      store->run_close();
    } catch (...) {
      failure = std::current_exception();
    }
    std::lock_guard lock(mutex);
    closed = true;
    changed.notify_one();
  };
  store->begin_close();
  try {
    store->urgent().post(close);
  } catch (const std::exception&) {
    close();
  }
  std::unique_lock lock(mutex);
  changed.wait(lock, [&] { return closed; });
  store.reset();
  if (failure) std::rethrow_exception(failure);
}

class Session {
 public:
  using Change = std::function<void(Content&)>;

  explicit Session(FileSystem& files) : files_(files) {}

  // --- steps ---
  bool open(StoreOptions options = session_options()) {
    attempt([&] { store_ = Store::open(files_, kSessionPath, options, acknowledgements_); });
    if (store_ == nullptr) return false;
    acknowledgements_->restart(std::max(acknowledgements_->durable(), store_->last_seq()));
    is_open_ = true;
    return true;
  }
  void put(const std::string& bucket, const std::string& key, const std::string& value) {
    BucketRef ref;
    ref.path = {bucket};
    change([=](Content& to) { put_into(to, bucket + "/", key, value); },
           [&] { store_->put(ref, key, value); });
  }
  void remove(const std::string& bucket, const std::string& key) {
    BucketRef ref;
    ref.path = {bucket};
    change([=](Content& to) { to.erase(bucket + "/" + key); }, [&] { store_->remove(ref, key); });
  }
  void set_sequence(const std::string& bucket, uint64_t sequence) {
    BucketRef ref;
    ref.path = {bucket};
    change([=](Content& to) { to[bucket + "/"] = std::to_string(sequence); },
           [&] { store_->set_sequence(ref, sequence); });
  }
  // If it is there: the write that would have made it may have been refused.
  void delete_bucket(const std::string& bucket) {
    if (!content_at(started()).contains(bucket + "/")) return;
    BucketRef ref;
    ref.path = {bucket};
    const auto drop = [=](Content& to) {
      std::erase_if(to, [&](const auto& entry) { return entry.first.starts_with(bucket + "/"); });
    };
    change(drop, [&] { store_->delete_bucket(ref); });
  }
  // Two keys in a nested bucket, a removal, and what it reads of itself.
  void transaction(const std::string& bucket, const std::string& key) {
    BucketRef ref;
    ref.path = {bucket, "nested"};
    const auto apply = [=](Content& to) {
      if (!to.contains(bucket + "/")) to[bucket + "/"] = "0";
      put_into(to, bucket + "/nested/", key, "1");
      put_into(to, bucket + "/nested/", key + "'", "2");
    };
    change(apply, [&] {
      Update update(store_);
      update.put(ref, key, "0");
      if (update.resolve(ref).get(key) != Bytes("0")) throw Error(ErrorCode::ERR_INTERNAL);
      update.put(ref, key, "1");
      update.put(ref, key + "'", "2");
      update.commit();
    });
  }
  void wait() {
    attempt([&] { acknowledgements_->wait(store_->submit()); });
  }
  void checkpoint() {
    attempt([&] { checkpoint_or_throw(); });
  }
  void hold_snapshot() {
    attempt([&] { snapshot_ = store_->snapshot(); });
  }
  void let_snapshot_go() { snapshot_.reset(); }
  void check() {
    attempt([&] {
      const CheckReport report = store_->run_check(*store_->view()->base->file());
      if (!report.ok()) throw Error(ErrorCode::ERR_CORRUPT, report.issues.front().message);
    });
  }
  void defrag(const std::function<void()>& meanwhile, bool cancels = false) {
    std::shared_ptr<Defrag> defrag;
    bool abortable = true;
    const bool done = attempt([&] {
      defrag = std::make_shared<Defrag>(store_, DefragOptions{});
      defrag->prepare();
      checkpoint_or_throw();
      defrag->pin();
      defrag->copy();
      {
        const EngineScope outside(false);
        meanwhile();
      }
      if (cancels) defrag->cancel();
      for (int round = 0; round < 2; round++) {
        CatchUp catch_up = defrag->begin_catch_up();
        {
          const EngineScope outside(false);
          put("during", std::to_string(round), "v");
        }
        defrag->run_catch_up(catch_up);
      }
      defrag->publish();
      abortable = false;
      defrag->install();
      defrag->clean();
    });
    if (done || defrag == nullptr || !abortable) return;
    defrag->abort();
    defrag->release();
  }
  // Each in a directory of its own: "/backups/<number>/<transactions>.db".
  void back_up(bool compact) {
    const std::string path =
        "/backups/" + std::to_string(++backups_) + "/" + std::to_string(store_->last_seq()) + ".db";
    const bool done = attempt([&] {
      const auto backup = std::make_shared<Backup>(
          *store_->snapshot(), BackupOptions{.path = path, .compact = compact, .hash = true});
      {
        const EngineScope outside(false);
        put("during", std::to_string(backups_), "v");
      }
      backup->begin();
      backup->run();
    });
    if (done) published_.push_back(path);
  }
  // Backups that are complete and durable by promise.
  const std::vector<std::string>& published() const { return published_; }
  // Those that are there, of `promised` all, are complete; "" if so.
  std::string judge_backups(SimFileSystem& disk, const std::vector<std::string>& promised) const;
  void close() {
    snapshot_.reset();
    if (before_close_) before_close_();
    is_open_ = false;
    attempt([&] { close_session_store(store_); });
    store_ = nullptr;
  }

  // --- what came of it ---
  // What has begun to fail on another thread may be a moment away from the store.
  bool becomes_poisoned() { return store_->poisoned() || acknowledgements_->wait_for_failure(); }
  void before_close(std::function<void()> hook) { before_close_ = std::move(hook); }
  bool is_read_only() const { return store_->options().read_only; }
  Store* store() { return store_.get(); }
  bool is_open() const { return is_open_; }  // any thread
  Seq started() const { return changes_.size(); }
  Seq acknowledged() const { return acknowledgements_->durable(); }  // any thread
  const std::vector<ErrorCode>& errors() const { return errors_; }
  Content content_at(Seq seq) const {
    Content content;
    for (Seq i = 0; i < seq; i++) changes_[i](content);
    return content;
  }
  // What was written before, by a session that ended.
  void continue_from(const Session& other) {
    changes_ = other.changes_;
    acknowledgements_->restart(other.acknowledged());
  }
  // Opens what is left; "" or what is wrong with it. `acknowledged` transactions must be there.
  // Unless that was a power cut already, what a power cut right after opening leaves is judged too.
  std::string judge(SimFileSystem& disk, Seq acknowledged, bool cut_again) const;
  // Uses the open store, from which the fault is gone; "" or what is wrong with it.
  std::string judge_use();

 private:
  static void put_into(Content& to, const std::string& prefix, const std::string& key,
                       const std::string& value) {
    if (!to.contains(prefix)) to[prefix] = "0";
    to[prefix + key] = value;
  }
  // False: it failed.
  template <typename Step>
  bool attempt(Step&& step) {
    try {
      const EngineScope scope(true);
      step();
      return true;
    } catch (const Error& error) {
      errors_.push_back(error.code());
    } catch (const std::bad_alloc&) {
      errors_.push_back(ErrorCode::ERR_OUT_OF_MEMORY);
    }
    return false;
  }
  template <typename Step>
  void change(Change change, Step&& step) {
    const Seq before = store_->last_seq();
    changes_.push_back(std::move(change));
    attempt(step);
    if (store_->last_seq() == before) changes_.pop_back();
  }
  void checkpoint_or_throw() {
    store_->seal();
    const auto checkpoint = store_->begin_checkpoint();
    if (checkpoint == nullptr) return;
    store_->run_checkpoint(*checkpoint);
    store_->finish_checkpoint(*checkpoint);
  }

  FileSystem& files_;
  std::shared_ptr<Acknowledgements> acknowledgements_ = std::make_shared<Acknowledgements>();
  std::shared_ptr<Store> store_;
  std::shared_ptr<Snapshot> snapshot_;
  std::atomic<bool> is_open_{false};
  std::function<void()> before_close_;
  std::vector<Change> changes_;  // by sequence number - 1
  std::vector<ErrorCode> errors_;
  int backups_ = 0;
  std::vector<std::string> published_;
};

inline std::string Session::judge_use() {
  const size_t errors_before = errors_.size();
  put("usable", "k", "v");
  wait();
  if (acknowledged() != started()) return "no longer acknowledges";
  checkpoint();
  check();
  if (content_of(*store_) != content_at(started())) return "differs";
  if (errors_.size() == errors_before) return "";
  return std::string("unusable: ") + error_name(errors_.back());
}

inline std::string Session::judge_backups(SimFileSystem& disk,
                                          const std::vector<std::string>& promised) const {
  for (const std::string& path : promised) {
    if (!disk.status(path)) return "the backup " + path + " is lost";
  }
  for (const std::string& path : disk.paths()) {
    if (!path.starts_with("/backups/") || path.ends_with(".tmp")) continue;
    const auto file = PageFile::open(disk, path, {.read_only = true});
    const auto tx = file->begin_read();
    const CheckReport report = hotbolt::check(*tx, nullptr);
    if (!report.ok()) return path + ": " + report.issues.front().message;
    Content content;
    add_content(BucketView::root(View{{}, tx}, kSeqMax), "", content);
    if (content != content_at(std::stoull(name_of(path)))) return path + " differs";
  }
  return "";
}

inline std::string Session::judge(SimFileSystem& disk, Seq acknowledged, bool cut_again) const {
  if (!disk.status(kSessionPath) && acknowledged == 0) return "";
  const auto listener = std::make_shared<Acknowledgements>();
  auto store = Store::open(disk, kSessionPath, session_options(), listener);
  const Seq seq = store->last_seq();
  if (seq < acknowledged) {
    return "lost: " + std::to_string(acknowledged) + " were acknowledged, " + std::to_string(seq) +
           " are there";
  }
  if (seq > started()) return "more is there than was started";
  Content expected = content_at(seq);
  if (content_of(*store) != expected) return "differs from state " + std::to_string(seq);
  if (cut_again) {
    const auto cut = disk.crash(seq + 17, [](const std::string&, uint64_t) { return false; });
    const std::string wrong = judge(*cut, acknowledged, false);
    if (!wrong.empty()) return "after opening and a power cut: " + wrong;
  }
  BucketRef ref;
  ref.path = {"after"};
  store->put(ref, "k", "v");
  put_into(expected, "after/", "k", "v");
  listener->wait(store->submit());
  if (cut_again) {
    const auto cut = disk.crash(seq + 18, [](const std::string&, uint64_t) { return false; });
    auto recovered = Store::open(*cut, kSessionPath, session_options(), listener);
    const bool has_all = content_of(*recovered) == expected;
    close_session_store(recovered);
    if (!has_all) return "after a write and a power cut, differs";
  }
  close_session_store(store);
  for (const std::string& path : disk.paths()) {
    if (path != kSessionPath && !path.starts_with("/backups/"))
      return "leaves files behind: " + path;
  }
  store = Store::open(disk, kSessionPath, session_options(), listener);
  PageFile& file = *store->view()->base->file();
  file.load_freelist();
  const CheckReport report = store->run_check(file);
  if (!report.ok()) return "check: " + report.issues.front().message;
  const bool same = content_of(*store) == expected;
  close_session_store(store);
  return same ? "" : "differs after a close";
}

}  // namespace hotbolt::testing
