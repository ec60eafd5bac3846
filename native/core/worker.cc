// The worker's thread: started by post(), gone after a few idle seconds.
#include "core/worker.h"

#include <chrono>
#include <system_error>

#include "core/error.h"
#include "core/file.h"

namespace hotbolt {

namespace {

// Long enough that a busy store does not start a thread per checkpoint.
constexpr std::chrono::seconds kIdleTime{3};

}  // namespace

Worker::~Worker() { stop(); }

bool Worker::post(std::function<void()> task) {
  {
    std::lock_guard lock(mutex_);
    if (stopping_) return false;
    tasks_.push_back(std::move(task));
    if (!running_) start();
  }
  wake_.notify_one();
  return true;
}

// Requires mutex_. A thread that ended by itself gave up the mutex as its last act, so joining it
// here waits for nothing.
void Worker::start() {
  if (thread_.joinable()) thread_.join();
  try {
    thread_ = std::thread([this] { run(); });
  } catch (const std::exception&) {
    tasks_.pop_back();
    throw Error(ErrorCode::ERR_OUT_OF_MEMORY);  // of a system_error too: it has no thread to give
  }
  running_ = true;
}

void Worker::stop() {
  std::thread ending;
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
    ending = std::move(thread_);
  }
  wake_.notify_one();
  if (ending.joinable()) ending.join();
}

void Worker::run() {
  if (priority_ == Priority::kBackground) lower_thread_priority();
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait_for(lock, kIdleTime, [this] { return !tasks_.empty() || stopping_; });
    if (tasks_.empty()) break;
    std::function<void()> task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
    task = nullptr;  // what the task holds is released outside the lock
    lock.lock();
  }
  running_ = false;
}

}  // namespace hotbolt
