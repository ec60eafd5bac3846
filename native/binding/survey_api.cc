// Verbs that look at a whole state, or a whole bucket: on a thread of their own.
#include "binding/handle.h"
#include "binding/promise_task.h"
#include "binding/verbs.h"
#include "core/state_reader.h"

namespace hotbolt::verbs {

namespace {

std::shared_ptr<Survey> begin_survey(napi_env env, napi_value snapshot) {
  auto survey = std::make_shared<Survey>(*get_handle<SnapshotHandle>(env, snapshot).snapshot);
  survey->begin();
  return survey;
}

}  // namespace

napi_value hash_snapshot(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [snapshot] = get_arguments<1>(env, info);
    auto survey = begin_survey(env, snapshot);
    auto hash = std::make_shared<std::string>();
    auto work = [=] { *hash = survey->hash(); };
    return run_task(env, survey->worker(), work, [=](napi_env) {
      napi_value text;
      require_ok(napi_create_string_utf8(env, hash->data(), hash->size(), &text));
      return text;
    });
  });
}

napi_value count_snapshot(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [snapshot, bucket, bounds_value] = get_arguments<3>(env, info);
    const BucketPath path = get_handle<BucketHandle>(env, bucket).ref.path;
    const Bounds bounds = get_bounds(env, bounds_value);
    auto survey = begin_survey(env, snapshot);
    auto keys = std::make_shared<uint64_t>(0);
    auto work = [=] { *keys = survey->count(path, bounds); };
    return run_task(env, survey->worker(), work,
                    [=](napi_env) { return make_number(env, double(*keys)); });
  });
}

}  // namespace hotbolt::verbs
