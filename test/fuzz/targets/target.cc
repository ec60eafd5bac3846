// The table of targets, and what they share.
#include "target.h"

#include <future>

#include "core/defrag.h"

namespace hotbolt::fuzz {

namespace {

// Paths of buckets that the library can name; what lies deeper is not dumped.
Content content_of(const BucketView& bucket, size_t depth) {
  Content content;
  content.sequence = bucket.sequence();
  for (MergedCursor cursor(bucket, {}, false); cursor.valid(); cursor.next()) {
    const std::string name(cursor.key());
    if (!cursor.is_bucket()) {
      content.values[name] = cursor.value();
    } else {
      content.buckets[name] =
          depth < kDepthMax ? content_of(bucket.child(name), depth + 1) : Content{};
    }
  }
  return content;
}

}  // namespace

const std::vector<Target>& targets() {
  static const std::vector<Target> table = {
      {"open_check", open_check, Layout::kDatabase, 0},
      {"read", read, Layout::kDatabase, 0},
      {"write_then_check", write_then_check, Layout::kDatabase, kScriptSize},
      {"journal", journal, Layout::kJournal, kJournalHeadSize},
  };
  return table;
}

const Target* find_target(const std::string& name) {
  for (const Target& target : targets()) {
    if (name == target.name) return &target;
  }
  return nullptr;
}

void report(const Error& error) {
  throw Finding(std::string(error_name(error.code())) + ": " + error.what());
}

StoreOptions options(bool read_only) {
  StoreOptions options;
  options.read_only = read_only;
  options.create = false;
  options.checkpoint_bytes = 16 << 10;
  options.journal.segment_bytes_min = 4 << 10;
  options.journal.segment_bytes_max = 16 << 10;
  return options;
}

std::shared_ptr<Store> open_store(FileSystem& files, bool read_only, const std::string& path) {
  static const auto listener = std::make_shared<SilentListener>();
  return Store::open(files, path, options(read_only), listener);
}

void close_unwritten(std::shared_ptr<Store>& store) {
  store->begin_close();
  store->run_close();
  store.reset();
}

void close_written(std::shared_ptr<Store>& store) {
  store->begin_close();
  std::promise<void> closed;
  store->urgent().post([&] {
    try {
      store->run_close();
      closed.set_value();
    } catch (...) {
      closed.set_exception(std::current_exception());
    }
  });
  try {
    closed.get_future().get();
  } catch (...) {
    store.reset();
    throw;
  }
  store.reset();
}

CheckReport check_store(Store& store) { return store.run_check(*store.view()->base->file()); }

void defragment(const std::shared_ptr<Store>& store, const std::function<void()>& meanwhile) {
  const auto defrag = std::make_shared<Defrag>(store, DefragOptions{});
  try {
    defrag->prepare();
    defrag->pin();
    defrag->copy();
    CatchUp round = defrag->begin_catch_up();
    meanwhile();
    defrag->run_catch_up(round);
    CatchUp last = defrag->begin_catch_up();
    defrag->run_catch_up(last);
    defrag->publish();
    defrag->install();
    defrag->clean();
  } catch (const Error&) {
    defrag->abort();
    defrag->release();
    throw;
  }
}

Content content_of(const View& view, Seq seq) { return content_of(BucketView::root(view, seq), 0); }

}  // namespace hotbolt::fuzz
