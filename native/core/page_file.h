// One open bbolt file: descriptor, lock, mapping, metas, freelist, readers. The only thing that
// knows both page ids and bytes.
//
// Threading: ReadTx may be begun and ended on any thread. Writing (everything under "writer")
// belongs to one thread at a time; callers serialise it. The newest committed meta is kept in
// memory and never read again through the mapping, so that a failed sync cannot leak an uncommitted
// state to readers.
//
// Growth: the file is extended ahead in steps; the mapping reserves a range well beyond the file (8
// times its size, at least 64 MiB) so that growth does not remap; when the range is used up a
// larger mapping is made and old readers keep theirs.
//
// Poison: after a failed sync, writeback or write of a meta every further commit throws
// ERR_POISONED.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>

#include "core/file.h"
#include "core/freelist.h"
#include "core/meta.h"
#include "core/readers.h"

namespace hotbolt {

class PageFile;

// A stable view of the file at one transaction. Immutable; any thread. Keeps the file open and its
// pages from being reused.
class ReadTx {
 public:
  ReadTx(std::shared_ptr<PageFile> file, Meta meta, std::shared_ptr<const Mapping> mapping,
         uint64_t readable_bytes);
  ~ReadTx();
  ReadTx(const ReadTx&) = delete;
  ReadTx& operator=(const ReadTx&) = delete;

  const Meta& meta() const { return meta_; }
  uint32_t page_size() const { return meta_.page_size; }
  // The proven branch or leaf page `id`: within the high-water mark and the file, header id equal,
  // run inside the file.
  PageView page(PageId id) const;
  // Pages of the run at `id` (1 + overflow); same proofs.
  uint64_t run_length(PageId id) const;
  // Raw bytes of the run, same proofs except the flags.
  Bytes run(PageId id) const;
  const std::shared_ptr<PageFile>& file() const { return file_; }
  // To be called after reading, before the result counts: throws ERR_TRUNCATED or ERR_IO if a page
  // of the mapping could not be read. All pages are in doubt from then on, since nobody knows which
  // reads met the zeros in its place.
  void require_intact() const {
    if (mapping_->damaged()) [[unlikely]]
      throw_damaged();
  }

 private:
  [[noreturn]] void throw_bad_run(PageId id) const;
  [[noreturn]] void throw_damaged() const;

  const std::shared_ptr<PageFile> file_;
  const Meta meta_;
  const std::shared_ptr<const Mapping> mapping_;
  const char* const data_;
  const uint64_t
      page_limit_;  // pages below it are inside the high-water mark, the file and the mapping
  const unsigned page_shift_;
};

inline Bytes ReadTx::run(PageId id) const {
  const uint64_t index = value(id);
  if (index < 2 || index >= page_limit_) throw_bad_run(id);
  const char* const start = data_ + (index << page_shift_);
  // The element array comes next; fetching its lines along with the header's saves a wait for
  // memory.
  for (int line = 1; line <= 4; line++) __builtin_prefetch(start + line * 64);
  const PageHeader header = load_page_header(start);
  if (header.id != index || header.overflow >= page_limit_ - index) throw_bad_run(id);
  return Bytes(start, (uint64_t{header.overflow} + 1) << page_shift_);
}

inline PageView ReadTx::page(PageId id) const { return PageView(id, run(id)); }

inline uint64_t ReadTx::run_length(PageId id) const { return run(id).size() >> page_shift_; }

struct PageFileOptions {
  bool read_only = false;
  uint64_t lock_timeout_us = 0;  // how long to wait for another holder of the lock
  std::shared_ptr<const std::atomic<bool>> cancelled{};  // ends that wait; may be null
};

class PageFile : public std::enable_shared_from_this<PageFile> {
 public:
  // Opens an existing file: locks it (exclusive, or shared when read-only; after locking compares
  // the inode with the path and starts over if they differ, since a defragmentation may have
  // renamed a new file into place), detects the page size, proves the metas, maps. Throws
  // ERR_NOT_FOUND, ERR_NOT_A_FILE, ERR_PERMISSION, ERR_LOCKED, ERR_NOT_A_DATABASE, ERR_BYTE_ORDER,
  // ERR_VERSION, ERR_CHECKSUM, ERR_PAGE_SIZE, ERR_TRUNCATED.
  static std::shared_ptr<PageFile> open(FileSystem& files, const std::string& path,
                                        PageFileOptions options);

  // Creates an empty database at `path`, complete or not at all: built under a temporary name,
  // synced, linked into place by rename, directory synced. If another file appears there meanwhile,
  // that one stays and ours is removed: the caller opens what is there in either case.
  static void create(FileSystem& files, const std::string& path, uint32_t page_size, uint32_t mode,
                     DatabaseId id);

