// The two checksums: FNV-1a 64 (bbolt's meta pages) and CRC-32C (our mark, our journal frames).
#pragma once

#include <cstdint>

#include "core/bytes.h"

namespace hotbolt {

// FNV-1a, 64 bits, as in Go's hash/fnv New64a.
uint64_t fnv1a64(Bytes bytes) noexcept;

// CRC-32C (Castagnoli), continued from `seed` (0 to start). Uses the processor's instruction where
// there is one.
uint32_t crc32c(Bytes bytes, uint32_t seed = 0) noexcept;

// The same by tables, on every processor: what crc32c falls back to. For tests, which compare the
// two.
uint32_t crc32c_by_tables(Bytes bytes, uint32_t seed = 0) noexcept;

}  // namespace hotbolt
