#include "gateway/server_unknown_method.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/quote.h"
#include "gateway/status.h"

namespace semaphore::gateway {
namespace {

// One call. Deletes itself when gRPC is done with it.
class UnknownMethodCall final : public grpc::ServerGenericBidiReactor {
 public:
  explicit UnknownMethodCall(const std::string& method) {
    Finish(ToGrpcStatus(
        client::MakeError(client::Reason::kMethodNotFound,
                          absl::StrCat("no method ", client::Quote(method),
                                       "; reflection and the .proto files tell which there are"))));
  }

  void OnDone() override { delete this; }
};

}  // namespace

grpc::ServerGenericBidiReactor* UnknownMethodService::CreateReactor(
    grpc::GenericCallbackServerContext* context) {
  return new UnknownMethodCall(context->method());
}

}  // namespace semaphore::gateway
