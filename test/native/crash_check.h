// The crash enumerator: cuts the power at every point of many workloads, in every way that finds
// bugs (crash_states.h), and proves of each distinct state that is left that
//   - it opens, and the complete check finds nothing;
//   - it holds exactly the first j transactions, with acknowledged <= j <= started;
//   - it takes another write, closes, leaves nothing beside the file, and opens with all of that;
//   - while both metas are intact, the older one is a sound state too: the fallback;
//   - a backup has its name when it is complete, to the byte, holds what it was taken of, and is
//     there for good once it has been promised;
//   - (of some states) a second power cut, during the recovery, that write or that close, leaves the
//     same j transactions, or that write too.
//
// What a state holds is remembered by the hash of its bytes: a state that comes again at a later
// point, or in another workload, is not opened again, but must still be one that is allowed there.
#pragma once

#include <atomic>
#include <chrono>
#include <iomanip>
#include <iostream>
#include <thread>
#include <unordered_map>

#include "core/check.h"
#include "core/sha256.h"
#include "crash_workloads.h"

namespace hotbolt::testing {

// Which workloads, and how much of them.
struct CrashPlan {
  uint64_t states_max = 20'000;  // distinct ones
  bool is_complete = false;      // more, if every script has not had its turn by then
  uint64_t one_in = 1;           // of the points that are looked at, fewer
  uint64_t seed = 1;
  unsigned threads = 1;
  uint64_t nested_every = 24;  // of how many states one is cut again
  uint64_t nested_max = 24;    // states of each of these
  // Only this workload, if it is not empty, only this point of it, only this state: a failure
  // again.
  std::string workload{};
  std::optional<size_t> point{};
  std::optional<size_t> state{};
};

struct CrashCounts {
  uint64_t points = 0;
  uint64_t states = 0;  // distinct
  uint64_t nested = 0;  // distinct
};

struct CrashReport {
  uint64_t workloads = 0;
  CrashCounts total;
  std::map<std::string, CrashCounts> activities;
  std::vector<std::string> wrong;
  double seconds = 0;
};

inline std::ostream& operator<<(std::ostream& out, const CrashReport& report) {
  out << report.workloads << " workloads, " << report.total.points << " crash points, "
      << report.total.states << " distinct states, " << report.total.nested << " nested (";
  const char* separator = "";
  for (const auto& [activity, counts] : report.activities) {
    out << separator << activity << " " << counts.states + counts.nested;
    separator = ", ";
  }
  return out << "), " << std::fixed << std::setprecision(1) << report.seconds << " s, "
             << report.wrong.size() << " wrong";
}

struct FoundBackup {
  uint64_t fingerprint = 0;
  std::string sha256{};
};

// What a state turned out to hold.
struct Outcome {
  Seq seq = 0;
  uint64_t fingerprint = 0;
  uint64_t fingerprint_after = 0;                // with one more write
  std::map<std::string, FoundBackup> backups{};  // by path
  std::string wrong;                             // "" : nothing
};

inline std::string first_issue(const CheckReport& report) {
  return report.ok() ? "" : "check: " + report.issues.front().message;
}

// With the newest meta gone, the one before must be a complete state: no page of it is reused yet.
inline std::string check_fallback(const CrashState& state) {
  SimFileSystem files;
  for (const auto& [path, image] : state.files) {
    if (path == kPath) files.put_file(path, image.bytes());
  }
  if (!files.status(kPath)) return "";
  auto file = PageFile::open(files, kPath, {.read_only = true});
  const Meta meta = file->meta();
  const std::optional<Meta> previous = file->previous_meta();
  if (!previous || !previous->mark || !meta.mark) return "";
  if (value(previous->txid) + 1 != value(meta.txid)) return "";
  if (previous->high_water > meta.high_water) return "";
  const uint32_t page_size = file->page_size();
  file.reset();
  files.open(kPath, {.write = true})
      ->write((value(meta.txid) % 2) * page_size, std::string(page_size, '\0'));
  file = PageFile::open(files, kPath, {.read_only = true});
  const std::string issue = first_issue(check(*file->begin_read(), nullptr));
  return issue.empty() ? "" : "fallback " + issue;
}

class CrashChecker {
 public:
  explicit CrashChecker(CrashPlan plan) : plan_(std::move(plan)) {}

