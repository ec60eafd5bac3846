// Every allocation of the engine failing in turn, once and for good from then on: the
// operators new of this executable count the allocations that the engine makes, and one of them
// throws.
//
// After each run: no error but ERR_OUT_OF_MEMORY and those of a store that is poisoned; not the end
// of the process; either the store is usable when there is memory again, or it is poisoned; opening
// again finds everything that was acknowledged.
#include "allocation_fault.h"
#include "fault_scenarios.h"
#include "harness.h"

namespace hotbolt::testing {

namespace {

bool promised(ErrorCode code) {
  return code == ErrorCode::ERR_OUT_OF_MEMORY || code == ErrorCode::ERR_POISONED ||
         code == ErrorCode::ERR_ABORTED;
}

struct Outcome {
  bool failed = false;
  std::string wrong;
};

Outcome run(const Scenario& scenario, const Beginning& beginning, uint64_t n, bool persistent) {
  AllocationFault& fault = allocation_fault();
  const EngineScope outside(false);
  const auto disk = beginning.left->restart();
  FaultFileSystem files(*disk, kSessionPath);
  Session session(files);
  session.continue_from(beginning.session);
  std::string wrong;
  session.before_close([&] {
    session.wait();
    // The close of a store that is usable is the scenario's last step under the fault.
    if (fault.failed == 0) return;
    fault.armed = false;
    content_of(*session.store());  // poisoned or not, it can be read
    if (session.store()->poisoned() || session.is_read_only()) return;
    wrong = session.judge_use();
  });
  fault.arm(n, persistent);
  scenario.run(session);
  fault.armed = false;
  if (fault.failed == 0) return {};
  for (const ErrorCode code : session.errors()) {
    if (wrong.empty() && !promised(code)) wrong = std::string("threw ") + error_name(code);
  }
  if (wrong.empty()) wrong = session.judge_backups(*disk, session.published());
  if (wrong.empty()) wrong = session.judge(*disk, session.acknowledged(), true);
  if (!wrong.empty()) {
    wrong = std::string(scenario.name) + ", allocation " + std::to_string(n) +
            (persistent ? " and all after it: " : ": ") + wrong;
  }
  return {true, wrong};
}

constexpr size_t kEnough = 400;  // of what is wrong, to see what it is

// Of the allocations of a scenario every n-th fails.
uint64_t stride() {
  if (tier() == Tier::kLong) return 1;
  return tier() == Tier::kCi ? 11 : 44;
}

TEST("every allocation that fails is an error, and loses nothing") {
  std::string wrong;
  size_t runs = 0;
  for (const Scenario& scenario : kScenarios) {
    const Beginning beginning(scenario.begins_with_journal);
    for (const bool persistent : {false, true}) {
      for (uint64_t n = persistent ? 1 : 2;; n += stride()) {
        Outcome outcome;
        try {
          outcome = run(scenario, beginning, n, persistent);
        } catch (const Error& error) {
          allocation_fault().armed = false;
          outcome = {true, std::string(scenario.name) + ", allocation " + std::to_string(n) + ": " +
                               error_name(error.code()) + ": " + error.what()};
        }
        if (!outcome.wrong.empty()) wrong += "\n  " + outcome.wrong;
        if (!outcome.failed || wrong.size() > kEnough) break;
        runs++;
      }
    }
  }
  if (tier() == Tier::kLong) std::cout << runs << " runs with a failed allocation" << std::endl;
  EXPECT_EQ(wrong, "");
}

// Allocation n of publish() fails, and the program goes on as after any failure. Returns what is
// wrong, and whether there was such an allocation.
Outcome publish_without_memory(uint64_t n) {
  SimFileSystem disk(1);
  FaultFileSystem files(disk, kSessionPath);
  Session session(files);
  session.open();
  write_some(session, "b", 50, 100);
  session.wait();
  session.checkpoint();
  auto defrag = std::make_shared<Defrag>(session.store()->shared_from_this(), DefragOptions{});
  defrag->prepare();
  session.checkpoint();
  defrag->pin();
  defrag->copy();
  CatchUp round = defrag->begin_catch_up();
  defrag->run_catch_up(round);
  bool done = false;
  allocation_fault().arm(n, false);
  try {
    const EngineScope inside(true);
    defrag->publish();
    done = true;
  } catch (const std::exception&) {
    // What is wrong shows later.
  }
  allocation_fault().armed = false;
  const bool failed = allocation_fault().failed > 0;
  if (done) {
    defrag->install();
    defrag->clean();
  } else {
    defrag->abort();
    defrag->release();
  }
  defrag.reset();
  session.put("b", "later", "v");
  session.wait();
  const Seq acknowledged = session.acknowledged();
  session.close();
  return {failed, session.judge(disk, acknowledged, false)};
}

TEST("a switch that finds no memory at any point loses nothing that comes after it") {
  const EngineScope outside(false);
  for (uint64_t n = 1;; n++) {
    const Outcome outcome = publish_without_memory(n);
    EXPECT_EQ(outcome.wrong, "");
    if (!outcome.failed) break;
  }
}

// The journal begins to write by itself when more than 1 MiB is pending, and may find no thread.
TEST("a put that finds no memory leaves no bucket behind that the journal lacks") {
  const EngineScope outside(false);
  for (uint64_t n = 1;; n++) {
    SimFileSystem disk(1);
    const auto listener = std::make_shared<Acknowledgements>();
    auto store = Store::open(disk, kSessionPath, session_options(), listener);
    BucketRef filled, made;
    filled.path = {"filled"};
    made.path = {"made"};
    store->put(filled, "k", std::string((1 << 20) + 10, 'x'));
    allocation_fault().arm(n, false);
    bool done = false;
    try {
      const EngineScope scope(true);
      store->put(made, "k", "v");
      done = true;
    } catch (const std::exception&) {
      // It may be tried again, or not.
    }
    allocation_fault().armed = false;
    if (!store->poisoned()) {
      EXPECT_EQ(BucketView::root(*store->view(), kSeqMax).child("made").exists(), done);
      listener->wait(store->submit());
      const auto left = disk.restart();
      auto again = Store::open(*left, kSessionPath, session_options(), listener);
      EXPECT_EQ(content_of(*again).contains("filled/k"), true);
      EXPECT_EQ(content_of(*again).contains("made/k"), done);
      close_session_store(again);
    }
    store->halt();
    store.reset();
    if (allocation_fault().failed == 0) break;
  }
}

// Proving takes allocations for each operation, applying takes few.
TEST("an update that deletes a bucket is not proven again at its commit") {
  const EngineScope outside(false);
  SimFileSystem disk(1);
  const auto listener = std::make_shared<Acknowledgements>();
  auto store = Store::open(disk, kSessionPath, session_options(), listener);
  Update update(store);
  BucketRef kept;
  kept.path = {"b"};
  BucketRef deleted;
  deleted.path = {"c"};
  update.put(deleted, "k", "v");
  update.delete_bucket(deleted);
  for (int n = 0; n < 5000; n++) update.put(kept, "key " + std::to_string(n), "value");
  allocation_fault().arm(~uint64_t{0}, false);
  {
    const EngineScope scope(true);
    EXPECT_TRUE(update.commit().has_value());
  }
  allocation_fault().armed = false;
  EXPECT_TRUE(allocation_fault().counted < 1000);
  close_session_store(store);
}

TEST("an operation that found no memory is not half in its transaction") {
  const EngineScope outside(false);
  for (uint64_t n = 1;; n++) {
    SimFileSystem disk(1);
    const auto listener = std::make_shared<Acknowledgements>();
    auto store = Store::open(disk, kSessionPath, session_options(), listener);
    Update update(store);
    BucketRef ref;
    ref.path = {"b"};
    allocation_fault().arm(n, false);
    try {
      const EngineScope scope(true);
      update.put(ref, "k", std::string_view("a value that is longer than what a string holds"));
    } catch (const std::bad_alloc&) {
      // The callback of a transaction may catch it and go on.
    }
    allocation_fault().armed = false;
    const bool failed = allocation_fault().failed > 0;
    update.put(ref, "l", "v");
    update.commit();
    listener->wait(store->submit());
    auto left = disk.restart();
    close_session_store(store);
    store = Store::open(*left, kSessionPath, session_options(), listener);
    EXPECT_EQ(content_of(*store).contains("b/l"), true);
    close_session_store(store);
    if (!failed) break;
  }
}

}  // namespace

}  // namespace hotbolt::testing
