// The whole engine on a kernel that loses its power, or in a process that is killed, before the
// n-th call of a run of writes, checkpoints, defragmentations and reopenings. What is found
// afterwards must be a state that the trace of the run allows, hold every acknowledged transaction
// and a prefix of all others, pass the complete check, take new writes, and survive a clean close.
//
//   hotbolt_kernel cut <mkfs> <type> <mount options> <seed> <cuts> [<call>]
//   hotbolt_kernel rename <mkfs> <type> <mount options> synced|unsynced emptied|kept
//   hotbolt_kernel kill <folder> <seed> <runs> [<call>]
//
// `cut`: `cuts` times, each before a call that the seed chooses; or, when they are more than a run
// has calls, before each in turn. `rename`: the power is cut after a defragmentation, whose
// directory sync is left out or not, and whose old file has been emptied or is still being read.
// `kill`: before every call of `runs` runs. With <call>: only this one.
//
// The result is one line of JSON; `wrong` says what was wrong, and of which seed and call. Status 1
// when anything was.
#include <sys/wait.h>

#include <filesystem>

#include "crash_states.h"
#include "power.h"
#include "verify.h"

namespace hotbolt::testing {
namespace {

constexpr int kSteps = 250;

// An empty directory, as durable as anything before it.
void start_over(const std::string& folder) {
  std::filesystem::remove_all(folder + kDirectory);
  std::filesystem::create_directories(folder + kDirectory);
}

void work(StoreRun& run) {
  run.open();
  for (int i = 0; i < kSteps; i++) run.random_step();
  run.end_defrag();
  run.close();
}

uint64_t count_calls(const std::string& folder, uint64_t seed) {
  start_over(folder);
  SeamFileSystem files(folder);
  Trace trace;
  StoreRun run(files, trace, small_options(), seed);
  work(run);
  return files.calls();
}

Files read_all(const std::string& folder) {
  SeamFileSystem files(folder);
  Files contents;
  for (const std::string& name : files.list(kDirectory)) {
    const std::string path = kDirectory + "/" + name;
    const std::unique_ptr<File> file = files.open(path, {});
    std::string bytes(file->status().size_bytes, '\0');
    file->read(0, bytes.data(), bytes.size());
    contents[path] = std::move(bytes);
  }
  return contents;
}

// The process that goes on without power: nothing is promised any more, and everybody is told. A
// write is refused, and then nothing of it happened (what cannot be read, or no place in the
// journal can be made for it); or it is taken, cannot be kept, and the store is poisoned.
std::string why_not_told(StoreRun& run) {
  if (!run.is_open()) return "";
  Store& store = run.store();
  BucketRef ref;
  ref.path = {"after"};
  for (int i = 0; i < 3; i++) {
    Seq seq = 0;
    try {
      seq = store.put(ref, "cut", "x");
    } catch (const Error&) {
      continue;
    }
    run.listener().wait(store.submit());
    if (run.listener().durable() >= seq) return "acknowledges without power";
    if (!store.poisoned()) return "is not poisoned by a write that it took";
  }
  return "";
}

// --- cut ---

struct CutPoint {
  uint64_t seed = 0;
  uint64_t call = 0;
};

std::string cut_at(PoweredMount& mount, CutPoint point, std::atomic<Seq>& acknowledged) {
  const std::string folder = mount.folder();
  start_over(folder);
  mount.sync();
  std::mt19937_64 random(mix(point.seed, point.call));
  const LogAtCut log = random() % 4 == 0 ? LogAtCut::kWritten : LogAtCut::kLost;
  const bool writes_back = random() % 2 == 0;
  std::mutex cutting;  // nobody hears of the cut, and goes on to something else, before it is done
  std::atomic<bool> is_cut{false};
  const auto cut_if_now = [&](const SeamCall& now) {
    // The more is dirty, the more a part of it tells: such a cut waits for the next sync.
    if (now.number < point.call || (writes_back && !now.name.starts_with("sync"))) return true;
    std::lock_guard lock(cutting);
    if (is_cut.exchange(true)) return true;
    if (writes_back) write_some_back(system_files(), folder + kDirectory, random);
    mount.cut(log);
    return true;
  };
  // A sync that is at work during the cut may report success, and have lost everything. With the
  // power nobody would have been left to hear of it.
  const auto fail_if_cut = [&] {
    std::lock_guard lock(cutting);
    if (is_cut) throw Error(ErrorCode::ERR_IO, "the power went during the sync");
  };
  SeamFileSystem files(folder, {cut_if_now, fail_if_cut});
  Trace trace;
  trace.on_acknowledged = [&](Seq seq) { acknowledged = seq; };
  TracingFileSystem traced(files, trace, kDirectory);
  StoreRun run(traced, trace, small_options(), point.seed);
  std::string wrong;
  try {
    work(run);
    // The threads of this run made fewer calls than the run that was counted.
    if (!is_cut) mount.cut(log);
  } catch (const std::exception& error) {
    wrong = is_cut ? why_not_told(run) : std::string("fails by itself: ") + error.what();
  }
  run.abandon();
  mount.restart();
  if (!wrong.empty()) return wrong;
  const std::string illegal =
      why_illegal(trace, trace.point(), read_all(folder), mount.lost_data());
  SeamFileSystem left(folder);
  wrong = verify(left, run, acknowledged);
  return illegal.empty() ? wrong
                         : "the trace does not allow what is left, " + illegal + "; " + wrong;
}

int cut(const std::vector<std::string>& args) {
  PoweredMount mount(args.at(1), args.at(2), args.at(3));
  const uint64_t seed = std::stoull(args.at(4));
  const uint64_t cuts = std::stoull(args.at(5));
  Summary summary;
  summary.calls = count_calls(mount.folder(), seed);
  std::mt19937_64 random(seed);
  for (uint64_t i = 0; i < cuts; i++) {
    CutPoint point{seed + i, 1 + random() % summary.calls};
    if (cuts > summary.calls) point = {seed + i / summary.calls, 1 + i % summary.calls};
    if (args.size() > 6) point = {seed, std::stoull(args[6])};
    std::atomic<Seq> acknowledged{0};
    const std::string wrong = cut_at(mount, point, acknowledged);
    summary.add(point.seed, point.call, acknowledged, wrong);
  }
  return summary.print();
}

// --- rename ---

int rename(const std::vector<std::string>& args) {
  PoweredMount mount(args.at(1), args.at(2), args.at(3));
  const bool is_synced = args.at(4) == "synced";
  const bool is_kept = args.at(5) == "kept";
  start_over(mount.folder());
  mount.sync();
  bool leaves_out_next = false;
  const auto leave_out = [&](const SeamCall& now) {
    if (now.name == "rename" && now.path.find("-defrag-") != std::string::npos)
      leaves_out_next = !is_synced;
    return now.name != "sync_directory" || !std::exchange(leaves_out_next, false);
  };
  SeamFileSystem files(mount.folder(), {.before = leave_out});
  Trace trace;
  std::atomic<Seq> acknowledged{0};
  trace.on_acknowledged = [&](Seq seq) { acknowledged = seq; };
  // No segment gets full: preparing the next one would sync the directory.
  StoreOptions options = small_options();
  options.journal = {};
  StoreRun run(files, trace, options, 1);
  run.open();
  int n = 0;
  const auto put = [&](int count) {
    for (const int end = n + count; n < end; n++) run.put({"b"}, "k" + std::to_string(n), "v");
  };
  put(100);
  run.flush();
  std::shared_ptr<Snapshot> reader = is_kept ? run.store().snapshot() : nullptr;
  while (run.defrag_at() != StoreRun::kInstalled) run.defrag_step([&] { put(1); });
  put(20);
  run.flush();
  wait_for(run.store().reclaimer());  // the last view of the old file goes here
  wait_for(run.store().copier());     // and the file is emptied here
  run.end_defrag();
  put(20);
  run.flush();
  mount.cut(LogAtCut::kLost);
  reader.reset();
  run.abandon();
  mount.restart();
  SeamFileSystem left(mount.folder());
  Summary summary;
  summary.calls = files.calls();
  summary.add(1, summary.calls, acknowledged, verify(left, run, acknowledged));
  return summary.print();
}

// --- kill ---

// What was acknowledged, in memory that outlives the process that is killed.
class SharedSeq {
 public:
  SharedSeq() {
    void* const shared = ::mmap(nullptr, sizeof(std::atomic<Seq>), PROT_READ | PROT_WRITE,
                                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) throw_errno("mmap");
    seq_ = new (shared) std::atomic<Seq>(0);
  }
  ~SharedSeq() { ::munmap(seq_, sizeof *seq_); }
  SharedSeq(const SharedSeq&) = delete;
  SharedSeq& operator=(const SharedSeq&) = delete;
  std::atomic<Seq>& operator*() const { return *seq_; }

