// All verbs that addon.cc exports, by file. See lib/native.ts for their contracts.
#pragma once

#include <node_api.h>

namespace hotbolt::verbs {

using Verb = napi_value(napi_env env, napi_callback_info info);

// store_api.cc
Verb setup, guard_mappings, open, close, stats, seal, checkpoint, check, submit, force_sync,
    backlog, hurry;
// read_api.cc
Verb bucket, root_bucket, snapshot, close_snapshot, get, get_into, has, bucket_exists, sequence,
    bucket_root, count;
// write_api.cc
Verb put, remove, create_bucket, delete_bucket, set_sequence, begin, commit, rollback;
// cursor_api.cc
Verb cursor, read, close_cursor;
// defrag_api.cc
Verb defrag_prepare, defrag_pin, defrag_copy, defrag_progress, defrag_catch_up, defrag_publish,
    defrag_install, defrag_clean, defrag_cancel, defrag_abort;
// backup_api.cc
Verb snapshot_info, backup, backup_run, backup_progress, backup_cancel;
// survey_api.cc
Verb hash_snapshot, count_snapshot;
// image_api.cc
Verb image_of_snapshot, image_of_store, image_of_file, image_bytes, read_image, hash_image,
    close_image;
// leftover_api.cc
Verb read_leftover, leftover_operations;
// transfer_api.cc
Verb transfer, transfer_copy, transfer_hash, transfer_progress, transfer_cancel, transfer_close;

}  // namespace hotbolt::verbs
