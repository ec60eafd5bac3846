// See sha256.h. The compression function has two bodies: x86's SHA instructions, and plain
// arithmetic for everything else; which one runs is decided once.
#include "core/sha256.h"

#include <algorithm>
#include <bit>
#include <cstring>

#if defined(__x86_64__) && defined(__GNUC__)
#include <cpuid.h>
#include <immintrin.h>
#define HOTBOLT_SHA_X86 1
#endif

namespace hotbolt {

namespace {

alignas(16) constexpr uint32_t kRoundConstants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

constexpr std::array<uint32_t, 8> kInitialState = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                                   0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};

uint32_t load_big_endian(const char* at) {
  const auto byte = [&](int i) { return uint32_t{static_cast<unsigned char>(at[i])}; };
  return byte(0) << 24 | byte(1) << 16 | byte(2) << 8 | byte(3);
}

void store_big_endian(char* at, uint64_t number, int size) {
  for (int i = 0; i < size; i++) at[i] = static_cast<char>(number >> (8 * (size - 1 - i)));
}

}  // namespace

struct Sha256Bodies {
  using State = Sha256::State;
  using Compress = Sha256::Compress;

  static void portable(State& state, const char* blocks, size_t count) noexcept {
    for (; count > 0; count--, blocks += Sha256::kBlockBytes) portable_block(state, blocks);
  }

  static void portable_block(State& state, const char* block) noexcept {
    uint32_t w[64];
    for (int i = 0; i < 16; i++) w[i] = load_big_endian(block + 4 * i);
    for (int i = 16; i < 64; i++) {
      const uint32_t s0 = std::rotr(w[i - 15], 7) ^ std::rotr(w[i - 15], 18) ^ (w[i - 15] >> 3);
      const uint32_t s1 = std::rotr(w[i - 2], 17) ^ std::rotr(w[i - 2], 19) ^ (w[i - 2] >> 10);
      w[i] = w[i - 16] + s0 + w[i - 7] + s1;
    }
    auto [a, b, c, d, e, f, g, h] = state;
    for (int i = 0; i < 64; i++) {
      const uint32_t s1 = std::rotr(e, 6) ^ std::rotr(e, 11) ^ std::rotr(e, 25);
      const uint32_t t1 = h + s1 + ((e & f) ^ (~e & g)) + kRoundConstants[i] + w[i];
      const uint32_t s0 = std::rotr(a, 2) ^ std::rotr(a, 13) ^ std::rotr(a, 22);
      const uint32_t t2 = s0 + ((a & b) ^ (a & c) ^ (b & c));
      h = g;
      g = f;
      f = e;
      e = d + t1;
      d = c;
      c = b;
      b = a;
      a = t1 + t2;
    }
    const State added = {a, b, c, d, e, f, g, h};
    for (size_t i = 0; i < state.size(); i++) state[i] += added[i];
  }

#if HOTBOLT_SHA_X86
  // The instructions keep the state as two registers, ABEF and CDGH, and do two rounds each.
  __attribute__((target("sha,sse4.1,ssse3"))) static void x86(State& state, const char* blocks,
                                                              size_t count) noexcept {
    const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0b, 0x0405060700010203);
    __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state.data()));       // DCBA
    __m128i cdgh = _mm_loadu_si128(reinterpret_cast<const __m128i*>(state.data() + 4));  // HGFE
    low = _mm_shuffle_epi32(low, 0xB1);                                                  // CDAB
    cdgh = _mm_shuffle_epi32(cdgh, 0x1B);                                                // EFGH
    __m128i abef = _mm_alignr_epi8(low, cdgh, 8);
    cdgh = _mm_blend_epi16(cdgh, low, 0xF0);
    for (; count > 0; count--, blocks += Sha256::kBlockBytes) {
      const __m128i abef_before = abef;
      const __m128i cdgh_before = cdgh;
      __m128i w[4];
      for (int group = 0; group < 16; group++) {
        __m128i& now = w[group % 4];
        if (group < 4) {
          now = _mm_loadu_si128(reinterpret_cast<const __m128i*>(blocks) + group);
          now = _mm_shuffle_epi8(now, swap);
        } else {
          const __m128i before = w[(group + 3) % 4];
          now = _mm_sha256msg1_epu32(now, w[(group + 1) % 4]);
          now = _mm_add_epi32(now, _mm_alignr_epi8(before, w[(group + 2) % 4], 4));
          now = _mm_sha256msg2_epu32(now, before);
        }
        const auto* constants = reinterpret_cast<const __m128i*>(kRoundConstants) + group;
        const __m128i sum = _mm_add_epi32(now, _mm_load_si128(constants));
        cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
        abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0E));
      }
      abef = _mm_add_epi32(abef, abef_before);
      cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    const __m128i feba = _mm_shuffle_epi32(abef, 0x1B);
    const __m128i dchg = _mm_shuffle_epi32(cdgh, 0xB1);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(state.data()), _mm_blend_epi16(feba, dchg, 0xF0));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(state.data() + 4), _mm_alignr_epi8(dchg, feba, 8));
  }

  // Not by __builtin_cpu_supports, which does not know "sha" in every compiler.
  static bool has_instructions() noexcept {
    unsigned a = 0, b = 0, c = 0, d = 0;
    if (__get_cpuid_count(7, 0, &a, &b, &c, &d) == 0) return false;
    const bool has_sha = (b & (1U << 29)) != 0;
    return has_sha && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
  }
#endif

  static Compress choose() noexcept {
#if HOTBOLT_SHA_X86
    if (has_instructions()) return x86;
#endif
    return portable;
  }
};

Sha256::Sha256(bool accelerated) noexcept : state_(kInitialState) {
  static const Compress chosen = Sha256Bodies::choose();
  compress_ = accelerated ? chosen : Sha256Bodies::portable;
}

void Sha256::update(Bytes bytes) noexcept {
  if (bytes.empty()) return;
  const size_t used = size_bytes_ % kBlockBytes;
  size_bytes_ += bytes.size();
  if (used > 0) {
    const size_t taken = std::min(bytes.size(), kBlockBytes - used);
    std::memcpy(partial_ + used, bytes.data(), taken);
    bytes.remove_prefix(taken);
    if (used + taken < kBlockBytes) return;
    compress_(state_, partial_, 1);
  }
  const size_t whole = bytes.size() / kBlockBytes;
  if (whole > 0) compress_(state_, bytes.data(), whole);
  bytes.remove_prefix(whole * kBlockBytes);
  if (!bytes.empty()) std::memcpy(partial_, bytes.data(), bytes.size());
}

Sha256::Digest Sha256::finish() noexcept {
  constexpr size_t kLengthBytes = 8;
  const uint64_t size_bits = size_bytes_ * 8;
  char padding[2 * kBlockBytes] = {static_cast<char>(0x80)};
  const size_t used = size_bytes_ % kBlockBytes;
  const size_t end = used + 1 + kLengthBytes <= kBlockBytes ? kBlockBytes : 2 * kBlockBytes;
  store_big_endian(padding + (end - used) - kLengthBytes, size_bits, kLengthBytes);
  update({padding, end - used});
  Digest digest;
  for (size_t i = 0; i < state_.size(); i++) store_big_endian(&digest[4 * i], state_[i], 4);
  return digest;
}

std::string hex_digest(const Sha256::Digest& digest) {
  return hex({digest.data(), digest.size()}).substr(2);
}

}  // namespace hotbolt
