// FNV-1a and CRC-32C. The CRC has three bodies: x86's SSE4.2 instruction, the one of ARMv8, and
// slice-by-8 tables for everything else; which one runs is decided once, at the first call.
#include "core/checksum.h"

#include <array>

#if defined(__x86_64__) && defined(__GNUC__)
#include <nmmintrin.h>
#define HOTBOLT_CRC_X86 1
#elif defined(__aarch64__) && defined(__ARM_FEATURE_CRC32)
#include <arm_acle.h>
#define HOTBOLT_CRC_ARM 1
#endif

namespace hotbolt {

namespace {

constexpr uint32_t kCastagnoliReversed = 0x82F63B78;

using CrcTables = std::array<std::array<uint32_t, 256>, 8>;

// tables[k][b]: what byte b does to the checksum when k more bytes follow it in the same step.
constexpr CrcTables make_crc_tables() {
  CrcTables tables{};
  for (uint32_t byte = 0; byte < 256; byte++) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) ? kCastagnoliReversed : 0);
    tables[0][byte] = crc;
  }
  for (size_t k = 1; k < 8; k++) {
    for (size_t byte = 0; byte < 256; byte++) {
      const uint32_t before = tables[k - 1][byte];
      tables[k][byte] = (before >> 8) ^ tables[0][before & 0xFF];
    }
  }
  return tables;
}

constexpr CrcTables kCrcTables = make_crc_tables();

[[maybe_unused]] uint32_t crc32c_portable(const char* at, size_t size, uint32_t crc) noexcept {
  const CrcTables& t = kCrcTables;
  for (; size >= 8; at += 8, size -= 8) {
    const uint64_t word = load<uint64_t>(at) ^ crc;
    crc = t[7][word & 0xFF] ^ t[6][(word >> 8) & 0xFF] ^ t[5][(word >> 16) & 0xFF] ^
          t[4][(word >> 24) & 0xFF] ^ t[3][(word >> 32) & 0xFF] ^ t[2][(word >> 40) & 0xFF] ^
          t[1][(word >> 48) & 0xFF] ^ t[0][word >> 56];
  }
  for (; size > 0; at++, size--) {
    crc = (crc >> 8) ^ t[0][(crc ^ static_cast<unsigned char>(*at)) & 0xFF];
  }
  return crc;
}

#if HOTBOLT_CRC_X86
__attribute__((target("sse4.2"))) uint32_t crc32c_sse42(const char* at, size_t size,
                                                        uint32_t crc) noexcept {
  uint64_t wide = crc;
  for (; size >= 8; at += 8, size -= 8) wide = _mm_crc32_u64(wide, load<uint64_t>(at));
  crc = static_cast<uint32_t>(wide);
  for (; size > 0; at++, size--) crc = _mm_crc32_u8(crc, static_cast<unsigned char>(*at));
  return crc;
}
#elif HOTBOLT_CRC_ARM
uint32_t crc32c_arm(const char* at, size_t size, uint32_t crc) noexcept {
  for (; size >= 8; at += 8, size -= 8) crc = __crc32cd(crc, load<uint64_t>(at));
  for (; size > 0; at++, size--) crc = __crc32cb(crc, static_cast<unsigned char>(*at));
  return crc;
}
#endif

using CrcFunction = uint32_t (*)(const char*, size_t, uint32_t) noexcept;

CrcFunction choose_crc() noexcept {
#if HOTBOLT_CRC_X86
  return __builtin_cpu_supports("sse4.2") ? crc32c_sse42 : crc32c_portable;
#elif HOTBOLT_CRC_ARM
  return crc32c_arm;
#else
  return crc32c_portable;
#endif
}

}  // namespace

uint64_t fnv1a64(Bytes bytes) noexcept {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char byte : bytes) {
    hash ^= static_cast<unsigned char>(byte);
    hash *= 0x100000001B3;
  }
  return hash;
}

uint32_t crc32c(Bytes bytes, uint32_t seed) noexcept {
  static const CrcFunction crc = choose_crc();
  return ~crc(bytes.data(), bytes.size(), ~seed);
}

uint32_t crc32c_by_tables(Bytes bytes, uint32_t seed) noexcept {
  return ~crc32c_portable(bytes.data(), bytes.size(), ~seed);
}

}  // namespace hotbolt
