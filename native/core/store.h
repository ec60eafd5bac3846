// One open database: the newest memtable, the sealed ones, the journal, and the page file below
// them.
//
//   put --> journal pending buffer + active memtable          (owner thread, microseconds)
//   seal --> the active memtable becomes immutable            (owner thread)
//   checkpoint --> sealed memtables are merged into the page file (worker), then the new base is installed (owner)
//   defragmentation --> defrag.h
//
// Threading: what is under "owner" belongs to the JS thread that opened the store. Work that
// touches files is split into begin (owner) / run (worker) / finish (owner); between them the owner
// goes on reading and writing. Nothing waits for a lock.
//
// What is costly to destroy (memtables, mappings) is handed to the reclaimer: see discard().
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <unordered_set>

#include "core/check.h"
#include "core/journal.h"
#include "core/snapshot.h"
#include "core/tx.h"
#include "core/view.h"
#include "core/worker.h"

namespace hotbolt {

class Defrag;

// Who holds on to a state of a store and works with it on a thread of its own. Owner thread.
class StoreClient {
 public:
  virtual ~StoreClient() = default;
  // The store closes: cancels what runs, and lets the state go, now or when that has ended.
  virtual void end() noexcept = 0;
  // Cancels, and joins the thread.
  virtual void halt() noexcept = 0;
};

struct StoreOptions {
  bool read_only = false;
  bool create = true;
  uint32_t mode = 0600;
  uint32_t page_size = 0;  // of a new file; 0: 4096
  uint64_t lock_timeout_us = 0;
  std::shared_ptr<const std::atomic<bool>> cancelled{};  // ends the wait for a lock; may be null
  JournalOptions journal;
  uint64_t checkpoint_bytes = 32 << 20;
  uint64_t retained_bytes_max = 256 << 20;
};

// on_durable() is called on the journal thread, on_failure() on whichever thread met it.
class StoreListener {
 public:
  virtual ~StoreListener() = default;
  // Everything up to `seq` is acknowledged, everything up to `synced` has been synced (whatever
  // SyncMode says).
  virtual void on_durable(Seq seq, Seq synced) noexcept = 0;
  virtual void on_failure(const Error& error) noexcept = 0;
  // A write was refused for want of space, which a checkpoint may give back. On the owner's thread.
  virtual void on_refusal() noexcept {}
};

// A merge of sealed memtables into the page file. Where the disk is full, maybe of the oldest
// alone: the pages that this one gives back are needed for the next.
struct Checkpoint {
  bool reduce_to_oldest();                                 // false: it is the only one
  std::vector<std::shared_ptr<const Memtable>> memtables;  // newest first
  std::shared_ptr<PageFile> file;
  Seq covered = 0;
  uint64_t bytes = 0;
  bool is_partial = false;  // only the oldest was merged
  std::shared_ptr<const ReadTx> result;
};

// How much waits for a checkpoint, in weights of memtables (memtable.h).
struct Backlog {
  uint64_t active_bytes = 0;
  uint64_t sealed_bytes = 0;
  uint64_t written_bytes = 0;  // to the journal since the store was opened
  bool is_short = false;       // of space: a checkpoint now would give some back
};

struct StoreStats {
  uint64_t size_bytes = 0;
  uint64_t high_water_bytes = 0;
  uint64_t free_pages = 0;
  uint64_t pending_pages = 0;
  bool freelist_loaded = false;
  uint64_t memtable_bytes = 0;
  uint64_t sealed_memtables = 0;
  uint64_t sealed_bytes = 0;
  uint64_t journal_bytes = 0;
  Seq last_seq = 0;
  Seq durable_seq = 0;
  uint64_t snapshots = 0;
  Seq oldest_snapshot_seq = 0;
  uint64_t pending_reclaim_bytes = 0;
  uint64_t sync_latency_us = 0;
  bool poisoned = false;
  bool checkpoint_failing = false;  // the newest checkpoint found no space
  Seq covered_seq = 0;              // what the page file holds
  uint64_t txid = 0;
  uint32_t page_size = 0;
};

class Store : public std::enable_shared_from_this<Store>, public JournalListener {
 public:
  // Opens, creates if asked to, recovers from a leftover journal. Blocking: on a worker. `listener`
  // must outlive the store.
  static std::shared_ptr<Store> open(FileSystem& files, const std::string& path,
                                     const StoreOptions& options,
                                     std::shared_ptr<StoreListener> listener);
  ~Store() override;

