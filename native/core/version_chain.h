// Versions of one thing, newest first, in a list that only ever grows at its front: where a version
// stands by its sequence number is found in logarithmic time. (Myers, "An applicative random-access
// stack", 1983.)
//
// Besides the version before it each one knows a jump: one much older. Jumps span 1, 3, 7, 15, ...
// versions, as the digits of a skew-binary number, so that a search takes at most two steps a
// digit.
#pragma once

#include <cstdint>

namespace hotbolt {

// Where a Node has the fields `older` and `jump` (Node*), `depth` (uint32_t) and `seq`.
template <typename Node>
void link_version(Node& newest, Node* older) {
  newest.older = older;
  newest.jump = older;
  newest.depth = older == nullptr ? 0 : older->depth + 1;
  if (older == nullptr || older->jump == nullptr) return;
  const Node& far = *older->jump;
  const uint32_t far_span = far.jump == nullptr ? 0 : far.depth - far.jump->depth;
  // Two jumps of one size in a row become one over both.
  if (older->depth - far.depth == far_span) newest.jump = far.jump;
}

// The newest version written at or before `seq`; nullptr: there is none.
template <typename Node, typename Seq>
Node* version_at(Node* newest, Seq seq) {
  while (newest != nullptr && newest->seq > seq) {
    Node* jump = newest->jump;
    newest = jump != nullptr && jump->seq > seq ? jump : newest->older;
  }
  return newest;
}

}  // namespace hotbolt
