// The query of a request as fields of its message: repeated fields by repetition, members of
// messages with dots, values as proto3 JSON writes them.
#ifndef SEMAPHORE_GATEWAY_REST_QUERY_H_
#define SEMAPHORE_GATEWAY_REST_QUERY_H_

#include <google/protobuf/message.h>

#include <string_view>

#include "absl/status/status.h"
#include "gateway/rest_router.h"

namespace semaphore::gateway {

// Sets what the query (behind the '?', as it was sent) gives. '+' and %20 are spaces. INVALID_FIELD
// names up to 16 parameters that are wrong: of no field, of a field that the path or the body of
// `route` gives, of a message or a map, given twice though the field is single (in whatever
// spelling), of a wrong value.
absl::Status ReadQuery(std::string_view query, const RestRoute& route,
                       google::protobuf::Message& message);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_REST_QUERY_H_
