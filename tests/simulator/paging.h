// Pages by number with a Link header, as workflows, pipelines and promotions are paged (facts,
// section 4.1). It decides which items a page holds and writes its headers; it does not see the
// items.
#ifndef SEMAPHORE_TESTS_SIMULATOR_PAGING_H_
#define SEMAPHORE_TESTS_SIMULATOR_PAGING_H_

#include <cstddef>
#include <cstdint>

#include "tests/simulator/http_message.h"
#include "tests/simulator/options.h"
#include "tests/simulator/router.h"

namespace semaphore::simulator {

struct Page {
  size_t begin = 0;  // of the whole list
  size_t end = 0;
  Headers headers;
};

// A page past the end is the last page; anything but a positive number falls back to the first page
// or the default size. In the reference dialect there is a Link header without `last`, and nothing
// else.
Page PageOf(const Call& call, size_t total, int64_t default_size, Dialect dialect);

// What the real service sends where its backend refused the filters and nobody looked: zeros
// everywhere.
Page FailedPage(const Call& call, Dialect dialect);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_PAGING_H_
