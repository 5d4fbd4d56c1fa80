#include "gateway/rest_status.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>
#include <memory>
#include <string_view>
#include <utility>

#include "absl/strings/cord.h"
#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/string_view.h"
#include "gateway/json_text.h"
#include "gateway/rest_json_writer.h"

namespace semaphore::gateway {
namespace {

using client::Reason;
using google::protobuf::DescriptorPool;
using google::protobuf::Message;
using google::protobuf::MessageFactory;

constexpr std::pair<Reason, int> kByReason[] = {
    {Reason::kUpstreamTokenRejected, 502}, {Reason::kMethodNotAllowed, 405},
    {Reason::kNotAcceptable, 406},         {Reason::kBodyTooLarge, 413},
    {Reason::kUnsupportedMediaType, 415},
};

int HttpStatusOfCode(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return 200;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kFailedPrecondition:
    case absl::StatusCode::kOutOfRange:
      return 400;
    case absl::StatusCode::kUnauthenticated:
      return 401;
    case absl::StatusCode::kPermissionDenied:
      return 403;
    case absl::StatusCode::kNotFound:
      return 404;
    case absl::StatusCode::kAlreadyExists:
    case absl::StatusCode::kAborted:
      return 409;
    case absl::StatusCode::kResourceExhausted:
      return 429;
    case absl::StatusCode::kCancelled:
      return 499;
    case absl::StatusCode::kUnimplemented:
      return 501;
    case absl::StatusCode::kUnavailable:
      return 503;
    case absl::StatusCode::kDeadlineExceeded:
      return 504;
    default:
      return 500;
  }
}

// The detail as an object with @type; empty for a type that this program does not know.
std::string DetailJson(const std::string& url, const absl::Cord& payload) {
  const size_t slash = url.rfind('/');
  const auto* type = DescriptorPool::generated_pool()->FindMessageTypeByName(
      slash == std::string::npos ? url : url.substr(slash + 1));
  if (type == nullptr) return "";
  const Message* prototype = MessageFactory::generated_factory()->GetPrototype(type);
  if (prototype == nullptr) return "";
  const std::unique_ptr<Message> detail(prototype->New());
  if (!detail->ParseFromString(std::string(payload))) return "";
  std::string members;
  if (!AppendRestMembers(*detail, &members).ok()) return "";
  std::string json = "{\"@type\":";
  AppendJsonString(&json, url);
  absl::StrAppend(&json, members.empty() ? "" : ",", members, "}");
  return json;
}

}  // namespace

int HttpStatusOf(const absl::Status& status) {
  const auto info = client::GetErrorInfo(status);
  for (const auto& [reason, code] : kByReason) {
    if (info && info->reason() == client::ReasonName(reason)) return code;
  }
  return HttpStatusOfCode(status.code());
}

std::string StatusJson(const absl::Status& status) {
  std::map<std::string, std::string> details;
  status.ForEachPayload([&details](absl::string_view url, const absl::Cord& payload) {
    std::string detail = DetailJson(std::string(url), payload);
    if (!detail.empty()) details[std::string(url)] = std::move(detail);
  });
  std::string json = absl::StrCat("{\"code\":", status.raw_code(), ",\"message\":");
  AppendJsonString(&json, client::ToStd(status.message()));
  json += ",\"details\":[";
  bool first = true;
  for (const auto& [url, detail] : details) {
    if (!first) json += ',';
    first = false;
    json += detail;
  }
  json += "]}";
  return json;
}

}  // namespace semaphore::gateway
