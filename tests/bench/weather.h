// Bad weather: each scenario runs a fresh gateway against a fresh simulator under steady calls,
// lets one thing go wrong for a while, and tells what the callers saw and how much was sent
// upstream.
#ifndef SEMAPHORE_TESTS_BENCH_WEATHER_H_
#define SEMAPHORE_TESTS_BENCH_WEATHER_H_

#include <cstdint>
#include <string>

namespace semaphore::bench {

struct WeatherOptions {
  double scale = 1;       // of all lengths; below 1 the figures mean nothing
  std::string only = {};  // scenarios whose name has this in it; empty: all
  uint64_t seed = 1;
  bool fresh = false;  // calls ask for answers that are not from a cache
};

// Prints a table in Markdown. False when the gateway ended by itself or exceeded one of its
// budgets.
bool RunWeather(const WeatherOptions& options);

}  // namespace semaphore::bench

#endif  // SEMAPHORE_TESTS_BENCH_WEATHER_H_
