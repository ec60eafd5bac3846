// Gives the memory of a string or a vector back. Assigning an empty one keeps it.
#pragma once

namespace hotbolt {

template <typename Buffer>
inline void give_back(Buffer& buffer) noexcept {
  Buffer().swap(buffer);
}

}  // namespace hotbolt
