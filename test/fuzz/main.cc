// libFuzzer's entry points. Which target: --target=<name>; --seeds=<folder> fills a folder with
// inputs to begin with, and ends. See ../../native/fuzz.mjs.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>

#include "targets/mutator.h"

extern "C" size_t LLVMFuzzerMutate(uint8_t* data, size_t size, size_t size_max);

namespace {

const hotbolt::fuzz::Target* target = nullptr;

void blind(char* bytes, size_t size) {
  std::string copy(bytes, size);
  const size_t left = LLVMFuzzerMutate(reinterpret_cast<uint8_t*>(copy.data()), size, size);
  std::memcpy(bytes, copy.data(), left);
}

const char* option(int count, char** arguments, const char* name) {
  const size_t size = std::strlen(name);
  for (int i = 1; i < count; i++) {
    if (std::strncmp(arguments[i], name, size) == 0) return arguments[i] + size;
  }
  return nullptr;
}

void write_seeds(const std::string& folder) {
  int number = 0;
  for (const std::string& seed : hotbolt::fuzz::seeds_for(*target)) {
    std::ofstream file(folder + "/seed-" + std::to_string(number++), std::ios::binary);
    file.write(seed.data(), static_cast<std::streamsize>(seed.size()));
  }
}

size_t give_back(const std::string& input, uint8_t* data, size_t size_max) {
  const size_t size = std::min(input.size(), size_max);
  std::memcpy(data, input.data(), size);
  return size;
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments) {
  const char* const name = option(*count, *arguments, "--target=");
  if (name != nullptr) target = hotbolt::fuzz::find_target(name);
  if (target != nullptr) {
    const char* const folder = option(*count, *arguments, "--seeds=");
    if (folder == nullptr) return 0;
    write_seeds(folder);
    std::exit(0);
  }
  std::fprintf(stderr, "--target= has to be one of:");
  for (const auto& known : hotbolt::fuzz::targets()) std::fprintf(stderr, " %s", known.name);
  std::fprintf(stderr, "\n");
  std::exit(2);
}

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  try {
    target->run({reinterpret_cast<const char*>(data), size});
  } catch (const std::exception& finding) {
    std::fprintf(stderr, "%s: %s\n", target->name, finding.what());
    std::abort();
  }
  return 0;
}

// Now and then libFuzzer has its own way with the whole input.
extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t size_max,
                                          unsigned seed) {
  if (seed % 16 == 0) return LLVMFuzzerMutate(data, size, size_max);
  std::string input(reinterpret_cast<const char*>(data), size);
  hotbolt::fuzz::mutate(*target, input, size_max, seed, blind);
  return give_back(input, data, size_max);
}

extern "C" size_t LLVMFuzzerCustomCrossOver(const uint8_t* first, size_t first_size,
                                            const uint8_t* second, size_t second_size, uint8_t* out,
                                            size_t size_max, unsigned seed) {
  std::string input(reinterpret_cast<const char*>(first), first_size);
  const std::string other(reinterpret_cast<const char*>(second), second_size);
  hotbolt::fuzz::cross(*target, input, other, size_max, seed);
  return give_back(input, out, size_max);
}
