// One thread and one queue. The thread starts with the first task and ends by itself after a few
// idle seconds, so that thousands of idle stores cost no threads.
//
// A background worker gives way to every other thread: on a machine whose processors are all busy
// it is the copy that waits, not the JS thread and not the journal.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace hotbolt {

enum class Priority : uint8_t { kNormal, kBackground };

class Worker {
 public:
  explicit Worker(Priority priority = Priority::kNormal) : priority_(priority) {}
  ~Worker();  // stop()
  // Runs tasks in order, one at a time. Tasks do not throw. Returns false after stop(). Throws
  // ERR_OUT_OF_MEMORY when the system has no thread to give.
  bool post(std::function<void()> task);
  // Runs what is queued, then ends the thread. May be called twice; not from a task.
  void stop();

 private:
  void start();
  void run();
  const Priority priority_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> tasks_;
  std::thread thread_;
  bool running_ = false;  // the thread is inside run()
  bool stopping_ = false;
};

}  // namespace hotbolt
