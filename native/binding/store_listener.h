// Carries a store's acknowledgements from the journal thread to JavaScript, and keeps the event loop alive while one is due.
#pragma once

#include <atomic>

#include "binding/env_state.h"

namespace hotbolt {

class JsStoreListener : public StoreListener, public std::enable_shared_from_this<JsStoreListener> {
 public:
  // `events` has the functions onDurable(seq) and onFailure(error). JS thread.
  JsStoreListener(napi_env env, napi_value events);

  void on_durable(Seq seq) noexcept override;
  void on_failure(const Error& error) noexcept override;

  // --- JS thread ---
  void await(Seq seq);  // an acknowledgement up to `seq` is due
  void release();       // no more calls

 private:
  void deliver_durable(EnvState& state);
  void call(EnvState& state, const char* name, napi_value argument);
  void stop_waiting(EnvState& state);

  std::shared_ptr<Mailbox> mailbox_;
  napi_env env_;
  napi_ref events_ = nullptr;
  std::atomic<Seq> durable_{0};
  std::atomic<bool> posted_{false};
  Seq delivered_ = 0;  // JS thread
  Seq awaited_ = 0;    // JS thread
  bool waiting_ = false;
};

}  // namespace hotbolt
