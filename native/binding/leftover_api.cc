// Verbs that read the journal beside a closed database.
#include "core/leftover.h"

#include "binding/handle.h"
#include "binding/promise_task.h"
#include "binding/verbs.h"

namespace hotbolt::verbs {

namespace {

// What a journal held, and how far its operations have been given out.
struct LeftoverHandle : Handle {
  static constexpr HandleTag kTag = HandleTag::kLeftover;
  explicit LeftoverHandle(Leftover leftover) : Handle(kTag), leftover(std::move(leftover)) {}

  // The next operation, of transaction seq(). False at the end.
  bool next(Op& op) {
    for (; index < leftover.transactions.size(); index++, reader.reset()) {
      if (!reader) reader.emplace(leftover.transactions[index].body);
      if (reader->next(op)) return true;
    }
    return false;
  }
  Seq seq() const { return leftover.transactions[index].seq; }
  void rewind() {
    index = 0;
    reader.reset();
  }

  const Leftover leftover;
  size_t index = 0;
  std::optional<OpReader> reader;
};

const char* kind_name(OpKind kind) {
  switch (kind) {
    case OpKind::kPut:
      return "put";
    case OpKind::kRemove:
      return "delete";
    case OpKind::kCreateBucket:
      return "create-bucket";
    case OpKind::kDeleteBucket:
      return "delete-bucket";
    case OpKind::kSetSequence:
      return "set-sequence";
  }
  return "";
}

napi_value make_buffer(napi_env env, Bytes bytes) {
  napi_value buffer;
  if (napi_create_buffer_copy(env, bytes.size(), bytes.data(), nullptr, &buffer) != napi_ok)
    throw Error(ErrorCode::ERR_OUT_OF_MEMORY);
  return buffer;
}

napi_value make_path(napi_env env, const BucketPath& path) {
  napi_value names;
  require_ok(napi_create_array_with_length(env, path.size(), &names));
  for (size_t i = 0; i < path.size(); i++)
    require_ok(napi_set_element(env, names, static_cast<uint32_t>(i), make_buffer(env, path[i])));
  return names;
}

napi_value operation_object(napi_env env, Seq seq, const Op& op) {
  ObjectBuilder object(env);
  object.number("seq", double(seq))
      .string("kind", kind_name(op.kind))
      .value("bucket", make_path(env, *op.path));
  if (op.kind == OpKind::kSetSequence) {
    napi_value sequence;
    require_ok(napi_create_bigint_uint64(env, op.sequence, &sequence));
    return object.value("sequence", sequence).object();
  }
  object.value("key", make_buffer(env, op.key));
  if (op.kind == OpKind::kPut) object.value("value", make_buffer(env, op.value.bytes));
  return object.object();
}

napi_value segments_array(napi_env env, const std::vector<JournalSegment>& segments) {
  napi_value array;
  require_ok(napi_create_array_with_length(env, segments.size(), &array));
  for (size_t i = 0; i < segments.size(); i++) {
    const JournalSegment& segment = segments[i];
    const Bytes id(segment.binding.database_id.data(), segment.binding.database_id.size());
    ObjectBuilder object(env);
    object.string("path", segment.path)
        .number("number", double(segment.number))
        .number("firstSeq", double(segment.first_seq))
        .string("databaseId", hex(id).substr(2));
    require_ok(napi_set_element(env, array, static_cast<uint32_t>(i), object.object()));
  }
  return array;
}

napi_value leftover_object(napi_env env, Leftover leftover) {
  ObjectBuilder object(env);
  const auto& transactions = leftover.transactions;
  object.value("segments", segments_array(env, leftover.segments))
      .boolean("isBound", leftover.is_bound)
      .number("transactions", double(transactions.size()))
      .number("firstSeq", transactions.empty() ? 0 : double(transactions.front().seq))
      .number("lastSeq", transactions.empty() ? 0 : double(transactions.back().seq));
  if (leftover.covered) object.number("coveredSeq", double(*leftover.covered));
  auto handle = std::make_unique<LeftoverHandle>(std::move(leftover));
  return object.value("handle", wrap_handle(env, std::move(handle))).object();
}

}  // namespace

// A thread of its own: the file may lie on a slow disk.
napi_value read_leftover(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [path_value, journal_value, covered_value] = get_arguments<3>(env, info);
    const std::string path = get_string(env, path_value);
    const std::string journal_path = get_string(env, journal_value);
    std::optional<Seq> covered;
    if (!is_undefined(env, covered_value)) covered = get_unsigned(env, covered_value);
    EnvState& state = EnvState::of(env);
    auto reader = std::make_shared<Worker>();
    state.add_opener(reader);
    auto found = std::make_shared<Leftover>();
    auto failure = std::make_shared<std::optional<Error>>();
    auto work = [=] {
      try {
        *found = hotbolt::read_leftover(system_files(), path, journal_path, covered);
      } catch (...) {
        *failure = current_error();
      }
    };
    return run_task(env, *reader, work, [=, &state](napi_env) {
      state.remove_opener(reader);
      reader->stop();
      if (*failure) throw Error(**failure);
      return leftover_object(env, std::move(*found));
    });
  });
}

napi_value leftover_operations(napi_env env, napi_callback_info info) {
  return guard(env, [&] {
    auto [handle_value, from_start, limit_value] = get_arguments<3>(env, info);
    auto& handle = get_handle<LeftoverHandle>(env, handle_value);
    if (get_bool(env, from_start)) handle.rewind();
    const uint64_t limit = get_unsigned(env, limit_value);
    napi_value array;
    require_ok(napi_create_array(env, &array));
    Op op;
    for (uint32_t count = 0; count < limit && handle.next(op); count++)
      require_ok(napi_set_element(env, array, count, operation_object(env, handle.seq(), op)));
    return array;
  });
}

}  // namespace hotbolt::verbs
