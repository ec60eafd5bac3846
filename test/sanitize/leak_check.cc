// Lets a test process ask the leak sanitizer what has leaked so far: vitest ends its processes with
// a signal, so what the sanitizer does at their exit is never reached.
#include <node_api.h>
#include <sanitizer/lsan_interface.h>

static napi_value check(napi_env, napi_callback_info) {
  __lsan_do_recoverable_leak_check();
  return nullptr;
}

NAPI_MODULE_INIT() {
  napi_value function;
  if (napi_create_function(env, "check", NAPI_AUTO_LENGTH, check, nullptr, &function) == napi_ok)
    napi_set_named_property(env, exports, "check", function);
  return exports;
}
