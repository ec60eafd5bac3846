// The rules by which an operation changes a memtable over a view.
#include "core/memtable_writer.h"

namespace hotbolt {

namespace {

[[noreturn]] void throw_incompatible(Bytes name, const char* expected) {
  throw Error(ErrorCode::ERR_INCOMPATIBLE_VALUE,
              quoted(name) + " is not " + expected + ": a bucket and a key cannot share a name");
}

}  // namespace

void require_key(Bytes key) {
  if (key.empty()) throw Error(ErrorCode::ERR_KEY_REQUIRED);
  if (key.size() > kKeySizeMax) {
    throw Error(ErrorCode::ERR_KEY_TOO_LARGE, "a key of " + std::to_string(key.size()) +
                                                  " bytes is longer than " +
                                                  std::to_string(kKeySizeMax));
  }
}

void require_value(Bytes value) {
  if (value.size() > kValueSizeMax) {
    throw Error(ErrorCode::ERR_VALUE_TOO_LARGE, "a value of " + std::to_string(value.size()) +
                                                    " bytes is longer than " +
                                                    std::to_string(kValueSizeMax));
  }
}

BucketTable* MemtableWriter::table(const BucketPath& path, bool create, Seq seq, bool& changed) {
  BucketTable* table = &target_.root();
  BucketView bucket = view_.root();
  for (const std::string& name : path) {
    NameKind kind = bucket.kind(name);
    if (kind == NameKind::kValue) throw_incompatible(name, "a bucket");
    if (kind == NameKind::kMissing && !create) return nullptr;
    if (kind == NameKind::kMissing) {
      table = &target_.create_bucket(*table, name, seq);
      changed = true;
      bucket = view_.bucket(BucketPath(path.begin(), path.begin() + (&name - path.data()) + 1));
      continue;
    }
    const Record* record = table->find(name);
    if (record == nullptr || !record->newest->is_bucket()) changed = true;
    table = &target_.touch_bucket(*table, name, seq);
    bucket = bucket.child(name);
  }
  return table;
}

void require_buckets(const ViewAt& view, const BucketPath& path) {
  BucketView bucket = view.root();
  for (const std::string& name : path) {
    const NameKind kind = bucket.kind(name);
    if (kind == NameKind::kValue) throw_incompatible(name, "a bucket");
    if (kind == NameKind::kMissing) require_key(name);
    bucket = bucket.child(name);
  }
}

void require_no_bucket(const BucketView& bucket, Bytes key) {
  if (bucket.has_bucket(key)) throw_incompatible(key, "a key");
}

void require_missing(const ViewAt& view, const BucketPath& parent, Bytes name) {
  NameKind kind = view.bucket(parent).kind(name);
  if (kind == NameKind::kBucket)
    throw Error(ErrorCode::ERR_BUCKET_EXISTS, "the bucket " + quoted(name) + " exists already");
  if (kind == NameKind::kValue) throw_incompatible(name, "a bucket");
}

void require_bucket(const ViewAt& view, const BucketPath& parent, Bytes name) {
  NameKind kind = view.bucket(parent).kind(name);
  if (kind == NameKind::kMissing)
    throw Error(ErrorCode::ERR_BUCKET_NOT_FOUND, "the bucket " + quoted(name) + " does not exist");
  if (kind == NameKind::kValue) throw_incompatible(name, "a bucket");
}

bool does_not_apply(const Error& error) {
  switch (error.code()) {
    case ErrorCode::ERR_INCOMPATIBLE_VALUE:
    case ErrorCode::ERR_BUCKET_EXISTS:
    case ErrorCode::ERR_BUCKET_NOT_FOUND:
      return true;
    default:
      return false;
  }
}

void MemtableWriter::apply(const Op& op, Seq seq, Seq pinned, bool check, bool& changed) {
  switch (op.kind) {
    case OpKind::kPut: {
      if (op.path->empty())
        throw_incompatible(op.key, "allowed in the root, which holds buckets only");
      if (check) require_no_bucket(view_.bucket(*op.path), op.key);
      target_.put(*table(*op.path, true, seq, changed), op.key, op.value, seq, pinned);
      break;
    }
    case OpKind::kRemove: {
      if (check) require_no_bucket(view_.bucket(*op.path), op.key);
      BucketTable* found = table(*op.path, false, seq, changed);
      if (found != nullptr) target_.remove(*found, op.key, seq, pinned);
      break;
    }
    case OpKind::kCreateBucket:
      if (check) require_missing(view_, *op.path, op.key);
      target_.create_bucket(*table(*op.path, true, seq, changed), op.key, seq);
      changed = true;
      break;
    case OpKind::kDeleteBucket:
      if (check) require_bucket(view_, *op.path, op.key);
      target_.delete_bucket(*table(*op.path, true, seq, changed), op.key, seq);
      changed = true;
      break;
    case OpKind::kSetSequence:
      target_.set_sequence(*table(*op.path, true, seq, changed), op.sequence, seq, pinned);
      break;
  }
}

}  // namespace hotbolt
