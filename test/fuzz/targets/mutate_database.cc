// Mutations of a bbolt file: where the format says that something is, that is changed to something
// that it might be.
#include <algorithm>

#include "core/checksum.h"
#include "core/meta.h"
#include "core/page.h"
#include "mutator.h"

namespace hotbolt::fuzz {

namespace {

constexpr size_t kMetaAt = kPageHeaderSize;
constexpr size_t kMarkAt = kPageHeaderSize + kMetaSize;

class DatabaseMutation {
 public:
  DatabaseMutation(std::string& file, size_t size_max, Dice& dice, const BlindMutation& blind)
      : file_(file),
        size_max_(size_max),
        dice_(dice),
        blind_(blind),
        page_size_(page_size_of(file)) {}

  void run() {
    if (pages() < 4) file_.resize(std::min<size_t>(4 * page_size_, size_max_));
    if (pages() < 4) return blind_(file_.data(), file_.size());
    for (uint64_t i = dice_.below(4) + 1; i > 0; i--) step();
    if (!dice_.one_in(32)) fix_metas(file_);
  }

 private:
  uint64_t pages() const { return file_.size() / page_size_; }
  char* page(uint64_t id) { return file_.data() + id * page_size_; }
  uint64_t any_page() { return 2 + dice_.below(pages() - 2); }
  uint64_t some_id() { return dice_.one_in(4) ? dice_.number(64, pages()) : any_page(); }
  uint16_t flags(uint64_t id) { return load_page_header(page(id)).flags; }
  // A page of this kind, if a few tries find one.
  uint64_t page_of(uint16_t kind) {
    uint64_t id = any_page();
    for (int i = 0; i < 8 && flags(id) != kind; i++) id = any_page();
    return id;
  }
  template <typename Integer>
  void set(char* at, uint64_t value) {
    store(at, static_cast<Integer>(value));
  }

  void step() {
    switch (dice_.below(20)) {
      case 0:
        return header(page(any_page()), any_page());
      case 1:
      case 2:
      case 3:
        return branch_element(page_of(kBranchFlag));
      case 4:
      case 5:
      case 6:
        return leaf_element(page(page_of(kLeafFlag)), page_size_);
      case 7:
      case 8:
        return bucket(page_of(kLeafFlag));
      case 9:
        return freelist(page_of(kFreelistFlag));
      case 10:
      case 11:
        return meta(page(dice_.below(2)));
      case 12:
        return swap_metas();
      case 13:
        return mark(page(dice_.below(2)));
      case 14:
        return copy_page();
      case 15:
        return resize();
      case 16:
        return nest();
      case 17:
        return keys(page_of(kLeafFlag));
      default:
        return piece();
    }
  }

  void header(char* at, uint64_t id) {
    const PageHeader header = load_page_header(at);
    switch (dice_.below(5)) {
      case 0:
        return set<uint64_t>(at, some_id());
      case 1: {
        static constexpr uint16_t kKinds[] = {kBranchFlag, kLeafFlag, kMetaFlag, kFreelistFlag, 0};
        return set<uint16_t>(at + 8,
                             dice_.one_in(4) ? dice_.number(16, 0) : kKinds[dice_.below(5)]);
      }
      case 2:
      case 3:
        return set<uint16_t>(at + 10, dice_.number(16, header.count));
      default:
        return set<uint32_t>(at + 12, dice_.number(32, dice_.one_in(2) ? pages() - id : 0));
    }
  }

  // The address of an element; nullptr: there is none.
  char* element(char* at, size_t size, uint32_t* index = nullptr) {
    const uint64_t room = (size - kPageHeaderSize) / kElementSize;
    const uint64_t count = std::min<uint64_t>(load_page_header(at).count, room);
    if (count == 0) return nullptr;
    const uint64_t chosen = dice_.below(count);
    if (index != nullptr) *index = static_cast<uint32_t>(chosen);
    return at + kPageHeaderSize + chosen * kElementSize;
  }

