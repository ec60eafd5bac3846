// Carries a store's acknowledgements from the journal thread to JavaScript, and keeps the event
// loop alive while one is due.
#pragma once

#include <atomic>
#include <initializer_list>

#include "binding/env_state.h"

namespace hotbolt {

class JsStoreListener : public StoreListener, public std::enable_shared_from_this<JsStoreListener> {
 public:
  // `events` has the functions onDurable(seq), onFailure(error) and onRefusal(). JS thread.
  JsStoreListener(napi_env env, napi_value events);

  void on_durable(Seq seq, Seq synced) noexcept override;
  void on_failure(const Error& error) noexcept override;
  void on_refusal() noexcept override;

  // --- JS thread ---
  void await(Seq seq);         // an acknowledgement up to `seq` is due
  void await_synced(Seq seq);  // a sync up to `seq` is due
  void release();              // no more calls

 private:
  void deliver_durable(EnvState& state);
  void call(EnvState& state, const char* name, std::initializer_list<napi_value> arguments);
  bool is_waiting_over() const {
    return delivered_ >= awaited_ && delivered_synced_ >= awaited_synced_;
  }
  void start_waiting();
  void stop_waiting(EnvState& state);

  std::shared_ptr<Mailbox> mailbox_;
  napi_env env_;
  napi_ref events_ = nullptr;
  std::atomic<Seq> durable_{0};
  std::atomic<Seq> synced_{0};
  std::atomic<bool> posted_{false};

  // JS thread
  Seq delivered_ = 0;
  Seq delivered_synced_ = 0;
  Seq awaited_ = 0;
  Seq awaited_synced_ = 0;
  bool waiting_ = false;
};

}  // namespace hotbolt
