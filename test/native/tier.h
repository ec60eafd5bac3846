// How much of what can be counted is done: HOTBOLT_TIER, as in test/support/tiers.ts.
#pragma once

#include <cstdlib>
#include <string_view>

namespace hotbolt::testing {

enum class Tier { kShort, kCi, kLong };

inline Tier tier() {
  const char* const name = std::getenv("HOTBOLT_TIER");
  if (name == nullptr) return Tier::kShort;
  return std::string_view(name) == "long" ? Tier::kLong : Tier::kCi;
}

}  // namespace hotbolt::testing
