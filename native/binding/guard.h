// The border of exceptions on the JS thread: runs a verb, turns Error into a thrown HotboltError.
// The only catch there.
#pragma once

#include <new>

#include "binding/env_state.h"

namespace hotbolt {

// The current exception as an Error. Only inside a catch block.
inline Error current_error() {
  try {
    throw;
  } catch (const Error& error) {
    try {
      return error;
    } catch (...) {
      return Error(error.code());  // no memory for its sentence
    }
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::ERR_OUT_OF_MEMORY);
  } catch (const std::exception& error) {
    return Error(ErrorCode::ERR_INTERNAL, error.what());
  } catch (...) {
    return Error(ErrorCode::ERR_INTERNAL);
  }
}

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
