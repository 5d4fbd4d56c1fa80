#include "gateway/rest_transcoder.h"

#include <google/protobuf/arena.h>
#include <google/protobuf/field_mask.pb.h>

#include <climits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/error.h"
#include "client/field_mask.h"
#include "client/quote.h"
#include "client/string_view.h"
#include "client/validate.h"
#include "gateway/rest_json_reader.h"
#include "gateway/rest_json_writer.h"
#include "gateway/rest_query.h"
#include "google/api/annotations.pb.h"

namespace semaphore::gateway {
namespace {

using client::InvalidFields;
using client::MakeError;
using client::MethodSpec;
using client::Quote;
using client::Reason;
using client::ToAbsl;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// "/v1/jobs?page_size=3" is "/v1/jobs" and "page_size=3".
std::pair<std::string_view, std::string_view> SplitTarget(std::string_view target) {
  const size_t mark = target.find('?');
  if (mark == std::string_view::npos) return {target, {}};
  return {target.substr(0, mark), target.substr(mark + 1)};
}

// "application/json", also with a charset if that is UTF-8; nothing at all is taken for it.
bool IsJson(std::string_view content_type) {
  bool first = true;
  for (const absl::string_view raw : absl::StrSplit(ToAbsl(content_type), ';')) {
    const std::string part = absl::AsciiStrToLower(absl::StripAsciiWhitespace(raw));
    if (first && !part.empty() && part != "application/json") return false;
    if (!first && absl::StartsWith(part, "charset=") && part != "charset=utf-8" &&
        part != "charset=\"utf-8\"") {
      return false;
    }
    first = false;
  }
  return true;
}

// What the body has a value for goes into `given`, for a mask.
absl::Status ReadBody(const RestRoute& route, const RestTranscoder::Request& request,
                      Message& message, std::vector<std::string>& given) {
  if (request.body.empty()) return absl::OkStatus();  // as {}
  if (route.body.empty()) {
    return InvalidFields(
        {{"body", absl::StrCat(route.verb, " takes no body; its fields go into the query")}});
  }
  if (!IsJson(request.content_type)) {
    return MakeError(Reason::kUnsupportedMediaType,
                     absl::StrCat("the body must be application/json in UTF-8, not ",
                                  Quote(request.content_type)));
  }
  if (route.body_field == nullptr) return ReadRestJson(request.body, "", message, nullptr);
  Message* field = message.GetReflection()->MutableMessage(&message, route.body_field);
  return ReadRestJson(request.body, route.body, *field, &given);
}

// After the body, which may repeat what the path says but not contradict it.
absl::Status BindPath(const RestRouter::Match& match, Message& message) {
  std::vector<client::FieldViolation> violations;
  for (const PathVariable& variable : match.route->variables) {
    const std::string& value = match.segments[variable.segment];
    if (!client::IsPathId(value)) {
      violations.push_back(
          {variable.name,
           absl::StrCat("must be 1 to 128 characters of A-Z a-z 0-9 . _ ~ -, not . or .., got ",
                        Quote(value))});
      continue;
    }
    Message* holder = &message;
    const FieldDescriptor* field = variable.field.back();
    for (const FieldDescriptor* step : variable.field) {
      if (step != field) holder = holder->GetReflection()->MutableMessage(holder, step);
    }
    const std::string said = holder->GetReflection()->GetString(*holder, field);
    if (!said.empty() && said != value) {
      violations.push_back({variable.name, absl::StrCat("the path says ", Quote(value),
                                                        " and the body ", Quote(said))});
    }
    holder->GetReflection()->SetString(holder, field, value);
  }
  return violations.empty() ? absl::OkStatus() : InvalidFields(violations);
}

// An update whose caller gave no mask changes what the body has. Made here because the encoded
// message no longer knows that an empty list or a default was written down.
void MakeMask(const RestRoute& route, const std::vector<std::string>& given, Message& message) {
  const MethodSpec& method = *route.method;
  if (method.mask_field == nullptr || given.empty() ||
      client::ResourceField(method) != route.body_field ||
      message.GetReflection()->HasField(message, method.mask_field)) {
    return;
  }
  auto& mask = *google::protobuf::DynamicCastToGenerated<google::protobuf::FieldMask>(
      message.GetReflection()->MutableMessage(&message, method.mask_field));
  for (const std::string& path : given) mask.add_paths(path);
}

}  // namespace

absl::StatusOr<std::unique_ptr<RestTranscoder>> RestTranscoder::Create(
    const client::MethodTable& table) {
  auto transcoder = std::make_unique<RestTranscoder>();
  for (const std::unique_ptr<MethodSpec>& method : table.methods()) {
    for (const auto* type : {method->descriptor->input_type(), method->descriptor->output_type()}) {
      const absl::Status checked = CheckRestType(type);
      if (!checked.ok())
        return absl::InternalError(absl::StrCat(method->full_name, ": ", checked.message()));
    }
    const absl::Status added = transcoder->router_.Add(
        *method, method->descriptor->options().GetExtension(google::api::http));
    if (!added.ok()) return added;
  }
  return transcoder;
}

absl::StatusOr<RestTranscoder::Routed> RestTranscoder::Transcode(const Request& request) const {
  const auto [path, query] = SplitTarget(request.target);
  const absl::StatusOr<RestRouter::Match> match = router_.Find(request.verb, path);
  if (!match.ok()) return match.status();
  const MethodSpec& method = *match->route->method;
  const std::unique_ptr<Message> message(method.request_prototype->New());
  absl::Status filled = Fill(*match, query, request, *message);
  if (!filled.ok()) return client::WithMethod(std::move(filled), method.full_name);
  return Routed{&method, message->SerializeAsString()};
}

absl::Status RestTranscoder::Fill(const RestRouter::Match& match, std::string_view query,
                                  const Request& request, Message& message) {
  std::vector<std::string> given;
  absl::Status status = ReadBody(*match.route, request, message, given);
  if (status.ok()) status = BindPath(match, message);
  if (status.ok()) status = ReadQuery(query, *match.route, message);
  if (status.ok()) MakeMask(*match.route, given, message);
  return status;
}

absl::StatusOr<const MethodSpec*> RestTranscoder::FindMethod(std::string_view verb,
                                                             std::string_view target) const {
  const absl::StatusOr<RestRouter::Match> match = router_.Find(verb, SplitTarget(target).first);
  if (!match.ok()) return match.status();
  return match->route->method;
}

std::vector<std::string> RestTranscoder::AllowedVerbs(std::string_view target) const {
  return router_.AllowedVerbs(SplitTarget(target).first);
}

absl::StatusOr<std::string> RestTranscoder::ReplyJson(const MethodSpec& method,
                                                      std::string_view reply) const {
  // Most replies fit into the first block, so that reading them allocates little.
  alignas(8) char block[8192];
  google::protobuf::ArenaOptions options;
  options.initial_block = block;
  options.initial_block_size = sizeof block;
  google::protobuf::Arena arena(options);
  Message* message = method.reply_prototype->New(&arena);
  std::string json;
  json.reserve(reply.size() * 2 + 64);
  absl::Status written = absl::InternalError("the bytes are no message");
  if (reply.size() <= INT_MAX &&
      message->ParseFromArray(reply.data(), static_cast<int>(reply.size()))) {
    written = AppendRestJson(*message, &json);
  }
  if (written.ok()) return json;
  client::ErrorDetails details;
  details.method = method.full_name;
  return MakeError(Reason::kGatewayError,
                   absl::StrCat("the reply cannot be shown as JSON: ", written.message()), details);
}

}  // namespace semaphore::gateway
