// The short form of the crash enumerator (crash_check.h); `npm run test:crash` has the others.
#include "crash_check.h"

namespace hotbolt::testing {
namespace {

// Ten times slower, and what they find needs no rare state.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr uint64_t kStates = 2'000;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr uint64_t kStates = 2'000;
#else
constexpr uint64_t kStates = 20'000;
#endif
#else
constexpr uint64_t kStates = 20'000;
#endif

TEST("whatever a power cut leaves opens, with every acknowledged transaction") {
  const CrashReport report = CrashChecker({.states_max = kStates}).run();
  std::cout << report << std::endl;
  for (const std::string& wrong : report.wrong) EXPECT_EQ(wrong, "");
  EXPECT_TRUE(report.total.states + report.total.nested >= kStates);
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
