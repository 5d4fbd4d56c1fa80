// A long run of everything at once: reads, changes of all kinds and random faults. At its end what
// the simulator carried out must be what callers were told.
#ifndef SEMAPHORE_TESTS_BENCH_SOAK_H_
#define SEMAPHORE_TESTS_BENCH_SOAK_H_

#include <cstdint>

namespace semaphore::bench {

struct SoakOptions {
  double seconds = 600;
  uint64_t seed = 1;
  bool check_memory = false;  // at the end at most 1.1 times as at a fifth of the run
};

// Prints what was done and every check that failed. False when one did.
bool RunSoak(const SoakOptions& options);

}  // namespace semaphore::bench

#endif  // SEMAPHORE_TESTS_BENCH_SOAK_H_
