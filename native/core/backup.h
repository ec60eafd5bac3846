// A backup of one store: what a snapshot sees, as a plain bbolt file of its own, while reads,
// writes, checkpoints and defragmentations go on.
//
//   make      owner   takes the snapshot's state (state_reader.h)
//   run       thread  of the backup's own, so that it runs beside a defragmentation and others:
//     1. refuse whatever is at the path already; remove what killed backups to it left
//     2. a temporary file beside it: new, locked, mode and owner like the source
//     3. the base, page by page
//     4. what memtables hold up to the snapshot's sequence number, merged into that; or, compact,
//        3 and 4 at once: what both show together, bottom-up in key order
//     5. the complete check of the new file; its SHA-256
//     6. sync, rename without replacing, sync the directory
//
// The source is read through the descriptor and mapping that the base pins, never by a path: what
// is renamed over the database meanwhile is somebody else's. The new file's metas are made from the
// pinned meta, since those in the source are being rewritten. They carry no mark, and the number of
// their transaction is one that the source's base never had: a journal that lies beside the path to
// which a backup is restored belongs to another database, and is refused.
#pragma once

#include "core/bulk_copier.h"
#include "core/state_reader.h"
#include "core/temp_file.h"

namespace hotbolt {

struct BackupOptions {
  std::string path;
  bool compact = false;
  double fill = 0.9;  // of a compact copy
  uint64_t bytes_per_second = 0;
  bool etcd_snapshot = false;  // the SHA-256 of the file is appended to it, as 32 bytes
  bool verify = true;
  bool hash = false;
};

struct BackupResult {
  uint64_t size_bytes = 0;
  uint64_t txid = 0;            // of the new file
  std::string sha256;           // of the whole file, in hexadecimal; "" unless asked for
  std::string snapshot_sha256;  // what an etcd snapshot ends with, in hexadecimal
};

class Backup : public StateReader {
 public:
  Backup(Snapshot& snapshot, BackupOptions options);
  ~Backup() override;

  // --- owner ---
  void end() noexcept override;
  void halt() noexcept override;
  uint64_t total_bytes() const { return total_bytes_; }  // estimate of the new file's size

  // --- its thread ---
  BackupResult run();

  // --- any thread ---
  uint64_t bytes_copied() const noexcept;

 private:
  void require_space();
  BackupResult build(TempFile& temp);
  void copy_pages(TempFile& temp);
  void copy_entries(TempFile& temp);
  void merge_memtables(TempFile& temp);
  void verify(TempFile& temp);
  BackupResult complete(TempFile& temp);
  void empty_later(std::shared_ptr<TempFile> temp) noexcept;

  const BackupOptions options_;
  uint64_t total_bytes_ = 0;
  Pacer discard_pacer_;              // of taking the temporary file away; cancelled by a close
  CopyProgress progress_;            // of a compact copy
  std::atomic<uint64_t> copied_{0};  // of one that is not
};

}  // namespace hotbolt
