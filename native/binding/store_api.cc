// Verbs of a store's life: open, close, checkpoints, statistics, check.
#include <cstring>

#include "binding/handle.h"
#include "binding/promise_task.h"
#include "binding/verbs.h"
#include "core/check.h"

namespace hotbolt::verbs {

namespace {

SyncMode get_sync_mode(napi_env env, napi_value value) {
  std::string mode = get_string(env, value);
  if (mode == "always") return SyncMode::kAlways;
  if (mode == "interval") return SyncMode::kInterval;
  if (mode == "never") return SyncMode::kNever;
  throw_argument("sync to be 'always', 'interval' or 'never'");
}

StoreOptions get_open_options(napi_env env, napi_value object) {
  auto number = [&](const char* name) {
    return get_unsigned(env, get_property(env, object, name));
  };
  StoreOptions options;
  options.read_only = get_bool(env, get_property(env, object, "readOnly"));
  options.create = get_bool(env, get_property(env, object, "create"));
  options.mode = static_cast<uint32_t>(number("mode")) & 0777;
  options.page_size = static_cast<uint32_t>(number("pageSize"));
  options.lock_timeout_us = number("lockTimeoutMs") * 1000;
  options.journal.sync = get_sync_mode(env, get_property(env, object, "sync"));
  options.journal.sync_interval_ms = static_cast<uint32_t>(number("syncIntervalMs"));
  options.checkpoint_bytes = std::max<uint64_t>(number("checkpointBytes"), 1);
  options.retained_bytes_max = number("maxRetainedBytes");
  return options;
}

napi_value report_object(napi_env env, const CheckReport& report) {
  napi_value issues;
  napi_create_array_with_length(env, report.issues.size(), &issues);
  for (size_t i = 0; i < report.issues.size(); i++) {
    ObjectBuilder issue(env);
    issue.number("page", double(report.issues[i].page)).string("message", report.issues[i].message);
    napi_set_element(env, issues, static_cast<uint32_t>(i), issue.object());
  }
  return ObjectBuilder(env)
      .value("issues", issues)
      .number("issueCount", double(report.issue_count))
      .number("pageCount", double(report.page_count))
      .number("reachablePages", double(report.reachable_pages))
      .number("freePages", double(report.free_pages))
      .number("bucketCount", double(report.bucket_count))
      .number("keyCount", double(report.key_count))
      .number("keyBytes", double(report.key_bytes))
      .number("valueBytes", double(report.value_bytes))
      .number("leafBytesUsed", double(report.leaf_bytes_used))
      .number("leafBytes", double(report.leaf_bytes))
      .number("depthMax", report.depth_max)
      .object();
}

}  // namespace

napi_value setup(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [error_class] = get_arguments<1>(env, info);
    napi_valuetype type;
    napi_typeof(env, error_class, &type);
    if (type != napi_function) throw_argument("a class");
    EnvState::of(env).set_error_class(error_class);
    return make_undefined(env);
  });
}

napi_value guard_mappings(napi_env env, napi_callback_info) {
  return guard(env, [&] {
    hotbolt::guard_mappings();
    return make_undefined(env);
  });
}

// Each open has a thread of its own, since it may wait for a lock.
napi_value open(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [path_value, options_value, events] = get_arguments<3>(env, info);
    EnvState& state = EnvState::of(env);
    std::string path = get_string(env, path_value);
    StoreOptions options = get_open_options(env, options_value);
    options.cancelled = state.ending();
    auto listener = std::make_shared<JsStoreListener>(env, events);
    auto opener = std::make_shared<Worker>();
    state.add_opener(opener);
    auto store = std::make_shared<std::shared_ptr<Store>>();
    auto failure = std::make_shared<std::optional<Error>>();
    auto work = [=] {
      try {
        *store = Store::open(system_files(), path, options, listener);
      } catch (...) {
        *failure = current_error();
      }
    };
    return run_task(env, *opener, work, [=, &state](napi_env) {
      state.remove_opener(opener);
      opener->stop();
      if (*failure) {
        listener->release();
        throw Error(**failure);
      }
      state.add_store(*store);
      return wrap_handle(env, std::make_unique<StoreHandle>(*store, listener));
    });
  });
}

napi_value close(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    auto& box = get_handle<StoreHandle>(env, handle);
    auto store = box.store;
    auto listener = box.listener;
    store->require_open();
    store->begin_close();
    EnvState& state = EnvState::of(env);
    auto failure = std::make_shared<std::optional<Error>>();
    auto work = [=] {
      try {
        store->run_close();
      } catch (...) {
        *failure = current_error();
      }
    };
    return run_task(env, store->urgent(), work, [=, &state](napi_env) {
      listener->release();
      store->halt();  // its threads are idle: they end now, not when the handle is collected
      state.remove_store(store);
      if (*failure) throw Error(**failure);
      return make_undefined(env);
    });
  });
}

napi_value submit(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    auto& box = get_handle<StoreHandle>(env, handle);
    box.store->require_open();
    Seq seq = box.store->submit();
    box.listener->await(seq);
    return make_number(env, double(seq));
  });
}

