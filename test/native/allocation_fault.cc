// See allocation_fault.h. In a file of its own, so that no operator is inlined where it is used.
#include "allocation_fault.h"

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <new>

namespace hotbolt::testing {

AllocationFault& allocation_fault() noexcept {
  static AllocationFault fault;
  return fault;
}

namespace {

bool fails_now() noexcept {
  AllocationFault& fault = allocation_fault();
  if (!fault.armed || !in_engine) return false;
  const uint64_t index = ++fault.counted;
  if (index < fault.n || (index > fault.n && !fault.persistent)) return false;
  fault.failed++;
  return true;
}

// nullptr: there is no memory.
void* allocate(size_t size, size_t alignment = 1) noexcept {
  if (fails_now()) return nullptr;
  if (size == 0) size = 1;
  void* const memory =
      alignment <= alignof(std::max_align_t)
          ? std::malloc(size)
          : std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  return memory == nullptr ? nullptr : std::memset(memory, kCanary, size);
}

void* required(void* memory) {
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

}  // namespace hotbolt::testing

using hotbolt::testing::allocate;
using hotbolt::testing::required;

void* operator new(size_t size) { return required(allocate(size)); }
void* operator new[](size_t size) { return required(allocate(size)); }
void* operator new(size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new(size_t size, std::align_val_t alignment) {
  return required(allocate(size, static_cast<size_t>(alignment)));
}
void* operator new[](size_t size, std::align_val_t alignment) {
  return required(allocate(size, static_cast<size_t>(alignment)));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }
