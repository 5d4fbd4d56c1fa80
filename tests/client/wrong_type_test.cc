// Replies that are not what they should be: every kind of JSON value in every field of every reply,
// and every kind of document in place of every reply. Each is either a leniency that is written
// down here or an error that names the field.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "client/error.h"
#include "tests/client/full_request.h"
#include "tests/client/upstream_fixture.h"

namespace semaphore::client {
namespace {

using google::protobuf::FieldDescriptor;
using testing::StartsWith;
namespace json = boost::json;

// One of each kind of JSON value, with the edges of each.
const char* const kValues[] = {
    "null",
    "true",
    "false",
    "5",
    "-1.5",
    "1e300",
    "18446744073709551615",
    R"("")",
    R"(" ")",
    R"("5")",
    R"("true")",
    R"("1 day")",
    R"("text")",
    "[]",
    "[5]",
    R"(["text"])",
    "[null]",
    "[[]]",
    "[{}]",
    "{}",
    R"({"x":1})",
};

// What a field takes without an error; everything else must be refused by name.
std::set<std::string> AcceptedBy(const FieldPlan& plan) {
  const FieldDescriptor* field = plan.field;
  const std::set<std::string> texts = {"null",      "5",          "18446744073709551615",
                                       R"("")",     R"(" ")",     R"("5")",
                                       R"("true")", R"("1 day")", R"("text")"};
  const std::set<std::string> objects = {"null", "{}", R"({"x":1})"};
  if (plan.wire.codec() == upstream::v1::CODEC_COMMA_LIST) return texts;
  if (plan.wire.codec() == upstream::v1::CODEC_AGE_TEXT) return {"null", R"("")", R"("1 day")"};
  // A map takes texts under any key.
  if (field->is_map()) return objects;
  if (field->is_repeated()) {
    if (plan.message_plan != nullptr) return {"null", "[]", "[{}]"};
    return {"null", "[]", "[5]", R"(["text"])", "[null]"};
  }
  if (IsTimestamp(field)) return {"null", "5", "-1.5", R"("")", R"("5")", "{}", R"({"x":1})"};
  if (IsDuration(field)) return {"null", "5", R"("5")"};
  switch (field->type()) {
    case FieldDescriptor::TYPE_MESSAGE:
      return objects;
    case FieldDescriptor::TYPE_STRING:
      return texts;
    case FieldDescriptor::TYPE_BOOL:
      return {"null", "true", "false", R"("")", R"("true")"};
    case FieldDescriptor::TYPE_INT32:
      return {"null", "5", R"("")", R"("5")"};
    case FieldDescriptor::TYPE_ENUM:
      // An unknown word or number is counted, never an error.
      return {"null",     "5",      "-1.5",   "1e300",     "18446744073709551615",
              R"("")",    R"(" ")", R"("5")", R"("true")", R"("1 day")",
              R"("text")"};
    default:
      ADD_FAILURE() << "no rule for " << field->full_name();
      return {};
  }
}

// {"a":{"b":value}} for the path a.b
json::object At(const std::string& path, json::value value) {
  const std::vector<std::string> keys = absl::StrSplit(path, '.');
  for (size_t i = keys.size(); i-- > 1;) value = json::object{{keys[i], std::move(value)}};
  return json::object{{keys[0], std::move(value)}};
}

// Whether further keys of the same message stand below this one ("spec" and "spec.project_id"):
// then it must be an object whatever its own field would take.
bool HasKeysBelow(const MessagePlan& plan, const FieldPlan& field) {
  for (const auto& other : plan.fields) {
    if (absl::StartsWith(other->path, field.path + ".")) return true;
  }
  return false;
}

void CheckField(const MessagePlan& plan, const FieldPlan& field, const json::value& value,
                const std::string& text) {
  google::protobuf::Message* message =
      google::protobuf::MessageFactory::generated_factory()->GetPrototype(plan.type)->New();
  const std::unique_ptr<google::protobuf::Message> owner(message);
  Drift drift;
  const absl::Status status =
      DecodeObject(At(field.path, value), plan, DecodeContext{nullptr, &drift}, *message);
  const bool accepted = AcceptedBy(field).contains(text);
  EXPECT_EQ(status.ok(), accepted) << status;
  if (status.ok()) return;
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), StartsWith(field.path)) << "the field is not named";
  EXPECT_LT(status.message().size(), 300u);
}

// Every plan that a reply can lead to.
void Collect(const MessagePlan* plan, std::set<const MessagePlan*>& seen) {
  if (!seen.insert(plan).second) return;
  for (const auto& field : plan->fields) {
    if (field->message_plan != nullptr && !field->wire.secret()) Collect(field->message_plan, seen);
  }
}

TEST(WrongType, InAnyFieldOfAnyReplyIsAKnownLeniencyOrNamesTheField) {
  std::set<const MessagePlan*> plans;
  for (const auto& spec : Table().methods()) Collect(spec->reply_plan, plans);
  size_t fields = 0;
  for (const MessagePlan* plan : plans) {
    for (const auto& field : plan->fields) {
      if (field->wire.secret() || HasKeysBelow(*plan, *field)) continue;
      // The members of an age stand in one text and are never looked up by name.
      if (plan->type->full_name() == "semaphore.v1.ArtifactAge") continue;
      ++fields;
      for (const char* text : kValues) {
        SCOPED_TRACE(plan->type->full_name() + "." + field->field->name() + " is " + text);
        CheckField(*plan, *field, json::parse(text), text);
      }
    }
  }
  EXPECT_GT(fields, 150u);
}