  // --- owner: reads ---
  const BucketView& resolve(BucketRef& ref);
  std::shared_ptr<const View> view() const { return view_; }
  std::shared_ptr<Snapshot> snapshot();
  // What it sees, to be read by any thread: what the active memtable holds of it is sealed. Throws
  // ERR_CLOSED, and ERR_POISONED when the newest transaction is there by half.
  std::shared_ptr<const View> settled_state(const Snapshot& snapshot);
  uint64_t id() const { return id_; }

  // --- owner: writes; each is a transaction; returns its sequence number ---
  Seq put(BucketRef& bucket, Bytes key, const Value& value);
  Seq remove(BucketRef& bucket, Bytes key);
  Seq create_bucket(const BucketRef& bucket);
  Seq delete_bucket(const BucketRef& bucket);
  Seq set_sequence(BucketRef& bucket, uint64_t value);
  // A body whose operations are proven to apply to the newest state, as one transaction.
  Seq commit(const OpWriter& ops);
  Seq submit();
  Seq force_sync();
  Seq last_seq() const { return last_seq_; }
  // Open transactions: a close rolls them back.
  void add_update(class Update* update) { updates_.insert(update); }
  void remove_update(Update* update) { updates_.erase(update); }
  void add_client(StoreClient* client) { clients_.insert(client); }
  void remove_client(StoreClient* client) { clients_.erase(client); }
  bool may_nest() const { return may_nest_; }
  // Throws ERR_READ_ONLY, ERR_POISONED, ERR_CLOSED, and what ReadTx::require_intact() throws.
  void require_writable();
  void require_open() const {
    if (closing_) throw Error(ErrorCode::ERR_CLOSED);
  }

  // --- owner: memtables ---
  Backlog backlog() const { return {active_->weight(), sealed_weight_, written_bytes_, is_short_}; }
  bool seal();
  std::unique_ptr<Checkpoint> begin_checkpoint();  // nullptr: nothing is sealed
  void finish_checkpoint(Checkpoint& checkpoint);
  StoreStats stats() const;
  // Ends all clients, closes all snapshots and seals; after it only run_close() and destruction.
  void begin_close();

  // Stops all threads; what was acknowledged is durable, a reopen recovers the rest. For the end of
  // the environment.
  void halt() noexcept;

  // --- worker, or the urgent one ---
  void run_checkpoint(Checkpoint& checkpoint);
  // --- checker ---
  CheckReport run_check(PageFile& file);  // Requires: a reader that was opened on it is held
  // --- urgent ---
  // Checkpoints, removes the journal, releases the file. Throws after releasing it: ERR_POISONED if
  // the store was poisoned; ERR_NO_SPACE if the page file could not take everything: then the
  // journal stays beside it and nothing is lost.
  void run_close();
  // Empties the old files that no reader needs any more. On the copier: it takes as long as the
  // file is large.
  void retire_old_files() noexcept;

  // --- any thread ---
  bool poisoned() const noexcept { return poisoned_; }
  void poison(const Error& cause) noexcept;
  // Destroys it on the reclaimer, and empties old files that no reader needs any more.
  void discard(std::shared_ptr<const void> garbage) noexcept;
  // While acknowledgements wait for checkpoints, these do not wait for syncs.
  void hurry(bool on) noexcept { pacer_.hurry(on); }
  Worker& worker() { return worker_; }      // checkpoints, recycling
  Worker& urgent() { return urgent_; }      // those that others wait for; close
  Worker& checker() { return checker_; }    // check
  Worker& copier() { return copier_; }      // defragmentation
  Worker& replayer() { return replayer_; }  // catching up, when writers wait for it
  Worker& reclaimer() { return reclaimer_; }
  FileSystem& files() { return files_; }
  const std::string& path() const { return path_; }
  const StoreOptions& options() const { return options_; }
  const std::shared_ptr<SyncLatency>& latency() const { return latency_; }

 private:
  friend class Backup;
  friend class Defrag;
  friend class StoreImage;
  friend class Snapshot;
  friend struct Recovery;
  Store(FileSystem& files, std::string path, StoreOptions options,
        std::shared_ptr<StoreListener> listener);

  void on_durable(Seq seq) noexcept override;
  void on_failure(const Error& error) noexcept override;

