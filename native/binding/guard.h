// The border of exceptions on the JS thread: runs a verb, turns Error into a thrown HotboltError.
// The only catch there.
#pragma once

#include "binding/env_state.h"

namespace hotbolt {

template <typename Verb>
napi_value guard(napi_env env, Verb&& verb) noexcept {
  try {
    return verb();
  } catch (...) {
    napi_throw(env, EnvState::of(env).make_error(current_error()));
    return nullptr;
  }
}

}  // namespace hotbolt