  CrashReport run() {
    const auto begin = std::chrono::steady_clock::now();
    if (!plan_.workload.empty()) {
      check(workload_of(plan_.workload));
    } else {
      const std::vector<Workload> workloads = choose();
      if (plan_.is_complete) workloads_min_ = workloads.size();
      std::atomic<size_t> next{0};
      const auto work = [&] {
        while (!done()) {
          const size_t i = next++;
          check(i < workloads.size() ? workloads[i] : seeded(i - workloads.size()));
        }
      };
      std::vector<std::thread> others;
      for (unsigned i = 1; i < plan_.threads; i++) others.emplace_back(work);
      work();
      for (std::thread& other : others) other.join();
    }
    report_.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    return report_;
  }

 private:
  static constexpr size_t kWrongMax = 5;

  bool done() {
    std::lock_guard lock(mutex_);
    const bool is_enough = report_.total.states + report_.total.nested >= plan_.states_max &&
                           report_.workloads >= workloads_min_;
    return is_enough || report_.wrong.size() >= kWrongMax;
  }

  // Each operation alone, on every kind of file; then, mixed, the rest of all scripts of up to
  // three operations, and seeded runs. A script of one operation comes in every setting, of two
  // with each page size, of three once; what is left open is chosen by its number.
  std::vector<Workload> choose() const {
    const std::vector<Setting> settings = all_settings();
    const size_t count = operations().size();
    std::vector<Workload> workloads;
    std::vector<Workload> mixed;
    for (const Setting& setting : settings) {
      const bool is_first = setting == Setting{.start = setting.start};
      for (size_t a = 0; a < count; a++) (is_first ? workloads : mixed).push_back({setting, {a}});
    }
    for (size_t a = 0; a < count; a++) {
      for (size_t b = 0; b < count; b++) {
        for (const uint32_t page_size : kPageSizes) {
          Setting setting = settings[mix(a, b + page_size) % settings.size()];
          setting.page_size = page_size;
          mixed.push_back({setting, {a, b}});
        }
        for (size_t c = 0; c < count; c++)
          mixed.push_back({settings[mix(mix(a, b), c) % settings.size()], {a, b, c}});
      }
    }
    std::mt19937_64 random(plan_.seed);
    std::shuffle(mixed.begin(), mixed.end(), random);
    for (size_t i = 0; i < mixed.size(); i++) {
      if (i % 8 == 0) workloads.push_back(seeded(i));
      workloads.push_back(mixed[i]);
    }
    return workloads;
  }
  static constexpr uint32_t kPageSizes[] = {1024, 4096, 16384, 65536};
  static constexpr SyncMode kSyncModes[] = {SyncMode::kAlways, SyncMode::kInterval,
                                            SyncMode::kNever};
  static std::vector<Setting> all_settings() {
    std::vector<Setting> settings;
    for (const uint32_t page_size : kPageSizes) {
      for (const Start start : {Start::kNew, Start::kClosed, Start::kForeign}) {
        for (const SyncMode sync : kSyncModes) settings.push_back({page_size, start, sync});
      }
    }
    return settings;
  }
  Workload seeded(size_t i) const {
    const Setting setting{i % 16 == 0 ? 1024u : 4096u, static_cast<Start>(i / 8 % 3),
                          kSyncModes[i / 24 % 3]};
    return {setting, {}, plan_.seed * 1'000'000 + i};
  }

