#include "gateway/regular_file.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

namespace semaphore::gateway {
namespace {

constexpr int64_t kSettleNanoseconds = 2'000'000'000;

absl::Status SystemError(const std::string& path, int error) {
  return absl::FailedPreconditionError(
      absl::StrCat(path, ": cannot be read: ", std::generic_category().message(error)));
}

}  // namespace

absl::StatusOr<RegularFile> RegularFile::Open(const std::string& path) {
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  RegularFile file(path, open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (file.fd_ < 0 || fstat(file.fd_, &file.facts_) != 0) return SystemError(path, errno);
  if (!S_ISREG(file.facts_.st_mode)) {
    return absl::FailedPreconditionError(absl::StrCat(path, ": is not a regular file"));
  }
  return file;
}

RegularFile::~RegularFile() {
  if (fd_ >= 0) close(fd_);
}

RegularFile::RegularFile(RegularFile&& other) noexcept
    : path_(std::move(other.path_)), fd_(std::exchange(other.fd_, -1)), facts_(other.facts_) {}

RegularFile::Identity RegularFile::identity() const {
  return {facts_.st_dev, facts_.st_ino, facts_.st_size,
          facts_.st_mtim.tv_sec * 1'000'000'000 + facts_.st_mtim.tv_nsec};
}

bool RegularFile::Identity::HasSettled(absl::Time now) const {
  return absl::ToUnixNanos(now) - modified_nanoseconds > kSettleNanoseconds;
}

bool RegularFile::IsOnReadOnlyMount() const {
  struct statvfs mount = {};
  return fstatvfs(fd_, &mount) == 0 && (mount.f_flag & ST_RDONLY) != 0;
}

absl::StatusOr<std::string> RegularFile::Read(size_t max_bytes) {
  std::string text;
  std::array<char, 16384> chunk;
  while (text.size() < max_bytes) {
    const ssize_t got = read(fd_, chunk.data(), std::min(chunk.size(), max_bytes - text.size()));
    if (got == 0) break;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return SystemError(path_, errno);
    text.append(chunk.data(), static_cast<size_t>(got));
  }
  return text;
}

}  // namespace semaphore::gateway