  void branch_element(uint64_t id) {
    char* const at = element(page(id), page_size_);
    if (at == nullptr) return header(page(id), id);
    switch (dice_.below(4)) {
      case 0:
        return set<uint32_t>(at, dice_.number(32, load<uint32_t>(at)));
      case 1:
        return set<uint32_t>(at + 4, dice_.number(32, load<uint32_t>(at + 4)));
      default:
        // Itself, a page of the same tree, or nonsense.
        return set<uint64_t>(at + 8, dice_.one_in(4) ? id : some_id());
    }
  }

  void leaf_element(char* leaf, size_t size) {
    char* const at = element(leaf, size);
    if (at == nullptr) return set<uint16_t>(leaf + 10, dice_.number(16, 1));
    switch (dice_.below(6)) {
      case 0:
        return set<uint32_t>(at, dice_.one_in(3) ? dice_.number(32, 0) : dice_.below(2));
      case 1:
      case 2:
        return set<uint32_t>(at + 4, dice_.number(32, load<uint32_t>(at + 4)));
      case 3:
        return set<uint32_t>(at + 8, dice_.number(32, load<uint32_t>(at + 8)));
      case 4:
        return set<uint32_t>(at + 12, dice_.number(32, load<uint32_t>(at + 12)));
      default: {
        // Another element's place: bytes that two share.
        const char* const other = element(leaf, size);
        const auto distance = static_cast<uint32_t>(other - at);
        return set<uint32_t>(at + 4, load<uint32_t>(other + 4) + distance);
      }
    }
  }

  // The value of a leaf's element, if it lies in the page.
  char* value(char* at, size_t room, size_t& size) {
    const LeafElement element = load<LeafElement>(at);
    const uint64_t begin = uint64_t{element.pos} + element.ksize;
    if (begin > room || element.vsize > room - begin) return nullptr;
    size = element.vsize;
    return at + begin;
  }

  void bucket(uint64_t id) {
    uint32_t index = 0;
    char* at = nullptr;
    for (int i = 0; i < 6; i++) {
      at = element(page(id), page_size_, &index);
      if (at == nullptr || load<uint32_t>(at) == kBucketElementFlag) break;
    }
    if (at == nullptr) return header(page(id), id);
    size_t size = 0;
    char* const bytes = value(at, static_cast<size_t>(page(id) + page_size_ - at), size);
    if (bytes == nullptr || size < kBucketHeaderSize) return set<uint32_t>(at, kBucketElementFlag);
    const bool is_inline = load<uint64_t>(bytes) == 0;
    const bool has_page = size >= kBucketHeaderSize + kPageHeaderSize;
    char* const inner = bytes + kBucketHeaderSize;
    switch (dice_.below(6)) {
      case 0:
        return set<uint64_t>(bytes, 0);
      case 1:
        return set<uint64_t>(bytes + 8, dice_.number(64, 1));
      case 2:
        if (is_inline && has_page) return leaf_element(inner, size - kBucketHeaderSize);
        return set<uint64_t>(bytes, id);
      case 3:
        if (is_inline && has_page) return header(inner, 0);
        return set<uint64_t>(bytes, some_id());
      case 4:
        return set<uint32_t>(at + 12, dice_.number(32, size));
      default:
        return set<uint64_t>(bytes, some_id());
    }
  }

