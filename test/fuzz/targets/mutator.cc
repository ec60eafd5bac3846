// What is done to an input as a whole. The two kinds of files have files of their own:
// mutate_database.cc and mutate_journal.cc.
#include "mutator.h"

#include <algorithm>

#include "core/page.h"

namespace hotbolt::fuzz {

uint64_t Dice::number(unsigned bits, uint64_t near) {
  const uint64_t mask = bits == 64 ? ~uint64_t{0} : (uint64_t{1} << bits) - 1;
  switch (below(10)) {
    case 0:
      return 0;
    case 1:
      return mask;
    case 2:
      return (mask >> 1) + below(2);
    case 3:
      return (uint64_t{1} << below(bits)) & mask;
    case 4:
      return (mask - below(32)) & mask;
    case 5:
      return random_() & mask;
    case 6:
      return below(70'000) & mask;
    default:
      return (near + below(5) - 2) & mask;
  }
}

BlindMutation flip_bytes(uint64_t seed) {
  return [dice = Dice(seed)](char* bytes, size_t size) mutable {
    for (uint64_t i = dice.below(4) + 1; i > 0 && size > 0; i--) {
      char& byte = bytes[dice.below(size)];
      byte = dice.one_in(2) ? static_cast<char>(byte ^ (1 << dice.below(8)))
                            : static_cast<char>(dice.below(256));
    }
  };
}

void mutate(const Target& target, std::string& input, size_t size_max, uint64_t seed,
            const BlindMutation& blind) {
  Dice dice(seed);
  input.resize(std::min(std::max(input.size(), target.head_size), size_max));
  if (input.size() <= target.head_size) return blind(input.data(), input.size());
  std::string file = input.substr(target.head_size);
  input.resize(target.head_size);
  if (target.head_size > 0 && dice.one_in(3)) blind(input.data(), input.size());
  if (target.layout == Layout::kDatabase) {
    mutate_database(file, size_max - target.head_size, dice, blind);
  } else if (input[0] % 2 != 0) {
    blind(file.data(), file.size());
  } else {
    mutate_journal(file, 1 + static_cast<uint8_t>(input[1]) % 8, static_cast<uint8_t>(input[3]),
                   dice, blind);
  }
  input += file;
}

void cross(const Target& target, std::string& input, const std::string& other, size_t size_max,
           uint64_t seed) {
  if (input.size() <= target.head_size || other.size() <= target.head_size) return;
  Dice dice(seed);
  if (target.head_size > 0 && dice.one_in(2)) {
    input.replace(0, target.head_size, other, 0, target.head_size);
    if (dice.one_in(2)) return;
  }
  const Bytes source = Bytes(other).substr(target.head_size);
  std::string file = input.substr(target.head_size);
  const size_t unit = target.layout == Layout::kDatabase ? page_size_of(file) : 256;
  for (uint64_t i = dice.below(3) + 1; i > 0; i--) {
    const size_t from = dice.below(source.size() / unit + 1) * unit;
    const size_t to = dice.below(file.size() / unit + 1) * unit;
    const Bytes piece = source.substr(from, unit);
    if (target.head_size + to + piece.size() > size_max) continue;
    if (file.size() < to + piece.size()) file.resize(to + piece.size());
    std::copy(piece.begin(), piece.end(), file.begin() + static_cast<ptrdiff_t>(to));
    if (target.layout == Layout::kDatabase && to >= 2 * unit && piece.size() >= 8)
      store<uint64_t>(file.data() + to, to / unit);
  }
  if (target.layout == Layout::kDatabase) fix_metas(file);
  input.resize(target.head_size);
  input += file;
}

}  // namespace hotbolt::fuzz
