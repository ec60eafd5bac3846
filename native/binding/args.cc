// See args.h.
#include "binding/args.h"

namespace hotbolt {

namespace {

// What stands in for a surrogate without its partner in the UTF-8 that Node-API gives.
constexpr Bytes kReplacement("\xEF\xBF\xBD", 3);

bool has_lone_surrogate(napi_env env, napi_value string) {
  size_t length = 0;
  require_ok(napi_get_value_string_utf16(env, string, nullptr, 0, &length));
  std::u16string units(length + 1, u'\0');
  require_ok(napi_get_value_string_utf16(env, string, units.data(), units.size(), &length));
  const auto is_high = [](char16_t unit) { return unit >= 0xD800 && unit <= 0xDBFF; };
  const auto is_low = [](char16_t unit) { return unit >= 0xDC00 && unit <= 0xDFFF; };
  for (size_t i = 0; i < length; i++) {
    if (is_low(units[i])) return true;
    if (is_high(units[i]) && !is_low(units[++i])) return true;  // the last is followed by a zero
  }
  return false;
}

// Two different keys must not become one: text that has no UTF-8 is refused. Most text has no
// replacement character in it and is not looked at again.
void require_well_formed(napi_env env, napi_value string, Bytes utf8, const char* name) {
  if (utf8.find(kReplacement) == Bytes::npos || !has_lone_surrogate(env, string)) return;
  throw Error(ErrorCode::ERR_INVALID_ARGUMENT,
              "Expected `" + std::string(name) +
                  "` to be well-formed Unicode, got a string with a lone surrogate");
}

// The first bytes of what a value is as text.
std::string text_of(napi_env env, napi_value value) {
  char text[44];
  size_t length = 0;
  napi_value string;
  if (napi_coerce_to_string(env, value, &string) != napi_ok ||
      napi_get_value_string_utf8(env, string, text, sizeof text, &length) != napi_ok) {
    return "?";
  }
  return {text, length};
}

// For a person, as in lib/rules.ts: `5 (number)`, `null`, `an object`.
std::string describe(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  napi_typeof(env, value, &type);
  bool is_array = false;
  switch (type) {
    case napi_undefined:
      return "undefined";
    case napi_null:
      return "null";
    case napi_boolean:
      return text_of(env, value) + " (boolean)";
    case napi_number:
      return text_of(env, value) + " (number)";
    case napi_bigint:
      return text_of(env, value) + " (bigint)";
    case napi_string:
      return "\"" + text_of(env, value) + "\" (string)";
    case napi_symbol:
      return "a symbol";
    case napi_function:
      return "a function";
    default:
      napi_is_array(env, value, &is_array);
      return is_array ? "an array" : "an object";
  }
}

// Whether the caller may have meant its JSON.
bool looks_like_json(napi_env env, napi_value value) {
  napi_valuetype type = napi_undefined;
  bool is_view = false, is_data_view = false, is_memory = false;
  napi_typeof(env, value, &type);
  napi_is_typedarray(env, value, &is_view);
  napi_is_dataview(env, value, &is_data_view);
  napi_is_arraybuffer(env, value, &is_memory);
  if (is_view || is_data_view || is_memory) return false;
  return type == napi_object || type == napi_null || type == napi_number || type == napi_boolean;
}

[[noreturn]] void throw_wrong(napi_env env, napi_value value, const std::string& name,
                              const char* expected) {
  const bool hint = name == "value" && looks_like_json(env, value);
  throw Error(ErrorCode::ERR_INVALID_ARGUMENT,
              "Expected `" + name + "` to be " + expected + ", got " + describe(env, value) +
                  (hint ? ": open the bucket with { value: 'json' } to store objects" : ""));
}

// A view of memory that another thread has got by transfer looks as if it were empty.
void require_attached(napi_env env, napi_value memory, const char* name) {
  bool detached = false;
  napi_is_detached_arraybuffer(env, memory, &detached);
  if (!detached) return;
  throw Error(ErrorCode::ERR_INVALID_ARGUMENT,
              std::string("Expected `") + name +
                  "` to be a Uint8Array, got one whose memory was transferred away");
}

}  // namespace

BytesArgument::BytesArgument(napi_env env, napi_value value, const char* name) {
  size_t length = 0;
  // Strings first: the status tells the type without a call of its own.
  napi_status status = napi_get_value_string_utf8(env, value, stack_, sizeof stack_, &length);
  if (status == napi_ok) {
    // A result that fills the buffer may have been cut (up to 3 bytes before its end, at a
    // character).
    if (length < sizeof stack_ - 4) {
      bytes_ = {stack_, length};
    } else {
      napi_get_value_string_utf8(env, value, nullptr, 0, &length);
      char* text = allocate(length + 1);
      napi_get_value_string_utf8(env, value, text, length + 1, &length);
      bytes_ = {text, length};
    }
    require_well_formed(env, value, bytes_, name);
    return;
  }
  napi_typedarray_type type;
  void* data = nullptr;
  napi_value memory = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &length, &data, &memory, nullptr) != napi_ok ||
      (type != napi_uint8_array && type != napi_uint8_clamped_array)) {
    throw_wrong(env, value, name, "a string or a Uint8Array");
  }
  if (length == 0) require_attached(env, memory, name);
  bytes_ = length == 0 ? Bytes("", 0) : Bytes(static_cast<const char*>(data), length);
  // What other threads may write to is read once: the journal and the memtable must get the same.
  bool is_private = false;
  napi_is_arraybuffer(env, memory, &is_private);
  if (is_private) return;
  char* copy = allocate(length);
  bytes_ = {copy, bytes_.copy(copy, length)};
}

