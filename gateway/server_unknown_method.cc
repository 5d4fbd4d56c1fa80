#include "gateway/server_unknown_method.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/quote.h"
#include "gateway/service_credentials.h"
#include "gateway/status.h"

namespace semaphore::gateway {
namespace {

// One call. Deletes itself when gRPC is done with it.
class UnknownMethodCall final : public grpc::ServerGenericBidiReactor {
 public:
  explicit UnknownMethodCall(const absl::Status& status) { Finish(ToGrpcStatus(status)); }

  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerGenericBidiReactor* UnknownMethodService::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  absl::Status status = check_ ? check_(CredentialsOf(*context)) : absl::OkStatus();
  if (status.ok()) {
    status =
        client::MakeError(client::Reason::kMethodNotFound,
                          absl::StrCat("no method ", client::Quote(context->method()),
                                       "; reflection and the .proto files tell which there are"));
  }
  return new UnknownMethodCall(status);
}

}  // namespace semaphore::gateway
