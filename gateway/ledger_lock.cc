#include "gateway/ledger_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <system_error>

#include "absl/strings/str_cat.h"
#include "client/string_view.h"

namespace semaphore::gateway {
namespace {

constexpr std::string_view kMarker = "created\n";

absl::Status SystemError(const std::string& path, std::string_view doing) {
  const int error = errno;
  const std::string text = absl::StrCat("cannot ", client::ToAbsl(doing), " ", path, ": ",
                                        std::generic_category().message(error));
  if (error == ENOSPC || error == EDQUOT) return absl::ResourceExhaustedError(text);
  return absl::PermissionDeniedError(
      absl::StrCat(text, "; the state directory must be a folder that this process may write to"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<LedgerLock>> LedgerLock::Take(const std::string& folder,
                                                             const std::string& name) {
  if (mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) {
    return SystemError(folder, "make the folder");
  }
  std::unique_ptr<LedgerLock> lock(new LedgerLock(absl::StrCat(folder, "/", name)));
  lock->file_ = open(lock->path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (lock->file_ < 0) return SystemError(lock->path_, "open");
  if (flock(lock->file_, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return SystemError(lock->path_, "lock");
    return absl::FailedPreconditionError(absl::StrCat(
        "another process holds ", lock->path_,
        ": two collectors must not count into one ledger; stop the other, or give this one a "
        "state directory of its own"));
  }
  char first = 0;
  const ssize_t size = pread(lock->file_, &first, 1, 0);
  if (size < 0) return SystemError(lock->path_, "read");
  lock->marked_ = size > 0;
  return lock;
}

LedgerLock::~LedgerLock() {
  if (file_ >= 0) close(file_);
}

absl::Status LedgerLock::Mark() {
  if (marked_) return absl::OkStatus();
  const ssize_t written = pwrite(file_, kMarker.data(), kMarker.size(), 0);
  if (written != static_cast<ssize_t>(kMarker.size()) || fsync(file_) != 0) {
    return SystemError(path_, "write");
  }
  marked_ = true;
  return absl::OkStatus();
}

}  // namespace semaphore::gateway
