// Opening, creating, growing, poisoning and retiring of page files.
#include "core/page_file.h"

#include <atomic>
#include <filesystem>
#include <thread>

#include "core/check.h"
#include "core/pacer.h"
#include "harness.h"
#include "image.h"
#include "sim_file.h"

namespace hotbolt::testing {
namespace {

Image small(uint32_t page_size = 4096) {
  Image image(page_size, 5);
  image.freelist(2, {4});
  image.leaf(3, {{"k", "v"}});
  image.meta(6, 3, 2);
  image.meta(7, 3, 2);
  return image;
}

ErrorCode code_of_opening(const TestFolder& folder, Bytes bytes) {
  const std::string path = folder.write("data.db", bytes);
  try {
    PageFile::open(system_files(), path, {});
  } catch (const Error& error) {
    EXPECT_EQ(error.path(), path);
    return error.code();
  }
  throw Failure(__FILE__, __LINE__, "the file was opened");
}

std::string with_meta_bytes(size_t offset, uint32_t changed) {
  Image image = small();
  for (uint64_t number : {0, 1}) store(image.page(number) + 16 + offset, changed);
  return image.bytes();
}

// A write transaction by hand: replaces the root leaf by a new page with this value.
void commit_value(PageFile& file, const std::string& value_bytes) {
  Meta meta = file.meta();
  meta.txid = TxId{value(meta.txid) + 1};
  file.freelist().begin(meta.txid, file.readers());
  std::optional<PageId> page = file.freelist().allocate(1);
  if (!page) {
    page = PageId{meta.high_water++};
    file.freelist().note_allocated({*page, 1});
    file.reserve(meta.high_water);
  }
  file.freelist().free({meta.root, 1});
  std::string leaf = Image::leaf_page(value(*page), {{"k", value_bytes}});
  leaf.resize(file.page_size(), '\0');
  file.write(*page, leaf);
  meta.root = *page;
  meta.freelist = kFreelistNotStored;
  file.write(PageId{value(meta.txid) % 2}, encode_meta_page(meta));
  file.freelist().commit();
  file.publish(meta);
}

std::string read_value(const ReadTx& tx) {
  return std::string(PageBucket::root(tx).find("k")->value);
}

TEST("a created file is an empty database with our mark, and passes the audit") {
  TestFolder folder;
  const std::string path = folder.path("new.db");
  for (const uint32_t page_size : {1024u, 4096u, 65536u}) {
    system_files().remove(path);
    PageFile::create(system_files(), path, page_size, 0640, {'i', 'd'});
    const auto file = PageFile::open(system_files(), path, {});
    EXPECT_EQ(file->page_size(), page_size);
    EXPECT_EQ(file->size_bytes(), 4 * page_size);
    EXPECT_EQ(file->status().mode, 0640);
    EXPECT_TRUE(file->meta().mark->is_flat);
    EXPECT_TRUE(check(*file->begin_read(), nullptr).ok());
  }
  EXPECT_EQ(system_files().list(directory_of(path)).size(), 1);
}

TEST("creating never replaces a file that is there") {
  TestFolder folder;
  const std::string path = folder.write("data.db", "precious");
  PageFile::create(system_files(), path, 4096, 0600, {});
  EXPECT_EQ(system_files().status(path)->size_bytes, 8);
  EXPECT_EQ(system_files().list(directory_of(path)).size(), 1);
}

TEST(
    "an empty file becomes a database of its own mode, and is none for whoever waits for its "
    "lock") {
  TestFolder folder;
  const std::string path = folder.write("data.db", "");
  OpenMode mode;
  mode.write = true;
  const auto waiting = system_files().open(path, mode);
  FileStatus like = waiting->status();
  like.mode = 0640;
  waiting->set_mode_and_owner(like);
  PageFile::initialize(system_files(), path, 1024, {'i', 'd'}, {});
  const auto file = PageFile::open(system_files(), path, {});
  EXPECT_EQ(file->status().mode, 0640);
  EXPECT_TRUE(file->meta().mark->database_id == DatabaseId({'i', 'd'}));
  EXPECT_TRUE(check(*file->begin_read(), nullptr).ok());
  EXPECT_EQ(waiting->status().size_bytes, 2048);
  EXPECT_EQ(system_files().list(directory_of(path)).size(), 1);
}

TEST("an empty file that has another name, or is not empty any more, is left as it is") {
  TestFolder folder;
  const std::string path = folder.write("data.db", "");
  const std::string other = folder.path("other");
  std::filesystem::create_hard_link(path, other);
  PageFile::initialize(system_files(), path, 1024, {}, {});
  EXPECT_EQ(system_files().status(other)->size_bytes, 0);
  const uint64_t inode = system_files().status(path)->inode;
  PageFile::initialize(system_files(), path, 4096, {}, {});
  EXPECT_EQ(system_files().status(path)->inode, inode);
}

TEST("making a database of an empty file may be cut or fail at every call, and is done again") {
  const std::string path = "/d/data.db";
  uint64_t calls = 0;
  for (uint64_t n = 1; calls == 0 || n <= calls; n++) {
    for (const bool is_cut : {true, false}) {
      SimFileSystem files(n + 1000);  // other random names than after it
      files.put_file(path, "");
      std::unique_ptr<SimFileSystem> after;
      if (is_cut) {
        files.set_hook([&, first = files.calls()](uint64_t call, const char*) {
          if (call - first == n) after = files.crash(n);
        });
      } else {
        files.fail_call(n, ErrorCode::ERR_IO, 5);
      }
      const uint64_t before = files.calls();
      try {
        PageFile::initialize(files, path, 1024, {}, {});
        if (is_cut) calls = files.calls() - before;
      } catch (const Error&) {
        EXPECT_FALSE(is_cut);
      }
      if (!is_cut) after = files.restart();
      if (after == nullptr) continue;  // fewer calls than n
      if (after->contents(path).empty()) PageFile::initialize(*after, path, 1024, {}, {});
      EXPECT_TRUE(check(*PageFile::open(*after, path, {})->begin_read(), nullptr).ok());
    }
  }
  EXPECT_TRUE(calls > 8);
}

TEST("the page size is found in meta 0, or where a meta 1 lies if that is damaged") {
  for (uint32_t page_size = kPageSizeMin; page_size <= kPageSizeMax; page_size *= 2) {
    for (const bool is_damaged : {false, true}) {
      TestFolder folder;
      Image image = small(page_size);
      if (is_damaged) image.page(0)[16 + 30] ^= 1;
      const auto file = folder.open(image);
      EXPECT_EQ(file->page_size(), page_size);
      EXPECT_EQ(value(file->meta().txid), 7);
    }
  }
}

TEST("the newest valid meta wins") {
  TestFolder folder;
  Image image = small();
  EXPECT_EQ(value(folder.open(image)->meta().txid), 7);
  EXPECT_EQ(value(folder.open(image)->previous_meta()->txid), 6);
  image.page(1)[16 + 30] ^= 1;
  EXPECT_EQ(value(folder.open(image)->meta().txid), 6);
  EXPECT_FALSE(folder.open(image)->previous_meta().has_value());
}

TEST("what cannot be opened says why by code") {
  TestFolder folder;
  EXPECT_THROWS_CODE(ErrorCode::ERR_NOT_FOUND,
                     PageFile::open(system_files(), folder.path("no"), {}));
  EXPECT_THROWS_CODE(ErrorCode::ERR_NOT_A_FILE,
                     PageFile::open(system_files(), folder.path(""), {}));
  EXPECT_EQ(code_of_opening(folder, ""), ErrorCode::ERR_NOT_A_DATABASE);
  EXPECT_EQ(code_of_opening(folder, std::string(20000, 'x')), ErrorCode::ERR_NOT_A_DATABASE);
  EXPECT_EQ(code_of_opening(folder, with_meta_bytes(0, kMagicSwapped)), ErrorCode::ERR_BYTE_ORDER);
  EXPECT_EQ(code_of_opening(folder, with_meta_bytes(4, 1)), ErrorCode::ERR_VERSION);
  EXPECT_EQ(code_of_opening(folder, with_meta_bytes(12, 1)), ErrorCode::ERR_CHECKSUM);
  EXPECT_EQ(code_of_opening(folder, small().bytes().substr(0, 4 * 4096)), ErrorCode::ERR_TRUNCATED);
  EXPECT_EQ(code_of_opening(folder, small().bytes().substr(0, 100)), ErrorCode::ERR_NOT_A_DATABASE);
}

TEST("a newer meta that reaches beyond the file is not passed over for an older one") {
  TestFolder folder;
  Image image = small();
  Meta meta = image.meta(7, 3, 2);
  meta.high_water = 6;
  image.bytes().replace(4096, 4096, encode_meta_page(meta));
  EXPECT_EQ(code_of_opening(folder, image.bytes()), ErrorCode::ERR_TRUNCATED);
}

TEST("one writer or many readers: the lock excludes the others at once or after the timeout") {
  TestFolder folder;
  Image image = small();
  const std::string path = folder.path("data.db");
  auto writer = folder.open(image);
  EXPECT_THROWS_CODE(ErrorCode::ERR_LOCKED, PageFile::open(system_files(), path, {}));
  EXPECT_THROWS_CODE(
      ErrorCode::ERR_LOCKED,
      PageFile::open(system_files(), path, {.read_only = true, .lock_timeout_us = 15'000}));
  writer.reset();
  const auto reader = PageFile::open(system_files(), path, {.read_only = true});
  const auto another = PageFile::open(system_files(), path, {.read_only = true});
  EXPECT_THROWS_CODE(ErrorCode::ERR_LOCKED, PageFile::open(system_files(), path, {}));
}

TEST("a file that was renamed into place while the lock was awaited is the one that is opened") {
  TestFolder folder;
  Image image = small();
  auto old_file = folder.open(image);
  const std::string path = folder.path("data.db");
  image.meta(8, 3, 2);
  std::thread defragmentation([&] {
    system_files().rename(folder.write("new.db", image.bytes()), path);
    old_file.reset();
  });
  const auto file = PageFile::open(system_files(), path, {.lock_timeout_us = 10'000'000});
  defragmentation.join();
  EXPECT_EQ(value(file->meta().txid), 8);
}

TEST("a read-only open of a write-protected file writes nothing") {
  TestFolder folder;
  Image image = small();
  folder.open(image);
  const std::string path = folder.path("data.db");
  std::filesystem::permissions(path, std::filesystem::perms::owner_read);
  const auto before = std::filesystem::last_write_time(path);
  const auto file = PageFile::open(system_files(), path, {.read_only = true});
  file->load_freelist();
  EXPECT_TRUE(check(*file->begin_read(), nullptr).ok());
  EXPECT_TRUE(std::filesystem::last_write_time(path) == before);
}

TEST("a reader keeps its state while the file goes on, and the file while it lasts") {
  TestFolder folder;
  Image image = small(1024);
  auto file = folder.open(image);
  file->load_freelist();
  const auto old_tx = file->begin_read();
  for (int i = 0; i < 100; i++) commit_value(*file, std::to_string(i));
  EXPECT_EQ(read_value(*old_tx), "v");
  EXPECT_EQ(read_value(*file->begin_read()), "99");
  EXPECT_EQ(file->readers().count(), 1);
  // The reader's root, and three generations in turn.
  EXPECT_TRUE(file->meta().high_water <= 9);
  file.reset();
  EXPECT_EQ(read_value(*old_tx), "v");
}

TEST("after a reopen the state before the newest is kept for one more transaction") {
  TestFolder folder;
  Image image = small();
  {
    const auto file = folder.open(image);
    file->load_freelist();
    for (int i = 0; i < 5; i++) commit_value(*file, std::to_string(i));
  }
  const auto file = PageFile::open(system_files(), folder.path("data.db"), {});
  file->load_freelist();
  EXPECT_TRUE(*file->is_flat());
  const Meta older = *file->previous_meta();
  EXPECT_TRUE(file->freelist().is_free_or_pending(older.root));
  EXPECT_EQ(file->pending_pages(), 1);
  commit_value(*file, "next");
  // The newest meta destroyed, as a crash could: the one before it is whole.
  file->write(PageId{value(file->meta().txid) % 2}, std::string(4096, '\0'));
  const auto fallback =
      PageFile::open(system_files(),
                     folder.write("copy.db",
                                  [&] {
                                    std::string bytes(file->size_bytes(), '\0');
                                    file->file().read(0, bytes.data(), bytes.size());
                                    return bytes;
                                  }()),
                     {});
  EXPECT_EQ(read_value(*fallback->begin_read()), "4");
}

TEST("free pages are found by a scan when they are not stored, and a shared page is damage") {
  TestFolder folder;
  Image image(1024, 9);
  image.leaf(3, {Image::bucket("a", 4), Image::bucket("b", 6)});
  image.branch(4, {{"k", 5}});
  image.leaf(5, {Image::inline_bucket("deep", {})});
  image.leaf(6, {{"x", std::string(1500, 'x')}});  // pages 6 and 7
  image.meta(1, 3);
  auto file = folder.open(image);
  file->load_freelist();
  EXPECT_TRUE(file->freelist().all_ids() == (std::vector<uint64_t>{2, 8}));
  EXPECT_FALSE(*file->is_flat());
  file.reset();
  image.branch(4, {{"k", 7}});
  store<uint64_t>(image.page(7), 7);
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, folder.open(image)->load_freelist());
}

TEST("a freelist that lists its own page or what does not exist is damage") {
  TestFolder folder;
  Image image = small();
  image.freelist(2, {2, 4});
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, folder.open(image)->load_freelist());
  image.freelist(2, {5});
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, folder.open(image)->load_freelist());
}

TEST("the file grows ahead, its mapping with it, and trimming cuts what was not needed") {
  TestFolder folder;
  Image image = small();
  const auto file = folder.open(image);
  const auto old_tx = file->begin_read();
  file->reserve(6);
  EXPECT_EQ(file->size_bytes(), 5 * 4096 + (64 << 10));
  file->reserve(20'000);
  EXPECT_EQ(file->size_bytes(), 20'000 * 4096);
  EXPECT_EQ(file->status().size_bytes, file->size_bytes());
  EXPECT_EQ(read_value(*old_tx), "v");
  EXPECT_EQ(read_value(*file->begin_read()), "v");
  file->trim();
  EXPECT_EQ(file->status().size_bytes, 5 * 4096);
}

TEST("a poisoned file says so until it is reopened") {
  TestFolder folder;
  Image image = small();
  const auto file = folder.open(image);
  file->throw_if_poisoned();
  file->poison(Error(ErrorCode::ERR_IO, "the disk is gone"));
  EXPECT_THROWS_CODE(ErrorCode::ERR_POISONED, file->throw_if_poisoned());
  EXPECT_EQ(read_value(*file->begin_read()), "v");
}

TEST("a new file for a defragmentation is locked, has the other's mode and no mark") {
  TestFolder folder;
  Image image = small();
  const auto source = folder.open(image);
  const std::string path = folder.path("data.db-defrag");
  FileStatus like = source->status();
  like.mode = 0644;
  const auto file = PageFile::create_empty(system_files(), path, 1024, like);
  EXPECT_EQ(file->status().mode, 0644);
  EXPECT_FALSE(file->meta().mark.has_value());
  EXPECT_THROWS_CODE(ErrorCode::ERR_LOCKED, PageFile::open(system_files(), path, {}));
  EXPECT_THROWS_CODE(ErrorCode::ERR_EXISTS,
                     PageFile::create_empty(system_files(), path, 1024, like));
  file->load_freelist();
  commit_value(*file, "moved");
  EXPECT_EQ(read_value(*file->begin_read()), "moved");
}

TEST("a retired file cannot be opened by whoever waited for its lock") {
  TestFolder folder;
  Image image = small();
  const auto file = folder.open(image);
  file->reserve(3000);
  system_files().remove(file->path());
  Pacer pacer(system_files(), nullptr, 0);
  file->retire(pacer);
  // Not empty: bbolt takes an empty file for a new database.
  const size_t size = 2 * size_t{file->page_size()};
  std::string left(size + 1, 'x');
  EXPECT_EQ(file->file().read(0, left.data(), left.size()), size);
  EXPECT_TRUE(left == std::string(size, '\0') + "x");
  EXPECT_THROWS_CODE(ErrorCode::ERR_INTERNAL, file->begin_read());
}

TEST("a file that has another name keeps its content when it is revoked and retired") {
  TestFolder folder;
  Image image = small();
  const auto file = folder.open(image);
  Pacer pacer(system_files(), nullptr, 0);
  file->revoke();
  file->retire(pacer);
  std::string left(image.bytes().size(), '\0');
  EXPECT_EQ(file->file().read(0, left.data(), left.size()), left.size());
  EXPECT_TRUE(left == image.bytes());
}

TEST("readers on many threads always see a committed state") {
  TestFolder folder;
  Image image = small(1024);
  const auto file = folder.open(image);
  file->load_freelist();
  commit_value(*file, "0");
  std::atomic<bool> stop{false};
  std::atomic<int> failures{0};
  const auto read = [&] {
    for (int last = 0; !stop;) {
      const int seen = std::stoi(read_value(*file->begin_read()));
      if (seen < last) failures++;
      last = seen;
    }
  };
  std::thread readers[] = {std::thread(read), std::thread(read)};
  for (int i = 1; i <= 2000; i++) commit_value(*file, std::to_string(i));
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(failures.load(), 0);
}

}  // namespace
}  // namespace hotbolt::testing
