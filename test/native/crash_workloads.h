// What is going on when the power is cut.
//
// A workload is a setting (page size, what the file was before, when the journal syncs) and a
// script: operations by name, or a seed for many random ones. Its name says all of it, and is
// enough to run it again:
//
//   1024/new/always/put,checkpoint,defrag      4096/foreign/never/seed-17
//
// Scripts of names settle after each operation and make the same calls every time. Seeded ones do
// not wait, and differ in timing.
//
// Another kind of workload is another Operation in the table below. What a backup leaves has its
// own proof: see crash_check.h.
#pragma once

#include <charconv>
#include <memory>
#include <string>
#include <vector>

#include "crash_states.h"
#include "sim_file.h"
#include "store_run.h"

namespace hotbolt::testing {

// What the database is before the workload begins.
enum class Start : uint8_t {
  kNew,      // not there: it is created
  kClosed,   // closed by us: our mark, a stored freelist, free pages
  kForeign,  // written by another program: no mark
};

struct Setting {
  uint32_t page_size = 1024;
  Start start = Start::kNew;
  SyncMode sync = SyncMode::kAlways;
  bool operator==(const Setting&) const = default;

  StoreOptions options() const {
    StoreOptions options = small_options();
    options.page_size = page_size;
    options.journal.sync = sync;
    options.journal.sync_interval_ms = 1;
    return options;
  }
};

struct Operation {
  const char* name;
  const char* activity;
  void (*run)(StoreRun&);
};

inline std::string letters(size_t count, size_t salt) {
  return std::string(count, static_cast<char>('a' + salt % 26));
}

// A key that is not there yet.
inline std::string fresh(const StoreRun& run, const char* prefix) {
  return prefix + std::to_string(run.last_seq());
}

inline void write_during(StoreRun& run) {
  run.settle();
  run.put({"b0"}, "during" + std::to_string(run.last_seq() % 8), letters(40, run.last_seq()));
  run.settle();
}

// With a write between each two steps, and one more round of catching up than it needs.
inline void whole_defrag(StoreRun& run) {
  const auto write = [&run] { write_during(run); };
  bool again = true;
  do {
    const bool catches_up = run.defrag_at() == StoreRun::kCopied;
    run.defrag_step(write, again);
    if (catches_up) again = false;
    if (run.defrag_at() != StoreRun::kIdle) write();
  } while (run.defrag_at() != StoreRun::kIdle);
}

// Two transactions for which the journal's first segments are too small.
inline void fill_segments(StoreRun& run) {
  for (int i = 0; i < 2; i++) {
    run.put({"b1"}, "rolls", letters(40'000, run.last_seq()));
    run.settle();
  }
}

// Segments fill up, are covered by a checkpoint, get new names, and are written again; one fills up
// with what the checkpoint does not cover.
inline void recycle(StoreRun& run) {
  for (int round = 0; round < 2; round++) {
    fill_segments(run);
    run.checkpoint([&run] { fill_segments(run); });
  }
}

// A defragmentation during which the old file is checkpointed, so that the copy can only catch up
// from the journal.
inline void overtaken_defrag(StoreRun& run) {
  run.defrag_step([] {});
  for (int round = 0; round < 2; round++) {
    fill_segments(run);
    run.checkpoint([] {});
  }
  whole_defrag(run);
}

// A defragmentation that meets a checkpoint of the old file, reads the journal, and is given up.
inline void aborted_defrag(StoreRun& run) {
  const auto write = [&run] { write_during(run); };
  run.defrag_step(write);
  write();
  run.checkpoint(write);
  run.defrag_step(write);
  run.defrag_step(write);
  run.abort_defrag();
}

// Two lives that continue the one before, each with more than its first segment holds; the last is
// partly covered by a checkpoint.
inline void live_twice(StoreRun& run) {
  for (int life = 0; life < 2; life++) {
    write_during(run);
    run.kill();
    fill_segments(run);
  }
  run.checkpoint([&run] { write_during(run); });
  run.kill();
}

inline const std::vector<Operation>& operations() {
  static const std::vector<Operation> all = {
      {"put", "commit",
       [](StoreRun& run) { run.put({"b0"}, fresh(run, "new"), letters(50, run.last_seq())); }},
      {"overwrite", "commit",
       [](StoreRun& run) { run.put({"b0"}, "k11", letters(60, run.last_seq())); }},
      {"delete", "commit",
       [](StoreRun& run) {
         const ModelBucket* bucket = find(const_cast<ModelBucket&>(run.model()), {"b0"});
         if (bucket != nullptr && !bucket->values.empty())
           run.remove({"b0"}, std::string(bucket->values.begin()->first));
       }},
      {"overflow", "commit",
       [](StoreRun& run) { run.put({"b1"}, "large", letters(3500, run.last_seq())); }},
      {"create-bucket", "commit", [](StoreRun& run) { run.create_bucket({fresh(run, "bucket")}); }},
      {"delete-bucket", "commit",
       [](StoreRun& run) {
         if (!run.model().buckets.empty())
           run.delete_bucket({std::string(run.model().buckets.begin()->first)});
       }},
      {"nested", "commit",
       [](StoreRun& run) { run.put({"b1", "inner", "most"}, "key", letters(9, run.last_seq())); }},
      {"sequence", "commit",
       [](StoreRun& run) { run.set_sequence({"b0"}, 1000 + run.last_seq()); }},
      {"transaction", "commit",
       [](StoreRun& run) {
         run.transaction("b0", run.last_seq() % 2 == 0,
                         {{"k03", letters(30, 1)}, {"k04", letters(300, 2)}, {"l", ""}});
       }},
      {"roll", "journal",
       [](StoreRun& run) { run.put({"b1"}, "rolls", letters(9000, run.last_seq())); }},
      {"recycle", "journal", recycle},
      {"flush", "journal", [](StoreRun& run) { run.flush(); }},
      {"checkpoint", "checkpoint",
       [](StoreRun& run) { run.checkpoint([&run] { write_during(run); }); }},
      {"two-checkpoints", "checkpoint",
       [](StoreRun& run) {
         for (int i = 0; i < 2; i++) {
           run.put({"b0"}, "k07", letters(70, run.last_seq()));
           run.settle();
           run.checkpoint([] {});
         }
       }},
      {"reopen", "recovery", [](StoreRun& run) { run.reopen(); }},
      {"kill", "recovery", live_twice},
      {"defrag", "defragmentation", whole_defrag},
      {"overtaken-defrag", "defragmentation", overtaken_defrag},
      {"aborted-defrag", "defragmentation", aborted_defrag},
      {"backup", "backup",
       [](StoreRun& run) {
         run.put({"b0"}, "k05", letters(70, run.last_seq()));
         run.back_up(false, [&run] { write_during(run); });
       }},
      {"compact-backup", "backup",
       [](StoreRun& run) {
         run.put({"b0"}, "k06", letters(70, run.last_seq()));
         run.back_up(true, [&run] { write_during(run); });
       }},
  };
  return all;
}

struct Workload {
  Setting setting;
  std::vector<size_t> script;  // indexes into operations()
  uint64_t seed = 0;           // when the script is empty
  std::string name() const;
};

inline constexpr const char* kStartNames[] = {"new", "closed", "foreign"};
inline constexpr const char* kSyncNames[] = {"always", "interval", "never"};

inline std::string Workload::name() const {
  std::string name = std::to_string(setting.page_size) + "/" +
                     kStartNames[static_cast<size_t>(setting.start)] + "/" +
                     kSyncNames[static_cast<size_t>(setting.sync)] + "/";
  if (script.empty()) return name + "seed-" + std::to_string(seed);
  for (size_t i = 0; i < script.size(); i++)
    name += (i == 0 ? "" : ",") + std::string(operations()[script[i]].name);
  return name;
}

inline std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts(1);
  for (const char letter : text) {
    if (letter == separator) {
      parts.emplace_back();
    } else {
      parts.back() += letter;
    }
  }
  return parts;
}

template <typename Range>
size_t index_of(const std::string& name, const Range& names) {
  size_t index = 0;
  for (const auto& candidate : names) {
    if (name == candidate) return index;
    index++;
  }
  throw std::runtime_error("no workload has a part \"" + name + "\"");
}

inline Workload workload_of(const std::string& name) {
  const std::vector<std::string> parts = split(name, '/');
  if (parts.size() != 4) throw std::runtime_error("not the name of a workload: " + name);
  Workload workload;
  workload.setting = {static_cast<uint32_t>(std::stoul(parts[0])),
                      static_cast<Start>(index_of(parts[1], kStartNames)),
                      static_cast<SyncMode>(index_of(parts[2], kSyncNames))};
  if (parts[3].starts_with("seed-")) {
    workload.seed = std::stoull(parts[3].substr(5));
    return workload;
  }
  std::vector<std::string> names;
  for (const Operation& operation : operations()) names.emplace_back(operation.name);
  for (const std::string& part : split(parts[3], ','))
    workload.script.push_back(index_of(part, names));
  return workload;
}

// A few leaf pages, in two buckets.
inline void fill(StoreRun& run) {
  std::map<std::string, std::string> values;
  for (int i = 10; i < 40; i++) values["k" + std::to_string(i)] = letters(50, size_t(i));
  run.transaction("b0", false, values);
  run.put({"b1"}, "first", "1");
}

// The file before the workload, and what is in it.
struct Beginning {
  Files files;
  ModelBucket model;
  Seq seq = 0;
};

inline void remove_mark(std::string& bytes, uint32_t page_size) {
  for (const size_t page : {0, 1})
    bytes.replace(page * page_size + kPageHeaderSize + kMetaSize, kMarkSize, kMarkSize, '\0');
}

inline Beginning beginning_of(const Setting& setting) {
  if (setting.start == Start::kNew) return {};
  SimFileSystem files(99);
  Trace trace;
  TracingFileSystem traced(files, trace, "/data");
  StoreRun run(traced, trace, setting.options(), 1);
  run.open();
  fill(run);
  run.settle();
  run.checkpoint([] {});
  for (const char* key : {"k12", "k13", "k14"}) run.remove({"b0"}, key);
  run.put({"b1"}, "large", letters(3000, 3));
  run.close();
  Beginning beginning{{{kPath, files.contents(kPath)}}, run.model(), run.last_seq()};
  if (setting.start == Start::kForeign) {
    remove_mark(beginning.files[kPath], setting.page_size);
    beginning.seq = 0;
  }
  return beginning;
}

// A workload that has run.
struct Recorded {
  SimFileSystem files;
  Trace trace;
  std::unique_ptr<TracingFileSystem> traced;
  std::unique_ptr<StoreRun> run;
  size_t first_point = 0;  // before it, another workload has the same states
};

inline std::unique_ptr<Recorded> record(const Workload& workload) {
  constexpr int kRandomSteps = 120;
  auto recorded = std::make_unique<Recorded>();
  const Beginning beginning = beginning_of(workload.setting);
  for (const auto& [path, bytes] : beginning.files) recorded->files.put_file(path, bytes);
  recorded->traced =
      std::make_unique<TracingFileSystem>(recorded->files, recorded->trace, directory_of(kPath));
  recorded->run =
      std::make_unique<StoreRun>(*recorded->traced, recorded->trace, workload.setting.options(),
                                 workload.seed, beginning.model, beginning.seq);
  StoreRun& run = *recorded->run;
  if (!workload.script.empty()) {
    recorded->traced->set_before_create(
        [&trace = recorded->trace](const std::string& path) { hold_helper(trace, path); });
  }
  run.open();
  recorded->trace.activity("commit");
  if (workload.setting.start == Start::kNew) fill(run);
  run.settle();
  for (size_t i = 0; i < workload.script.size(); i++) {
    if (i > 0 && i + 1 == workload.script.size()) recorded->first_point = recorded->trace.point();
    const Operation& operation = operations()[workload.script[i]];
    recorded->trace.activity(operation.activity);
    operation.run(run);
    run.settle();
  }
  for (int i = 0; workload.script.empty() && i < kRandomSteps; i++) run.random_step();
  run.end_defrag();
  run.close();
  EXPECT_EQ(stray_file(recorded->files.paths()), "");
  return recorded;
}

}  // namespace hotbolt::testing