  void freelist(uint64_t id) {
    char* const at = page(id);
    if (flags(id) != kFreelistFlag) return header(at, id);
    const uint16_t count = load_page_header(at).count;
    const uint64_t room = (page_size_ - kPageHeaderSize) / 8;
    char* const ids = at + kPageHeaderSize;
    switch (dice_.below(5)) {
      case 0:
        return set<uint16_t>(at + 10, dice_.number(16, count));
      case 1:
        // The form whose count is the first id.
        set<uint16_t>(at + 10, 0xFFFF);
        return set<uint64_t>(ids, dice_.number(64, count));
      case 2:
        set<uint16_t>(at + 10, std::min<uint64_t>(count + 1, room));
        return set<uint64_t>(ids + 8 * std::min<uint64_t>(count, room - 1), some_id());
      case 3:
        set<uint16_t>(at + 10, 0xFFFF);
        std::memmove(ids + 8, ids, 8 * (room - 1));
        return set<uint64_t>(ids, count);
      default:
        return set<uint64_t>(ids + 8 * dice_.below(std::clamp<uint64_t>(count, 1, room)),
                             some_id());
    }
  }

  void meta(char* at) {
    char* const meta = at + kMetaAt;
    const uint64_t txid = load<uint64_t>(meta + 48);
    switch (dice_.below(9)) {
      case 0:
        return header(at, 0);
      case 1:
        return set<uint32_t>(
            meta + 8, dice_.one_in(2) ? 512u << dice_.below(9) : dice_.number(32, page_size_));
      case 2:
      case 3:
        return set<uint64_t>(meta + 16, some_id());
      case 4:
        return set<uint64_t>(meta + 24, dice_.number(64, 0));
      case 5:
        return set<uint64_t>(meta + 32, dice_.one_in(3) ? kFreelistNotStored : some_id());
      case 6:
        return set<uint64_t>(meta + 40, dice_.number(64, pages()));
      case 7:
        return set<uint64_t>(meta + 48, dice_.number(dice_.one_in(2) ? 64 : 62, txid));
      default:
        return set<uint32_t>(meta + dice_.below(4) * 4, dice_.number(32, 0));
    }
  }

  void mark(char* at) {
    char* const mark = at + kMarkAt;
    switch (dice_.below(5)) {
      case 0:
        return blind_(mark, kMarkSize);
      case 1:
        return set<uint64_t>(mark + 32, dice_.number(64, 0));
      case 2:
        return set<uint32_t>(mark + 40, dice_.below(4));
      case 3:
        return std::memset(mark, 0, kMarkSize), void();
      default:
        return set<uint64_t>(mark + 24, load<uint64_t>(at + kMetaAt + 48));
    }
  }

  void swap_metas() {
    switch (dice_.below(4)) {
      case 0:
        return std::swap_ranges(page(0), page(1), page(1)), void();
      case 1:
        return std::memcpy(page(1), page(0), page_size_), void();
      case 2:
        return std::memcpy(page(0), page(1), page_size_), void();
      default:
        return std::memset(page(dice_.below(2)), 0, page_size_), void();
    }
  }

  void copy_page() {
    const uint64_t from = any_page();
    const uint64_t to = any_page();
    if (from == to) return;
    if (dice_.one_in(2)) {
      std::swap_ranges(page(from), page(from) + page_size_, page(to));
      if (dice_.one_in(2)) set<uint64_t>(page(from), from);
    } else {
      std::memcpy(page(to), page(from), page_size_);
    }
    if (!dice_.one_in(4)) set<uint64_t>(page(to), to);
  }

  void resize() {
    const uint64_t before = pages();
    switch (dice_.below(4)) {
      case 0:
        file_.resize(file_.size() - dice_.below(2 * page_size_) % (file_.size() - 1));
        break;
      case 1:
        file_.resize(std::min<size_t>(file_.size() + dice_.below(4096), size_max_));
        break;
      default: {
        // A page more, which some pointer may come to mean.
        const uint64_t count = 1 + dice_.below(4);
        if (file_.size() + count * page_size_ > size_max_) return;
        const std::string copy(page(any_page()), page_size_);
        file_.resize(before * page_size_);
        for (uint64_t i = 0; i < count; i++) file_ += copy;
        for (uint64_t id = before; id < pages(); id++) set<uint64_t>(page(id), id);
        for (const uint64_t number : {0, 1}) set<uint64_t>(page(number) + kMetaAt + 40, pages());
      }
    }
    if (pages() < 4) file_.resize(4 * page_size_);
  }