char* BytesArgument::allocate(size_t size) {
  heap_.reset(new char[size]);  // not filled with zeros
  return heap_.get();
}

Value BytesArgument::value() {
  if (heap_ == nullptr || bytes_.size() < kSharedValueSize) return bytes_;
  return {bytes_, std::shared_ptr<const char[]>(std::move(heap_))};
}

WritableBytes::WritableBytes(napi_env env, napi_value value, const char* name) {
  napi_typedarray_type type;
  void* bytes = nullptr;
  napi_value memory = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &size, &bytes, &memory, nullptr) != napi_ok ||
      type != napi_uint8_array) {
    throw_wrong(env, value, name, "a Uint8Array");
  }
  if (size == 0) require_attached(env, memory, name);
  data = static_cast<char*>(bytes);
}

bool is_undefined(napi_env env, napi_value value) {
  napi_valuetype type;
  napi_typeof(env, value, &type);
  return type == napi_undefined;
}

std::string get_string(napi_env env, napi_value value) {
  napi_valuetype type;
  napi_typeof(env, value, &type);
  if (type != napi_string) throw_argument("a string");
  return std::string(BytesArgument(env, value, "text").bytes());
}

bool get_bool(napi_env env, napi_value value) {
  bool result = false;
  if (napi_get_value_bool(env, value, &result) != napi_ok) throw_argument("a boolean");
  return result;
}

double get_number(napi_env env, napi_value value) {
  double result = 0;
  if (napi_get_value_double(env, value, &result) != napi_ok) throw_argument("a number");
  return result;
}

uint64_t get_unsigned(napi_env env, napi_value value) {
  double number = get_number(env, value);
  if (!(number >= 0 && number <= 9007199254740991.0)) throw_argument("an integer of at least 0");
  return static_cast<uint64_t>(number);
}

uint64_t get_bigint(napi_env env, napi_value value) {
  uint64_t result = 0;
  bool lossless = false;
  if (napi_get_value_bigint_uint64(env, value, &result, &lossless) != napi_ok || !lossless) {
    throw_argument("a bigint from 0 to 2^64 - 1");
  }
  return result;
}

napi_value get_property(napi_env env, napi_value object, const char* name) {
  napi_value value;
  if (napi_get_named_property(env, object, name, &value) != napi_ok) throw_argument("an object");
  return value;
}

Bounds get_bounds(napi_env env, napi_value object) {
  Bounds bounds;
  napi_value lower = get_property(env, object, "lower");
  if (!is_undefined(env, lower))
    bounds.lower = std::string(BytesArgument(env, lower, "lower").bytes());
  napi_value upper = get_property(env, object, "upper");
  if (!is_undefined(env, upper))
    bounds.upper = std::string(BytesArgument(env, upper, "upper").bytes());
  bounds.lower_inclusive = get_bool(env, get_property(env, object, "lowerInclusive"));
  bounds.upper_inclusive = get_bool(env, get_property(env, object, "upperInclusive"));
  return bounds;
}

napi_value make_number(napi_env env, double number) {
  napi_value value;
  napi_create_double(env, number, &value);
  return value;
}

napi_value make_bool(napi_env env, bool boolean) {
  napi_value value;
  napi_get_boolean(env, boolean, &value);
  return value;
}

napi_value make_undefined(napi_env env) {
  napi_value value;
  napi_get_undefined(env, &value);
  return value;
}

ObjectBuilder& ObjectBuilder::number(const char* name, double number) {
  return value(name, make_number(env_, number));
}

ObjectBuilder& ObjectBuilder::boolean(const char* name, bool boolean) {
  return value(name, make_bool(env_, boolean));
}

ObjectBuilder& ObjectBuilder::string(const char* name, const std::string& text) {
  napi_value string;
  napi_create_string_utf8(env_, text.data(), text.size(), &string);
  return value(name, string);
}

ObjectBuilder& ObjectBuilder::value(const char* name, napi_value field) {
  napi_set_named_property(env_, object_, name, field);
  return *this;
}

}  // namespace hotbolt
