// The long form of the crash enumerator, and the way to see one state again:
//
//   hotbolt_crash [--full] [--states=N] [--seed=N] [--threads=N]
//   hotbolt_crash --workload=NAME [--point=N [--state=N]] [--seed=N]
#include "../crash_check.h"

namespace {

using hotbolt::testing::CrashPlan;

bool take(const std::string& argument, CrashPlan& plan) {
  const size_t equals = argument.find('=');
  const std::string name = argument.substr(0, equals);
  const std::string value = equals == std::string::npos ? "" : argument.substr(equals + 1);
  if (name == "--full") {
    plan.states_max = 1'000'000;
    plan.is_complete = true;
    plan.threads = std::max(1u, std::thread::hardware_concurrency());
  } else if (name == "--workload") {
    plan.workload = value;
  } else if (name == "--states") {
    plan.states_max = std::stoull(value);
  } else if (name == "--seed") {
    plan.seed = std::stoull(value);
  } else if (name == "--threads") {
    plan.threads = static_cast<unsigned>(std::stoul(value));
  } else if (name == "--point") {
    plan.point = std::stoull(value);
    plan.nested_every = 1;
    plan.nested_max = 100'000;
  } else if (name == "--state") {
    plan.state = std::stoull(value);
  } else {
    return false;
  }
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  CrashPlan plan;
  for (int i = 1; i < argc; i++) {
    if (take(argv[i], plan)) continue;
    std::cerr << "unknown argument " << argv[i] << std::endl;
    return 2;
  }
  const auto report = hotbolt::testing::CrashChecker(plan).run();
  for (const std::string& wrong : report.wrong) std::cout << "WRONG " << wrong << "\n";
  std::cout << report << std::endl;
  return report.wrong.empty() ? 0 : 1;
}
