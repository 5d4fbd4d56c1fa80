// A whole upstream reply into a method's reply message: bounded parse, the place in the document
// where the resource or list stands, and the ids that upstream leaves out. The members themselves
// are decoder.cc's business.
#ifndef SEMAPHORE_CLIENT_REPLY_H_
#define SEMAPHORE_CLIENT_REPLY_H_

#include <google/protobuf/message.h>

#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/decoder.h"
#include "client/method_table.h"
#include "client/pages.h"

namespace semaphore::client {

// Fills `reply` (of the method's reply type) from a 2xx body. UPSTREAM_MALFORMED_RESPONSE names the
// member that is wrong, UPSTREAM_RESPONSE_TOO_LARGE a nesting of more than 64 levels,
// UPSTREAM_NOT_FOUND an empty lookup.
absl::Status DecodeReply(const MethodSpec& spec, std::string_view body,
                         const google::protobuf::Message& request, Drift& drift,
                         google::protobuf::Message& reply);

// The same for a page of a list: `facts` holds what the headers said. Appends the items that belong
// to the caller's page; the tokens are the caller's to set from the verdict.
absl::StatusOr<PageVerdict> DecodePage(const MethodSpec& spec, std::string_view body,
                                       const PageQuery& query, PageFacts facts, Drift& drift,
                                       google::protobuf::Message& reply);

// The errors of DecodeReply for a body that is no JSON object; its members may be anything.
absl::Status CheckIsObject(std::string_view body);

// Fields that are empty in `reply` and known from `request`, such as the id that was asked for.
void FillFromRequest(const MethodSpec& spec, const google::protobuf::Message& request,
                     google::protobuf::Message& reply);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_REPLY_H_
