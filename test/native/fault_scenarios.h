// What is done to a store while calls or allocations fail: together these reach every storage call
// of the core. Each opens the store and closes it.
#pragma once

#include "fault_session.h"
#include "tier.h"

namespace hotbolt::testing {

struct Scenario {
  const char* name;
  std::function<void(Session&)> run;
  bool begins_with_journal = false;  // and with what else a crash leaves
};

inline void write_some(Session& session, const std::string& bucket, int count, size_t size) {
  for (int i = 0; i < count; i++) {
    session.put(bucket, "k" + std::to_string(i),
                std::string(size, static_cast<char>('a' + i % 26)));
  }
}

inline void create(Session& session) {
  if (!session.open()) return;
  write_some(session, "b", 3, 10);
  session.wait();
  session.close();
}

inline void recover(Session& session) {
  if (!session.open()) return;
  session.put("b", "recovered", "v");
  session.wait();
  session.check();
  session.close();
}

inline void read_only(Session& session) {
  StoreOptions options = session_options();
  options.read_only = true;
  if (!session.open(options)) return;
  session.check();
  session.close();
}

inline void write(Session& session) {
  if (!session.open()) return;
  write_some(session, "a", 20, 900);  // several segments, prepared ahead
  session.wait();
  session.checkpoint();  // recycles
  session.hold_snapshot();
  for (int round = 0; round < 3; round++) {
    write_some(session, "b", 12, 1500);
    session.transaction("t", "k" + std::to_string(round));
    session.remove("a", "k" + std::to_string(round));
    session.set_sequence("a", 7);
    session.wait();
    session.checkpoint();
  }
  session.delete_bucket("b");
  session.let_snapshot_go();
  session.checkpoint();
  session.check();
  session.put("c", "k", "v");
  session.close();
}

inline void write_large(Session& session) {
  if (!session.open()) return;
  session.put("large", "k",
              std::string(1'600'000, 'x'));  // writeback, growth, a segment of its own
  session.wait();
  session.checkpoint();
  session.put("large", "l", std::string(300'000, 'y'));
  session.checkpoint();
  session.remove("large", "k");
  session.checkpoint();
  session.close();
}

inline void defragment(Session& session) {
  if (!session.open()) return;
  write_some(session, "b", 30, 500);
  session.wait();
  session.checkpoint();
  session.hold_snapshot();
  session.delete_bucket("b");
  write_some(session, "c", 5, 100);
  session.defrag([&] {
    write_some(session, "d", 5, 700);
    session.wait();
    session.checkpoint();  // into the old file: caught up with from the journal
    session.put("d", "late", "v");
  });
  session.put("e", "k", "v");
  session.let_snapshot_go();  // the old file is emptied
  session.wait();
  session.checkpoint();
  session.close();
}

inline void defragment_in_vain(Session& session) {
  if (!session.open()) return;
  write_some(session, "b", 10, 500);
  session.defrag([&] { session.put("b", "k", "v"); }, true);
  session.put("b", "after", "v");
  session.checkpoint();
  session.close();
}

inline void back_up(Session& session) {
  if (!session.open()) return;
  write_some(session, "b", 12, 500);
  session.wait();
  session.back_up(false);
  session.checkpoint();
  session.back_up(false);
  write_some(session, "c", 2, 3000);
  session.back_up(true);
  session.defrag([&] { session.back_up(true); });
  session.put("b", "after", "v");
  session.wait();
  session.close();
}

inline const std::vector<Scenario> kScenarios = {
    {"create", create},
    {"recover", recover, true},
    {"read only", read_only, true},
    {"write", write},
    {"write large", write_large},
    {"defragment", defragment, true},
    {"defragment in vain", defragment_in_vain},
    {"back up", back_up},
};

// What is on the disk when a scenario begins, and who wrote it.
struct Beginning {
  SimFileSystem disk{1};
  Session session{disk};
  std::unique_ptr<SimFileSystem> left;

  explicit Beginning(bool with_journal) {
    if (with_journal) {
      session.open();
      write_some(session, "a", 10, 300);
      session.wait();
      session.checkpoint();
      write_some(session, "a", 12, 600);
      session.wait();
    }
    left = disk.restart();
    if (with_journal) left->put_file(kSessionPath + "-defrag-" + std::string(32, '0'), "left over");
  }
};

}  // namespace hotbolt::testing
