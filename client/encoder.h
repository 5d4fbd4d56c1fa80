// A validated request message into what goes over the wire to upstream: path, query and body,
// driven by the wire plans. Knows nothing of hosts, credentials, paging or retries.
#ifndef SEMAPHORE_CLIENT_ENCODER_H_
#define SEMAPHORE_CLIENT_ENCODER_H_

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "client/method_table.h"

namespace semaphore::client {

struct EncodedRequest {
  std::string verb;  // "GET"
  std::string path;  // "pipelines/32a6…", relative to the base URL
  std::vector<std::pair<std::string, std::string>> query;  // not yet percent-encoded, in order
  std::string content_type;                                // empty: no body
  std::string body;

  // "pipelines/32a6…?detailed=true"
  std::string Target() const;
};

// Encodes the populated fields. `request` must have passed ValidateRequest. With `changed` (paths
// of an update, see field_mask.h) exactly those fields of the resource are sent, empty ones too.
EncodedRequest EncodeRequest(const MethodSpec& spec, const google::protobuf::Message& request,
                             const std::vector<std::string>* changed = nullptr);

// All but A-Z a-z 0-9 - . _ ~ as %XX. PercentEncode("a b/ä") is "a%20b%2F%C3%A4".
std::string PercentEncode(std::string_view text);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_ENCODER_H_
