// The one table of error codes, the one exception type, and the assertion that is always on.
//
// Codes are stable API: they are born where the failure is, exported by the addon and compared with
// the TypeScript list when it loads. Core code throws Error for what ends the operation and returns
// values for what is expected. Exceptions stop at the border (native/binding); destructors never
// throw.
#pragma once

#include <cstdint>
#include <exception>
#include <optional>
#include <string>
#include <utility>

namespace hotbolt {

#define HOTBOLT_ERROR_CODES(X)                                                                  \
  X(ERR_INVALID_ARGUMENT, "an argument has the wrong type or value")                            \
  X(ERR_CLOSED, "the database, snapshot or iterator is closed")                                 \
  X(ERR_READ_ONLY, "the database was opened read-only")                                         \
  X(ERR_LOCKED, "another process, or another handle in this one, has the database open")        \
  X(ERR_NOT_FOUND, "the file does not exist")                                                   \
  X(ERR_NOT_A_FILE, "the path is not a regular file")                                           \
  X(ERR_PERMISSION, "the operating system refused access")                                      \
  X(ERR_NOT_A_DATABASE, "the file is not a bbolt database")                                     \
  X(ERR_BYTE_ORDER, "the file was written by bbolt on a big-endian machine")                    \
  X(ERR_VERSION, "the file has a format version that is not supported")                         \
  X(ERR_CHECKSUM, "both meta pages are damaged")                                                \
  X(ERR_PAGE_SIZE, "the page size is not supported")                                            \
  X(ERR_TRUNCATED, "the file is shorter than its meta page says")                               \
  X(ERR_CORRUPT, "a page of the file is damaged")                                               \
  X(ERR_IO, "an operation of the operating system failed")                                      \
  X(ERR_NO_SPACE, "no space is left on the device, or a quota or file size limit is reached")   \
  X(ERR_OUT_OF_MEMORY, "out of memory or address space")                                        \
  X(ERR_POISONED, "an earlier write or sync failed: close the database and open it again")      \
  X(ERR_JOURNAL_STALE, "the journal beside the file does not belong to this state of it")       \
  X(ERR_JOURNAL_CORRUPT, "the journal is damaged before its end")                               \
  X(ERR_KEY_REQUIRED, "a key or bucket name must not be empty")                                 \
  X(ERR_KEY_TOO_LARGE, "a key is longer than 32768 bytes")                                      \
  X(ERR_VALUE_TOO_LARGE, "a value is longer than 2147483646 bytes")                             \
  X(ERR_CODEC, "a value is not what the bucket's codec reads or writes")                        \
  X(ERR_BUCKET_NOT_FOUND, "the bucket does not exist")                                          \
  X(ERR_BUCKET_EXISTS, "the bucket exists already")                                             \
  X(ERR_INCOMPATIBLE_VALUE, "the name is a bucket where a key was expected, or the reverse")    \
  X(ERR_TX_CLOSED, "the transaction has ended")                                                 \
  X(ERR_TX_NESTED, "not allowed inside an update")                                              \
  X(ERR_TX_OUTER_WRITE, "a write inside an update that would not be part of it")                \
  X(ERR_CONFLICT, "what the transaction read was changed by others on every attempt")           \
  X(ERR_BUSY, "another maintenance operation is running")                                       \
  X(ERR_ABORTED, "the operation was cancelled")                                                 \
  X(ERR_EXISTS, "there is something under that name already")                                   \
  X(ERR_BACKUP_CORRUPT, "the backup is not what its manifest says, or the manifest is damaged") \
  X(ERR_BACKUP_REQUIRED, "another backup depends on this one")                                  \
  X(ERR_SOURCE, "the source of the backup, or what it is restored into, refused")               \
  X(ERR_INTERNAL, "a broken invariant: please report it")

enum class ErrorCode : uint8_t {
#define X(name, sentence) name,
  HOTBOLT_ERROR_CODES(X)
#undef X
};

// "ERR_IO" for ErrorCode::ERR_IO; static storage.
const char* error_name(ErrorCode code) noexcept;
// The sentence of the table above; static storage.
const char* error_sentence(ErrorCode code) noexcept;

// What every failure is. `message` is a sentence for a person; match on `code`.
class Error : public std::exception {
 public:
  Error(ErrorCode code, std::string message) : code_(code), message_(std::move(message)) {}
  // Allocates nothing, so that want of memory can be reported.
  explicit Error(ErrorCode code) noexcept : code_(code) {}

  Error& with_page(uint64_t page) & {
    page_ = page;
    return *this;
  }
  Error&& with_page(uint64_t page) && {
    page_ = page;
    return std::move(*this);
  }
  Error&& with_system(int error_number, std::string syscall, std::string path) && {
    errno_ = error_number;
    syscall_ = std::move(syscall);
    path_ = std::move(path);
    return std::move(*this);
  }
  Error&& with_path(std::string path) && {
    path_ = std::move(path);
    return std::move(*this);
  }

  ErrorCode code() const noexcept { return code_; }
  const char* what() const noexcept override {
    return message_.empty() ? error_sentence(code_) : message_.c_str();
  }
  int error_number() const noexcept { return errno_; }              // 0 when no system call failed
  const std::string& syscall() const noexcept { return syscall_; }  // "" when no system call failed
  const std::string& path() const noexcept { return path_; }        // "" when no file is concerned
  std::optional<uint64_t> page() const noexcept { return page_; }

 private:
  ErrorCode code_;
  std::string message_;  // "": the sentence of the code
  int errno_ = 0;
  std::string syscall_;
  std::string path_;
  std::optional<uint64_t> page_;
};

// The same error, without its sentence when there is no memory for that.
Error copy_of(const Error& error) noexcept;

// The current exception as an Error. Only inside a catch block.
Error current_error();

[[noreturn]] void fail_assertion(const char* condition, const char* file, int line);

// A broken invariant throws ERR_INTERNAL, which poisons the store; it never ends the host process.
// Always on: keep it cheap.
#define HOTBOLT_ASSERT(condition)                                                \
  do {                                                                           \
    if (!(condition)) ::hotbolt::fail_assertion(#condition, __FILE__, __LINE__); \
  } while (false)

}  // namespace hotbolt
