// Names and sentences of the error codes, generated from the one table.
#include "core/error.h"

#include <new>

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

Error copy_of(const Error& error) noexcept {
  try {
    return error;
  } catch (const std::bad_alloc&) {
    return Error(error.code());
  }
}

Error current_error() {
  try {
    throw;
  } catch (const Error& error) {
    return copy_of(error);
  } catch (const std::bad_alloc&) {
    return Error(ErrorCode::ERR_OUT_OF_MEMORY);
  } catch (const std::exception& error) {
    return Error(ErrorCode::ERR_INTERNAL, error.what());
  } catch (...) {
    return Error(ErrorCode::ERR_INTERNAL);
  }
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
