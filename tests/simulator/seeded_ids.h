// Ids and numbers that depend on a seed, a kind and an index only, so that two simulators with the
// same seed hold the same world whatever the order of calls. Not for anything that must be hard to
// guess.
#ifndef SEMAPHORE_TESTS_SIMULATOR_SEEDED_IDS_H_
#define SEMAPHORE_TESTS_SIMULATOR_SEEDED_IDS_H_

#include <cstdint>
#include <string>
#include <string_view>

namespace semaphore::simulator {

class SeededIds {
 public:
  explicit SeededIds(uint64_t seed) : seed_(seed) {}

  // A version 4 UUID in lower case.
  std::string Uuid(std::string_view kind, uint64_t index) const;
  // 40 lower case hexadecimal digits.
  std::string CommitSha(uint64_t index) const;
  uint64_t Number(std::string_view kind, uint64_t index) const;

 private:
  uint64_t seed_;
};

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_SEEDED_IDS_H_
