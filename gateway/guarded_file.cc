#include "gateway/guarded_file.h"

#include <sys/stat.h>
#include <unistd.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace semaphore::gateway {
namespace {

absl::Status Unusable(const std::string& path, const std::string& why) {
  return absl::FailedPreconditionError(absl::StrCat(path, ": ", why));
}

absl::Status CheckGuard(const std::string& path, const struct stat& facts) {
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
  absl::StatusOr<RegularFile> file = RegularFile::Open(path_);
  absl::Status usable = file.ok() ? CheckGuard(path_, file->facts()) : file.status();
  const RegularFile::Identity identity = file.ok() ? file->identity() : RegularFile::Identity();
  if (usable.ok() && settled_ && identity == identity_) return std::nullopt;
  absl::StatusOr<std::string> text = usable.ok() ? file->Read(max_bytes_ + 1) : usable;
  if (text.ok() && text->size() > max_bytes_) {
    text = Unusable(path_, absl::StrCat("longer than ", max_bytes_, " bytes"));
  }
  // What could not be read is read when it can be, even if it is the same file.
  settled_ = text.ok() && identity.HasSettled(now);
  identity_ = identity;
  if (!text.ok()) return text.status();
  return std::optional<std::string>(*std::move(text));
}

}  // namespace semaphore::gateway
