// A file that decides who may do what: it is believed only when nobody but root or our own user can
// have written it, and read again when it changed. It knows nothing of what is in it.
#ifndef SEMAPHORE_GATEWAY_GUARDED_FILE_H_
#define SEMAPHORE_GATEWAY_GUARDED_FILE_H_

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/regular_file.h"

namespace semaphore::gateway {

class GuardedFile {
 public:
  GuardedFile(std::string path, size_t max_bytes) : path_(std::move(path)), max_bytes_(max_bytes) {}

  // The whole text; nothing when the file is what it was at the last look. FAILED_PRECONDITION when
  // it cannot be read, is not a regular file, is too long, belongs to another user, or may be
  // written by its group or by others. `now` is the wall clock's. Blocks on the file system; not
  // for two threads at once.
  absl::StatusOr<std::optional<std::string>> Look(absl::Time now);

 private:
  const std::string path_;
  const size_t max_bytes_;
  RegularFile::Identity identity_;
  bool settled_ = false;  // false: the file was so young when read that a second write may have
                          // kept its identity
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_GUARDED_FILE_H_
