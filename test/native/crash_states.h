// Which files a power cut may leave, after a given number of calls of a trace.
//
// Durable is what a completed sync covered: of a file its bytes and its size, of a directory its
// names. Of what came later
//   - each 512-byte sector of a file has its newest synced content or any that was written to it
//     since, independently of all others (sectors are written whole or not at all);
//   - the size of a file is the synced one or any later one; where it grew without its data there
//     are zeros. While a write extends a file, every sector boundary on the way may be its end;
//     a file that is cut may keep the rest of its last block (seen with xfs);
//   - each change of a directory happened or did not, independently of the files' data.
//
// Changes of one directory are taken as strict POSIX has them: any subset may be durable (its
// prefixes, which is what journaling file systems leave, are among them). Three things that POSIX
// would allow do not happen on any file system in use, and are not legal here:
//   - half a rename: the old name gone without the new one, or both there;
//   - a rename or removal of a name that the same inode has not got (the change that gave it that
//     name was lost): entries are logged by inode and never ahead of what they depend on;
//   - a resize that is cut in two: its size and its zeros are one transaction.
//
// Two questions are answered. is_legal(): may these files be what a power cut left here? By
// membership, so that long traces are as good as short ones. CrashStates: which states are there?
// Too many; those that find bugs, after "all file systems are not created equal" (ALICE): every
// prefix, a prefix without one call, one call without those before it, torn writes, sizes without
// data, and every subset of the changes of the directory with all data and with none. CrashStates
// also shows what some file systems do (stale blocks of 0xAA where a block was allocated and its
// data lost: seen with ext4's data=journal), and may tear a record at any byte: is_legal() takes
// neither for legal.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <functional>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "trace.h"

namespace hotbolt::testing {

inline constexpr uint64_t kSectorBytes = 512;

inline uint64_t mix(uint64_t a, uint64_t b) {
  uint64_t x = (a ^ (b + 0x9E3779B97F4A7C15 + (a << 6) + (a >> 2))) * 0xD6E8FEB86659FD93;
  x = (x ^ (x >> 32)) * 0xD6E8FEB86659FD93;
  return x ^ (x >> 32);
}

struct Sector {
  std::array<char, kSectorBytes> bytes{};
  uint64_t hash = 0;  // 0: all zero
};

// A file's content. nullptr is a sector that was never written and reads as zeros.
struct Image {
  uint64_t size = 0;
  std::vector<const Sector*> sectors;

  void set(uint64_t sector, const Sector* content) {
    if (sector >= sectors.size()) sectors.resize(sector + 1);
    sectors[sector] = content;
  }
  const Sector* at(uint64_t sector) const {
    return sector < sectors.size() ? sectors[sector] : nullptr;
  }
  uint64_t hash() const {
    uint64_t hash = size;
    for (size_t i = 0; i < sectors.size(); i++) {
      if (sectors[i] != nullptr && sectors[i]->hash != 0) hash += mix(i, sectors[i]->hash);
    }
    return hash;
  }
  std::string bytes() const {
    std::string bytes(sectors.size() * kSectorBytes, '\0');
    for (size_t i = 0; i < sectors.size(); i++) {
      if (sectors[i] != nullptr)
        std::memcpy(bytes.data() + i * kSectorBytes, sectors[i]->bytes.data(), kSectorBytes);
    }
    bytes.resize(size);
    return bytes;
  }
};

// A write or resize that no sync has covered yet, as sectors with their whole new content.
struct PendingChange {
  size_t call = 0;  // index in the trace
  bool is_write = false;
  bool changes_size = false;
  uint64_t size_after = 0;
  std::vector<std::pair<uint64_t, const Sector*>> sectors{};
};

struct Inode {
  Image durable;
  Image live;
  std::vector<PendingChange> pending;
  size_t covered = 0;  // number of changes that became durable
};

using Names = std::map<std::string, uint64_t>;  // path -> inode

struct NameChange {
  CallKind kind{};
  uint64_t inode = 0;
  std::string path;
  std::string target;