napi_value force_sync(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    auto& box = get_handle<StoreHandle>(env, handle);
    box.store->require_open();
    Seq seq = box.store->force_sync();
    box.listener->await_synced(seq);
    return make_number(env, double(seq));
  });
}

// Once per group: numbers in an array that is there already.
napi_value backlog(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle, figures] = get_arguments<2>(env, info);
    auto& store = *get_handle<StoreHandle>(env, handle).store;
    store.require_open();
    constexpr size_t kFigures = 4;
    napi_typedarray_type type;
    size_t count = 0;
    void* data = nullptr;
    const bool is_array =
        napi_get_typedarray_info(env, figures, &type, &count, &data, nullptr, nullptr) == napi_ok;
    if (!is_array || type != napi_float64_array || count < kFigures) {
      throw_argument("a Float64Array of 4 elements");
    }
    const Backlog backlog = store.backlog();
    const double values[kFigures] = {double(backlog.active_bytes), double(backlog.sealed_bytes),
                                     double(backlog.written_bytes), double(backlog.is_short)};
    std::memcpy(data, values, sizeof values);
    return make_undefined(env);
  });
}

napi_value hurry(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle, on] = get_arguments<2>(env, info);
    auto& store = *get_handle<StoreHandle>(env, handle).store;
    store.require_open();
    store.hurry(get_bool(env, on));
    return make_undefined(env);
  });
}

napi_value seal(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    return make_bool(env, get_handle<StoreHandle>(env, handle).store->seal());
  });
}

napi_value checkpoint(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle, urgent] = get_arguments<2>(env, info);
    auto store = get_handle<StoreHandle>(env, handle).store;
    Worker& worker = get_bool(env, urgent) ? store->urgent() : store->worker();
    store->require_writable();
    std::shared_ptr<Checkpoint> checkpoint = store->begin_checkpoint();
    auto work = [=] {
      if (checkpoint != nullptr) store->run_checkpoint(*checkpoint);
    };
    return run_task(env, worker, work, [=](napi_env) {
      ObjectBuilder result(env);
      result.number("memtables", checkpoint ? double(checkpoint->memtables.size()) : 0);
      result.number("bytes", checkpoint ? double(checkpoint->bytes) : 0);
      result.boolean("isPartial", checkpoint != nullptr && checkpoint->is_partial);
      if (checkpoint != nullptr) store->finish_checkpoint(*checkpoint);
      return result.object();
    });
  });
}

// A state of the page file. When it is let go, a file that was replaced meanwhile may be emptied.
struct PinnedBase {
  explicit PinnedBase(std::shared_ptr<Store> owner)
      : store(std::move(owner)), base(store->view()->base) {}
  PinnedBase(const PinnedBase&) = delete;
  PinnedBase& operator=(const PinnedBase&) = delete;
  ~PinnedBase() { store->discard(std::move(base)); }
  const std::shared_ptr<Store> store;
  std::shared_ptr<const ReadTx> base;
};

// On a thread of its own, so that no checkpoint waits for it.
napi_value check(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    auto store = get_handle<StoreHandle>(env, handle).store;
    store->require_open();
    auto report = std::make_shared<CheckReport>();
    // Pinned here: a defragmentation may put another file in its place before the worker gets to
    // it.
    auto pinned = std::make_shared<PinnedBase>(store);
    auto work = [=] { *report = store->run_check(*pinned->base->file()); };
    return run_task(env, store->checker(), work,
                    [=](napi_env) { return report_object(env, *report); });
  });
}

napi_value stats(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    auto& store = *get_handle<StoreHandle>(env, handle).store;
    StoreStats stats = store.stats();
    return ObjectBuilder(env)
        .string("path", store.path())
        .number("pageSize", stats.page_size)
        .number("txid", double(stats.txid))
        .number("sizeBytes", double(stats.size_bytes))
        .number("highWaterBytes", double(stats.high_water_bytes))
        .number("freePages", double(stats.free_pages))
        .number("pendingPages", double(stats.pending_pages))
        .boolean("freelistLoaded", stats.freelist_loaded)
        .number("memtableBytes", double(stats.memtable_bytes))
        .number("sealedMemtables", double(stats.sealed_memtables))
        .number("sealedBytes", double(stats.sealed_bytes))
        .number("journalBytes", double(stats.journal_bytes))
        .number("lastSeq", double(stats.last_seq))
        .number("durableSeq", double(stats.durable_seq))
        .number("snapshots", double(stats.snapshots))
        .number("oldestSnapshotSeq", double(stats.oldest_snapshot_seq))
        .number("pendingReclaimBytes", double(stats.pending_reclaim_bytes))
        .number("syncLatencyUs", double(stats.sync_latency_us))
        .boolean("poisoned", stats.poisoned)
        .boolean("checkpointFailing", stats.checkpoint_failing)
        .number("coveredSeq", double(stats.covered_seq))
        .object();
  });
}

}  // namespace hotbolt::verbs
