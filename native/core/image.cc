// See image.h.
#include "core/image.h"

#include <algorithm>

namespace hotbolt {

std::string metas_of_copy(const Meta& source) {
  Meta newest = source;
  newest.mark.reset();
  // Nothing but the number can tell a journal of the source that this is another database. Where
  // the numbers leave no room there is no journal.
  if (source.leaves_room() || value(source.txid) == 0) newest.txid = TxId{value(source.txid) + 1};
  Meta older = newest;
  older.txid = TxId{value(newest.txid) - 1};
  const std::string pages[] = {encode_meta_page(newest), encode_meta_page(older)};
  const size_t first = value(newest.txid) % 2;
  return pages[first] + pages[1 - first];
}

// --- StoreImage ---

StoreImage::StoreImage(std::shared_ptr<Store> store)
    : store_(std::move(store)), base_(store_->view()->base), metas_(metas_of_copy(base_->meta())) {
  store_->require_open();
  size_bytes_ = base_->meta().high_water * base_->page_size();
}

StoreImage::StoreImage(const Snapshot& snapshot)
    : store_(snapshot.store().shared_from_this()),
      base_(snapshot.view().base),
      metas_(metas_of_copy(base_->meta())) {
  store_->require_open();
  for (const auto& memtable : snapshot.view().layers) {
    if (memtable->holds_any(snapshot.seq())) {
      throw Error(ErrorCode::ERR_BUSY,
                  "the snapshot sees writes that no checkpoint has merged yet");
    }
  }
  size_bytes_ = base_->meta().high_water * base_->page_size();
}

StoreImage::~StoreImage() { store_->discard(std::move(base_)); }

size_t StoreImage::read(uint64_t offset, char* buffer, size_t size) {
  size = std::min<uint64_t>(size, size_bytes_ - std::min(offset, size_bytes_));
  size_t done = 0;
  if (offset < metas_.size()) {
    done = std::min<size_t>(size, metas_.size() - offset);
    std::memcpy(buffer, metas_.data() + offset, done);
  }
  File& file = base_->file()->file();
  if (file.read(offset + done, buffer + done, size - done) != size - done) {
    throw Error(ErrorCode::ERR_TRUNCATED, file.path() + " was cut short while it was open")
        .with_path(file.path());
  }
  return size;
}

// --- FileImage ---

namespace {

// To be emptied, if it may be written.
std::unique_ptr<File> open_to_unlink(FileSystem& files, const std::string& path) {
  OpenMode mode;
  mode.no_follow = mode.write = true;
  try {
    return files.open(path, mode);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::ERR_PERMISSION) throw;
  }
  mode.write = false;
  return files.open(path, mode);
}

}  // namespace

FileImage::FileImage(FileSystem& files, const std::string& path, bool unlink)
    : files_(files), unlink_(unlink) {
  file_ = unlink ? open_to_unlink(files, path) : files.open(path, OpenMode{});
  size_bytes_ = file_->status().size_bytes;
  if (unlink) files.remove(path);
}

size_t FileImage::read(uint64_t offset, char* buffer, size_t size) {
  size = std::min<uint64_t>(size, size_bytes_ - std::min(offset, size_bytes_));
  if (file_->read(offset, buffer, size) != size) {
    throw Error(ErrorCode::ERR_TRUNCATED, file_->path() + " was cut short while it was read")
        .with_path(file_->path());
  }
  return size;
}

void FileImage::discard(Pacer& pacer) noexcept {
  if (!unlink_) return;
  try {
    if (file_->status().link_count > 0) return;
    std::atomic<uint64_t> size_bytes{size_bytes_};
    shrink_in_steps(files_, *file_, size_bytes, 0, pacer);
  } catch (const std::exception&) {
    // The kernel frees the rest at the last close.
  }
}

}  // namespace hotbolt