  // False: it cannot have happened to these names.
  bool apply(Names& names) const {
    if (kind == CallKind::kCreate) {
      names[path] = inode;
      return true;
    }
    const auto entry = names.find(path);
    if (entry == names.end() || entry->second != inode) return false;
    names.erase(entry);
    if (kind == CallKind::kRename) names[target] = inode;
    return true;
  }
  bool touches(const std::string& name) const { return name == path || name == target; }
};

// What a disk knows after some calls of a trace.
class Disk {
 public:
  explicit Disk(const Trace& trace) : trace_(trace) {
    for (const InitialFile& file : trace.initial) {
      Inode& inode = inodes_[file.inode];
      inode.live.size = file.bytes.size();
      for (uint64_t at = 0; at < file.bytes.size(); at += kSectorBytes)
        inode.live.set(at / kSectorBytes, make(Bytes(file.bytes).substr(at, kSectorBytes)));
      inode.durable = inode.live;
      names_[file.path] = file.inode;
    }
  }

  // Takes the next call of the trace.
  const Call& advance() {
    const Call& call = trace_.calls[point_];
    apply(call);
    point_++;
    return call;
  }
  size_t point() const { return point_; }
  uint64_t acknowledged() const { return acknowledged_; }
  uint64_t started() const { return started_; }
  const std::string& activity() const { return activity_; }
  // Paths of the backups that are promised to be there.
  const std::vector<std::string>& published() const { return published_; }
  const Names& names() const { return names_; }
  const std::vector<NameChange>& name_changes() const { return name_changes_; }
  const std::map<uint64_t, Inode>& inodes() const { return inodes_; }
  const Inode& inode(uint64_t number) const { return inodes_.at(number); }

  const Sector* make(Bytes bytes) {
    Sector sector;
    std::memcpy(sector.bytes.data(), bytes.data(), bytes.size());
    return make(sector);
  }
  const Sector* make(Sector sector) {
    sector.hash = 0;
    for (size_t at = 0; at < kSectorBytes; at += 8) {
      const auto word = load<uint64_t>(sector.bytes.data() + at);
      if (word != 0 || sector.hash != 0) sector.hash = mix(sector.hash ^ at, word);
    }
    sectors_.push_back(sector);
    return &sectors_.back();
  }

 private:
  void apply(const Call& call) {
    switch (call.kind) {
      case CallKind::kCreate:
        inodes_[call.inode];
        [[fallthrough]];
      case CallKind::kRename:
      case CallKind::kRemove:
        name_changes_.push_back({call.kind, call.inode, call.path, call.target});
        break;
      case CallKind::kWrite:
        write(inodes_[call.inode], call);
        break;
      case CallKind::kResize:
        resize(inodes_[call.inode], call.offset);
        break;
      case CallKind::kSyncStarted: {
        const Inode& inode = inodes_[call.inode];
        sync_covers_[point_] = inode.covered + inode.pending.size();
        break;
      }
      case CallKind::kSynced:
        make_durable(inodes_[call.inode], sync_covers_[call.offset]);
        break;
      case CallKind::kDirectorySyncStarted:
        sync_covers_[point_] = names_covered_ + name_changes_.size();
        break;
      case CallKind::kDirectorySynced:
        make_names_durable(call.path, sync_covers_[call.offset]);
        break;
      case CallKind::kStarted:
        started_ = std::max(started_, call.offset);
        break;
      case CallKind::kAcknowledged:
        acknowledged_ = std::max(acknowledged_, call.offset);
        break;
      case CallKind::kPublished:
        published_.push_back(call.path);
        break;
      case CallKind::kActivity:
        activity_ = call.path;
        break;
    }
  }

  void write(Inode& inode, const Call& call) {
    PendingChange change{.call = point_, .is_write = true};
    Image& live = inode.live;
    const uint64_t end = call.offset + call.bytes.size();
    for (uint64_t at = call.offset; at < end;) {
      const uint64_t sector = at / kSectorBytes;
      const uint64_t within = at % kSectorBytes;
      const uint64_t size = std::min(end - at, kSectorBytes - within);
      Sector content = live.at(sector) == nullptr ? Sector{} : *live.at(sector);
      std::memcpy(content.bytes.data() + within, call.bytes.data() + (at - call.offset), size);
      live.set(sector, make(content));
      change.sectors.emplace_back(sector, live.at(sector));
      at += size;
    }
    change.changes_size = end > live.size;
    live.size = std::max(live.size, end);
    change.size_after = live.size;
    inode.pending.push_back(std::move(change));
  }

