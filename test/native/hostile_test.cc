// A table of hostile files: each is met by everything that reads or writes (open in both modes,
// check, walks, gets, checkpoints, defragmentation, the deletion of buckets), and what comes of it
// is written down: the refusal of open, or the page and the words of the check. None of it may
// crash, hang, take memory without bound or break an invariant. A write leaves a sound file, or is
// refused; the few cases in which it can do neither say so.
#include <chrono>

#include "core/checksum.h"
#include "harness.h"
#include "image.h"
#include "targets/target.h"

namespace hotbolt::testing {

namespace {

using fuzz::kPath;
using fuzz::MemoryFiles;

// What writes come to, beginning with the file as it was.
enum class Writes : uint8_t {
  kSound,    // each of them leaves a sound file
  kRefused,  // none of them gets through
  kEither,   // those that do not meet the damage get through, and do not make more of it
  kWorse,    // the same, but what was damaged may spread: nothing but the check could know
};

struct Met {
  std::optional<Error> open_error;
  CheckReport report;
  bool wrote = false;
  bool refused = false;
  bool sound_after = true;
  uint64_t issues_after = 0;  // at most
};

// Errors other than these are bugs.
bool may_be_met(ErrorCode code) {
  return code != ErrorCode::ERR_INTERNAL && code != ErrorCode::ERR_OUT_OF_MEMORY &&
         code != ErrorCode::ERR_IO;
}

// Whether it went through.
template <typename Action>
bool survives(Action&& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    if (may_be_met(error.code())) return false;
    throw Failure(__FILE__, __LINE__, std::string(error_name(error.code())) + ": " + error.what());
  }
}

// At most as many bytes as the file has: who is led in circles stops there.
void walk(const BucketView& bucket, uint64_t& budget_bytes, size_t depth) {
  for (const bool reverse : {true, false}) {
    survives([&] {
      for (MergedCursor cursor(bucket, {}, reverse); cursor.valid(); cursor.next()) {
        const uint64_t bytes = kElementSize + cursor.key().size() + cursor.value().size();
        if (bytes > budget_bytes) return;
        budget_bytes -= bytes;
        (void)bucket.get(cursor.key());
        if (!reverse && cursor.is_bucket() && depth < kDepthMax)
          walk(bucket.child(cursor.key()), budget_bytes, depth + 1);
      }
    });
  }
}

// Throws when there are none.
std::vector<std::string> some_buckets(const Store& store) {
  std::vector<std::string> names;
  const BucketView root = BucketView::root(*store.view(), kSeqMax);
  survives([&] {
    for (MergedCursor cursor(root, {}, false); cursor.valid() && names.size() < 8; cursor.next()) {
      if (cursor.is_bucket()) names.emplace_back(cursor.key());
    }
  });
  if (names.empty()) throw Error(ErrorCode::ERR_BUCKET_NOT_FOUND);
  return names;
}

void put(Store& store, const std::string& bucket, const std::string& key) {
  BucketRef ref;
  ref.path = {bucket};
  store.put(ref, key, "value");
}

using Write = std::function<void(const std::shared_ptr<Store>&)>;

class Meeting {
 public:
  Meeting(FileSystem& files, std::string path, std::function<void()> restore)
      : files_(files), path_(std::move(path)), restore_(std::move(restore)) {}

  Met run() {
    for (const bool read_only : {false, true}) read(read_only);
    if (met_.open_error) return std::move(met_);
    write([](const auto& store) { put(*store, "new", "key"); });
    write([](const auto& store) {
      for (const std::string& name : some_buckets(*store)) put(*store, name, "kk");
    });
    write([](const auto& store) {
      for (const std::string& name : some_buckets(*store)) {
        BucketRef ref;
        ref.path = {name};
        store->delete_bucket(ref);
      }
    });
    write([](const auto& store) { fuzz::defragment(store); });
    return std::move(met_);
  }

