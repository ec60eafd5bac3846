// Work on one of our own threads with a promise for its result. The only catch on a worker.
#pragma once

#include <functional>

#include "binding/guard.h"

namespace hotbolt {

// Runs `work` on `worker`, then `finish` on the JS thread, whose value the promise gets. Whatever
// either throws rejects it. What the functions capture is released on the JS thread.
napi_value run_task(napi_env env, Worker& worker, std::function<void()> work,
                    std::function<napi_value(napi_env)> finish);

}  // namespace hotbolt
