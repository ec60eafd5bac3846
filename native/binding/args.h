// Arguments of verbs, decoded once. TypeScript has validated and explained them; native still
// proves every type, since a wrong one must be an error and not a crash.
#pragma once

#include <array>
#include <optional>
#include <string>

#include "binding/guard.h"
#include "core/view.h"

namespace hotbolt {

[[noreturn]] inline void throw_argument(const char* expected) {
  throw Error(ErrorCode::ERR_INVALID_ARGUMENT, std::string("expected ") + expected);
}

// A key or value: the UTF-8 bytes of a string, or the bytes of a Uint8Array (a view, valid
// during the call; of shared memory a copy).
class BytesArgument {
 public:
  BytesArgument(napi_env env, napi_value value);
  BytesArgument(const BytesArgument&) = delete;
  BytesArgument& operator=(const BytesArgument&) = delete;
  Bytes bytes() const { return bytes_; }
  // To be kept: a large one that had to be copied already is not copied again. Once.
  Value value();

 private:
  char* allocate(size_t size);
  Bytes bytes_;
  std::unique_ptr<char[]> heap_;
  char stack_[512];
};

// A Uint8Array to write into.
struct WritableBytes {
  char* data = nullptr;
  size_t size = 0;
  WritableBytes(napi_env env, napi_value value);
};

template <size_t kCount>
std::array<napi_value, kCount> get_arguments(napi_env env, napi_callback_info info) {
  std::array<napi_value, kCount> arguments;
  size_t count = kCount;
  napi_get_cb_info(env, info, &count, arguments.data(), nullptr,
                   nullptr);  // missing ones become undefined
  return arguments;
}

bool is_undefined(napi_env env, napi_value value);
std::string get_string(napi_env env, napi_value value);
bool get_bool(napi_env env, napi_value value);
double get_number(napi_env env, napi_value value);
uint64_t get_unsigned(napi_env env, napi_value value);  // a safe integer >= 0
uint64_t get_bigint(napi_env env, napi_value value);    // 0 .. 2^64 - 1
napi_value get_property(napi_env env, napi_value object, const char* name);
Bounds get_bounds(napi_env env, napi_value object);

// Results.
napi_value make_number(napi_env env, double number);
napi_value make_bool(napi_env env, bool value);
napi_value make_undefined(napi_env env);
// Builds a plain object field by field.
class ObjectBuilder {
 public:
  explicit ObjectBuilder(napi_env env) : env_(env) { napi_create_object(env, &object_); }
  ObjectBuilder& number(const char* name, double value);
  ObjectBuilder& boolean(const char* name, bool value);
  ObjectBuilder& string(const char* name, const std::string& value);
  ObjectBuilder& value(const char* name, napi_value value);
  napi_value object() const { return object_; }

 private:
  napi_env env_;
  napi_value object_ = nullptr;
};

}  // namespace hotbolt