 private:
  void read(bool read_only) {
    restore_();
    std::shared_ptr<Store> store;
    try {
      store = fuzz::open_store(files_, read_only, path_);
    } catch (const Error& error) {
      EXPECT_TRUE(may_be_met(error.code()));
      met_.open_error = error;
      return;
    }
    met_.report = fuzz::check_store(*store);
    uint64_t budget_bytes = store->stats().high_water_bytes;
    walk(BucketView::root(*store->view(), kSeqMax), budget_bytes, 0);
    fuzz::close_unwritten(store);
  }

  // Writes, checkpoints, closes; looks at what is left.
  void write(const Write& action) {
    restore_();
    std::shared_ptr<Store> store = fuzz::open_store(files_, false, path_);
    bool through = survives([&] { action(store); });
    through = survives([&] { fuzz::close_written(store); }) && through;
    store.reset();
    (through ? met_.wrote : met_.refused) = true;
    if (!through) return;
    survives([&] {
      store = fuzz::open_store(files_, true, path_);
      const CheckReport report = fuzz::check_store(*store);
      met_.issues_after = std::max(met_.issues_after, report.issue_count);
      met_.sound_after = met_.sound_after && report.ok();
      fuzz::close_unwritten(store);
    });
  }

  FileSystem& files_;
  const std::string path_;
  const std::function<void()> restore_;
  Met met_;
};

Met meet(const std::string& bytes) {
  MemoryFiles files;
  const auto restore = [&] {
    for (const std::string& path : files.paths()) files.remove(path);
    files.put(kPath, bytes);
  };
  return Meeting(files, kPath, restore).run();
}

class SilentJournal : public JournalListener {
 public:
  void on_durable(Seq) noexcept override {}
  void on_failure(const Error&) noexcept override {}
};

// The same in a file on disk, which may be larger. Copies cost time: writes follow each other.
Met meet_large(Image& image) {
  TestFolder folder;
  const auto restore = [&] { folder.write("data.db", Bytes(image.bytes())); };
  return Meeting(system_files(), folder.path("data.db"), restore).run();
}

// Root leaf 3: bucket "b" at branch 4 over leaves 5 and 6, "d" at leaf 8, an inline bucket "i",
// "n" at leaf 9, which holds bucket "m" at leaf 10, and "o" at leaf 11, whose value goes on in page
// 12. Freelist 2 lists page 7; 13 and 14 are there to be used, and free until then.
Image sound() {
  Image image(1024, 15);
  image.freelist(2, {7, 13, 14});
  image.leaf(3, {Image::bucket("b", 4), Image::bucket("d", 8),
                 Image::inline_bucket("i", {{"x", "1"}, {"y", "2"}}), Image::bucket("n", 9),
                 Image::bucket("o", 11)});
  image.branch(4, {{"a", 5}, {"m", 6}});
  image.leaf(5, {{"a", "1"}, {"c", "2"}});
  image.leaf(6, {{"m", "3"}, {"n", "4"}});
  image.leaf(8, {{"k", std::string(300, 'v')}});
  image.leaf(9, {{"l", std::string(300, 'v')}, Image::bucket("m", 10)});
  image.leaf(10, {{"k", std::string(300, 'v')}});
  image.leaf(11, {{"large", std::string(1500, 'o')}});
  image.meta(10, 3, 2);
  image.meta(11, 3, 2);
  return image;
}

// Fields of a page, by their place.
template <typename Integer>
void set(Image& image, uint64_t page, size_t offset, Integer value) {
  store<Integer>(image.page(page) + offset, value);
}
constexpr size_t element(size_t index) { return kPageHeaderSize + index * kElementSize; }
// Where the header of the root's first bucket lies: behind the elements and one letter.
constexpr size_t kFirstBucketAt = element(5) + 1;

// Changes both metas as they lie in the file, and makes their checksums right.
void change_metas(Image& image, const std::function<void(Meta&)>& change) {
  for (const uint64_t number : {0, 1}) {
    Meta meta = *decode_meta(Bytes(image.page(number), kMetaPageBytesUsed)).meta;
    change(meta);
    const std::string page = encode_meta_page(meta);
    std::memcpy(image.page(number), page.data(), kMetaPageBytesUsed);
  }
}

struct Row {
  const char* name;
  std::function<void(Image&)> damage;
  uint64_t page;      // of the finding
  const char* words;  // of the finding
  Writes writes;
};

const std::vector<Row>& rows() {
  static const std::vector<Row> table = {
      {"a branch that is its own child", [](Image& i) { i.branch(4, {{"a", 4}, {"m", 6}}); }, 4,
       "more than once", Writes::kEither},
      {"a branch whose child is the root", [](Image& i) { i.branch(4, {{"a", 3}, {"m", 6}}); }, 3,
       "more than once", Writes::kWorse},
      {"a leaf with two parents", [](Image& i) { i.branch(4, {{"a", 5}, {"m", 5}}); }, 5,
       "more than once", Writes::kEither},
      {"two buckets at one page", [](Image& i) { set<uint64_t>(i, 3, kFirstBucketAt, 8); }, 8,
       "more than once", Writes::kEither},
      {"a bucket at the page that it is in",
       [](Image& i) { set<uint64_t>(i, 3, kFirstBucketAt, 3); }, 3, "more than once",
       Writes::kWorse},
      {"a bucket at a meta page", [](Image& i) { set<uint64_t>(i, 3, kFirstBucketAt, 1); }, 1,
       "a meta page cannot be part", Writes::kEither},
      {"a bucket at the freelist", [](Image& i) { set<uint64_t>(i, 3, kFirstBucketAt, 2); }, 2,
       "more than once", Writes::kWorse},
      {"a leaf with more elements than room", [](Image& i) { set<uint16_t>(i, 5, 10, 64); }, 5,
       "64 elements do not fit", Writes::kEither},
      {"a leaf with 65,535 elements", [](Image& i) { set<uint16_t>(i, 5, 10, 0xFFFF); }, 5,
       "do not fit", Writes::kEither},
      {"an empty branch", [](Image& i) { set<uint16_t>(i, 4, 10, 0); }, 4, "without children",
       Writes::kEither},
      {"a key behind the page", [](Image& i) { set<uint32_t>(i, 5, element(0) + 4, 1024); }, 5,
       "beyond the page", Writes::kEither},
      {"a key position that overflows 32 bits",
       [](Image& i) { set<uint32_t>(i, 5, element(0) + 4, ~0u - 15); }, 5, "beyond the page",
       Writes::kEither},
      {"a key size of 2^32 - 1", [](Image& i) { set<uint32_t>(i, 5, element(0) + 8, ~0u); }, 5,
       "beyond the page", Writes::kEither},
      {"a value size of 2^32 - 1", [](Image& i) { set<uint32_t>(i, 5, element(0) + 12, ~0u); }, 5,
       "beyond the page", Writes::kEither},
      {"key and value sizes that add up to 0 in 32 bits",
       [](Image& i) {
         set<uint32_t>(i, 5, element(0) + 4, 0x8000'0000);
         set<uint32_t>(i, 5, element(0) + 8, 0x8000'0000);
       },
       5, "beyond the page", Writes::kEither},
      {"a branch key behind the page", [](Image& i) { set<uint32_t>(i, 4, element(1) + 4, ~0u); },
       4, "beyond the page", Writes::kEither},
      {"a child behind the high-water mark", [](Image& i) { i.branch(4, {{"a", 5}, {"m", 15}}); },
       15, "beyond the high-water mark", Writes::kEither},
      {"a child whose place overflows 64 bits",
       [](Image& i) { i.branch(4, {{"a", 5}, {"m", ~0ull / 1024 + 6}}); }, ~0ull / 1024 + 6,
       "beyond the high-water mark", Writes::kEither},
      {"a child of 2^64 - 1", [](Image& i) { i.branch(4, {{"a", 5}, {"m", ~0ull}}); }, ~0ull,
       "beyond the high-water mark", Writes::kEither},
      {"overflow pages behind the file", [](Image& i) { set<uint32_t>(i, 6, 12, 9); }, 6,
       "overflow pages reach beyond", Writes::kEither},
      {"2^32 - 1 overflow pages", [](Image& i) { set<uint32_t>(i, 6, 12, ~0u); }, 6,
       "overflow pages reach beyond", Writes::kEither},
      {"overflow pages that are others", [](Image& i) { set<uint32_t>(i, 5, 12, 1); }, 6,
       "more than once", Writes::kEither},
      {"a page that says it is another", [](Image& i) { set<uint64_t>(i, 5, 0, 6); }, 5,
       "its header says page 6", Writes::kEither},
      {"a leaf that is a freelist", [](Image& i) { set<uint16_t>(i, 5, 8, kFreelistFlag); }, 5,
       "neither branch nor leaf", Writes::kEither},
      {"a leaf that is a meta", [](Image& i) { set<uint16_t>(i, 5, 8, kMetaFlag); }, 5,
       "neither branch nor leaf", Writes::kEither},
      {"a page of two kinds", [](Image& i) { set<uint16_t>(i, 5, 8, kLeafFlag | kBranchFlag); }, 5,
       "neither branch nor leaf", Writes::kEither},
      {"a branch among the leaves", [](Image& i) { i.branch(6, {{"m", 13}}); }, 13,
       "its header says page 0", Writes::kEither},
      {"keys that descend", [](Image& i) { i.leaf(5, {{"c", "1"}, {"a", "2"}}); }, 5,
       "does not sort after", Writes::kEither},
      {"a key twice", [](Image& i) { i.leaf(5, {{"a", "1"}, {"a", "2"}}); }, 5,
       "does not sort after", Writes::kEither},
      {"a key of the next leaf", [](Image& i) { i.leaf(5, {{"a", "1"}, {"z", "2"}}); }, 5,
       "sorts after its branch's end", Writes::kEither},
      {"an empty key", [](Image& i) { i.leaf(5, {{"", "1"}, {"c", "2"}}); }, 5, "a key is empty",
       Writes::kEither},
      {"an element of an unknown kind", [](Image& i) { set<uint32_t>(i, 5, element(0), 2); }, 5,
       "unknown flags", Writes::kEither},
      {"a bucket without a header", [](Image& i) { set<uint32_t>(i, 5, element(0), 1); }, 5,
       "shorter than its header", Writes::kEither},
      {"elements that share bytes",
       [](Image& i) {
         i.leaf(8, {{"k", std::string(600, 'v')}, {"l", ""}});
         const auto first = load<LeafElement>(i.page(8) + element(0));
         set(i, 8, element(1), LeafElement{0, first.pos - 16 + 1, 1, 590});
       },
       8, "overlap", Writes::kEither},
      {"an inline bucket that is cut off",
       [](Image& i) { set<uint32_t>(i, 3, element(2) + 12, 24); }, 3, "shorter than a page header",
       Writes::kEither},
      {"an inline bucket with more elements than room",
       [](Image& i) {
         i.leaf(3, {Image::inline_bucket("i", {{"x", "1"}})});
         set<uint16_t>(i, 3, element(1) + 1 + 16 + 10, 9);
       },
       3, "elements do not fit", Writes::kEither},
      {"an inline bucket in an inline bucket",
       [](Image& i) {
         i.leaf(3, {Image::inline_bucket("i", {Image::inline_bucket("j", {{"k", "v"}})})});
       },
       3, "an inline bucket holds bucket", Writes::kEither},
      {"an inline bucket that is a branch",
       [](Image& i) {
         i.leaf(3, {Image::inline_bucket("i", {{"x", "1"}})});
         set<uint16_t>(i, 3, element(1) + 1 + 16 + 8, kBranchFlag);
       },
       3, "not a leaf", Writes::kEither},
      {"a freelist with live pages", [](Image& i) { i.freelist(2, {5, 7, 13, 14}); }, 5,
       "free, but referenced", Writes::kWorse},
      {"a freelist with the root", [](Image& i) { i.freelist(2, {3, 7, 13, 14}); }, 3,
       "free, but referenced", Writes::kRefused},
      {"a freelist with itself", [](Image& i) { i.freelist(2, {2, 7, 13, 14}); }, 2,
       "free, but referenced", Writes::kRefused},
      {"a freelist with a page twice", [](Image& i) { i.freelist(2, {7, 7, 13, 14}); }, 2,
       "do not ascend", Writes::kRefused},
      {"a freelist that descends", [](Image& i) { i.freelist(2, {14, 13, 7}); }, 2, "do not ascend",
       Writes::kRefused},
      {"a freelist with a meta", [](Image& i) { i.freelist(2, {1, 7, 13, 14}); }, 2, "out of range",
       Writes::kRefused},
      {"a freelist with pages behind the end", [](Image& i) { i.freelist(2, {7, 13, 14, 15}); }, 2,
       "out of range", Writes::kRefused},
      {"a freelist that lacks a page", [](Image& i) { i.freelist(2, {7, 14}); }, 13,
       "neither referenced nor free", Writes::kEither},
      {"a freelist of 2^63 pages",
       [](Image& i) {
         set<uint16_t>(i, 2, 10, 0xFFFF);
         set<uint64_t>(i, 2, 16, uint64_t{1} << 63);
       },
       2, "does not fit", Writes::kRefused},
      {"a freelist of 2^61 + 1 pages, 8 bytes of ids",
       [](Image& i) {
         set<uint16_t>(i, 2, 10, 0xFFFF);
         set<uint64_t>(i, 2, 16, (uint64_t{1} << 61) + 1);
       },
       2, "does not fit", Writes::kRefused},
      {"a freelist that is a leaf", [](Image& i) { set<uint16_t>(i, 2, 8, kLeafFlag); }, 2,
       "not a freelist", Writes::kRefused},
      {"a freelist at a leaf of a tree",
       [](Image& i) { change_metas(i, [](Meta& meta) { meta.freelist = 8; }); }, 8,
       "not a freelist", Writes::kRefused},
      {"metas whose transactions are far apart",
       [](Image& i) {
         i.meta(20, 3, 2);
         i.meta(11, 3, 2);
       },
       0, "do not follow", Writes::kSound},
      {"metas of one transaction that differ",
       [](Image& i) {
         change_metas(i, [sequence = uint64_t{0}](Meta& meta) mutable {
           meta.txid = TxId{8};
           meta.root_sequence = sequence++;
         });
       },
       0, "do not follow", Writes::kSound},
      {"metas that changed places",
       [](Image& i) { std::swap_ranges(i.page(0), i.page(1), i.page(1)); }, 0,
       "header of a meta page", Writes::kEither},
      {"a transaction id of 2^62",
       [](Image& i) {
         i.meta(uint64_t{1} << 62, 3, 2);
         i.meta((uint64_t{1} << 62) - 1, 3, 2);
       },
       0, "out of range", Writes::kRefused},
      {"a journal sequence of 2^62",
       [](Image& i) {
         change_metas(i, [](Meta& meta) { meta.mark->journal_seq = uint64_t{1} << 62; });
       },
       1, "out of range", Writes::kEither},
      {"a mark that denies the nested buckets",
       [](Image& i) { change_metas(i, [](Meta& meta) { meta.mark->is_flat = true; }); }, 1,
       "nested", Writes::kEither},
  };
  return table;
}

std::string issues_of(const CheckReport& report) {
  std::string all;
  for (const CheckIssue& issue : report.issues)
    all += "\n    " + std::to_string(issue.page) + ": " + issue.message;
  return all;
}

// "" or what is wrong.
std::string judge(const Row& row, const Met& met) {
  if (met.open_error) return std::string("open threw ") + met.open_error->what();
  bool found = false;
  for (const CheckIssue& issue : met.report.issues)
    found |= issue.page == row.page && issue.message.find(row.words) != std::string::npos;
  if (!found)
    return "expected page " + std::to_string(row.page) + ": " + row.words + ", got" +
           issues_of(met.report);
  if (row.writes == Writes::kSound && (met.refused || !met.sound_after))
    return met.refused ? "a write was refused" : "a write left a damaged file";
  if (row.writes == Writes::kRefused && met.wrote && !met.sound_after)
    return "a write went through and left damage";
  if (row.writes == Writes::kEither && met.issues_after > met.report.issue_count)
    return "a write made more damage";
  return "";
}

TEST("the file that the hostile ones are made from is sound") {
  const Met met = meet(sound().bytes());
  EXPECT_EQ(issues_of(met.report), "");
  EXPECT_TRUE(!met.open_error && met.wrote && !met.refused && met.sound_after);
}

TEST("hostile files are refused, or found out by the check, and nothing worse comes of them") {
  std::string wrong;
  for (const Row& row : rows()) {
    Image image = sound();
    row.damage(image);
    std::string what;
    try {
      what = judge(row, meet(image.bytes()));
    } catch (const std::exception& error) {
      what = error.what();
    }
    if (!what.empty()) wrong += std::string("\n  ") + row.name + ": " + what;
  }
  EXPECT_EQ(wrong, "");
}

TEST("metas that cannot be right are refused by open") {
  struct Refusal {
    const char* name;
    std::function<void(Meta&)> change;
    ErrorCode code;
  };
  const std::vector<Refusal> refusals = {
      {"page size 0", [](Meta& meta) { meta.page_size = 0; }, ErrorCode::ERR_PAGE_SIZE},
      {"page size 1", [](Meta& meta) { meta.page_size = 1; }, ErrorCode::ERR_PAGE_SIZE},
      {"page size 512", [](Meta& meta) { meta.page_size = 512; }, ErrorCode::ERR_PAGE_SIZE},
      {"page size 2^31", [](Meta& meta) { meta.page_size = 1u << 31; }, ErrorCode::ERR_PAGE_SIZE},
      {"page size 128 KiB", [](Meta& meta) { meta.page_size = 1u << 17; },
       ErrorCode::ERR_PAGE_SIZE},
      {"a root in a meta", [](Meta& meta) { meta.root = PageId{1}; }, ErrorCode::ERR_CORRUPT},
      {"a root behind the mark", [](Meta& meta) { meta.root = PageId{15}; },
       ErrorCode::ERR_CORRUPT},
      {"a freelist behind the mark", [](Meta& meta) { meta.freelist = 15; },
       ErrorCode::ERR_CORRUPT},
      {"a high-water mark behind the file", [](Meta& meta) { meta.high_water = 16; },
       ErrorCode::ERR_TRUNCATED},
      {"a high-water mark whose bytes overflow", [](Meta& meta) { meta.high_water = ~0ull / 512; },
       ErrorCode::ERR_TRUNCATED},
      {"a high-water mark of 2^64 - 1", [](Meta& meta) { meta.high_water = ~0ull; },
       ErrorCode::ERR_TRUNCATED},
      {"a transaction id of 2^64 - 1", [](Meta& meta) { meta.txid = TxId{~0ull}; },
       ErrorCode::ERR_CORRUPT},
      {"a journal sequence of 2^64 - 1", [](Meta& meta) { meta.mark->journal_seq = ~0ull; },
       ErrorCode::ERR_CORRUPT},
  };
  for (const Refusal& refusal : refusals) {
    std::string bytes;
    for (const uint64_t txid : {10, 11}) {
      Meta meta;
      meta.page_size = 1024;
      meta.root = PageId{3};
      meta.high_water = 15;
      meta.txid = TxId{txid};
      meta.mark = Mark{};
      refusal.change(meta);
      // encode_meta_page() makes a page of the size that the meta says.
      Meta sized = meta;
      sized.page_size = 1024;
      std::string page = encode_meta_page(sized);
      store<uint32_t>(page.data() + kPageHeaderSize + 8, meta.page_size);
      store(page.data() + kPageHeaderSize + 56, fnv1a64(Bytes(page).substr(kPageHeaderSize, 56)));
      bytes += page;
    }
    const std::string whole = bytes + sound().bytes().substr(2048);
    const Met met = meet(whole);
    EXPECT_TRUE(met.open_error.has_value());
    EXPECT_EQ(std::string(refusal.name) + ": " + error_name(met.open_error->code()),
              std::string(refusal.name) + ": " + error_name(refusal.code));
  }
}

TEST("a file that somebody made longer by 1 to 4095 bytes opens, and stays sound") {
  const std::string bytes = sound().bytes();
  for (size_t more = 1; more < 4096; more += more < 1100 ? 1 : 61) {
    MemoryFiles files;
    files.put(kPath, bytes + std::string(more, '\xAA'));
    auto store = fuzz::open_store(files, false);
    EXPECT_TRUE(fuzz::check_store(*store).ok());
    if (more % 16 == 0) put(*store, "d", "l");
    fuzz::close_written(store);
    store = fuzz::open_store(files, true);
    EXPECT_EQ(issues_of(fuzz::check_store(*store)), "");
    fuzz::close_unwritten(store);
  }
}

TEST("a file of 64 KiB that was cut at any sector is refused, unless only free room was cut") {
  Image image = sound();
  image.bytes().resize(64 << 10);
  for (size_t size = 0; size < image.bytes().size(); size += 512) {
    const Met met = meet(image.bytes().substr(0, size));
    EXPECT_EQ(met.open_error.has_value(), size < 15 * 1024);
    if (met.open_error) {
      const bool is_known = met.open_error->code() == ErrorCode::ERR_TRUNCATED ||
                            met.open_error->code() == ErrorCode::ERR_NOT_A_DATABASE;
      EXPECT_TRUE(is_known);
    } else {
      EXPECT_TRUE(met.report.ok() && met.wrote && !met.refused && met.sound_after);
    }
  }
}

TEST("of a new file of bbolt any of the four pages may be missing") {
  for (const uint32_t page_size : {1024u, 4096u}) {
    Image image(page_size, 4);
    image.freelist(2, {});
    image.leaf(3, {});
    image.meta(0, 3, 2);
    image.meta(1, 3, 2);
    for (unsigned present = 0; present < 16; present++) {
      std::string bytes = image.bytes();
      for (size_t page = 0; page < 4; page++) {
        if ((present >> page & 1) == 0) bytes.replace(page * page_size, page_size, page_size, '\0');
      }
      const Met met = meet(bytes);
      const bool has_meta = (present & 3) != 0;
      EXPECT_EQ(met.open_error.has_value(), !has_meta);
      if (!has_meta) EXPECT_EQ(met.open_error->code(), ErrorCode::ERR_NOT_A_DATABASE);
      const bool has_rest = (present & 12) == 12;
      if (has_meta) EXPECT_EQ(met.report.ok(), has_rest);
      if (has_meta && has_rest) EXPECT_TRUE(met.wrote && met.sound_after);
      if (has_meta && !has_rest) EXPECT_FALSE(met.wrote);
    }
  }
}

TEST("a journal whose checksums are right and whose operations contradict each other is damaged") {
  OpWriter create;
  create.create_bucket({}, "b");
  OpWriter put;
  put.put({"b"}, "k", "v");
  OpWriter put_bucket;
  put_bucket.create_bucket({"b"}, "k");
  OpWriter remove;
  remove.delete_bucket({}, "other");
  const std::vector<std::vector<std::string>> histories = {
      {create.body().flat(), create.body().flat()},
      {put.body().flat(), put_bucket.body().flat()},
      {remove.body().flat()}};
  for (const std::vector<std::string>& bodies : histories) {
    MemoryFiles files;
    PageFile::create(files, kPath, 1024, 0600, DatabaseId{});
    SilentJournal listener;
    Journal journal(files, kPath, {}, JournalBinding{}, {.epoch = 1}, listener,
                    std::make_shared<SyncLatency>());
    for (const std::string& body : bodies) journal.append(body);
    journal.stop();
    for (const bool read_only : {true, false})
      EXPECT_THROWS_CODE(ErrorCode::ERR_JOURNAL_CORRUPT, fuzz::open_store(files, read_only));
  }
}

// --- what costs more than it should ---

// Seconds that nothing here may take, sanitizers and a busy machine included.
constexpr auto kPatience = std::chrono::seconds(60);

template <typename Action>
void expect_to_end(Action&& action) {
  const auto begin = std::chrono::steady_clock::now();
  action();
  EXPECT_TRUE(std::chrono::steady_clock::now() - begin < kPatience);
}

TEST("a tree of more levels than 64 is refused by everything that goes down") {
  Image image(1024, 90);
  image.leaf(3, {Image::bucket("b", 10)});
  for (uint64_t id = 10; id < 80; id++) image.branch(id, {{"a", id + 1}});
  image.leaf(80, {{"k", std::string(300, 'v')}});
  image.meta(10, 3);
  image.meta(11, 3);
  const Met met = meet(image.bytes());
  EXPECT_TRUE(issues_of(met.report).find("the tree is too deep") != std::string::npos);
  EXPECT_TRUE(met.refused);
}

TEST("100,000 buckets inside each other are walked, copied and deleted without recursion") {
  constexpr uint64_t kDepth = 100'000;
  Image image(1024, kDepth + 4);
  for (uint64_t id = 3; id < kDepth + 3; id++) image.leaf(id, {Image::bucket("b", id + 1)});
  image.leaf(kDepth + 3, {{"k", std::string(300, 'v')}});
  image.freelist(2, {});
  image.meta(10, 3, 2);
  image.meta(11, 3, 2);
  expect_to_end([&] {
    const Met met = meet_large(image);
    EXPECT_EQ(issues_of(met.report), "");
    EXPECT_TRUE(met.wrote && !met.refused && met.sound_after);
  });
}

TEST("buckets that share pages do not multiply") {
  // 2^60 paths from the root to the last leaf.
  Image image(1024, 64);
  for (uint64_t id = 3; id < 63; id++)
    image.leaf(id, {Image::bucket("a", id + 1), Image::bucket("b", id + 1)});
  image.leaf(63, {{"k", "v"}});
  image.freelist(2, {});
  image.meta(10, 3, 2);
  image.meta(11, 3, 2);
  expect_to_end([&] { EXPECT_FALSE(meet(image.bytes()).report.ok()); });
}

TEST("branches that share pages do not multiply") {
  Image image(1024, 64);
  image.leaf(3, {Image::bucket("a", 4)});
  for (uint64_t id = 4; id < 50; id++) image.branch(id, {{"a", id + 1}, {"b", id + 1}});
  image.leaf(50, {});
  image.freelist(2, {});
  image.meta(10, 3, 2);
  image.meta(11, 3, 2);
  expect_to_end([&] { EXPECT_FALSE(meet(image.bytes()).report.ok()); });
}

// `levels` inline buckets inside each other, on each level `width` elements for the same bytes.
ImageItem inline_pyramid(int levels, uint32_t width) {
  if (levels == 0) return {"k", "v"};
  const ImageItem inner = inline_pyramid(levels - 1, width);
  std::vector<ImageItem> items(width, ImageItem{"", "", inner.flags});
  items[0] = inner;
  std::string page = Image::leaf_page(0, items);
  const auto first = load<LeafElement>(page.data() + element(0));
  for (uint32_t i = 1; i < width; i++) {
    LeafElement shared = first;
    shared.pos -= 16 * i;
    store(page.data() + element(i), shared);
  }
  return {"i", Image::bucket_header(0, 0) + page, kBucketElementFlag};
}

TEST("inline buckets that share bytes do not multiply") {
  Image image(65536, 8);
  image.leaf(3, {inline_pyramid(60, 16)});
  image.freelist(2, {4, 5, 6, 7});
  image.meta(10, 3, 2);
  image.meta(11, 3, 2);
  expect_to_end([&] { EXPECT_FALSE(meet(image.bytes()).report.ok()); });
}

TEST("values that share bytes are not written out one by one") {
  // 1000 keys, each with the 50 KiB that follow it.
  Image image(65536, 8);
  std::vector<ImageItem> items;
  for (int i = 1000; i < 2000; i++) items.push_back({std::to_string(i), ""});
  items.push_back({"9", std::string(40'000, 'v')});
  image.leaf(3, {Image::bucket("b", 4)});
  image.leaf(4, items);
  for (uint32_t i = 0; i < 1000; i++) set<uint32_t>(image, 4, element(i) + 12, 40'000);
  image.freelist(2, {5, 6, 7});
  image.meta(10, 3, 2);
  image.meta(11, 3, 2);
  MemoryFiles files;
  files.put(kPath, image.bytes());
  auto store = fuzz::open_store(files, false);
  put(*store, "b", "1500x");
  EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, fuzz::close_written(store));
  EXPECT_TRUE(files.contents(kPath).size() < (4 << 20));
}

}  // namespace

}  // namespace hotbolt::testing