  void check(const Workload& workload) {
    std::unique_ptr<Recorded> recorded;
    try {
      recorded = record(workload);
    } catch (const std::exception& error) {
      return note_wrong(workload.name() + ": without a crash: " + error.what());
    }
    const Trace& trace = recorded->trace;
    CrashStateOptions options{.seed = plan_.seed, .torn_bytes = [&](const Call& call) {
                                return meta_record_bytes(call);
                              }};
    Disk disk(trace);
    while (disk.point() < trace.calls.size() && !done()) {
      const Call& last = disk.advance();
      if (disk.point() < recorded->first_point || changes_nothing(last)) continue;
      if (plan_.point && disk.point() != *plan_.point) continue;
      if (!plan_.point && !samples(workload, disk)) continue;
      visit_point(workload, *recorded, disk, last, options);
    }
    std::lock_guard lock(mutex_);
    report_.workloads++;
  }

  void visit_point(const Workload& workload, const Recorded& recorded, Disk& disk, const Call& last,
                   const CrashStateOptions& options) {
    {
      std::lock_guard lock(mutex_);
      report_.total.points++;
      report_.activities[disk.activity()].points++;
    }
    const auto visit = [&](const CrashState& state) {
      if (plan_.state && state.index != *plan_.state) return;
      const Outcome outcome = outcome_of(state, disk.activity(), workload.setting);
      const std::string wrong = judge(outcome, *recorded.run, disk);
      if (wrong.empty()) return;
      note_wrong(wrong + "\n    npm run test:crash -- --workload=" + workload.name() + " --point=" +
                 std::to_string(disk.point()) + " --state=" + std::to_string(state.index) +
                 " --seed=" + std::to_string(plan_.seed));
    };
    CrashStates(recorded.trace, disk, options, visit).run(last);
  }

  // Every other point of one operation in the first setting. Fewer of all others, since each has
  // many states, and what a script leaves is much like what its parts do; and of the close at the
  // end, which every script has.
  bool samples(const Workload& workload, const Disk& disk) const {
    const bool is_whole = workload.script.size() == 1 && workload.setting == Setting{};
    uint64_t one_in = plan_.one_in * (is_whole ? 2 : 10);
    if (disk.activity() == "close") one_in *= 6;
    return mix(fingerprint_of(workload), disk.point()) % one_in == 0;
  }
  static uint64_t fingerprint_of(const Workload& workload) {
    return std::hash<std::string>()(workload.name());
  }
  static bool changes_nothing(const Call& call) {
    return call.kind == CallKind::kActivity || call.kind == CallKind::kStarted ||
           call.kind == CallKind::kDirectorySyncStarted;
  }
  // A meta page begins with a header and the meta's magic number; a meta is used when its checksum
  // fits, so it may be torn anywhere before its end. Between the meta and its mark it may not: that
  // takes sectors that are written whole.
  static uint64_t meta_record_bytes(const Call& call) {
    constexpr uint64_t kRecordBytes = kPageHeaderSize + kMetaSize;
    if (call.bytes.size() < kMetaPageBytesUsed) return 0;
    return load<uint32_t>(call.bytes.data() + kPageHeaderSize) == kMagic ? kRecordBytes : 0;
  }

  static std::string judge(const Outcome& outcome, const StoreRun& run, const Disk& disk) {
    if (!outcome.wrong.empty()) return outcome.wrong;
    if (outcome.seq < disk.acknowledged()) {
      return "lost: transaction " + std::to_string(disk.acknowledged()) + " was acknowledged, " +
             std::to_string(outcome.seq) + " is the last";
    }
    if (outcome.seq > disk.started()) return "invented a transaction";
    for (const std::string& path : disk.published()) {
      if (!outcome.backups.contains(path)) return "lost the backup " + path;
    }
    for (const auto& [path, found] : outcome.backups) {
      const Seq seq = std::stoull(path.substr(kBackups.size()));
      if (run.fingerprint_at(seq) != found.fingerprint) return path + " differs from the model";
      if (run.backup_hash(path) != found.sha256) return path + " has not the bytes it was made of";
    }
    const std::optional<uint64_t> expected = run.fingerprint_at(outcome.seq);
    if (expected != outcome.fingerprint)
      return "differs from the model after transaction " + std::to_string(outcome.seq);
    return "";
  }

