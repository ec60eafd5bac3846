// The registry of mappings and the handler of SIGBUS. See posix_guard.h.
//
// The handler takes a mutex, which is safe here and only here: the kernel raises the signal on the
// thread that reads, at an instruction that reads mapped memory, and nothing does that while it
// holds the mutex. A SIGBUS that another process sends may come at any moment; it is passed on
// first.
#include "platform/posix_guard.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <chrono>
#include <deque>
#include <map>
#include <mutex>

namespace hotbolt {
namespace {

const auto kSystemPageSize = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));

struct Registry {
  std::mutex mutex;
  std::map<const char*, GuardedMapping*> mappings;  // by the address behind their last byte
  // Who handled the signal before us. Each once, and for good: a handler may read it at any moment.
  std::deque<struct sigaction> others;
  std::atomic<const struct sigaction*> previous{nullptr};
  std::atomic<pthread_t> passing_on{};
};

// Never destroyed: threads may read until the process has ended.
Registry& registry() {
  static auto* const registry = new Registry;
  return *registry;
}

bool cover(const char* address) noexcept {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  const auto next = all.mappings.upper_bound(address);
  return next != all.mappings.end() && next->second->data() <= address &&
         next->second->cover(address);
}

// Whether this thread tried to read memory that is not there. Else the signal was sent by a
// process, or tells of damaged memory that nobody has touched yet.
bool is_read(const siginfo_t& info) noexcept {
#if defined(BUS_MCEERR_AO)
  if (info.si_code == BUS_MCEERR_AO) return false;
#endif
  return info.si_code > 0;
}

// As if nobody had handled it: the read happens again, or the signal is raised again.
void act_as_standard(int signal, const siginfo_t& info) {
  struct sigaction standard{};
  standard.sa_handler = SIG_DFL;
  ::sigaction(signal, &standard, nullptr);
  if (!is_read(info)) ::raise(signal);
}

void call(const struct sigaction& action, int signal, siginfo_t* info, void* context) {
  if ((action.sa_flags & SA_SIGINFO) != 0) return action.sa_sigaction(signal, info, context);
  const auto handler = action.sa_handler;
  if (handler != SIG_DFL && handler != SIG_IGN) return handler(signal);
  if (handler == SIG_DFL || is_read(*info)) act_as_standard(signal, *info);
}

// Who came after us may pass on to us what we pass on to it: then there is nobody else.
void pass_on(int signal, siginfo_t* info, void* context) {
  Registry& all = registry();
  if (all.passing_on == ::pthread_self()) return act_as_standard(signal, *info);
  const pthread_t other = all.passing_on.exchange(::pthread_self());
  call(*all.previous.load(), signal, info, context);
  all.passing_on = other;
}

void on_bus_error(int signal, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  const bool is_ours = is_read(*info) && cover(static_cast<const char*>(info->si_addr));
  if (!is_ours) pass_on(signal, info, context);
  errno = saved_errno;
}

bool is_ours(const struct sigaction& action) {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == on_bus_error;
}

const struct sigaction& keep(std::deque<struct sigaction>& others, const struct sigaction& action) {
  for (const struct sigaction& other : others) {
    if (other.sa_flags == action.sa_flags && other.sa_sigaction == action.sa_sigaction)
      return other;
  }
  return others.emplace_back(action);
}

}  // namespace

void guard_mappings() {
  Registry& all = registry();
  std::lock_guard lock(all.mutex);
  struct sigaction current{};
  ::sigaction(SIGBUS, nullptr, &current);
  if (is_ours(current)) return;
  all.previous = &keep(all.others, current);
  struct sigaction action{};
  action.sa_sigaction = on_bus_error;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigemptyset(&action.sa_mask);
  ::sigaction(SIGBUS, &action, nullptr);
}

GuardedMapping::GuardedMapping(char* data, uint64_t size) : begin_(data) {
  data_ = data;
  size_ = size;
  guard_mappings();
  std::lock_guard lock(registry().mutex);
  registry().mappings.emplace(data + size, this);
}

// In steps: a munmap of gigabytes that were read holds the process's address space for tens of
// milliseconds, in which no other thread can allocate. What nobody has read costs nothing, and may
// be terabytes (a sparse file, and the range that is reserved behind each): while a step takes no
// time, the next one is larger.
GuardedMapping::~GuardedMapping() {
  {
    std::lock_guard lock(registry().mutex);
    registry().mappings.erase(begin_ + size_);
  }
  constexpr uint64_t kStepBytes = 8 << 20;
  constexpr auto kQuick = std::chrono::microseconds(50);
  uint64_t step = kStepBytes;
  for (uint64_t done = 0; done < size_;) {
    const uint64_t bytes = std::min(step, size_ - done);
    const auto begin = std::chrono::steady_clock::now();
    ::munmap(begin_ + done, bytes);
    step = std::chrono::steady_clock::now() - begin < kQuick ? 2 * step : kStepBytes;
    done += bytes;
  }
}

bool GuardedMapping::cover(const char* address) noexcept {
  damaged_.store(true, std::memory_order_release);
  const auto offset = static_cast<uint64_t>(address - begin_);
  char* const page = begin_ + offset / kSystemPageSize * kSystemPageSize;
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  return ::mmap(page, kSystemPageSize, PROT_READ, flags, -1, 0) != MAP_FAILED;
}

}  // namespace hotbolt
