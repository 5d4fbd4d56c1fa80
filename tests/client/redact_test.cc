#include "client/redact.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <boost/json/value.hpp>
#include <string>

#include "absl/strings/escaping.h"
#include "client/validate.h"
#include "semaphore/v1/deployment_target.pb.h"
#include "tests/client/full_request.h"
#include "tests/client/upstream_fixture.h"

namespace semaphore::client {
namespace {

using google::protobuf::Message;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(Redact, TakesOutWholeSecretsAndPiecesOfThem) {
  struct Row {
    const char* text;
    const char* secret;
    const char* redacted;
  };
  const Row rows[] = {
      {"bad value hunter2hunter2 here", "hunter2hunter2", "bad value [redacted] here"},
      {"hunter2hunter2", "hunter2hunter2", "[redacted]"},
      {"hunter2hunter2hunter2hunter2", "hunter2hunter2", "[redacted]"},
      {"cut: hunter2hu...", "hunter2hunter2", "cut: [redacted]..."},
      {"...ter2hunter2: cut", "hunter2hunter2", "...[redacted]: cut"},
      {"only hunter2", "hunter2hunter2", "only hunter2"},
      {"pin 1234!", "1234", "pin [redacted]!"},
      {"pin 123!", "123", "pin 123!"},
      {"short", "a secret longer than the text", "short"},
      {"line1\\nline2-and-more", "line1\nline2-and-more", "line1\\n[redacted]"},
      {"", "secret", ""},
      {"text", "", "text"},
  };
  for (const Row& row : rows) EXPECT_EQ(Redact(row.text, {row.secret}), row.redacted) << row.text;
  EXPECT_EQ(Redact("one: first!, two: second", {"first!", "second"}),
            "one: [redacted], two: [redacted]");
  EXPECT_EQ(Redact("anything", {}), "anything");
}

TEST(Redact, OfLargeTextsAndSecretsTakesOnePass) {
  std::string secret(1 << 20, 'x');
  secret += "CANARY-CANARY";
  const std::string text = std::string(4000, 'x') + " CANARY-CANARY";
  EXPECT_EQ(Redact(text, {secret}), "[redacted] [redacted]");
}

TEST(SecretsOf, AreTheVariablesAndFilesOfATarget) {
  const auto request = FromText<v1::CreateDeploymentTargetRequest>(
      "deployment_target {name: 'target-name' description: 'described' "
      "env_vars {name: 'VARIABLE' value: 'its value'} files {path: '/a/path' content: 'content'}}");
  const std::vector<std::string> secrets = SecretsOf(request);
  EXPECT_THAT(secrets, Contains("its value"));
  EXPECT_THAT(secrets, Contains("content"));
  EXPECT_THAT(secrets, Contains(absl::Base64Escape("content")));
  EXPECT_THAT(secrets, Not(Contains("target-name")));
  EXPECT_THAT(secrets, Not(Contains("described")));
  EXPECT_THAT(SecretsOf(v1::GetDeploymentTargetRequest()), IsEmpty());
}

// ---- The hunt: upstream repeats a secret in every way it can

constexpr char kValue[] = "CANARY-value \"quoted\" CANARY-tail";
constexpr char kContent[] = "CANARY-content\r\n\x01\xff CANARY-tail";

class CanaryTest : public UpstreamFixture {
 protected:
  static std::shared_ptr<Message> Request(const MethodSpec& spec) {
    std::shared_ptr<Message> request = FullRequest(spec);
    for (const TextField& field : TextFields(spec, *request)) {
      if (field.name == "semaphore.v1.EnvVar.value") field.set(kValue);
      if (field.name == "semaphore.v1.DeploymentTargetFile.content") field.set(kContent);
    }
    return request;
  }

  static std::string JsonText(const std::string& text) {
    return boost::json::serialize(boost::json::value(boost::json::string(text)));
  }