  Outcome outcome_of(const CrashState& state, const std::string& activity, const Setting& setting) {
    const uint64_t hash = state.hash();
    {
      std::lock_guard lock(mutex_);
      const auto known = seen_.find(hash);
      if (known != seen_.end()) return known->second;
      if (report_.wrong.size() >= kWrongMax) return {};
    }
    Trace trace;
    const bool is_nested = mix(hash, plan_.seed) % plan_.nested_every == 0;
    Outcome outcome = guarded([&](Outcome& result) {
      result.wrong = check_fallback(state);
      read_backups(state, result);
      if (result.wrong.empty()) verify(state, setting, result, is_nested ? &trace : nullptr);
    });
    note(hash, outcome, activity, &CrashCounts::states);
    if (is_nested && outcome.wrong.empty()) outcome.wrong = cut_again(trace, outcome, setting);
    return outcome;
  }

  // Throws when one that has its name cannot be opened.
  static void read_backups(const CrashState& state, Outcome& outcome) {
    SimFileSystem files(state.hash());
    for (const auto& [path, image] : state.files) {
      if (!is_backup(path) || path.ends_with(".tmp")) continue;
      const std::string bytes = image.bytes();
      files.put_file(path, bytes);
      const auto file = PageFile::open(files, path, {.read_only = true});
      const auto tx = file->begin_read();
      const std::string issue = first_issue(hotbolt::check(*tx, nullptr));
      if (!issue.empty()) outcome.wrong = path + ", " + issue;
      if (tx->meta().mark) outcome.wrong = path + " has a mark";
      Sha256 hash;
      hash.update(bytes);
      outcome.backups[path] = {fingerprint(dump(BucketView::root(View{{}, tx}, kSeqMax))),
                               hex_digest(hash.finish())};
    }
  }

  template <typename Body>
  static Outcome guarded(Body&& body) {
    Outcome outcome;
    try {
      body(outcome);
    } catch (const Error& error) {
      outcome.wrong = std::string(error_name(error.code())) + ": " + error.what();
    } catch (const std::exception& error) {
      outcome.wrong = error.what();
    }
    return outcome;
  }

  void note(uint64_t hash, const Outcome& outcome, const std::string& activity,
            uint64_t CrashCounts::* count) {
    std::lock_guard lock(mutex_);
    if (!seen_.emplace(hash, outcome).second) return;
    report_.total.*count += 1;
    report_.activities[activity].*count += 1;
  }

  // `trace`, if there is one, gets everything that is done.
  static void verify(const CrashState& state, const Setting& setting, Outcome& outcome,
                     Trace* trace) {
    SimFileSystem base(state.hash());
    for (const auto& [path, image] : state.files) base.put_file(path, image.bytes());
    std::unique_ptr<TracingFileSystem> traced;
    if (trace != nullptr)
      traced = std::make_unique<TracingFileSystem>(base, *trace, directory_of(kPath));
    FileSystem& files = traced ? static_cast<FileSystem&>(*traced) : base;
    StoreOptions options = setting.options();
    options.journal.sync = SyncMode::kAlways;
    const auto listener = std::make_shared<Listener>(trace);
    if (trace != nullptr) trace->activity("recovery");
    auto store = Store::open(files, kPath, options, listener);
    outcome.seq = store->last_seq();
    ModelBucket model = dump(*store);
    outcome.fingerprint = fingerprint(model);
    if (trace != nullptr) {
      trace->activity("commit");
      trace->started(outcome.seq + 1);
    }
    BucketRef ref;
    ref.path = {"after"};
    store->put(ref, "crash", "x");
    model.buckets["after"].values["crash"] = "x";
    outcome.fingerprint_after = fingerprint(model);
    listener->wait(store->submit());
    outcome.wrong = first_issue(store->run_check(*store->view()->base->file()));
    if (trace != nullptr) trace->activity("close");
    close_store(store);
    if (!outcome.wrong.empty()) return;
    if (!stray_file(base.paths()).empty()) outcome.wrong = "leaves files behind";
    options.read_only = true;
    store = Store::open(base, kPath, options, listener);
    if (dump(*store) != model) outcome.wrong = "differs after the next close";
    const std::string issue = first_issue(store->run_check(*store->view()->base->file()));
    if (!issue.empty()) outcome.wrong = "after the next close, " + issue;
    close_store(store);
  }

