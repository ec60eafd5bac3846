// The export table: reads as a contents page of lib/native.ts.
#include <napi.h>

#include "binding/env_state.h"
#include "binding/verbs.h"

namespace hotbolt {

namespace {

struct Export {
  const char* name;
  verbs::Verb* verb;
};

constexpr Export kExports[] = {
    {"setup", verbs::setup},
    {"open", verbs::open},
    {"close", verbs::close},
    {"stats", verbs::stats},
    {"submit", verbs::submit},
    {"forceSync", verbs::force_sync},
    {"memtableBytes", verbs::memtable_bytes},
    {"seal", verbs::seal},
    {"checkpoint", verbs::checkpoint},
    {"check", verbs::check},
    {"bucket", verbs::bucket},
    {"rootBucket", verbs::root_bucket},
    {"snapshot", verbs::snapshot},
    {"closeSnapshot", verbs::close_snapshot},
    {"get", verbs::get},
    {"getInto", verbs::get_into},
    {"has", verbs::has},
    {"bucketExists", verbs::bucket_exists},
    {"sequence", verbs::sequence},
    {"count", verbs::count},
    {"put", verbs::put},
    {"remove", verbs::remove},
    {"createBucket", verbs::create_bucket},
    {"deleteBucket", verbs::delete_bucket},
    {"setSequence", verbs::set_sequence},
    {"begin", verbs::begin},
    {"commit", verbs::commit},
    {"rollback", verbs::rollback},
    {"cursor", verbs::cursor},
    {"read", verbs::read},
    {"closeCursor", verbs::close_cursor},
    {"defragPrepare", verbs::defrag_prepare},
    {"defragPin", verbs::defrag_pin},
    {"defragCopy", verbs::defrag_copy},
    {"defragProgress", verbs::defrag_progress},
    {"defragCatchUp", verbs::defrag_catch_up},
    {"defragPublish", verbs::defrag_publish},
    {"defragInstall", verbs::defrag_install},
    {"defragClean", verbs::defrag_clean},
    {"defragCancel", verbs::defrag_cancel},
    {"defragAbort", verbs::defrag_abort},
};

constexpr const char* kErrorCodes[] = {
#define X(name, sentence) #name,
    HOTBOLT_ERROR_CODES(X)
#undef X
};

// The binary is never unloaded while a thread of ours may still run: environments stop their
// threads in their cleanup hook.
Napi::Object init(Napi::Env env, Napi::Object exports) {
  EnvState& state = EnvState::create(env);
  for (const Export& item : kExports) {
    napi_value function;
    napi_create_function(env, item.name, NAPI_AUTO_LENGTH, item.verb, nullptr, &function);
    exports.Set(item.name, Napi::Value(env, function));
  }
  auto codes = Napi::Array::New(env);
  uint32_t count = 0;
  for (const char* code : kErrorCodes) codes.Set(count++, code);
  exports.Set("errorCodes", codes);
  exports.Set("scratch", Napi::Value(env, state.scratch_value()));
  exports.Set("batchLengths", Napi::Value(env, state.batch_lengths_value()));
  return exports;
}

}  // namespace

}  // namespace hotbolt

static Napi::Object init_hotbolt(Napi::Env env, Napi::Object exports) {
  return hotbolt::init(env, exports);
}
NODE_API_MODULE(hotbolt, init_hotbolt)