  // A new file for a defragmentation: `path` must not exist; mode and owner like `like`;
  // exclusively locked from the start. It holds an empty database without our mark, so that nobody
  // takes it for current, and is synced by its first commit.
  // Makes a database of the empty file at `path`, as bbolt does; not of one that has been filled
  // meanwhile. By a new file of the same mode and owner that takes its place, so that a crash
  // leaves one of the two. Only `lock_timeout_us` and `cancelled` of the options count.
  static void initialize(FileSystem& files, const std::string& path, uint32_t page_size,
                         DatabaseId id, const PageFileOptions& options);
  static std::shared_ptr<PageFile> create_empty(FileSystem& files, const std::string& path,
                                                uint32_t page_size, const FileStatus& like);
  // What create_empty() writes: a whole empty database without a mark.
  static void write_empty(File& file, uint32_t page_size);
  // Takes over an open file that the caller has locked, and whose metas are written.
  static std::shared_ptr<PageFile> adopt(FileSystem& files, const std::string& path,
                                         std::unique_ptr<File> file);
  ~PageFile();

  // --- any thread ---
  std::shared_ptr<const ReadTx> begin_read();  // the newest committed state
  Meta meta() const;                           // of the newest committed state
  std::optional<Meta> previous_meta() const;   // of the state before it, while that is intact
  uint32_t page_size() const { return page_size_; }
  FileSystem& files() const { return files_; }
  const std::string& path() const { return path_; }
  FileStatus status() const;
  uint64_t size_bytes() const;  // of the file on disk
  Readers& readers() { return readers_; }
  bool read_only() const { return read_only_; }
  // Counts for stats(), as of the last commit: reusable, pending. 0 before the freelist is loaded.
  uint64_t free_pages() const { return free_pages_; }
  uint64_t pending_pages() const { return pending_pages_; }
  bool freelist_loaded() const { return freelist_loaded_; }
  // Bytes of the pages that the newest state consists of; all below its high-water mark before the
  // freelist is loaded.
  uint64_t used_bytes() const;

  // --- writer: used by WriteTx and commit --- Loads the stored freelist, or finds the free pages
  // by a scan of all reachable pages (both metas' trees, if both are ours, so that the older one
  // stays a valid fallback). Also finds out whether the file is flat. Once. Throws ERR_CORRUPT. A
  // stored freelist's own pages are not in it: the next commit frees them like any replaced page.
  void load_freelist();
  Freelist& freelist() { return freelist_; }
  // Whether no bucket but the root holds a bucket; nullopt: unknown (foreign file whose freelist
  // was stored).
  std::optional<bool> is_flat() const { return is_flat_; }
  void set_flat(std::optional<bool> flat) { is_flat_ = flat; }
  // Makes the file at least `high_water` pages long (grows ahead by a step if there is space; not
  // synced: the commit's sync_data covers the size) and the mapping large enough. The space is
  // taken, so that no write into it finds the disk full.
  void reserve(uint64_t high_water);
  // Cuts what reserve() extended beyond the committed high-water mark. Not synced.
  void trim();
  void write(PageId first, Bytes run);
  File& file() { return *file_; }
  // The last steps of a commit; see commit.h.
  void publish(const Meta& meta);
  void poison(const Error& cause) noexcept;
  bool poisoned() const noexcept { return poisoned_; }
  void throw_if_poisoned() const;
  // Throws ERR_TRUNCATED if somebody has cut the file short: what is written behind the cut would
  // turn what was lost into zeros that can be read.
  void require_whole() const;
  // Writes the newest meta once more, and syncs: when its first sync failed, the cache may show
  // what no disk has.
  void rewrite_meta();

  // After a durable rename over this file's path: whoever waits for this inode's lock must not take
  // it for the database. Overwrites both metas with zeros, which no reader looks at. Without effect
  // while the inode has another name (a hard link): then it is somebody's file.
  void revoke();
  // Revokes, then empties the file in steps. Requires: no readers, now or later. (The
  // defragmentation's last step.)
  void retire(class Pacer& pacer);
  void set_path(std::string path) {
    path_ = std::move(path);
  }  // after the rename of a defragmentation

 private:
  PageFile(FileSystem& files, std::string path, std::unique_ptr<File> file, bool read_only);

  void read_metas();
  void map(uint64_t size_bytes);
  void grow(uint64_t size_bytes);
  std::optional<ReadTx> read_previous();
  PageSet stored_free(const ReadTx& tx) const;
  PageSet find_free(const ReadTx& tx);
  void hold_back_fallback(const PageSet& free);
  void count_pages();
  bool has_name() const { return file_->status().link_count > 0; }
  void zero_metas();

  FileSystem& files_;
  std::string path_;
  const std::unique_ptr<File> file_;
  const bool read_only_;
  uint32_t page_size_ = 0;
  std::atomic<uint64_t> size_bytes_{0};
  Readers readers_;
  Freelist freelist_;
  std::atomic<bool> freelist_loaded_{false};
  std::atomic<uint64_t> free_pages_{0};
  std::atomic<uint64_t> pending_pages_{0};
  std::optional<bool> is_flat_;

  mutable std::mutex mutex_;  // guards what follows: a reader takes meta and mapping together
  Meta meta_;
  std::optional<Meta> previous_meta_;
  std::shared_ptr<const Mapping> mapping_;
  bool retired_ = false;

  std::atomic<bool> poisoned_{false};
  std::string poison_reason_;  // written once, before poisoned_
};

}  // namespace hotbolt
