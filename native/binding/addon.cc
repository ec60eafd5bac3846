// The export table: reads as a contents page of lib/native.ts.
#include "binding/guard.h"
#include "binding/verbs.h"

namespace hotbolt {

namespace {

struct Export {
  const char* name;
  verbs::Verb* verb;
};

constexpr Export kExports[] = {
    {"setup", verbs::setup},
    {"guardMappings", verbs::guard_mappings},
    {"open", verbs::open},
    {"close", verbs::close},
    {"stats", verbs::stats},
    {"submit", verbs::submit},
    {"forceSync", verbs::force_sync},
    {"backlog", verbs::backlog},
    {"hurry", verbs::hurry},
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
    {"bucketRoot", verbs::bucket_root},
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
    {"snapshotInfo", verbs::snapshot_info},
    {"backup", verbs::backup},
    {"backupRun", verbs::backup_run},
    {"backupProgress", verbs::backup_progress},
    {"backupCancel", verbs::backup_cancel},
    {"hashSnapshot", verbs::hash_snapshot},
    {"countSnapshot", verbs::count_snapshot},
    {"imageOfSnapshot", verbs::image_of_snapshot},
    {"imageOfStore", verbs::image_of_store},
    {"imageOfFile", verbs::image_of_file},
    {"imageBytes", verbs::image_bytes},
    {"readImage", verbs::read_image},
    {"hashImage", verbs::hash_image},
    {"closeImage", verbs::close_image},
    {"readLeftover", verbs::read_leftover},
    {"leftoverOperations", verbs::leftover_operations},
    {"transfer", verbs::transfer},
    {"transferCopy", verbs::transfer_copy},
    {"transferHash", verbs::transfer_hash},
    {"transferProgress", verbs::transfer_progress},
    {"transferCancel", verbs::transfer_cancel},
    {"transferClose", verbs::transfer_close},
};

constexpr const char* kErrorCodes[] = {
#define X(name, sentence) #name,
    HOTBOLT_ERROR_CODES(X)
#undef X
};

void add(napi_env env, napi_value exports, const char* name, napi_value value) {
  require_ok(napi_set_named_property(env, exports, name, value));
}

napi_value list_error_codes(napi_env env) {
  napi_value codes, code;
  require_ok(napi_create_array(env, &codes));
  uint32_t count = 0;
  for (const char* name : kErrorCodes) {
    require_ok(napi_create_string_utf8(env, name, NAPI_AUTO_LENGTH, &code));
    require_ok(napi_set_element(env, codes, count++, code));
  }
  return codes;
}

// Environments stop their threads in their cleanup hook; on Linux the binary is never unloaded
// (binding.gyp), since our handler of SIGBUS stays.
void add_exports(napi_env env, napi_value exports) {
  EnvState& state = EnvState::create(env);
  for (const Export& item : kExports) {
    napi_value function;
    require_ok(
        napi_create_function(env, item.name, NAPI_AUTO_LENGTH, item.verb, nullptr, &function));
    add(env, exports, item.name, function);
  }
  add(env, exports, "errorCodes", list_error_codes(env));
  add(env, exports, "scratch", state.scratch_value());
  add(env, exports, "batchLengths", state.batch_lengths_value());
}

}  // namespace

}  // namespace hotbolt

NAPI_MODULE_INIT() {
  try {
    hotbolt::add_exports(env, exports);
  } catch (...) {
    napi_throw_error(env, nullptr, hotbolt::current_error().what());
  }
  return exports;
}
