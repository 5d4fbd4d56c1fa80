// REST and JSON on one side, encoded request and reply messages on the other: what the REST
// listener puts around the engine. It routes by the `google.api.http` options, fills the request
// from path, query and body (api.md, "HTTP rules"), and writes replies as proto3 JSON. Pure: no
// sockets, no headers. Whether a field may have its value is not its business; the engine's
// validation comes behind it, except that ids in the path are held to their rule here.
#ifndef SEMAPHORE_GATEWAY_REST_TRANSCODER_H_
#define SEMAPHORE_GATEWAY_REST_TRANSCODER_H_

#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/method_table.h"
#include "gateway/rest_router.h"

namespace semaphore::gateway {

class RestTranscoder {
 public:
  // INTERNAL names the method whose google.api.http cannot be right. The table must outlive it.
  static absl::StatusOr<std::unique_ptr<RestTranscoder>> Create(const client::MethodTable& table);

  struct Request {
    std::string_view verb;    // "GET", which also stands for HEAD
    std::string_view target;  // path and query as they were sent, still percent-encoded
    std::string_view content_type;
    std::string_view body;
  };

  struct Routed {
    const client::MethodSpec* method = nullptr;
    std::string request;  // the encoded request message
  };

  // ROUTE_NOT_FOUND, METHOD_NOT_ALLOWED, UNSUPPORTED_MEDIA_TYPE, or INVALID_FIELD with the place of
  // what is wrong; the latter two name the method.
  absl::StatusOr<Routed> Transcode(const Request& request) const;

  // The method alone, without a look at query and body: for who asks first whether the caller may
  // use it.
  absl::StatusOr<const client::MethodSpec*> FindMethod(std::string_view verb,
                                                       std::string_view target) const;

  // For Allow and OPTIONS, in alphabetical order: with HEAD beside GET, and OPTIONS. Empty: no such
  // route.
  std::vector<std::string> AllowedVerbs(std::string_view target) const;

  // An encoded reply as JSON, without white space. INTERNAL for bytes that are none.
  absl::StatusOr<std::string> ReplyJson(const client::MethodSpec& method,
                                        std::string_view reply) const;

 private:
  static absl::Status Fill(const RestRouter::Match& match, std::string_view query,
                           const Request& request, google::protobuf::Message& message);

  RestRouter router_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_REST_TRANSCODER_H_