  void ExpectNoCanary(const absl::Status& status) {
    EXPECT_THAT(Everything(status), Not(HasSubstr("CANARY")));
    EXPECT_THAT(Everything(status), Not(HasSubstr(absl::Base64Escape(kContent).substr(0, 12))));
  }
};

TEST_F(CanaryTest, NoErrorRepeatsASecretWhateverUpstreamSays) {
  const std::string value = kValue;
  const std::string readable = "CANARY-content\r\n CANARY-tail";
  const std::string bodies[] = {
      value,
      JsonText("bad value: " + value),
      JsonText("bad map: %{value: " + JsonText(value) + "}"),
      R"({"message":)" + JsonText("no: " + value) + R"(,"code":3})",
      R"({"error":{"env_vars":[{"value":)" + JsonText(value) + "}]}}",
      JsonText(readable),
      kContent,
      absl::Base64Escape(kContent),
      JsonText("file: " + absl::Base64Escape(kContent)),
      std::string(185, 'x') + value,
      std::string(1010, 'x') + value,
      "CANARY-token " + value,
      "<html>" + value + "</html>",
  };
  for (const char* method : {"DeploymentTargetService/CreateDeploymentTarget",
                             "DeploymentTargetService/UpdateDeploymentTarget"}) {
    const MethodSpec& spec = Method(method);
    ASSERT_TRUE(ValidateRequest(spec, *Request(spec)).ok())
        << ValidateRequest(spec, *Request(spec));
    for (const int status : {200, 302, 400, 401, 403, 404, 409, 418, 422, 429, 500, 501, 503}) {
      for (const std::string& body : bodies) {
        SCOPED_TRACE(std::string(method) + " " + std::to_string(status) + " " + body);
        http_.Otherwise([&](const HttpRequest& request) {
          EXPECT_THAT(request.target, Not(HasSubstr("CANARY")));
          HttpResult result;
          result.may_have_arrived = true;
          result.response = {status, {}, body};
          return result;
        });
        const CallResult result = CallMessage(spec, Request(spec));
        EXPECT_TRUE(status == 200 || !result.status.ok());
        ExpectNoCanary(result.status);
        EXPECT_THAT(result.reply, Not(HasSubstr("CANARY")));
      }
    }
  }
}

TEST_F(CanaryTest, TheWordsThatDecideACodeAreReadBeforeSecretsAreTakenOut) {
  const MethodSpec& spec = Method("DeploymentTargetService/CreateDeploymentTarget");
  const std::shared_ptr<Message> request = FullRequest(spec);
  for (const TextField& field : TextFields(spec, *request)) {
    if (field.name == "semaphore.v1.EnvVar.value") field.set("name must be unique");
  }
  http_.Reply(400, "\"name must be unique\"");
  const absl::Status status = CallMessage(spec, request).status;
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(MetadataOf(status, "upstreamMessage"), "[redacted]");
}

TEST_F(CanaryTest, NoReplyRepeatsASecretOfTheRequest) {
  const std::string echo = R"({"id":"d","name":"n","env_vars":[{"name":"A","value":)" +
                           JsonText(kValue) + R"(}],"files":[{"path":"/p","content":")" +
                           absl::Base64Escape(kContent) + "\"}]}";
  for (const char* method : {"DeploymentTargetService/CreateDeploymentTarget",
                             "DeploymentTargetService/UpdateDeploymentTarget",
                             "DeploymentTargetService/GetDeploymentTarget"}) {
    SCOPED_TRACE(method);
    http_.Reply(200, echo);
    const CallResult result = CallMessage(Method(method), Request(Method(method)));
    EXPECT_TRUE(result.status.ok()) << result.status;
    EXPECT_THAT(result.reply, Not(HasSubstr("CANARY")));
  }
  http_.Reply(200, "[" + echo + "]");
  const CallResult list = Call("DeploymentTargetService/ListDeploymentTargets", "project_id: 'p'");
  EXPECT_TRUE(list.status.ok()) << list.status;
  EXPECT_THAT(list.reply, Not(HasSubstr("CANARY")));
}

TEST_F(CanaryTest, NoValidationQuotesASecret) {
  for (const auto& spec : Table().methods()) {
    const size_t count = TextFields(*spec, *FullRequest(*spec)).size();
    for (size_t i = 0; i < count; ++i) {
      const std::shared_ptr<Message> request = FullRequest(*spec);
      const TextField field = TextFields(*spec, *request)[i];
      const bool secret = field.name == "semaphore.v1.EnvVar.value" ||
                          field.name == "semaphore.v1.DeploymentTargetFile.content" ||
                          field.place == TextPlace::kMapValue;
      if (!secret) continue;
      SCOPED_TRACE(spec->full_name + " " + field.path);
      for (const std::string& text :
           {std::string("CANARY\0", 7), std::string("CANARY\xff"), std::string(2 << 20, 'C'),
            "CANARY" + std::string(2 << 20, 'C')}) {
        field.set(text);
        const absl::Status status = ValidateRequest(*spec, *request);
        EXPECT_THAT(Everything(status), Not(HasSubstr("CANARY")));
        EXPECT_THAT(Everything(status), Not(HasSubstr("CCCC")));
      }
    }
  }
}

}  // namespace
}  // namespace semaphore::client
