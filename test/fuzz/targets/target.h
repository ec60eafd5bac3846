// What is fuzzed: functions of bytes that end in one of two ways, quietly or with a Finding. The
// same functions are run by libFuzzer (../main.cc) and by the native tests, which replay the corpus
// and mutate it (../../native/fuzz_test.cc).
//
// A target may meet any hotbolt::Error but ERR_INTERNAL, since bytes of a file may not break an
// invariant. Every other exception, a sanitizer's report, a run without end and a large allocation
// are bugs.
//
//   open_check        a database file: opened both ways, checked completely
//   read              a database file: everything walked in both directions, ranges, gets, snapshots
//   write_then_check  128 bytes of script, then a database file: written to as the script says
//   journal           16 bytes of layout, then segments beside a database that the target makes
//
// A new target is a function here, a line in target.cc, and a folder in ../corpus.
#pragma once

#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/store.h"
#include "memory_files.h"

namespace hotbolt::fuzz {

struct Finding : std::runtime_error {
  using std::runtime_error::runtime_error;
};

inline void require(bool condition, const std::string& what) {
  if (!condition) throw Finding(what);
}

// What the bytes of an input are, for the mutator: a head that is no file, then files.
enum class Layout : uint8_t { kDatabase, kJournal };

struct Target {
  const char* name;
  void (*run)(Bytes input);
  Layout layout;
  size_t head_size;
};

const std::vector<Target>& targets();
const Target* find_target(const std::string& name);

inline constexpr size_t kScriptSize = 128;
inline constexpr size_t kJournalHeadSize = 16;

void open_check(Bytes input);
void read(Bytes input);
void write_then_check(Bytes input);
void journal(Bytes input);

// Inputs to begin with: every kind of page, bucket and freelist; a journal. See seeds.cc.
std::vector<std::string> seeds_for(const Target& target);
std::vector<std::string> journal_seeds();

// --- what the targets share ---

inline const std::string kPath = "/data/a.db";

[[noreturn]] void report(const Error& error);

// False: it threw an Error that may be met.
template <typename Action>
bool attempt(Action&& action) {
  try {
    action();
    return true;
  } catch (const Error& error) {
    if (error.code() == ErrorCode::ERR_INTERNAL) report(error);
    return false;
  }
}

class SilentListener : public StoreListener {
 public:
  void on_durable(Seq, Seq) noexcept override {}
  void on_failure(const Error&) noexcept override {}
};

// Small segments and pages, so that little input reaches much code.
StoreOptions options(bool read_only);
// Throws what Store::open() throws.
std::shared_ptr<Store> open_store(FileSystem& files, bool read_only,
                                  const std::string& path = kPath);
// On this thread. Requires that nothing was written, sealed or checkpointed.
void close_unwritten(std::shared_ptr<Store>& store);
// Behind everything that the store's worker has been given.
void close_written(std::shared_ptr<Store>& store);

CheckReport check_store(Store& store);

// The whole of it, on this thread; `meanwhile` runs while it catches up.
void defragment(
    const std::shared_ptr<Store>& store, const std::function<void()>& meanwhile = [] {});

// Everything in a bucket.
struct Content {
  uint64_t sequence = 0;
  std::map<std::string, std::string> values;
  std::map<std::string, Content> buckets;
  bool operator==(const Content&) const = default;
};
// Requires: a state that passed the check, or one made by a store from such a state.
Content content_of(const View& view, Seq seq = kSeqMax);

}  // namespace hotbolt::fuzz
