// The fuzz targets without a fuzzer: every input of the corpus, and some that are made from the
// seeds here, always the same ones. What a fuzzer has found once is found here for ever.
#include <filesystem>
#include <fstream>

#include "harness.h"
#include "targets/mutator.h"
#include "targets/target.h"

namespace hotbolt::testing {

namespace {

constexpr size_t kInputMax = 32 << 10;

void run(const fuzz::Target& target, const std::string& input, const std::string& name) {
  try {
    target.run(input);
  } catch (const std::exception& finding) {
    throw Failure(__FILE__, __LINE__,
                  std::string(target.name) + ", " + name + ": " + finding.what());
  }
}

void replay(const std::string& name) {
  const fuzz::Target& target = *fuzz::find_target(name);
  const auto corpus = std::filesystem::path(HOTBOLT_FUZZ_CORPUS) / name;
  size_t count = 0;
  for (const auto& entry : std::filesystem::directory_iterator(corpus)) {
    std::ifstream file(entry.path(), std::ios::binary);
    run(target, {std::istreambuf_iterator<char>(file), {}}, entry.path().filename());
    count++;
  }
  EXPECT_TRUE(count > 0);
}

void mutate_seeds(const std::string& name, uint64_t runs) {
  const fuzz::Target& target = *fuzz::find_target(name);
  const std::vector<std::string> seeds = fuzz::seeds_for(target);
  for (const std::string& seed : seeds) run(target, seed, "a seed");
  for (uint64_t i = 0; i < runs; i++) {
    std::string input = seeds[i % seeds.size()];
    fuzz::mutate(target, input, kInputMax, i, fuzz::flip_bytes(i));
    if (i % 5 == 0) fuzz::cross(target, input, seeds[i / 5 % seeds.size()], kInputMax, i);
    run(target, input, "mutation " + std::to_string(i));
  }
}

TEST("fuzz open_check: the corpus and mutations of the seeds") {
  replay("open_check");
  mutate_seeds("open_check", 6000);
}

TEST("fuzz read: the corpus and mutations of the seeds") {
  replay("read");
  mutate_seeds("read", 2000);
}

TEST("fuzz write_then_check: the corpus and mutations of the seeds") {
  replay("write_then_check");
  mutate_seeds("write_then_check", 400);
}

TEST("fuzz journal: the corpus and mutations of the seeds") {
  replay("journal");
  mutate_seeds("journal", 1500);
}

}  // namespace

}  // namespace hotbolt::testing
