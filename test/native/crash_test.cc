// The short form of the crash enumerator (crash_check.h); `npm run test:crash` has the others.
#include "crash_check.h"
#include "tier.h"

namespace hotbolt::testing {
namespace {

// Under a sanitizer they take ten times as long, and what it finds needs no rare state.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kIsSanitized = true;
#elif defined(__has_feature)
constexpr bool kIsSanitized = __has_feature(address_sanitizer) || __has_feature(thread_sanitizer);
#else
constexpr bool kIsSanitized = false;
#endif

CrashPlan plan_of_tier() {
  if (kIsSanitized || tier() == Tier::kShort) return {.states_max = 4'000, .one_in = 4};
  return {.states_max = 20'000};
}

TEST("whatever a power cut leaves opens, with every acknowledged transaction") {
  const CrashPlan plan = plan_of_tier();
  const CrashReport report = CrashChecker(plan).run();
  std::cout << report << std::endl;
  for (const std::string& wrong : report.wrong) EXPECT_EQ(wrong, "");
  EXPECT_TRUE(report.total.states + report.total.nested >= plan.states_max);
}

TEST("the same script makes the same calls every time") {
  for (size_t i = 0; i < operations().size(); i++) {
    const Workload workload{{.start = Start::kClosed}, {i, i}};
    const auto first = record(workload);
    const auto second = record(workload);
    EXPECT_EQ(first->trace.calls.size(), second->trace.calls.size());
    for (size_t i = 0; i < first->trace.calls.size(); i++) {
      const Call& a = first->trace.calls[i];
      const Call& b = second->trace.calls[i];
      EXPECT_EQ(a.kind, b.kind);
      EXPECT_TRUE(a.inode == b.inode && a.offset == b.offset && a.bytes == b.bytes);
    }
  }
}

}  // namespace
}  // namespace hotbolt::testing
