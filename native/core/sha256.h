// SHA-256 (FIPS 180-4), in steps. What etcd appends to its snapshots, and what manifests of backups
// hold.
//
// Own code because the core has the standard library only, and bytes of backups must not travel
// through the JS thread to be hashed. A Sha256 may be copied to learn the hash of a prefix.
#pragma once

#include <array>
#include <cstdint>
#include <string>

#include "core/bytes.h"

namespace hotbolt {

class Sha256 {
 public:
  static constexpr size_t kDigestBytes = 32;
  using Digest = std::array<char, kDigestBytes>;

  // Uses the processor's instructions where there are some.
  Sha256() : Sha256(true) {}
  // By arithmetic alone, on every processor. For tests, which compare the two.
  static Sha256 portable() { return Sha256(false); }

  void update(Bytes bytes) noexcept;
  // Of everything so far; nothing more may be added.
  Digest finish() noexcept;

 private:
  static constexpr size_t kBlockBytes = 64;
  explicit Sha256(bool accelerated) noexcept;

  using State = std::array<uint32_t, 8>;
  using Compress = void (*)(State& state, const char* blocks, size_t count) noexcept;
  friend struct Sha256Bodies;

  Compress compress_;
  State state_;
  uint64_t size_bytes_ = 0;
  char partial_[kBlockBytes];  // the first size_bytes_ % kBlockBytes bytes of the next block
};

// In lower-case hexadecimal, as sha256sum prints it.
std::string hex_digest(const Sha256::Digest& digest);

}  // namespace hotbolt
