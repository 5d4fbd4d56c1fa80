// REST transcoding must take any target, any body and any reply bytes, and what it accepts must be
// what was said: an accepted request is a message that can be validated, written as JSON and read
// back as the same.
//
// An input is "VERB TARGET\nCONTENT-TYPE\nBODY"; or, with a first byte over 0x7F, which names a
// method, the bytes of a reply.
#include <google/protobuf/message.h>
#include <google/protobuf/stubs/logging.h>
#include <google/protobuf/util/message_differencer.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <string>
#include <string_view>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/method_table.h"
#include "client/string_view.h"
#include "client/validate.h"
#include "gateway/rest_json_reader.h"
#include "gateway/rest_json_writer.h"
#include "gateway/rest_status.h"
#include "gateway/rest_transcoder.h"
#include "google/api/annotations.pb.h"
#include "tests/client/full_request.h"
#include "tests/fuzz/fuzz_target.h"

namespace semaphore {
namespace {

using client::MethodSpec;
using client::MethodTable;
using gateway::RestTranscoder;
using google::protobuf::Message;

struct World {
  World() : table(*MethodTable::Build()), transcoder(*RestTranscoder::Create(*table)) {}

  const google::protobuf::LogSilencer silence;  // protobuf says each text that is no UTF-8
  const std::unique_ptr<MethodTable> table;
  const std::unique_ptr<RestTranscoder> transcoder;
};

const World& TheWorld() {
  static const World* const world = new World;
  return *world;
}

void Check(bool holds, const char* what, std::string_view input) {
  if (holds) return;
  std::cerr << "broken: " << what << "\ninput: " << absl::CEscape(client::ToAbsl(input)) << '\n';
  std::abort();
}

bool IsJson(const std::string& text) {
  boost::json::error_code error;
  boost::json::parse(text, error);
  return !error;
}

void CheckAccepted(const RestTranscoder::Routed& routed, std::string_view input) {
  const MethodSpec& method = *routed.method;
  const std::unique_ptr<Message> request(method.request_prototype->New());
  Check(request->ParseFromString(routed.request), "an accepted request is a message", input);
  (void)client::ValidateRequest(method, *request);
  // Masks of fields that cannot exist, "a__b", have no spelling in camel case.
  if (method.mask_field != nullptr)
    request->GetReflection()->ClearField(request.get(), method.mask_field);
  std::string json;
  Check(gateway::AppendRestJson(*request, &json).ok(), "an accepted request has JSON", input);
  Check(IsJson(json), "what is written is JSON", input);
  const std::unique_ptr<Message> back(request->New());
  Check(gateway::ReadRestJson(json, "", *back, nullptr).ok(), "what is written can be read", input);
  Check(google::protobuf::util::MessageDifferencer::Equals(*request, *back),
        "what is read back is the same", input);
}

void TryRequest(std::string_view input) {
  const size_t first = std::min(input.find('\n'), input.size());
  const std::string_view line = input.substr(0, first);
  const std::string_view rest = input.substr(std::min(first + 1, input.size()));
  const size_t second = std::min(rest.find('\n'), rest.size());
  const size_t space = std::min(line.find(' '), line.size());
  const RestTranscoder::Request request{.verb = line.substr(0, space),
                                        .target = line.substr(std::min(space + 1, line.size())),
                                        .content_type = rest.substr(0, second),
                                        .body = rest.substr(std::min(second + 1, rest.size()))};
  const RestTranscoder& transcoder = *TheWorld().transcoder;
  const auto routed = transcoder.Transcode(request);
  const bool exists = !transcoder.AllowedVerbs(request.target).empty();
  Check(!routed.ok() || exists, "what is accepted has a verb", input);
  Check(transcoder.FindMethod(request.verb, request.target).ok() || !routed.ok(),
        "what is accepted has a method", input);
  if (routed.ok()) return CheckAccepted(*routed, input);
  const int code = gateway::HttpStatusOf(routed.status());
  Check(code == 400 || code == 404 || code == 405 || code == 415, "a refusal is the caller's",
        input);
  Check(!client::HasReason(routed.status(), client::Reason::kRouteNotFound) || !exists,
        "what is not found has no verbs", input);
  const std::string json = gateway::StatusJson(routed.status());
  Check(IsJson(json) && json.size() < 16384, "an error is JSON and short", input);
}

void TryReply(std::string_view input) {
  const auto& methods = TheWorld().table->methods();
  const size_t index = (static_cast<unsigned char>(input.front()) & 0x7Fu) % methods.size();
  const auto json = TheWorld().transcoder->ReplyJson(*methods[index], input.substr(1));
  if (json.ok()) Check(IsJson(*json), "a reply is JSON", input);
}

// "/v1/agentTypes/{agent_type.name}" with an id for the field.
std::string WithIds(std::string path) {
  for (size_t open = 0; (open = path.find('{')) != std::string::npos;)
    path.replace(open, path.find('}') - open + 1, "id");
  return path;
}

}  // namespace

namespace fuzz {

std::vector<std::string> Seeds() {
  std::vector<std::string> seeds = {
      "GET /v1/pipelines?projectId=p&pageSize=3&createdAfter=2026-01-31T12:00:00.5%2B01:00\n\n",
      "GET /v1/pipelines/p?view=PIPELINE_VIEW_FULL\n\n",
      "PATCH /v1/agentTypes/s1-a?updateMask=nameSettings.aws,name_settings\napplication/json; "
      "charset=utf-8\n{\"name\":\"s1-a\",\"nameSettings\":{\"releaseAfter\":\"60.5s\"}}",
      "POST /v1/workflows:run\n\n{\"projectId\":\"p\",\"reference\":\"r\",\"parameters\":{\"A\":"
      "\"\\u00e9\\ud83d\\ude80\"}}",
  };
  const auto& methods = TheWorld().table->methods();
  for (const auto& method : methods) {
    const google::api::HttpRule& rule =
        method->descriptor->options().GetExtension(google::api::http);
    const std::unique_ptr<Message> full = client::FullRequest(*method);
    const char* verb = rule.has_get()     ? "GET"
                       : rule.has_post()  ? "POST"
                       : rule.has_patch() ? "PATCH"
                                          : "DELETE";
    std::string body;
    if (rule.body() == "*") {
      (void)gateway::AppendRestJson(*full, &body);
    } else if (!rule.body().empty()) {
      const auto* field = full->GetDescriptor()->FindFieldByName(rule.body());
      (void)gateway::AppendRestJson(full->GetReflection()->GetMessage(*full, field), &body);
    }
    seeds.push_back(absl::StrCat(verb, " ",
                                 WithIds(rule.get() + rule.post() + rule.patch() + rule.delete_()),
                                 "\n", body.empty() ? "" : "application/json", "\n", body));
    seeds.push_back(static_cast<char>(0x80 + method->index) + full->SerializeAsString());
  }
  return seeds;
}

std::vector<std::string> Words() {
  return {"%2F",
          "%00",
          "%3A",
          "%C0%AF",
          "%zz",
          ":",
          "/",
          "?",
          "&",
          "=",
          "+",
          ".",
          ":stop",
          "..",
          "{",
          "}",
          "[",
          "]",
          "\"",
          "\\",
          ",",
          "null",
          "true",
          "NaN",
          "1e400",
          "-0",
          "1.5",
          "\\u0000",
          "\\ud800",
          "\\udc00",
          "\xED\xA0\x80",
          "\xFF",
          "pageSize=",
          "page_size=",
          "projectId=",
          "view=",
          "updateMask=",
          "requestId=",
          "\"name\":",
          "\"nameSettings\":{",
          "\"releaseAfter\":\"",
          "\"subjectRules\":[",
          "\"\":",
          "99999999999",
          "2026-01-31T12:00:00Z",
          "+02:00",
          "60s",
          "PIPELINE_VIEW_FULL",
          "application/json",
          "\n"};
}

}  // namespace fuzz
}  // namespace semaphore

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  if (!input.empty() && static_cast<unsigned char>(input.front()) > 0x7F) {
    semaphore::TryReply(input);
  } else {
    semaphore::TryRequest(input);
  }
  return 0;
}