  void resize(Inode& inode, uint64_t size) {
    PendingChange change{.call = point_, .changes_size = true, .size_after = size};
    Image& live = inode.live;
    for (uint64_t sector = size / kSectorBytes; sector < live.sectors.size(); sector++) {
      if (live.sectors[sector] == nullptr) continue;
      const bool keeps_part = sector * kSectorBytes < size;
      live.sectors[sector] = keeps_part ? cut(live.sectors[sector], size % kSectorBytes) : nullptr;
      change.sectors.emplace_back(sector, live.sectors[sector]);
    }
    live.size = size;
    inode.pending.push_back(std::move(change));
  }

  const Sector* cut(const Sector* sector, uint64_t size) {
    return make(Bytes(sector->bytes.data(), size));
  }

  static void make_durable(Inode& inode, size_t covered) {
    if (covered <= inode.covered) return;
    const size_t count = covered - inode.covered;
    for (size_t i = 0; i < count; i++) {
      const PendingChange& change = inode.pending[i];
      inode.durable.size = change.size_after;
      for (const auto& [sector, content] : change.sectors) inode.durable.set(sector, content);
    }
    inode.pending.erase(inode.pending.begin(), inode.pending.begin() + std::ptrdiff_t(count));
    inode.covered = covered;
  }

  void make_names_durable(const std::string& directory, size_t covered) {
    std::vector<NameChange> others;
    for (size_t i = 0; i < name_changes_.size(); i++) {
      const NameChange& change = name_changes_[i];
      const bool is_covered =
          names_covered_ + i < covered && directory_of(change.path) == directory;
      if (!is_covered || !change.apply(names_)) others.push_back(change);
    }
    names_covered_ += name_changes_.size() - others.size();
    name_changes_ = std::move(others);
  }

