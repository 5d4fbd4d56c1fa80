// What an audit line says of a change: who, what and how it ended, never a body.
#include "gateway/audit_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "tests/client/method_fixture.h"

namespace semaphore::gateway {
namespace {

using testing::HasSubstr;
using testing::Not;

// The line that a change leaves.
std::string LineOf(const char* method, const std::string& request) {
  const client::SystemClock clock;
  std::string text;
  {
    Log log(clock, {}, [&text](std::string_view line) { text += line; });
    AuditLog audit(log, client::Table());
    const client::MethodSpec& spec = client::Method(method);
    const auto message = client::RequestOf(spec, request);
    EXPECT_TRUE(audit.Reserve(/*refused=*/false));
    audit.Write({.method = &spec,
                 .request = message.get(),
                 .caller = "deploy-bot",
                 .organization = "acme",
                 .code = "OK",
                 .reason = {},
                 .request_id = "r-1",
                 .peer = "ipv4:10.0.0.7:5"});
  }
  return text;
}

std::string FieldOf(const std::string& line, const char* key) {
  const boost::json::value parsed = boost::json::parse(line);
  const boost::json::value* value = parsed.as_object().if_contains(key);
  return value == nullptr ? "" : std::string(value->as_string());
}

TEST(AuditLogTest, SaysWhoDidWhatAndHowItEnded) {
  const std::string line = LineOf("PipelineService/StopPipeline", "pipeline_id: 'p-1'");
  EXPECT_EQ(FieldOf(line, "event"), "audit");
  EXPECT_EQ(FieldOf(line, "caller"), "deploy-bot");
  EXPECT_EQ(FieldOf(line, "method"), "semaphore.v1.PipelineService/StopPipeline");
  EXPECT_EQ(FieldOf(line, "organization"), "acme");
  EXPECT_EQ(FieldOf(line, "code"), "OK");
  EXPECT_EQ(FieldOf(line, "request.pipeline_id"), "p-1");
  EXPECT_EQ(FieldOf(line, "request_id"), "r-1");
  EXPECT_EQ(FieldOf(line, "peer"), "ipv4:10.0.0.7:5");
  EXPECT_THAT(line, Not(HasSubstr("\"reason\"")));
}

TEST(AuditLogTest, NamesTheResourceThatARequestCarries) {
  const std::string line = LineOf("DeploymentTargetService/CreateDeploymentTarget",
                                  "deployment_target { name: 'prod' project_id: 'pr-1' } "
                                  "request_id: '6063dd03-ecfb-11ed-b539-0045e2f582b7'");
  EXPECT_EQ(FieldOf(line, "request.deployment_target.name"), "prod");
  EXPECT_EQ(FieldOf(line, "request.deployment_target.project_id"), "pr-1");
  EXPECT_THAT(line, Not(HasSubstr("6063dd03"))) << "the token of the request names nothing";
}

TEST(AuditLogTest, HoldsNothingElseOfTheRequest) {
  const std::string secret = "CANARY";
  const std::string lines[] = {
      LineOf("DeploymentTargetService/CreateDeploymentTarget",
             "deployment_target { name: 'prod' description: 'CANARY' url: 'https://CANARY' "
             "env_vars { name: 'CANARY' value: 'CANARY' } "
             "files { path: 'CANARY' content: 'CANARY' } }"),
      LineOf("WorkflowService/RunWorkflow",
             "project_id: 'p' reference: 'CANARY' parameters { key: 'CANARY' value: 'CANARY' }"),
      LineOf("PromotionService/TriggerPromotion",
             "pipeline_id: 'p' name: 'prod' parameters { key: 'CANARY' value: 'CANARY' }")};
  for (const std::string& line : lines) EXPECT_THAT(line, Not(HasSubstr(secret)));
  EXPECT_EQ(FieldOf(lines[1], "request.project_id"), "p");
  EXPECT_EQ(FieldOf(lines[2], "request.name"), "prod");
}

TEST(AuditLogTest, AnIdThatIsNoneIsNotRepeated) {
  const std::string line =
      LineOf("PipelineService/StopPipeline", "pipeline_id: '" + std::string(5000, 'x') + "'");
  EXPECT_LT(line.size(), 500u);
}

// A new change whose request names nothing by a telling field would leave lines that say little.
TEST(AuditLogTest, EveryChangeNamesSomething) {
  const client::SystemClock clock;
  Log log(clock, {}, [](std::string_view) {});
  for (const auto& method : client::Table().methods()) {
    if (!method->IsChange()) continue;
    SCOPED_TRACE(method->full_name);
    std::unique_ptr<google::protobuf::Message> request(method->request_prototype->New());
    const auto* type = method->descriptor->input_type();
    for (int i = 0; i < type->field_count(); ++i) {
      const auto* field = type->field(i);
      if (field->is_repeated() || field == method->token_field) continue;
      auto* part = request.get();
      const auto* of = type;
      if (field->message_type() != nullptr) {
        part = request->GetReflection()->MutableMessage(request.get(), field);
        of = field->message_type();
      }
      for (int j = 0; j < of->field_count(); ++j) {
        const auto* text = of->field(j);
        if (text->is_repeated() || text->type() != google::protobuf::FieldDescriptor::TYPE_STRING)
          continue;
        part->GetReflection()->SetString(part, text, "named");
      }
    }
    std::string debug;
    ASSERT_TRUE(google::protobuf::TextFormat::PrintToString(*request, &debug));
    const std::string name = method->service.substr(method->service.rfind('.') + 1);
    EXPECT_THAT(LineOf((name + "/" + method->name).c_str(), debug), HasSubstr(":\"named\""));
  }
}

}  // namespace
}  // namespace semaphore::gateway