TEST(WrongType, WhereFurtherKeysStandBelowTheErrorNamesTheKey) {
  std::set<const MessagePlan*> plans;
  for (const auto& spec : Table().methods()) Collect(spec->reply_plan, plans);
  size_t nodes = 0;
  for (const MessagePlan* plan : plans) {
    std::set<std::string> parents;
    for (const auto& field : plan->fields) {
      for (size_t at = field->path.find('.'); at != std::string::npos;
           at = field->path.find('.', at + 1)) {
        parents.insert(field->path.substr(0, at));
      }
    }
    for (const std::string& parent : parents) {
      ++nodes;
      for (const char* text : kValues) {
        SCOPED_TRACE(plan->type->full_name() + ": " + parent + " is " + text);
        const std::unique_ptr<google::protobuf::Message> message(
            google::protobuf::MessageFactory::generated_factory()->GetPrototype(plan->type)->New());
        Drift drift;
        const json::value value = json::parse(text);
        const absl::Status status =
            DecodeObject(At(parent, value), *plan, DecodeContext{nullptr, &drift}, *message);
        EXPECT_EQ(status.ok(), value.is_null() || value.is_object()) << status;
        if (status.ok()) continue;
        EXPECT_THAT(std::string(status.message()), StartsWith(parent + ": "));
      }
    }
  }
  EXPECT_GT(nodes, 5u);
}

// ---- Whole replies

class WrongReply : public UpstreamFixture, public testing::WithParamInterface<std::string> {
 protected:
  const MethodSpec& spec() const { return Method(GetParam()); }

  // What the caller is told when every reply is `body`.
  std::string Reason(const std::string& body) {
    http_.requests.clear();
    http_.Otherwise([&body](const HttpRequest&) {
      HttpResult result;
      result.may_have_arrived = true;
      result.response = {200, {}, body};
      return result;
    });
    return ReasonOf(CallMessage(spec(), FullRequest(spec())).status);
  }

  bool SaysNothing() const { return spec().descriptor->output_type()->field_count() == 0; }

  // The request carries a caller's token, so only what may never be repeated ends in doubt.
  std::string Malformed() const {
    return spec().call.idempotency() == upstream::v1::IDEMPOTENCY_NEVER
               ? "OUTCOME_UNKNOWN"
               : "UPSTREAM_MALFORMED_RESPONSE";
  }
};

TEST_P(WrongReply, ThatIsNoJsonIsMalformed) {
  for (const char* body : {"<!DOCTYPE html><html>502</html>", "{", "{\"a\":", "[", "[{", "\"cut",
                           "{}x", "[]]", "nul", "\xff", "{\"a\":\"\xff\"}", "{a:1}", "tru"}) {
    EXPECT_EQ(Reason(body), Malformed()) << body;
  }
}

TEST_P(WrongReply, ThatIsEmptyIsMalformedUnlessItHasNothingToSay) {
  for (const char* body : {"", " ", "\r\n"}) {
    EXPECT_EQ(Reason(body), SaysNothing() ? "" : Malformed()) << "'" << body << "'";
  }
}

TEST_P(WrongReply, OfAnotherTypeIsMalformedUnlessItHasNothingToSay) {
  for (const char* body : {"null", "true", "5", "\"text\"", "[5]", "[null]", "[[]]", "[\"x\"]"}) {
    EXPECT_EQ(Reason(body), SaysNothing() ? "" : Malformed()) << body;
  }
}

TEST_P(WrongReply, ThatIsNestedTooDeepIsRefused) {
  for (const size_t levels : {10000, 100000}) {
    const std::string arrays = std::string(levels, '[') + std::string(levels, ']');
    std::string objects;
    for (size_t i = 0; i < levels; ++i) objects += "{\"a\":";
    for (const std::string& body : {arrays, std::string(levels, '['), objects}) {
      const std::string reason = Reason(body);
      EXPECT_TRUE(reason == "UPSTREAM_RESPONSE_TOO_LARGE" || reason == Malformed()) << reason;
    }
    if (!SaysNothing() && Malformed() != "OUTCOME_UNKNOWN") {
      EXPECT_EQ(Reason("{\"x\":" + arrays + "}"), "UPSTREAM_RESPONSE_TOO_LARGE");
    }
  }
}

TEST_P(WrongReply, WithADuplicateKeyIsReadOnce) {
  const std::string reason =
      Reason(R"({"pipeline":[],"pipeline":{},"events":5,"events":[],"workflow":5,"workflow":{}})");
  EXPECT_TRUE(reason.empty() || reason == Malformed()) << reason;
}

std::vector<std::string> AllMethods() {
  std::vector<std::string> names;
  for (const auto& spec : Table().methods())
    names.push_back(spec->full_name.substr(std::string("semaphore.v1.").size()));
  return names;
}

INSTANTIATE_TEST_SUITE_P(Of, WrongReply, testing::ValuesIn(AllMethods()), [](const auto& info) {
  return info.param.substr(info.param.find('/') + 1);
});

}  // namespace
}  // namespace semaphore::client
