// Changes inputs in ways that get past the first checks: fields of pages, elements, freelists and
// metas, whole pages, frames of journals; checksums are made right again, mostly.
#pragma once

#include <functional>
#include <random>
#include <string>

#include "target.h"

namespace hotbolt::fuzz {

// Changes a piece of bytes in place, as a fuzzer does that knows nothing of them.
using BlindMutation = std::function<void(char* bytes, size_t size)>;

// `input` stays within `size_max`.
void mutate(const Target& target, std::string& input, size_t size_max, uint64_t seed,
            const BlindMutation& blind);
// Pages or frames of the other input take the place of some of this one's.
void cross(const Target& target, std::string& input, const std::string& other, size_t size_max,
           uint64_t seed);

// A few random bits and bytes: what native tests have in place of libFuzzer's own mutations.
BlindMutation flip_bytes(uint64_t seed);

// The parts.
class Dice {
 public:
  explicit Dice(uint64_t seed) : random_(seed) {}
  uint64_t below(uint64_t limit) { return limit == 0 ? 0 : random_() % limit; }
  bool one_in(uint64_t n) { return below(n) == 0; }
  // A number that is near some bound of its kind.
  uint64_t number(unsigned bits, uint64_t near);

 private:
  std::mt19937_64 random_;
};

void mutate_database(std::string& file, size_t size_max, Dice& dice, const BlindMutation& blind);
void mutate_journal(std::string& segments, uint64_t count, uint64_t first_number, Dice& dice,
                    const BlindMutation& blind);
// The page size that the file's metas say, or the smallest.
uint32_t page_size_of(const std::string& file);
void fix_metas(std::string& file);
// Makes the checksums and the chain of the frames right that follow each other.
void fix_chain(char* segment, uint64_t size, uint64_t number, uint32_t& chain);

}  // namespace hotbolt::fuzz
