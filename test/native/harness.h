// A test runner of one header for the core without Node. A file of tests needs nothing else:
//
//   TEST(a_split_keeps_the_order) { EXPECT_EQ(node.count(), 3u); }
//   TEST("a split keeps the order, in a sentence") { ... }
//
// A failed EXPECT throws, so the rest of that test is skipped and its destructors run. Tests run
// one after another on the main thread; EXPECT may not be used on other threads.
#pragma once

#include <cstddef>
#include <exception>
#include <iostream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "core/error.h"

namespace hotbolt::testing {

struct Test {
  std::string name;
  void (*body)();
};

// A function's static, because tests register before main and in no order between files.
inline std::vector<Test>& tests() {
  static std::vector<Test> list;
  return list;
}

inline bool add_test(std::string name, void (*body)()) {
  // TEST("a sentence") arrives with its quotation marks.
  if (name.size() >= 2 && name.front() == '"') name = name.substr(1, name.size() - 2);
  tests().push_back({std::move(name), body});
  return true;
}

struct Failure : std::runtime_error {
  Failure(const char* file, int line, const std::string& what)
      : std::runtime_error(std::string(file) + ":" + std::to_string(line) + ": " + what) {}
};

// Values print when they can, as numbers when they are enums, and as "?" otherwise.
template <typename T>
std::string show(const T& value) {
  std::ostringstream out;
  if constexpr (std::is_same_v<T, ErrorCode>) {
    out << error_name(value);
  } else if constexpr (std::is_enum_v<T>) {
    out << static_cast<long long>(value);
  } else if constexpr (sizeof(T) == 1 && std::is_integral_v<T>) {
    out << static_cast<int>(value);
  } else if constexpr (requires { out << value; }) {
    out << value;
  } else {
    out << "?";
  }
  return out.str();
}

template <typename A, typename B>
bool equal(const A& actual, const B& expected) {
  // Mixed signs compare by value, so that EXPECT_EQ(list.size(), 3) is not a warning.
  if constexpr (std::is_integral_v<A> && std::is_integral_v<B> && !std::is_same_v<A, bool> &&
                !std::is_same_v<B, bool> && !std::is_same_v<A, char> && !std::is_same_v<B, char>) {
    return std::cmp_equal(actual, expected);
  } else {
    return actual == expected;
  }
}

template <typename A, typename B>
void expect_equal(const A& actual, const B& expected, const char* text, const char* file,
                  int line) {
  if (equal(actual, expected)) return;
  throw Failure(
      file, line,
      std::string(text) + "\n    actual:   " + show(actual) + "\n    expected: " + show(expected));
}

template <typename Body>
void expect_throws(ErrorCode code, Body body, const char* text, const char* file, int line) {
  try {
    body();
  } catch (const Error& error) {
    if (error.code() == code) return;
    throw Failure(file, line,
                  std::string(text) + " threw " + error_name(error.code()) + " (" + error.what() +
                      ") instead of " + error_name(code));
  }
  throw Failure(file, line, std::string(text) + " did not throw " + error_name(code));
}

// Runs the tests whose name contains any of the filters (all without one).
inline int run(int argc, char** argv) {
  int passed = 0;
  int failed = 0;
  for (const Test& test : tests()) {
    bool wanted = argc < 2;
    for (int i = 1; i < argc; ++i) wanted = wanted || test.name.find(argv[i]) != std::string::npos;
    if (!wanted) continue;
    try {
      test.body();
      ++passed;
    } catch (const std::exception& error) {
      ++failed;
      std::cout << "FAILED " << test.name << "\n  " << error.what() << std::endl;
    }
  }
  std::cout << passed << " passed, " << failed << " failed" << std::endl;
  return failed == 0 ? 0 : 1;
}

}  // namespace hotbolt::testing

#define HOTBOLT_JOIN_(a, b) a##b
#define HOTBOLT_JOIN(a, b) HOTBOLT_JOIN_(a, b)
#define HOTBOLT_TEST_(name, body)                                 \
  static void body();                                             \
  [[maybe_unused]] static const bool HOTBOLT_JOIN(body, _added) = \
      ::hotbolt::testing::add_test(name, body);                   \
  static void body()

#define TEST(name) HOTBOLT_TEST_(#name, HOTBOLT_JOIN(hotbolt_test_, __LINE__))

#define EXPECT_EQ(actual, expected) \
  ::hotbolt::testing::expect_equal(actual, expected, #actual " == " #expected, __FILE__, __LINE__)
#define EXPECT_TRUE(condition)                                                           \
  do {                                                                                   \
    if (!(condition)) throw ::hotbolt::testing::Failure(__FILE__, __LINE__, #condition); \
  } while (false)
#define EXPECT_FALSE(condition) EXPECT_TRUE(!(condition))
// `code` is a hotbolt::ErrorCode: EXPECT_THROWS_CODE(ErrorCode::ERR_CORRUPT, decode(bytes)).
#define EXPECT_THROWS_CODE(code, ...) \
  ::hotbolt::testing::expect_throws(  \
      code, [&] { (void)(__VA_ARGS__); }, #__VA_ARGS__, __FILE__, __LINE__)
