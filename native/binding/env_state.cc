// See env_state.h.
#include "binding/env_state.h"

namespace hotbolt {

void Mailbox::post(Letter&& letter) noexcept {
  until_there_is_memory([&] {
    std::lock_guard lock(mutex_);
    if (wake_ == nullptr) return;
    letters_.push_back(std::move(letter));
    // One wake-up serves all letters that arrive before it is handled.
    if (letters_.size() == 1) napi_call_threadsafe_function(wake_, nullptr, napi_tsfn_nonblocking);
  });
}

void Mailbox::close() {
  std::deque<Letter> undelivered;
  std::lock_guard lock(mutex_);
  if (wake_ != nullptr) napi_release_threadsafe_function(wake_, napi_tsfn_abort);
  wake_ = nullptr;
  undelivered.swap(letters_);
}

EnvState::EnvState(napi_env env) : env_(env) {
  napi_value buffer, memory, lengths, name;
  require_ok(napi_create_buffer(env, kScratchBytes, reinterpret_cast<void**>(&scratch_), &buffer));
  scratch_ref_ = keep(buffer);
  require_ok(napi_create_arraybuffer(env, kBatchEntries * 2 * sizeof(uint32_t),
                                     reinterpret_cast<void**>(&batch_lengths_), &memory));
  require_ok(
      napi_create_typedarray(env, napi_uint32_array, kBatchEntries * 2, memory, 0, &lengths));
  batch_lengths_ref_ = keep(lengths);
  // Last, since it refers to this.
  require_ok(napi_create_string_utf8(env, "hotbolt", NAPI_AUTO_LENGTH, &name));
  require_ok(napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, nullptr, nullptr,
                                             this, on_wake, &mailbox_->wake_));
  napi_unref_threadsafe_function(env, mailbox_->wake_);
}

EnvState& EnvState::create(napi_env env) {
  auto* state = new EnvState(env);
  napi_set_instance_data(
      env, state, [](napi_env, void* data, void*) { delete static_cast<EnvState*>(data); },
      nullptr);
  napi_add_env_cleanup_hook(env, on_cleanup, state);
  return *state;
}

EnvState& EnvState::of(napi_env env) {
  void* state = nullptr;
  napi_get_instance_data(env, &state);
  return *static_cast<EnvState*>(state);
}

void EnvState::on_wake(napi_env env, napi_value, void* context, void*) {
  if (env == nullptr) return;  // the environment is being torn down
  auto& state = *static_cast<EnvState*>(context);
  std::deque<Mailbox::Letter> letters;
  {
    std::lock_guard lock(state.mailbox_->mutex_);
    letters.swap(state.mailbox_->letters_);
  }
  for (Mailbox::Letter& letter : letters) {
    napi_handle_scope scope;
    napi_open_handle_scope(env, &scope);
    letter(state);
    napi_close_handle_scope(env, scope);
  }
}

void EnvState::on_cleanup(void* data) {
  auto& state = *static_cast<EnvState*>(data);
  *state.ending_ = true;
  for (const auto& opener : state.openers_) opener->stop();
  for (ThreadOwner* owner : *state.thread_owners_) owner->halt();
  for (const auto& store : state.stores_) store->halt();
  state.mailbox_->close();
  state.stores_.clear();
  state.openers_.clear();
  for (napi_ref reference : state.references_) napi_delete_reference(state.env_, reference);
  state.references_.clear();
}

napi_ref EnvState::keep(napi_value value) {
  napi_ref reference;
  require_ok(napi_create_reference(env_, value, 1, &reference));
  references_.insert(reference);
  return reference;
}

void EnvState::drop(napi_ref reference) {
  if (references_.erase(reference) > 0) napi_delete_reference(env_, reference);
}

napi_value EnvState::scratch_value() const {
  napi_value value;
  napi_get_reference_value(env_, scratch_ref_, &value);
  return value;
}

napi_value EnvState::batch_lengths_value() const {
  napi_value value;
  napi_get_reference_value(env_, batch_lengths_ref_, &value);
  return value;
}

void EnvState::set_error_class(napi_value error_class) {
  drop(std::exchange(error_class_, keep(error_class)));
}

napi_value EnvState::make_error(const Error& error) {
  napi_value code, message, result = nullptr;
  napi_create_string_utf8(env_, error_name(error.code()), NAPI_AUTO_LENGTH, &code);
  napi_create_string_utf8(env_, error.what(), NAPI_AUTO_LENGTH, &message);
  if (error_class_ != nullptr) {
    napi_value error_class, details, field;
    napi_get_reference_value(env_, error_class_, &error_class);
    napi_create_object(env_, &details);
    if (error.error_number() != 0) {
      napi_create_int32(env_, error.error_number(), &field);
      napi_set_named_property(env_, details, "errno", field);
    }
    if (!error.syscall().empty()) {
      napi_create_string_utf8(env_, error.syscall().data(), error.syscall().size(), &field);
      napi_set_named_property(env_, details, "syscall", field);
    }
    if (!error.path().empty()) {
      napi_create_string_utf8(env_, error.path().data(), error.path().size(), &field);
      napi_set_named_property(env_, details, "path", field);
    }
    if (error.page()) {
      napi_create_double(env_, double(*error.page()), &field);
      napi_set_named_property(env_, details, "page", field);
    }
    napi_value arguments[] = {code, message, details};
    if (napi_new_instance(env_, error_class, 3, arguments, &result) == napi_ok) return result;
  }
  napi_create_error(env_, code, message, &result);
  return result;
}

void EnvState::begin_work() {
  if (work_++ == 0) napi_ref_threadsafe_function(env_, mailbox_->wake_);
}

void EnvState::end_work() {
  if (--work_ == 0 && mailbox_->wake_ != nullptr)
    napi_unref_threadsafe_function(env_, mailbox_->wake_);
}

}  // namespace hotbolt
