// Verbs of the online defragmentation, one per step; the phases live in TypeScript.
#include "binding/handle.h"
#include "binding/promise_task.h"
#include "binding/verbs.h"

namespace hotbolt::verbs {

namespace {

// A step on the copier's thread that has no result.
napi_value run_step(napi_env env, napi_callback_info info, void (Defrag::*step)()) {
  auto [handle] = get_arguments<1>(env, info);
  auto& box = get_handle<DefragHandle>(env, handle);
  auto defrag = box.defrag;
  box.store->require_open();
  auto work = [=] { (defrag.get()->*step)(); };
  return run_task(env, box.store->copier(), work, [=](napi_env) { return make_undefined(env); });
}

}  // namespace

napi_value defrag_prepare(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle, options] = get_arguments<2>(env, info);
    auto store = get_handle<StoreHandle>(env, handle).store;
    store->require_writable();
    double fill = get_number(env, get_property(env, options, "fillPercent"));
    if (!(fill >= 0.1 && fill <= 1.0)) throw_argument("fillPercent from 0.1 to 1.0");
    uint64_t rate = get_unsigned(env, get_property(env, options, "bytesPerSecond"));
    auto defrag =
        std::make_shared<Defrag>(store, DefragOptions{.fill = fill, .bytes_per_second = rate});
    // The freelist is read here: on the thread of the checkpoints.
    auto work = [=] { defrag->prepare(); };
    return run_task(env, store->worker(), work, [=](napi_env) {
      return wrap_handle(env, std::make_unique<DefragHandle>(defrag, store));
    });
  });
}

napi_value defrag_pin(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    auto& box = get_handle<DefragHandle>(env, handle);
    box.store->require_writable();
    box.defrag->pin();
    return make_undefined(env);
  });
}

napi_value defrag_copy(napi_env env, napi_callback_info info) {
  return guard(env, [&] { return run_step(env, info, &Defrag::copy); });
}

napi_value defrag_progress(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    auto& box = get_handle<DefragHandle>(env, handle);
    box.store->require_open();
    return ObjectBuilder(env)
        .number("bytesCopied", double(box.defrag->progress().bytes))
        .number("entriesCopied", double(box.defrag->progress().entries))
        .number("bytesTotal", double(box.defrag->total_bytes()))
        .number("backlogBytes", double(box.defrag->backlog_bytes()))
        .number("spareBytes", double(box.defrag->spare_bytes()))
        .boolean("coversBase", box.defrag->covers_base())
        .boolean("caughtUp", box.defrag->is_caught_up())
        .object();
  });
}

napi_value defrag_catch_up(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle, urgent] = get_arguments<2>(env, info);
    auto& box = get_handle<DefragHandle>(env, handle);
    auto defrag = box.defrag;
    Worker& worker = get_bool(env, urgent) ? box.store->replayer() : box.store->copier();
    box.store->require_writable();
    auto round = std::make_shared<CatchUp>(defrag->begin_catch_up());
    auto work = [=] { defrag->run_catch_up(*round); };
    return run_task(env, worker, work, [=](napi_env) {
      return ObjectBuilder(env)
          .number("bytes", double(round->bytes))
          .number("entries", double(round->transactions))
          .boolean("complete", round->is_complete)
          .object();
    });
  });
}

napi_value defrag_publish(napi_env env, napi_callback_info info) {
  return guard(env, [&] { return run_step(env, info, &Defrag::publish); });
}

napi_value defrag_install(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    auto& box = get_handle<DefragHandle>(env, handle);
    box.store->require_open();
    box.defrag->install();
    return make_undefined(env);
  });
}

napi_value defrag_clean(napi_env env, napi_callback_info info) {
  return guard(env, [&] { return run_step(env, info, &Defrag::clean); });
}

napi_value defrag_cancel(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    get_handle<DefragHandle>(env, handle).defrag->cancel();
    return make_undefined(env);
  });
}

napi_value defrag_abort(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    auto& box = get_handle<DefragHandle>(env, handle);
    auto defrag = box.defrag;
    box.store->require_open();
    auto work = [=] { defrag->abort(); };
    return run_task(env, box.store->copier(), work, [=](napi_env) {
      defrag->release();
      return make_undefined(env);
    });
  });
}

}  // namespace hotbolt::verbs
