// A file that an operator named, opened for reading: the one way in which files that configure the
// gateway are opened. It never waits for the other end of a FIFO, takes regular files only, and
// reads no more than it is allowed to. What is in the file, and who may write it, is the caller's
// business.
#ifndef SEMAPHORE_GATEWAY_REGULAR_FILE_H_
#define SEMAPHORE_GATEWAY_REGULAR_FILE_H_

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>

#include "absl/status/statusor.h"
#include "absl/time/time.h"

namespace semaphore::gateway {

class RegularFile {
 public:
  // What tells one state of a file from another.
  struct Identity {
    uint64_t device = 0;
    uint64_t inode = 0;
    int64_t size = -1;
    int64_t modified_nanoseconds = 0;
    bool operator==(const Identity&) const = default;

    // False when it was written so shortly before `now` (the wall clock's) that a second write may
    // have kept its identity: file systems stamp a change with the time of their last tick.
    bool HasSettled(absl::Time now) const;
  };

  // FAILED_PRECONDITION names the path and says why it cannot be read.
  static absl::StatusOr<RegularFile> Open(const std::string& path);

  ~RegularFile();
  RegularFile(RegularFile&& other) noexcept;
  RegularFile(const RegularFile&) = delete;
  RegularFile& operator=(const RegularFile&) = delete;
  RegularFile& operator=(RegularFile&&) = delete;

  const struct stat& facts() const { return facts_; }
  Identity identity() const;
  // Whether the file system that it is on can be written through this mount.
  bool IsOnReadOnlyMount() const;

  // The text from where the last call ended, at most `max_bytes` of it: ask for one more than a
  // bound to learn whether it is kept. FAILED_PRECONDITION as for Open.
  absl::StatusOr<std::string> Read(size_t max_bytes);

 private:
  RegularFile(std::string path, int fd) : path_(std::move(path)), fd_(fd) {}

  std::string path_;
  int fd_;  // -1: moved from
  struct stat facts_ = {};
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_REGULAR_FILE_H_