  // A row of leaves, each of which holds nothing but the next one's bucket.
  void nest() {
    const uint64_t from = any_page();
    const uint64_t to = std::min(pages() - 1, from + dice_.below(40));
    for (uint64_t id = from; id < to; id++) {
      char* const at = page(id);
      store(at, PageHeader{id, kLeafFlag, static_cast<uint16_t>(1 + dice_.one_in(8)), 0});
      char* data = at + kPageHeaderSize + 2 * kElementSize;
      for (uint32_t i = 0; i < 2; i++) {
        char* const element = at + kPageHeaderSize + i * kElementSize;
        const auto pos = static_cast<uint32_t>(data - element);
        store(element, LeafElement{kBucketElementFlag, pos, 1, kBucketHeaderSize});
        *data = static_cast<char>('a' + i);
        store(data + 1, BucketHeader{id + 1, 0});
        data += 1 + kBucketHeaderSize;
      }
    }
    if (dice_.one_in(2)) branch_or_bucket_to(from);
  }
  // Something that leads there.
  void branch_or_bucket_to(uint64_t id) {
    const uint64_t parent = any_page();
    if (flags(parent) == kBranchFlag) {
      if (char* const at = element(page(parent), page_size_)) set<uint64_t>(at + 8, id);
    } else if (flags(parent) == kLeafFlag) {
      char* const at = element(page(parent), page_size_);
      size_t size = 0;
      if (at == nullptr) return;
      char* const bytes = value(at, static_cast<size_t>(page(parent) + page_size_ - at), size);
      if (bytes == nullptr || size < kBucketHeaderSize) return;
      set<uint32_t>(at, kBucketElementFlag);
      set<uint64_t>(bytes, id);
    }
  }

  void keys(uint64_t id) {
    char* const at = element(page(id), page_size_);
    if (at == nullptr) return;
    const LeafElement element = load<LeafElement>(at);
    const auto room = static_cast<size_t>(page(id) + page_size_ - at);
    if (element.pos > room || element.ksize > room - element.pos || element.ksize == 0) return;
    blind_(at + element.pos, element.ksize);
  }

  void piece() {
    const size_t begin = dice_.below(file_.size());
    const size_t size = std::min<size_t>(file_.size() - begin, 1 + dice_.below(64));
    blind_(file_.data() + begin, size);
  }

  std::string& file_;
  const size_t size_max_;
  Dice& dice_;
  const BlindMutation& blind_;
  const uint32_t page_size_;
};

}  // namespace

uint32_t page_size_of(const std::string& file) {
  if (file.size() < kPageSizeMin) return kPageSizeMin;
  const auto claimed = load<uint32_t>(file.data() + kMetaAt + 8);
  const bool valid = std::has_single_bit(claimed) && claimed >= kPageSizeMin &&
                     claimed <= kPageSizeMax && 4 * uint64_t{claimed} <= file.size();
  return valid ? claimed : kPageSizeMin;
}

void fix_metas(std::string& file) {
  const uint32_t page_size = page_size_of(file);
  for (const size_t number : {0, 1}) {
    if (file.size() < number * page_size + kMetaPageBytesUsed) return;
    char* const meta = file.data() + number * page_size + kMetaAt;
    if (load<uint32_t>(meta) != kMagic) continue;
    store(meta + 56, fnv1a64(Bytes(meta, 56)));
    char* const mark = file.data() + number * page_size + kMarkAt;
    if (std::memcmp(mark, "hotbolt\1", 8) != 0) continue;
    store(mark + 24, load<uint64_t>(meta + 48));
    store(mark + 60, crc32c(Bytes(mark, 60)));
  }
}

void mutate_database(std::string& file, size_t size_max, Dice& dice, const BlindMutation& blind) {
  DatabaseMutation(file, size_max, dice, blind).run();
}

}  // namespace hotbolt::fuzz
