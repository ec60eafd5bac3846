// Every call of the file system failing in turn: scenarios that together make each call of
// core/file.h on each kind of file are run again and again, with the first call failing, then the
// second, until nothing fails any more. See fault_file.h for how a call fails.
//
// After each run: no error but those that were promised; poisoned where that is promised and
// nowhere else, usable otherwise; no sync was called twice; nothing acknowledged is lost, not by
// a power cut at the failure or later either; and opening again ends well.
#include "fault_scenarios.h"
#include "harness.h"

namespace hotbolt::testing {

namespace {

constexpr Fault kFaults[] = {
    {"EIO", ErrorCode::ERR_IO, 5},
    {"EIO for good", ErrorCode::ERR_IO, 5, false, true},
    {"half, then ENOSPC", ErrorCode::ERR_NO_SPACE, 28, true},
    {"ENOSPC for good", ErrorCode::ERR_NO_SPACE, 28, false, true},
    {"ENOSPC", ErrorCode::ERR_NO_SPACE, 28},
    {"EDQUOT", ErrorCode::ERR_NO_SPACE, 122},
    {"EDQUOT for good", ErrorCode::ERR_NO_SPACE, 122, true, true},
    {"EINTR", ErrorCode::ERR_IO, 4},
    {"EINTR for good", ErrorCode::ERR_IO, 4, true, true},
};

enum class Poison { kMust, kMay, kMustNot };

// core/file.h and README: a failed sync, a failed write of a meta or of the journal are final.
Poison poison_after(const FailedCall& failed) {
  const bool is_sync = failed.call == "sync_data" || failed.call == "sync_all" ||
                       failed.call == "sync_directory" || failed.call.ends_with("_writeback");
  const bool is_of_segment = failed.kind == Kind::kJournal && failed.call != "sync_data";
  switch (failed.kind) {
    case Kind::kTemporary:
    case Kind::kReplaced:
    case Kind::kCreated:
    case Kind::kBackup:
      return Poison::kMustNot;
    case Kind::kDatabase:
      if (is_sync || failed.of_meta) return Poison::kMust;
      return failed.code == ErrorCode::ERR_NO_SPACE ? Poison::kMustNot : Poison::kMay;
    default:
      // What fails while a segment is made ready ahead is tried again when it is needed.
      return is_sync && !is_of_segment ? Poison::kMust : Poison::kMay;
  }
}

std::string judge_poison(const std::vector<FailedCall>& failed, Session& session) {
  bool must = false;
  bool may = false;
  for (const FailedCall& call : failed) {
    must = must || poison_after(call) == Poison::kMust;
    may = may || poison_after(call) != Poison::kMustNot;
  }
  if (must && !session.becomes_poisoned()) return "not poisoned";
  if (!may && session.store()->poisoned()) return "poisoned";
  return "";
}

bool promised(ErrorCode code, const std::vector<FailedCall>& failed) {
  if (code == ErrorCode::ERR_POISONED || code == ErrorCode::ERR_ABORTED) return true;
  for (const FailedCall& call : failed) {
    if (code == call.code) return true;
  }
  return false;
}

// No temporary file outlives its defragmentation, if it can be removed.
std::string judge_names(const std::vector<FailedCall>& failed, SimFileSystem& disk) {
  for (const FailedCall& call : failed) {
    const bool is_ours = call.kind == Kind::kTemporary || call.kind == Kind::kBackup;
    if (call.call == "remove" && is_ours) return "";
  }
  for (const std::string& path : disk.paths()) {
    if (path.find("-defrag-") != std::string::npos || path.ends_with(".tmp"))
      return "leaves " + path;
  }
  return "";
}

struct Outcome {
  bool failed = false;
  std::string wrong;
};

Outcome run(const Scenario& scenario, const Beginning& beginning, const Fault& fault,
            std::set<std::string>& places) {
  const auto disk = beginning.left->restart();
  FaultFileSystem files(*disk, kSessionPath);
  Session session(files);
  session.continue_from(beginning.session);
  Seq acknowledged_at_fault = 0;
  Seq acknowledged_at_end = 0;  // of the scenario, before it closes the store
  std::unique_ptr<SimFileSystem> at_end;
  bool open_at_fault = false;
  std::vector<std::string> published_at_fault;
  files.set_before_crash([&] {
    acknowledged_at_fault = session.acknowledged();
    open_at_fault = session.is_open();
    published_at_fault = session.published();
  });
  files.arm(fault);
  // The scenario closes the store in the end; what is left of it is judged before that.
  std::string wrong;
  session.before_close([&] {
    session.wait();
    files.heal();
    const auto failed = files.failed();
    if (failed.empty()) return;
    acknowledged_at_end = session.acknowledged();
    at_end = disk->crash(fault.n, [](const std::string&, uint64_t) { return false; });
    if (open_at_fault) wrong = judge_poison(failed, session);
    for (const ErrorCode code : session.errors()) {
      if (!promised(code, failed)) wrong = std::string("threw ") + error_name(code);
    }
    if (wrong.empty() && !session.is_read_only()) wrong = judge_names(failed, *disk);
    if (!wrong.empty() || session.store()->poisoned() || session.is_read_only()) return;
    wrong = session.judge_use();
  });
  scenario.run(session);
  files.heal();
  const auto failed = files.failed();
  places.insert(files.places().begin(), files.places().end());
  if (failed.empty()) return {};
  if (wrong.empty()) {
    wrong = files.repeated_sync();
    if (!wrong.empty()) wrong = "synced again: " + wrong;
  }
  if (wrong.empty()) wrong = session.judge_backups(*files.crashed(), published_at_fault);
  if (wrong.empty()) wrong = session.judge_backups(*disk, session.published());
  if (wrong.empty()) wrong = session.judge(*files.crashed(), acknowledged_at_fault, false);
  if (wrong.empty() && at_end != nullptr)
    wrong = session.judge(*at_end, acknowledged_at_end, false);
  if (wrong.empty()) wrong = session.judge(*disk, session.acknowledged(), true);
  if (!wrong.empty()) {
    wrong = std::string(scenario.name) + ", " + fault.name + " at call " + std::to_string(fault.n) +
            " (" + failed.front().call + " of " + kind_name(failed.front().kind) + "): " + wrong;
  }
  return {true, wrong};
}

constexpr size_t kEnough = 400;  // of what is wrong, to see what it is

// Of the calls of a scenario every n-th fails; all faults together meet all calls, in CI at least.
uint64_t stride() {
  if (tier() == Tier::kLong) return 1;
  return std::size(kFaults) * (tier() == Tier::kCi ? 1 : 3);
}

TEST("every call that fails ends in an error or in success, and loses nothing") {
  std::set<std::string> places;
  std::string wrong;
  size_t runs = 0;
  for (const Scenario& scenario : kScenarios) {
    const Beginning beginning(scenario.begins_with_journal);
    uint64_t phase = 0;
    for (Fault fault : kFaults) {
      for (fault.n = 1 + phase % stride();; fault.n += stride()) {
        Outcome outcome;
        try {
          outcome = run(scenario, beginning, fault, places);
        } catch (const Error& error) {
          outcome = {true, std::string(scenario.name) + ", " + fault.name + " at call " +
                               std::to_string(fault.n) + ": " + error_name(error.code()) + ": " +
                               error.what()};
        }
        if (!outcome.wrong.empty()) wrong += "\n  " + outcome.wrong;
        if (!outcome.failed || wrong.size() > kEnough) break;
        runs++;
      }
      phase++;
    }
  }
  if (tier() == Tier::kLong) {
    std::cout << runs << " runs with a fault, calls made:";
    for (const std::string& place : places) std::cout << "\n  " << place;
    std::cout << std::endl;
  }
  EXPECT_EQ(wrong, "");
}

}  // namespace

}  // namespace hotbolt::testing
