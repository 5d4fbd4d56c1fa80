#include "gateway/guarded_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace semaphore::gateway {
namespace {

// File systems stamp a change with the time of their last tick, so two writes close together can
// look like one.
constexpr int64_t kSettleNanoseconds = 2'000'000'000;

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  ~FileDescriptor() {
    if (fd_ >= 0) close(fd_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;
  int get() const { return fd_; }

 private:
  const int fd_;
};

absl::Status Unusable(const std::string& path, const std::string& why) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": ", why));
}

absl::Status SystemError(const std::string& path, int error) {
  return Unusable(path, "cannot be read: " + std::generic_category().message(error));
}

absl::Status CheckGuard(const std::string& path, const struct stat& facts) {
  if (!S_ISREG(facts.st_mode)) return Unusable(path, "is not a regular file");
  if (facts.st_uid != 0 && facts.st_uid != geteuid()) {
    return Unusable(path,
                    absl::StrCat("belongs to user ", facts.st_uid,
                                 "; expected root or the user that runs the gateway, ", geteuid()));
  }
  if ((facts.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return Unusable(
        path, absl::StrFormat("may be written by its group or by others (mode %04o); expected "
                              "its owner alone: chmod go-w",
                              facts.st_mode & 07777));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::optional<std::string>> GuardedFile::Look(absl::Time now) {
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  const FileDescriptor file(open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  struct stat facts = {};
  absl::Status usable;
  if (file.get() < 0 || fstat(file.get(), &facts) != 0) {
    usable = SystemError(path_, errno);
  } else {
    usable = CheckGuard(path_, facts);
  }
  const Identity identity{facts.st_dev, facts.st_ino, facts.st_size,
                          facts.st_mtim.tv_sec * 1'000'000'000 + facts.st_mtim.tv_nsec};
  if (usable.ok() && settled_ && identity == identity_) return std::nullopt;
  absl::StatusOr<std::string> text = usable.ok() ? Read(file.get()) : usable;
  // What could not be read is read when it can be, even if it is the same file.
  settled_ =
      text.ok() && absl::ToUnixNanos(now) - identity.modified_nanoseconds > kSettleNanoseconds;
  identity_ = identity;
  if (!text.ok()) return text.status();
  return std::optional<std::string>(*std::move(text));
}

absl::StatusOr<std::string> GuardedFile::Read(int fd) const {
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t got = read(fd, buffer, sizeof buffer);
    if (got == 0) return text;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError(path_, errno);
    text.append(buffer, static_cast<size_t>(got));
    if (text.size() > max_bytes_) {
      return Unusable(path_, absl::StrCat("longer than ", max_bytes_, " bytes"));
    }
  }
}

}  // namespace semaphore::gateway
