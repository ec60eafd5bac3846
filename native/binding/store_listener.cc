// See store_listener.h.
#include "binding/store_listener.h"

namespace hotbolt {

JsStoreListener::JsStoreListener(napi_env env, napi_value events)
    : mailbox_(EnvState::of(env).mailbox()), env_(env), events_(EnvState::of(env).keep(events)) {}

void JsStoreListener::on_durable(Seq seq, Seq synced) noexcept {
  durable_ = seq;
  synced_ = synced;
  if (posted_.exchange(true)) return;
  Mailbox::Letter letter;
  until_there_is_memory([&] {
    letter = [self = shared_from_this()](EnvState& state) { self->deliver_durable(state); };
  });
  mailbox_->post(std::move(letter));
}

void JsStoreListener::on_failure(const Error& error) noexcept {
  Mailbox::Letter letter;
  until_there_is_memory([&] {
    letter = [self = shared_from_this(), error](EnvState& state) {
      self->stop_waiting(state);
      self->call(state, "onFailure", {state.make_error(error)});
    };
  });
  mailbox_->post(std::move(letter));
}

void JsStoreListener::on_refusal() noexcept {
  Mailbox::Letter letter;
  until_there_is_memory([&] {
    letter = [self = shared_from_this()](EnvState& state) { self->call(state, "onRefusal", {}); };
  });
  mailbox_->post(std::move(letter));
}

void JsStoreListener::deliver_durable(EnvState& state) {
  posted_ = false;
  delivered_synced_ = synced_;
  delivered_ = durable_;
  if (is_waiting_over()) stop_waiting(state);
  napi_value seq, synced;
  napi_create_double(state.env(), double(delivered_), &seq);
  napi_create_double(state.env(), double(delivered_synced_), &synced);
  call(state, "onDurable", {seq, synced});
}

void JsStoreListener::call(EnvState& state, const char* name,
                           std::initializer_list<napi_value> arguments) {
  if (events_ == nullptr) return;
  napi_env env = state.env();
  napi_value events, function, exception;
  napi_get_reference_value(env, events_, &events);
  if (napi_get_named_property(env, events, name, &function) != napi_ok) return;
  if (napi_call_function(env, events, function, arguments.size(), arguments.begin(), nullptr) ==
      napi_ok)
    return;
  if (napi_get_and_clear_last_exception(env, &exception) == napi_ok)
    napi_fatal_exception(env, exception);
}

void JsStoreListener::await(Seq seq) {
  awaited_ = seq;
  start_waiting();
}

void JsStoreListener::await_synced(Seq seq) {
  awaited_synced_ = seq;
  start_waiting();
}

void JsStoreListener::start_waiting() {
  if (waiting_ || is_waiting_over()) return;
  waiting_ = true;
  EnvState::of(env_).begin_work();
}

void JsStoreListener::stop_waiting(EnvState& state) {
  if (!waiting_) return;
  waiting_ = false;
  state.end_work();
}

void JsStoreListener::release() {
  EnvState& state = EnvState::of(env_);
  stop_waiting(state);
  state.drop(std::exchange(events_, nullptr));
}

}  // namespace hotbolt
