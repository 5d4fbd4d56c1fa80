// The file that says who may call and what each may do, as checked entries. It parses a text and
// reads no file; docs/configuration.md is the reference of every key. All mistakes are told at
// once, each with file, line, column and key, and no error quotes what could be a token.
#ifndef SEMAPHORE_GATEWAY_CALLERS_FILE_H_
#define SEMAPHORE_GATEWAY_CALLERS_FILE_H_

#include <cstddef>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/method_table.h"
#include "gateway/caller.h"
#include "gateway/token_hash.h"

namespace semaphore::gateway {

inline constexpr size_t kMaxCallers = 10'000;
inline constexpr size_t kMaxCallersFileBytes = 4 << 20;

// What names in the file may refer to.
struct CallersFileScope {
  const client::MethodTable* methods;      // outlives the parsing
  std::vector<std::string> organizations;  // as configured
};

struct CallerEntry {
  Caller caller;
  std::vector<TokenHash> tokens;
  std::vector<std::string> certificate_names;
};

// `file` names the text in errors. INVALID_ARGUMENT with one line per mistake. The entries have
// unique names and share no token and no certificate name.
absl::StatusOr<std::vector<CallerEntry>> ParseCallers(const std::string& text,
                                                      const std::string& file,
                                                      const CallersFileScope& scope);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CALLERS_FILE_H_
