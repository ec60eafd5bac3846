// Verbs of the backup of one store: make, run, look at, cancel.
#include "core/backup.h"

#include "binding/handle.h"
#include "binding/promise_task.h"
#include "binding/verbs.h"

namespace hotbolt::verbs {

namespace {

struct BackupHandle : Handle {
  static constexpr HandleTag kTag = HandleTag::kBackup;
  explicit BackupHandle(std::shared_ptr<Backup> backup) : Handle(kTag), backup(std::move(backup)) {}
  std::shared_ptr<Backup> backup;
};

BackupOptions get_backup_options(napi_env env, napi_value object) {
  const auto flag = [&](const char* name) {
    return get_bool(env, get_property(env, object, name));
  };
  BackupOptions options;
  options.path = get_string(env, get_property(env, object, "path"));
  options.compact = flag("compact");
  options.fill = get_number(env, get_property(env, object, "fillPercent"));
  options.bytes_per_second = get_unsigned(env, get_property(env, object, "bytesPerSecond"));
  const std::string format = get_string(env, get_property(env, object, "format"));
  options.etcd_snapshot = format == "etcd-snapshot";
  options.verify = flag("verify");
  options.hash = flag("hash");
  const bool is_path = !options.path.empty() && options.path.find('\0') == std::string::npos;
  if (!is_path) throw_argument("a path without NUL");
  if (!(options.fill >= 0.1 && options.fill <= 1.0)) throw_argument("fillPercent from 0.1 to 1.0");
  if (!options.etcd_snapshot && format != "bbolt")
    throw_argument("format to be 'bbolt' or 'etcd-snapshot'");
  return options;
}

std::string hex_of(Bytes bytes) { return hex(bytes).substr(2); }

}  // namespace

napi_value snapshot_info(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    const Snapshot& snapshot = *get_handle<SnapshotHandle>(env, handle).snapshot;
    const Meta& meta = snapshot.view().base->meta();
    const Bytes checksum(reinterpret_cast<const char*>(&meta.checksum), sizeof meta.checksum);
    const bool marked = meta.mark.has_value();
    return ObjectBuilder(env)
        .string("databaseId", marked ? hex_of({meta.mark->database_id.data(), 16}) : "")
        .number("seq", double(snapshot.seq()))
        .number("coveredSeq", marked ? double(meta.mark->journal_seq) : 0)
        .number("txid", double(value(meta.txid)))
        .string("metaChecksum", hex_of(checksum))
        .number("pageSize", meta.page_size)
        .number("imageBytes", double(meta.high_water * meta.page_size))
        .object();
  });
}

napi_value backup(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle, options] = get_arguments<2>(env, info);
    auto& snapshot = *get_handle<SnapshotHandle>(env, handle).snapshot;
    auto backup = std::make_shared<Backup>(snapshot, get_backup_options(env, options));
    return wrap_handle(env, std::make_unique<BackupHandle>(std::move(backup)));
  });
}

napi_value backup_run(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    auto backup = get_handle<BackupHandle>(env, handle).backup;
    backup->begin();
    auto result = std::make_shared<BackupResult>();
    auto work = [=] { *result = backup->run(); };
    return run_task(env, backup->worker(), work, [=](napi_env) {
      return ObjectBuilder(env)
          .number("sizeBytes", double(result->size_bytes))
          .string("sha256", result->sha256)
          .string("snapshotSha256", result->snapshot_sha256)
          .number("txid", double(result->txid))
          .object();
    });
  });
}

napi_value backup_progress(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    const Backup& backup = *get_handle<BackupHandle>(env, handle).backup;
    return ObjectBuilder(env)
        .number("bytesCopied", double(backup.bytes_copied()))
        .number("bytesTotal", double(backup.total_bytes()))
        .object();
  });
}

napi_value backup_cancel(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle] = get_arguments<1>(env, info);
    get_handle<BackupHandle>(env, handle).backup->cancel();
    return make_undefined(env);
  });
}

}  // namespace hotbolt::verbs
