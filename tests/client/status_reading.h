// What a caller can read in a status, for assertions.
#ifndef SEMAPHORE_TESTS_CLIENT_STATUS_READING_H_
#define SEMAPHORE_TESTS_CLIENT_STATUS_READING_H_

#include <google/rpc/error_details.pb.h>

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/cord.h"
#include "client/error.h"

namespace semaphore::client {

// "UPSTREAM_NOT_FOUND"; "" for OK and for statuses without details.
inline std::string ReasonOf(const absl::Status& status) {
  const auto info = GetErrorInfo(status);
  return info ? info->reason() : "";
}

inline std::string MetadataOf(const absl::Status& status, const std::string& key) {
  const auto info = GetErrorInfo(status);
  if (!info || info->metadata().count(key) == 0) return "";
  return info->metadata().at(key);
}

inline google::rpc::BadRequest BadRequestOf(const absl::Status& status) {
  google::rpc::BadRequest detail;
  const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
  if (payload) detail.ParseFromString(std::string(*payload));
  return detail;
}

inline std::vector<std::string> FieldsOf(const absl::Status& status) {
  std::vector<std::string> fields;
  const google::rpc::BadRequest detail = BadRequestOf(status);
  for (const auto& violation : detail.field_violations()) {
    fields.push_back(violation.field());
  }
  return fields;
}

// Message and details as one text: where a secret must not be.
inline std::string Everything(const absl::Status& status) {
  std::string text(status.message());
  status.ForEachPayload(
      [&text](absl::string_view, const absl::Cord& payload) { text += std::string(payload); });
  return text;
}

// Bytes of the details as they go over the wire, type names included.
inline size_t DetailBytes(const absl::Status& status) {
  size_t bytes = 0;
  status.ForEachPayload([&bytes](absl::string_view url, const absl::Cord& payload) {
    bytes += url.size() + payload.size() + 8;
  });
  return bytes;
}

}  // namespace semaphore::client

#endif  // SEMAPHORE_TESTS_CLIENT_STATUS_READING_H_
