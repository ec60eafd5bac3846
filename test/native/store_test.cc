// The whole engine where a call of it fails. What a power cut leaves is crash_test.cc's.
#include "core/store.h"

#include "sim_file.h"
#include "store_run.h"

namespace hotbolt::testing {
namespace {

TEST("a directory sync that fails after the rename poisons the store and loses nothing") {
  SimFileSystem files(1);
  const auto listener = std::make_shared<Listener>();
  auto store = Store::open(files, kPath, small_options(), listener);
  BucketRef ref;
  ref.path = {"b"};
  store->put(ref, "k", "v");
  listener->wait(store->submit());
  auto defrag = std::make_shared<Defrag>(store, DefragOptions{});
  defrag->prepare();
  defrag->pin();
  defrag->copy();
  CatchUp round = defrag->begin_catch_up();
  defrag->run_catch_up(round);
  files.fail_call(1, ErrorCode::ERR_IO, 5, 1, "sync_directory");
  EXPECT_THROWS_CODE(ErrorCode::ERR_IO, defrag->publish());
  defrag->abort();
  defrag->release();
  defrag.reset();
  EXPECT_THROWS_CODE(ErrorCode::ERR_POISONED, store->put(ref, "l", "v"));
  EXPECT_EQ(std::string(*store->resolve(ref).get("k")), "v");
  store->begin_close();
  EXPECT_THROWS_CODE(ErrorCode::ERR_POISONED, store->run_close());
  store.reset();

  store = Store::open(files, kPath, small_options(), std::make_shared<Listener>());
  EXPECT_EQ(std::string(*BucketView::at(*store->view(), kSeqMax, {"b"}).get("k")), "v");
  close_store(store);
}

}  // namespace
}  // namespace hotbolt::testing
