// The text of a configuration file as a small tree whose every node knows its line and column. It
// exists because the errors of config.h must point at a place, name a duplicate, and come all at
// once, and because the file is bounded here: in size, nodes and depth. It knows YAML (the subset
// without tags, anchors and aliases) and no key of ours.
#ifndef SEMAPHORE_GATEWAY_CONFIG_DOCUMENT_H_
#define SEMAPHORE_GATEWAY_CONFIG_DOCUMENT_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace semaphore::gateway {

inline constexpr size_t kMaxConfigBytes = 1 << 20;
inline constexpr size_t kMaxConfigNodes = 100'000;
inline constexpr size_t kMaxConfigDepth = 16;

// Both count from 1; line 0 is "nowhere in the file" (a default, or the environment).
struct ConfigPosition {
  int line = 0;
  int column = 0;
};

struct ConfigNode {
  enum class Kind { kNull, kScalar, kSequence, kMapping };

  Kind kind = Kind::kNull;
  ConfigPosition position{};
  bool quoted = false;   // of a scalar: written in quotes or as a block, so it can only be text
  std::string scalar{};  // kScalar
  std::vector<ConfigNode> items{};  // kSequence, and the values of kMapping
  std::vector<std::string> keys{};  // kMapping: the key of each item
  std::vector<ConfigPosition> key_positions{};
};

// How large a document may be.
struct ConfigBounds {
  size_t bytes = kMaxConfigBytes;
  size_t nodes = kMaxConfigNodes;
};

// INVALID_ARGUMENT with one line per problem, each as `FILE:LINE:COLUMN: what is wrong`. Empty text
// is kNull.
absl::StatusOr<ConfigNode> ParseConfigDocument(const std::string& text, const std::string& file,
                                               ConfigBounds bounds = {});

// The whole of a regular file of at most kMaxConfigBytes. Blocks on the file system.
absl::StatusOr<std::string> ReadConfigFile(const std::string& path);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CONFIG_DOCUMENT_H_