  bool has_table(const BucketRef& ref) const;
  void require_path(const BucketRef& ref) const;
  BucketTable& table_for(BucketRef& ref, Seq seq);
  bool seal_active();
  void stop_workers() noexcept;
  void with_all_pages(const std::shared_ptr<PageFile>& file,
                      const std::function<void()>& transaction);
  Meta merge(Checkpoint& checkpoint);
  // require_writable(), and ERR_NO_SPACE. `ops`: what the transaction consists of.
  void require_accepting(Growth growth = Growth::kGrows, size_t ops = 1);
  void require_bounded_backlog(Growth growth) const;
  void look_for_space(Growth growth, size_t ops);
  uint64_t free_inside() const;
  void note_refusal(const Error& error) noexcept;
  // Runs what a write must pass; whoever listens hears of a want of space.
  template <typename Work>
  void or_refuse(const Work& work) {
    try {
      work();
    } catch (const Error& error) {
      note_refusal(error);
      throw;
    }
  }
  void require_sound() const;  // throws ERR_POISONED
  void checkpoint_all();
  void release_file() noexcept;
  Seq commit_body(const OpWriter& ops);
  Seq commit_one();
  void give_back_journal() noexcept;
  void checkpoint_rest();
  template <typename Change>
  void change_memtable(Change&& change);
  void apply(const Body& body, Seq seq);
  void install(std::vector<std::shared_ptr<const Memtable>> sealed,
               std::shared_ptr<const ReadTx> base);
  void install_over(std::shared_ptr<Memtable> active,
                    std::vector<std::shared_ptr<const Memtable>> sealed,
                    std::shared_ptr<const ReadTx> base);
  void post_retirement() noexcept;
  Seq pinned_seq() const { return pins_.empty() ? 0 : pins_.rbegin()->first; }
  void forget(Snapshot& snapshot) noexcept;
  JournalBinding binding_of(const Meta& meta) const;
  void update_backlog();
  void forget_nesting();
  Seq covered_seq() const;  // up to which the base of the view holds everything

  FileSystem& files_;
  const std::string path_;  // resolved
  const StoreOptions options_;
  const std::shared_ptr<StoreListener> listener_;
  const uint64_t id_;

  // owner
  std::shared_ptr<PageFile> file_;
  std::shared_ptr<Memtable> active_;
  std::shared_ptr<const View> view_;
  uint64_t structure_version_ = 1;
  Seq last_seq_ = 0;
  uint64_t written_bytes_ = 0;  // to the journal
  uint64_t sealed_weight_ = 0;
  size_t sealed_records_ = 0;
  size_t records_until_look_ = 0;  // records of the active memtable that there is space for
  bool is_short_ = false;
  bool refusal_told_ = false;                // since the newest seal
  std::map<Seq, size_t> pins_;               // sequence numbers that snapshots read at
  std::unordered_set<Snapshot*> snapshots_;  // open ones
  std::unordered_set<Update*> updates_;      // open ones
  std::unordered_set<StoreClient*> clients_;
  OpWriter ops_;
  bool may_nest_ = true;
  bool closing_ = false;
  bool torn_ = false;  // the active memtable broke in the middle of a transaction
  std::shared_ptr<Defrag> defrag_;

  // set at open
  History history_;
  std::unique_ptr<Journal> journal_;
  const std::shared_ptr<SyncLatency> latency_ = std::make_shared<SyncLatency>();

  // shared
  std::atomic<bool> poisoned_{false};
  std::atomic<bool> checkpoint_failed_{false};  // the newest one found no space
  // Weight of what is sealed and not in the page file, unless kept for a defragmentation.
  std::atomic<uint64_t> backlog_bytes_{0};
  std::atomic<Seq> recycle_limit_{kSeqMax};  // a defragmentation still needs what is newer
  mutable std::mutex mutex_;                 // guards the two below
  std::optional<Error> cause_;               // of the poisoning
  std::vector<std::shared_ptr<PageFile>> old_files_;
  // While the page file's state and its freelist change, or are looked at together.
  std::mutex merge_mutex_;

  Pacer pacer_;         // of checkpoints
  Pacer retire_pacer_;  // of the emptying of old files; cancelled by a close
  Worker reclaimer_;
  Worker checker_{Priority::kBackground};
  Worker worker_{Priority::kBackground};
  Worker urgent_;
  Worker replayer_;
  Worker copier_{Priority::kBackground};
};

}  // namespace hotbolt
