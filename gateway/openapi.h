// The API over REST as an OpenAPI 3.1 document, made from the same descriptors that serve the
// calls, so that it cannot differ from them. Comments come from the .proto files; examples are made
// up here and are valid requests.
#ifndef SEMAPHORE_GATEWAY_OPENAPI_H_
#define SEMAPHORE_GATEWAY_OPENAPI_H_

#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "client/method_table.h"

namespace semaphore::gateway {

// `commented_protos` is an encoded FileDescriptorSet with source information (kCommentedProtos).
// INTERNAL names the method or field that the document cannot express.
absl::StatusOr<std::string> OpenApiDocument(const client::MethodTable& table,
                                            std::string_view commented_protos);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_OPENAPI_H_
