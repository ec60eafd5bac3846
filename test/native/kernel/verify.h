// What is asked of whatever a crash left, and how a program says what came of it.
#pragma once

#include <iostream>
#include <string>
#include <vector>

#include "seam.h"
#include "store_run.h"

namespace hotbolt::testing {

inline const std::string kDirectory = directory_of(kPath);

// Opens what a crash left; returns why it is wrong, "" if it is right.
inline std::string why_wrong(FileSystem& files, const StoreRun& run, Seq acknowledged) {
  if (!files.status(kPath) && acknowledged == 0) return "";
  const auto listener = std::make_shared<Listener>();
  auto store = Store::open(files, kPath, small_options(), listener);
  const Seq seq = store->last_seq();
  ModelBucket model = dump(*store);
  if (seq < acknowledged) {
    return "lost: transaction " + std::to_string(acknowledged) + " was acknowledged, " +
           std::to_string(seq) + " is the last";
  }
  if (seq > run.last_seq()) return "invented transaction " + std::to_string(seq);
  if (run.fingerprint_at(seq) != fingerprint(model))
    return "differs from the model after transaction " + std::to_string(seq);
  BucketRef ref;
  ref.path = {"after"};
  store->put(ref, "crash", "x");
  model.buckets["after"].values["crash"] = "x";
  listener->wait(store->submit());
  CheckReport report = store->run_check(*store->view()->base->file());
  if (!report.ok()) return "check: " + report.issues.front().message;
  close_store(store);
  if (files.list(kDirectory) != std::vector{name_of(kPath)}) return "leaves files behind";
  store = Store::open(files, kPath, small_options(), listener);
  report = store->run_check(*store->view()->base->file());
  if (!report.ok()) return "check after the next close: " + report.issues.front().message;
  if (dump(*store) != model) return "differs after the next close";
  close_store(store);
  return "";
}

inline std::string verify(FileSystem& files, const StoreRun& run, Seq acknowledged) {
  try {
    return why_wrong(files, run, acknowledged);
  } catch (const Error& error) {
    return std::string(error_name(error.code())) + ": " + error.what();
  }
}

// One line of JSON.
struct Summary {
  uint64_t calls = 0;  // of a whole run
  uint64_t crashes = 0;
  uint64_t acknowledged = 0;  // transactions, of all crashes together
  std::vector<std::string> wrong;

  void add(uint64_t seed, uint64_t call, Seq seq, const std::string& problem) {
    crashes++;
    acknowledged += seq;
    if (problem.empty()) return;
    wrong.push_back("seed " + std::to_string(seed) + " call " + std::to_string(call) + ": " +
                    problem);
  }
  // The status of the program.
  int print() const {
    std::cout << "{\"calls\":" << calls << ",\"crashes\":" << crashes
              << ",\"acknowledged\":" << acknowledged << ",\"wrong\":[";
    const char* separator = "\"";
    for (const std::string& problem : wrong) {
      std::cout << std::exchange(separator, ",\"");
      for (const char c : problem) std::cout << (c < ' ' || c == '"' || c == '\\' ? ' ' : c);
      std::cout << '"';
    }
    std::cout << "]}" << std::endl;
    return wrong.empty() ? 0 : 1;
  }
};

}  // namespace hotbolt::testing