  // Everything was durable when `trace` began, so nothing may get lost on its way. A few states of
  // some points, except when one state is looked at.
  std::string cut_again(const Trace& trace, const Outcome& first, const Setting& setting) {
    const CrashStateOptions options{.seed = plan_.seed, .torn_bytes = meta_record_bytes};
    uint64_t left = plan_.nested_max;
    std::string wrong;
    Disk disk(trace);
    while (disk.point() < trace.calls.size() && wrong.empty() && left > 0) {
      const Call& last = disk.advance();
      if (changes_nothing(last)) continue;
      if (!plan_.point && mix(first.fingerprint, disk.point()) % 3 != 0) continue;
      uint64_t here = 1 + plan_.nested_max / 8;
      const auto visit = [&](const CrashState& state) {
        if (left == 0 || here == 0 || !wrong.empty()) return;
        const uint64_t hash = state.hash();
        if (state.index > 4 && mix(hash, plan_.seed) % 4 != 0) return;
        const Outcome outcome =
            nested_outcome_of(state, hash, setting, disk.activity(), left, here);
        wrong = judge_again(outcome, first, disk);
        if (!wrong.empty())
          wrong = "cut again at call " + std::to_string(disk.point()) + " after it, state " +
                  std::to_string(state.index) + ": " + wrong;
      };
      CrashStates(trace, disk, options, visit).run(last);
    }
    return wrong;
  }

  Outcome nested_outcome_of(const CrashState& state, uint64_t hash, const Setting& setting,
                            const std::string& activity, uint64_t& left, uint64_t& here) {
    {
      std::lock_guard lock(mutex_);
      const auto known = seen_.find(hash);
      if (known != seen_.end()) return known->second;
    }
    left--;
    here--;
    const Outcome outcome =
        guarded([&](Outcome& result) { verify(state, setting, result, nullptr); });
    note(hash, outcome, activity, &CrashCounts::nested);
    return outcome;
  }

  static std::string judge_again(const Outcome& outcome, const Outcome& first, const Disk& disk) {
    if (!outcome.wrong.empty()) return outcome.wrong;
    const bool is_before = outcome.seq == first.seq && outcome.fingerprint == first.fingerprint;
    const bool is_after =
        outcome.seq == first.seq + 1 && outcome.fingerprint == first.fingerprint_after;
    if (is_after && disk.started() > first.seq) return "";
    if (is_before && disk.acknowledged() <= first.seq) return "";
    return "holds " + std::to_string(outcome.seq) + " transactions, after " +
           std::to_string(first.seq) + " before";
  }

  void note_wrong(std::string what) {
    std::lock_guard lock(mutex_);
    if (report_.wrong.size() >= kWrongMax) return;
    const uint64_t states = report_.total.states + report_.total.nested;
    report_.wrong.push_back(std::move(what) + "\n    (state " + std::to_string(states) + ")");
  }

  const CrashPlan plan_;
  uint64_t workloads_min_ = 0;
  std::mutex mutex_;
  std::unordered_map<uint64_t, Outcome> seen_;  // by the hash of a state
  CrashReport report_;
};

}  // namespace hotbolt::testing