 private:
  std::atomic<Seq>* seq_;
};

// The kernel goes on and keeps what was written: waiting for the disk would only take time.
bool waits_for_no_disk(const SeamCall& call) {
  return !call.name.starts_with("sync") && !call.name.ends_with("writeback");
}

[[noreturn]] void work_until_killed(const std::string& folder, CutPoint point,
                                    std::atomic<Seq>& acknowledged) {
  const auto die_if_now = [&](const SeamCall& now) {
    if (now.number == point.call) ::kill(::getpid(), SIGKILL);
    return waits_for_no_disk(now);
  };
  SeamFileSystem files(folder, {.before = die_if_now});
  Trace trace;
  trace.on_acknowledged = [&](Seq seq) { acknowledged = seq; };
  StoreRun run(files, trace, small_options(), point.seed);
  work(run);
  ::_exit(0);
}

std::string kill_at(const std::string& folder, CutPoint point, const StoreRun& whole,
                    Seq& acknowledged) {
  start_over(folder);
  const SharedSeq shared;
  const pid_t child = ::fork();
  if (child == -1) throw_errno("fork");
  if (child == 0) work_until_killed(folder, point, *shared);
  int status = 0;
  ::waitpid(child, &status, 0);
  // It ends by itself when its threads made fewer calls than those of the run that was counted.
  const bool is_killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  if (!is_killed && status != 0) return "fails by itself";
  acknowledged = *shared;
  SeamFileSystem left(folder, {.before = waits_for_no_disk});
  return verify(left, whole, acknowledged);
}

int kill(const std::vector<std::string>& args) {
  const std::string folder = args.at(1);
  const uint64_t seed = std::stoull(args.at(2));
  const uint64_t runs = std::stoull(args.at(3));
  Summary summary;
  for (uint64_t i = 0; i < runs; i++) {
    start_over(folder);
    SeamFileSystem files(folder, {.before = waits_for_no_disk});
    Trace trace;
    StoreRun whole(files, trace, small_options(), seed + i);
    work(whole);
    summary.calls = files.calls();
    for (uint64_t call = 1; call <= summary.calls; call++) {
      if (args.size() > 4 && call != std::stoull(args[4])) continue;
      Seq acknowledged = 0;
      const std::string wrong = kill_at(folder, {seed + i, call}, whole, acknowledged);
      summary.add(seed + i, call, acknowledged, wrong);
    }
  }
  return summary.print();
}

int command(const std::vector<std::string>& args) {
  if (args.at(0) == "cut") return cut(args);
  if (args.at(0) == "rename") return rename(args);
  if (args.at(0) == "kill") return kill(args);
  throw std::runtime_error("no such command: " + args[0]);
}

}  // namespace
}  // namespace hotbolt::testing

int main(int argc, char** argv) {
  try {
    return hotbolt::testing::command({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 2;
  }
}
