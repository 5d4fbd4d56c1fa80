// How long the artifacts of each project are kept. State only: what may be in it is decided by
// artifact_retention_policies.cc.
#ifndef SEMAPHORE_TESTS_SIMULATOR_RETENTION_POLICIES_H_
#define SEMAPHORE_TESTS_SIMULATOR_RETENTION_POLICIES_H_

#include <array>
#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

namespace semaphore::simulator {

struct RetentionRule {
  std::string selector;
  int64_t age_days = 0;
};

// The rules of projects, workflows and jobs, in this order.
using RetentionPolicy = std::array<std::vector<RetentionRule>, 3>;

// By project id; a project without any has no entry.
using RetentionPolicies = std::unordered_map<std::string, RetentionPolicy>;

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_RETENTION_POLICIES_H_
