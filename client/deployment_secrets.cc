#include "client/deployment_secrets.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/field_mask.h"
#include "client/reply.h"
#include "semaphore/v1/deployment_target.pb.h"

namespace semaphore::client {

namespace asio = boost::asio;
namespace json = boost::json;
using google::protobuf::DynamicCastToGenerated;
using google::protobuf::Message;

namespace {

// The list to keep, "" if the change is about both or none.
std::string ListToKeep(const std::vector<std::string>& changed) {
  const auto has = [&changed](const char* path) {
    return std::find(changed.begin(), changed.end(), path) != changed.end();
  };
  if (has("env_vars") == has("files")) return "";
  return has("files") ? "env_vars" : "files";
}

// The member of a target as upstream shows it to those who may see its secrets: names, and digests
// in the place of values.
absl::StatusOr<json::array> ReadDigests(const std::string& body, const std::string& list) {
  boost::system::error_code error;
  const json::value target = json::parse(body, error);
  const json::object* object = error ? nullptr : target.if_object();
  const json::value* member = object == nullptr ? nullptr : object->if_contains(list);
  if (member == nullptr || !member->is_array()) {
    return MakeError(
        Reason::kUpstreamMalformedResponse,
        absl::StrCat("Semaphore does not show the target's ", list,
                     ", which this change would remove; name env_vars and files in the mask, and "
                     "send both"));
  }
  return member->get_array();
}

}  // namespace

asio::awaitable<CallResult> UpdateDeploymentTarget(Upstream& upstream, const MethodSpec& spec,
                                                   std::shared_ptr<const Message> message,
                                                   CallContext context) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const std::string kept = ListToKeep(*ChangedPaths(spec, *message));  // validated before
  if (kept.empty()) co_return co_await upstream.CallPlain(spec, message, context);
  const auto& request = *DynamicCastToGenerated<v1::UpdateDeploymentTargetRequest>(message.get());
  const MethodSpec& get =
      *upstream.table().Find("semaphore.v1.DeploymentTargetService/GetDeploymentTarget");
  v1::GetDeploymentTargetRequest read;
  read.set_deployment_target_id(request.deployment_target().deployment_target_id());
  std::string key = absl::StrCat(spec.service, "/", read.deployment_target_id());
  const absl::StatusOr<ResourceLocks::Held> held =
      co_await upstream.Lock(std::move(key), context.deadline);
  if (!held.ok()) co_return FailedCall(spec, held.status());
  EncodedRequest encoded = EncodeRequest(get, read);
  encoded.query.emplace_back("include_secrets", "true");
  HttpRequest http = upstream.ToHttp(get, encoded);
  Upstream::SendOptions send;
  Upstream::Exchange exchange =
      co_await upstream.Send(get, std::move(http), context, std::move(send));
  exchange.may_have_arrived = false;  // the change was not sent
  if (!exchange.status.ok()) co_return FailedCall(spec, exchange.status, exchange);
  const absl::StatusOr<json::array> digests = ReadDigests(exchange.response.body, kept);
  if (!digests.ok()) co_return FailedCall(spec, digests.status(), exchange);
  const auto adjust = [&kept, &digests](EncodedRequest& change) {
    json::value body = json::parse(change.body);
    body.as_object()[kept] = *digests;
    change.body = json::serialize(body);
  };
  CallResult result = co_await upstream.CallPlain(spec, message, context, adjust);
  result.attempts += exchange.attempts;
  co_return result;
}

}  // namespace semaphore::client