  const Trace& trace_;
  std::deque<Sector> sectors_;
  std::map<uint64_t, Inode> inodes_;
  Names names_;  // durable
  std::vector<NameChange> name_changes_;
  size_t names_covered_ = 0;
  std::map<size_t, size_t> sync_covers_;  // by the call that started the sync
  size_t point_ = 0;
  uint64_t acknowledged_ = 0;
  uint64_t started_ = 0;
  std::string activity_;
  std::vector<std::string> published_;
};

using Files = std::map<std::string, std::string>;  // path -> bytes

// What a block shows that was allocated, and its data lost: all of its sectors, whichever of them
// were written.
enum class LostData : uint8_t { kZeros, kAnything };
inline constexpr uint64_t kBlockSectors = 8;  // at most, on any file system of the tests

inline uint64_t whole_blocks(uint64_t size) {
  constexpr uint64_t kBlockBytes = kBlockSectors * kSectorBytes;
  return (size + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
}

// Says why a file cannot be what is left of an inode; "" when it can.
inline std::string why_not_left_of(const Inode& inode, Bytes bytes, LostData lost_data) {
  bool size_fits = bytes.size() == inode.durable.size;
  uint64_t size = inode.durable.size;
  std::map<uint64_t, std::vector<const Sector*>> versions;
  for (const PendingChange& change : inode.pending) {
    for (const auto& [sector, content] : change.sectors) versions[sector].push_back(content);
    if (!change.changes_size) continue;
    const bool is_on_the_way = change.is_write && bytes.size() > size &&
                               bytes.size() < change.size_after && bytes.size() % kSectorBytes == 0;
    const bool is_cut =
        !change.is_write && bytes.size() < size && bytes.size() == whole_blocks(change.size_after);
    size_fits = size_fits || is_on_the_way || is_cut || bytes.size() == change.size_after;
    size = change.size_after;
  }
  if (!size_fits) return "its size is " + std::to_string(bytes.size());
  for (uint64_t at = 0; at < bytes.size(); at += kSectorBytes) {
    const uint64_t sector = at / kSectorBytes;
    const Bytes seen = bytes.substr(at, kSectorBytes);
    const auto is = [&](const Sector* content) {
      static const Sector kZeros;
      const Sector& expected = content == nullptr ? kZeros : *content;
      return std::memcmp(seen.data(), expected.bytes.data(), seen.size()) == 0;
    };
    const auto newer = versions.find(sector);
    const auto in_block = versions.lower_bound(sector - sector % kBlockSectors);
    const bool is_lost =
        in_block != versions.end() && in_block->first / kBlockSectors == sector / kBlockSectors;
    const bool fits =
        is(inode.durable.at(sector)) || (is_lost && lost_data == LostData::kAnything) ||
        (newer != versions.end() && std::any_of(newer->second.begin(), newer->second.end(), is));
    if (!fits) return "its sector " + std::to_string(sector) + " has never been like this";
  }
  return "";
}

// Says why these files, all of the trace's directories, cannot be what a power cut after `point`
// calls left; "" when they can.
inline std::string why_illegal(const Trace& trace, size_t point, const Files& files,
                               LostData lost_data = LostData::kZeros) {
  Disk disk(trace);
  while (disk.point() < point) disk.advance();
  // All names that may be there, as far as nothing that comes later decides whether they fit.
  std::set<Names> candidates{disk.names()};
  const std::vector<NameChange>& changes = disk.name_changes();
  const auto is_settled = [&](const std::string& path, size_t next) {
    return std::none_of(changes.begin() + std::ptrdiff_t(next), changes.end(),
                        [&](const NameChange& change) { return change.touches(path); });
  };
  for (size_t i = 0; i < changes.size(); i++) {
    std::set<Names> next;
    for (const Names& names : candidates) {
      const auto keep = [&](const Names& choice) {
        const auto fits = [&](const std::string& path) {
          return path.empty() || !is_settled(path, i + 1) ||
                 choice.contains(path) == files.contains(path);
        };
        if (fits(changes[i].path) && fits(changes[i].target)) next.insert(choice);
      };
      keep(names);
      Names changed = names;
      if (changes[i].apply(changed)) keep(changed);
    }
    candidates = std::move(next);
  }
  std::string reason = "these names cannot be";
  for (const Names& names : candidates) {
    const bool same_names =
        std::equal(names.begin(), names.end(), files.begin(), files.end(),
                   [](const auto& name, const auto& file) { return name.first == file.first; });
    if (!same_names) continue;
    reason.clear();
    for (const auto& [path, inode] : names) {
      const std::string why = why_not_left_of(disk.inode(inode), files.at(path), lost_data);
      if (!why.empty()) reason = path + ": " + why;
    }
    if (reason.empty()) return "";
  }
  return reason;
}

inline bool is_legal(const Trace& trace, size_t point, const Files& files) {
  return why_illegal(trace, point, files).empty();
}

// One state that a power cut may leave.
struct CrashState {
  size_t index = 0;  // among those of its point
  std::vector<std::pair<std::string, Image>> files;

  uint64_t hash() const {
    uint64_t hash = 0;
    for (const auto& [path, image] : files)
      hash += mix(std::hash<std::string>()(path), image.hash());
    return hash;
  }
};

struct CrashStateOptions {
  uint64_t seed = 1;
  // How many bytes from its start this write may be torn after, at any byte: those of a record that
  // is to survive even disks without atomic sectors.
  std::function<uint64_t(const Call&)> torn_bytes = [](const Call&) { return uint64_t{0}; };
};

// Visits states that a power cut may leave at the point where `disk` is, after `last` was called.
// Always the same ones in the same order.
class CrashStates {
 public:
  using Visit = std::function<void(const CrashState&)>;

  CrashStates(const Trace& trace, Disk& disk, const CrashStateOptions& options, Visit visit)
      : trace_(trace), disk_(disk), options_(options), visit_(std::move(visit)) {
    for (const auto& [number, inode] : disk.inodes()) {
      for (size_t i = 0; i < inode.pending.size(); i++) {
        changes_.push_back({number, &inode.pending[i]});
      }
    }
    std::sort(changes_.begin(), changes_.end(),
              [](const Ref& a, const Ref& b) { return a.change->call < b.change->call; });
  }

  void run(const Call& last) {
    choose_names();
    const Choice all(changes_.size(), Fate{kWhole});
    const Choice none(changes_.size(), Fate{kLost});
    for (const Names& names : names_) emit(all, names);
    for (const Names& names : names_) emit(none, names);
    const auto [first, end] = window();
    for (size_t i = first; i < end; i++) {
      vary(all, i, {kLost});
      vary(none, i, {kWhole});
      vary_size(all, none, i);
    }
    for (size_t i = first; i < end; i++) {
      const bool is_last = changes_[i].change->call + 1 == disk_.point();
      if (is_last) tear(none, i);
      const bool is_synced = last.kind == CallKind::kSyncStarted && last.inode == changes_[i].inode;
      if (is_last || is_synced) tear(all, i);
    }
    if (changes_.size() > 1) {
      for (uint64_t i = 0; i < kMixtures; i++) {
        Choice mixture;
        for (size_t k = 0; k < changes_.size(); k++)
          mixture.push_back({kMixed, mix(mix(options_.seed, disk_.point()), i * 1000 + k)});
        emit_both(mixture);
      }
    }
  }

 private:
  static constexpr size_t kWindow = 24;     // changes that are varied: the newest
  static constexpr size_t kSubsetsMax = 6;  // name changes with all their subsets
  static constexpr size_t kSectorsMax = 8;  // of a write with all their subsets
  static constexpr uint64_t kSeeded = 64;   // subsets of a longer write
  static constexpr uint64_t kMixtures = 4;

  // What becomes of a change.
  enum Kind : uint8_t {
    kLost,
    kWhole,
    kSizeOnly,   // the size, with zeros
    kSizeStale,  // the size, with what the blocks held before
    kDataOnly,   // inside the old size
    kBlockKept,  // of a cut: the file ends with a whole block, which has what it had
    kTorn,       // the sectors in `subset`, by index
    kTornShort,  // the same, and the file ends behind the last one
    kTornBytes,  // the first `number` bytes
    kMixed,      // sectors and size by chance, seeded with `number`
  };
  struct Fate {
    Kind kind = kLost;
    uint64_t number = 0;
    std::vector<bool> subset{};
  };
  using Choice = std::vector<Fate>;
  struct Ref {
    uint64_t inode;
    const PendingChange* change;
  };

  std::pair<size_t, size_t> window() const {
    return {changes_.size() - std::min(changes_.size(), kWindow), changes_.size()};
  }

  void vary(Choice choice, size_t i, Fate fate) {
    choice[i] = std::move(fate);
    emit_both(choice);
  }

  void vary_size(const Choice& all, const Choice& none, size_t i) {
    if (!changes_[i].change->changes_size) return;
    for (const Choice& others : {all, none}) {
      vary(others, i, {kSizeOnly});
      vary(others, i, {kSizeStale});
      vary(others, i, {kDataOnly});
      if (!changes_[i].change->is_write) vary(others, i, {kBlockKept});
    }
  }

  void tear(const Choice& others, size_t i) {
    const PendingChange& change = *changes_[i].change;
    if (!change.is_write) return;
    const size_t count = change.sectors.size();
    const auto emit_subset = [&](std::vector<bool> subset) {
      vary(others, i, {kTorn, 0, subset});
      if (change.changes_size) vary(others, i, {kTornShort, 0, std::move(subset)});
    };
    const auto emit_where = [&](const std::function<bool(size_t)>& keeps) {
      std::vector<bool> subset(count);
      for (size_t k = 0; k < count; k++) subset[k] = keeps(k);
      emit_subset(std::move(subset));
    };
    if (count > 1 && count <= kSectorsMax) {
      for (uint64_t bits = 1; bits + 1 < uint64_t{1} << count; bits++)
        emit_where([&](size_t k) { return (bits >> k & 1) != 0; });
    } else if (count > 1) {
      emit_where([&](size_t k) { return k < count / 2; });
      emit_where([&](size_t k) { return k >= count / 2; });
      emit_where([&](size_t k) { return k % 2 == 0; });
      emit_where([&](size_t k) { return k % 2 == 1; });
      std::mt19937_64 random(mix(options_.seed, change.call));
      for (uint64_t n = 0; n < kSeeded; n++) emit_where([&](size_t) { return random() % 2 == 0; });
    }
    const uint64_t bytes = options_.torn_bytes(trace_.calls[change.call]);
    for (uint64_t n = 1; n < bytes; n++) vary(others, i, {kTornBytes, n});
  }

  // All subsets of the changes of names that can be, or a choice of them if there are many.
  void choose_names() {
    const std::vector<NameChange>& changes = disk_.name_changes();
    const size_t count = changes.size();
    const auto add = [&](const std::function<bool(size_t)>& keeps) {
      Names names = disk_.names();
      for (size_t i = 0; i < count; i++) {
        if (keeps(i) && !changes[i].apply(names)) return;
      }
      if (std::find(names_.begin(), names_.end(), names) == names_.end()) names_.push_back(names);
    };
    add([](size_t) { return true; });
    add([](size_t) { return false; });
    if (count <= kSubsetsMax) {
      for (uint64_t bits = 1; bits + 1 < uint64_t{1} << count; bits++)
        add([&](size_t i) { return (bits >> i & 1) != 0; });
      return;
    }
    for (size_t k = 0; k < count; k++) {
      add([&](size_t i) { return i < k; });
      add([&](size_t i) { return i != k; });
      add([&](size_t i) { return i == k; });
    }
  }

  // With all names changed, and with none.
  void emit_both(const Choice& choice) {
    for (size_t i = 0; i < std::min<size_t>(2, names_.size()); i++) emit(choice, names_[i]);
  }

  void emit(const Choice& choice, const Names& names) {
    state_.files.clear();
    for (const auto& [path, number] : names)
      state_.files.emplace_back(path, left_of(number, choice));
    visit_(state_);
    state_.index++;
  }

  Image left_of(uint64_t number, const Choice& choice) {
    const Inode& inode = disk_.inode(number);
    Image image = inode.durable;
    for (size_t i = 0; i < changes_.size(); i++) {
      if (changes_[i].inode == number) apply(choice[i], *changes_[i].change, image);
    }
    const uint64_t sectors = (image.size + kSectorBytes - 1) / kSectorBytes;
    if (image.sectors.size() > sectors) image.sectors.resize(sectors);
    const uint64_t part = image.size % kSectorBytes;
    if (part != 0 && image.sectors.size() == sectors && image.sectors.back() != nullptr)
      image.sectors.back() = disk_.make(Bytes(image.sectors.back()->bytes.data(), part));
    return image;
  }

  void apply(const Fate& fate, const PendingChange& change, Image& image) {
    const bool is_cut = fate.kind == kMixed && change.is_write;
    if (fate.kind == kLost || (fate.kind == kMixed && !is_cut && fate.number % 2 == 0)) return;
    uint64_t size = change.size_after;
    for (size_t i = 0; i < change.sectors.size(); i++) {
      const auto [sector, content] = change.sectors[i];
      const Sector* const before = image.at(sector);
      if (keeps(fate, i) || (fate.kind == kMixed && !is_cut)) {
        image.set(sector, content);
      } else if (fate.kind == kSizeStale && before == nullptr) {
        image.set(sector, stale());
      } else if (fate.kind == kTornBytes && i == 0) {
        const uint64_t record = options_.torn_bytes(trace_.calls[change.call]);
        image.set(sector, torn(before, content, fate.number, record));
      }
      if (fate.kind == kTornShort && fate.subset[i]) size = (sector + 1) * kSectorBytes;
    }
    if (fate.kind == kBlockKept) {
      image.size =
          std::max(change.size_after, std::min(image.size, whole_blocks(change.size_after)));
      return;
    }
    const bool keeps_size = fate.kind != kDataOnly && (!is_cut || fate.number % 4 != 0);
    if (change.changes_size && keeps_size) image.size = std::min(size, change.size_after);
  }

  static bool keeps(const Fate& fate, size_t i) {
    switch (fate.kind) {
      case kWhole:
      case kDataOnly:
        return true;
      case kTorn:
      case kTornShort:
        return fate.subset[i];
      case kMixed:
        return mix(fate.number, i) % 2 == 0;
      default:
        return false;
    }
  }

  const Sector* stale() {
    static const Sector* const sector = [] {
      static Sector filled;
      filled.bytes.fill(char(0xAA));
      filled.hash = 0xAA;
      return &filled;
    }();
    return sector;
  }

  // What is left of the old record may happen to be what the new one has there: then it is not
  // torn.
  const Sector* torn(const Sector* before, const Sector* after, uint64_t bytes, uint64_t record) {
    Sector sector = before == nullptr ? Sector{} : *before;
    std::memcpy(sector.bytes.data(), after->bytes.data(), bytes);
    const bool is_whole = std::memcmp(sector.bytes.data(), after->bytes.data(), record) == 0;
    return is_whole ? before : disk_.make(sector);
  }

  const Trace& trace_;
  Disk& disk_;
  const CrashStateOptions& options_;
  const Visit visit_;
  std::vector<Ref> changes_;  // of all files, in the order of their calls
  std::vector<Names> names_;  // all changes made, none made, others
  CrashState state_;
};

}  // namespace hotbolt::testing
