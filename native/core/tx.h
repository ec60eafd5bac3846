// A write transaction on a page file: a batch of sorted changes merged into the trees,
// copy-on-write.
//
// There is exactly one kind of change: "apply these memtables". Checkpoints, defragmentation's
// catch-up and recovery all are that. New pages are built bottom-up and streamed to the file
// through a PageSink in long contiguous runs while the merge goes on, so memory stays bounded by
// one run per level; nothing that the committed metas can reach is touched.
//
// RAII: leaving scope without commit() rolls back (pages return to the freelist; what was written
// lies in free pages). One thread; one write transaction of a file at a time.
#pragma once

#include <memory>

#include "core/overlay.h"
#include "core/pacer.h"
#include "core/page_file.h"
#include "core/page_sink.h"

namespace hotbolt {

struct WriteTxOptions {
  double fill = 0.9;  // of a page when a run of rebuilt neighbours is packed; 0.1..1.0
};

class WriteTx {
 public:
  // Throws ERR_POISONED. Loads the file's freelist if that has not happened yet.
  WriteTx(std::shared_ptr<PageFile> file, Pacer& pacer, WriteTxOptions options);
  ~WriteTx();
  WriteTx(const WriteTx&) = delete;
  WriteTx& operator=(const WriteTx&) = delete;

  // Merges what sealed memtables (newest first) say at `seq` into the tree. Once per transaction.
  void apply(const std::vector<const Memtable*>& newest_first, Seq seq = kSeqMax);
  // Makes it durable (commit.h). `mark.is_flat` is filled in here from what the transaction saw.
  // Returns the new meta. When nothing changed and the mark says the same, does nothing.
  Meta commit(Mark mark);
  // The same, and stores the freelist in the file (a clean close).
  Meta commit_with_freelist(Mark mark);
  // The same without a mark: a database that no journal belongs to, such as a backup.
  Meta commit_unmarked();
  // Commits the state that there is once more. The previous meta holds no other pages then, so that
  // what the newest transaction freed can be reused by the next one. False: there is nothing to
  // gain, or no mark, and a journal may be bound to this very meta.
  static bool release_fallback(const std::shared_ptr<PageFile>& file, Pacer& pacer);

  // --- for balance.cc, tree_builder.cc and bulk_copier.cc ---
  const ReadTx& base() const { return *base_; }
  PageId allocate(uint64_t page_count);
  void free(PageId id, uint64_t page_count);
  PageSink& sink() { return sink_; }
  uint32_t page_size() const { return base_->page_size(); }
  double fill() const { return options_.fill; }
  void set_root(PageId root, uint64_t sequence);
  void saw_nested_bucket() { nested_ = true; }
  // The transaction writes every bucket there will be: the file is flat unless saw_nested_bucket().
  void sees_all_buckets() { base_is_flat_ = true; }
  TxId txid() const { return meta_.txid; }

 private:
  bool is_flat() const { return base_is_flat_ && !nested_; }
  bool needs_commit(const Mark& mark) const;
  Meta finish(const std::optional<Mark>& mark);
  void free_old_freelist();
  void store_freelist();

  const std::shared_ptr<PageFile> file_;
  const std::shared_ptr<const ReadTx> base_;  // the state that is changed
  const WriteTxOptions options_;
  PageSink sink_;
  Meta meta_;                    // of the transaction to be
  uint64_t reserved_pages_ = 0;  // the file is at least this long
  bool base_is_flat_ = false;
  bool nested_ = false;
  bool changed_ = false;
  bool done_ = false;
};

}  // namespace hotbolt
