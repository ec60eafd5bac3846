// Names and sentences of the error codes, generated from the one table.
#include "core/error.h"

namespace hotbolt {

const char* error_name(ErrorCode code) noexcept {
  switch (code) {
#define X(name, sentence) \
  case ErrorCode::name:   \
    return #name;
    HOTBOLT_ERROR_CODES(X)
#undef X
  }
  return "ERR_INTERNAL";
}

const char* error_sentence(ErrorCode code) noexcept {
  switch (code) {
#define X(name, sentence) \
  case ErrorCode::name:   \
    return sentence;
    HOTBOLT_ERROR_CODES(X)
#undef X
  }
  return "";
}

void fail_assertion(const char* condition, const char* file, int line) {
  std::string message = "broken invariant: ";
  message += condition;
  message += " at ";
  message += file;
  message += ":" + std::to_string(line);
  throw Error(ErrorCode::ERR_INTERNAL, message);
}

}  // namespace hotbolt
