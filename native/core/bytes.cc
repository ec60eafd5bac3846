// Printing of bytes for messages.
#include "core/bytes.h"

namespace hotbolt {

std::string hex(Bytes bytes) {
  static const char digits[] = "0123456789abcdef";
  constexpr size_t kMostBytes = 32;
  std::string text = "0x";
  for (size_t i = 0; i < bytes.size() && i < kMostBytes; i++) {
    auto byte = static_cast<unsigned char>(bytes[i]);
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  if (bytes.size() > kMostBytes) text += "...";
  return text;
}

std::string quoted(Bytes bytes) {
  constexpr size_t kMostBytes = 64;
  if (bytes.size() > kMostBytes) return hex(bytes);
  for (const char byte : bytes) {
    if (byte < 0x20 || byte > 0x7E) return hex(bytes);
  }
  return '"' + std::string(bytes) + '"';
}

}  // namespace hotbolt
