#include "client/decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <string>
#include <vector>

#include "absl/strings/str_split.h"
#include "semaphore/v1/agent.pb.h"
#include "semaphore/v1/agent_type.pb.h"
#include "semaphore/v1/artifact_retention_policy.pb.h"
#include "semaphore/v1/deployment_target.pb.h"
#include "semaphore/v1/job.pb.h"
#include "semaphore/v1/pipeline.pb.h"
#include "semaphore/v1/project.pb.h"
#include "semaphore/v1/promotion.pb.h"
#include "semaphore/v1/workflow.pb.h"
#include "tests/client/method_fixture.h"

namespace semaphore::client {
namespace {

using google::protobuf::FieldDescriptor;
using testing::HasSubstr;
using testing::StartsWith;
namespace json = boost::json;

template <typename Resource>
struct Decoded {
  absl::Status status;
  Resource message;
  Drift drift;
};

template <typename Resource>
Decoded<Resource> Decode(const std::string& text,
                         const google::protobuf::Message* request = nullptr) {
  Decoded<Resource> decoded;
  decoded.status =
      DecodeObject(json::parse(text).as_object(), *Table().PlanOf(Resource::descriptor()),
                   DecodeContext{request, &decoded.drift}, decoded.message);
  return decoded;
}

TEST(Decoder, NumbersMayStandAsText) {
  const auto decoded =
      Decode<v1::Agent>(R"({"metadata":{"pid":"42","connected_at":"1686917254"}})");
  ASSERT_TRUE(decoded.status.ok()) << decoded.status;
  EXPECT_EQ(decoded.message.pid(), 42);
  EXPECT_EQ(decoded.message.connect_time().seconds(), 1686917254);
  EXPECT_EQ(Decode<v1::Agent>(R"({"metadata":{"pid":42.0}})").message.pid(), 42);
  EXPECT_EQ(Decode<v1::Agent>(R"({"metadata":{"version":7}})").message.version(), "7");
}

TEST(Decoder, NullAndMissingAreTheSameForEveryType) {
  const auto missing = Decode<v1::Pipeline>("{}");
  ASSERT_TRUE(missing.status.ok());
  const auto null = Decode<v1::Pipeline>(
      R"({"ppl_id":null,"state":null,"created_at":null,"with_after_task":null,"env_vars":null,)"
      R"("queue":null,"triggerer":null,"blocks":null,"result":null})");
  ASSERT_TRUE(null.status.ok()) << null.status;
  EXPECT_EQ(null.message.SerializeAsString(), missing.message.SerializeAsString());
  const auto job = Decode<v1::Job>(R"({"metadata":null,"spec":null,"status":{"agent":null}})");
  ASSERT_TRUE(job.status.ok()) << job.status;
  EXPECT_FALSE(job.message.has_agent());
  EXPECT_EQ(null.drift.unknown_fields, 0u);
}

TEST(Decoder, TheSentinelsOfNotYetAreAbsentTimes) {
  const auto decoded = Decode<v1::Pipeline>(
      R"({"created_at":{"seconds":0,"nanos":0},"pending_at":"1970-01-01 00:00:00.000000Z",)"
      R"("queuing_at":"","running_at":0,"stopping_at":"0"})");
  ASSERT_TRUE(decoded.status.ok());
  EXPECT_EQ(decoded.message.ByteSizeLong(), 0u) << decoded.message.ShortDebugString();
}

TEST(Decoder, ZeroIsAValueForEnumsThatUpstreamNumbers) {
  EXPECT_EQ(Decode<v1::Workflow>(R"({"triggered_by":0})").message.trigger(),
            v1::WORKFLOW_TRIGGER_HOOK);
  EXPECT_EQ(Decode<v1::Workflow>(R"({"triggered_by":3})").message.trigger(),
            v1::WORKFLOW_TRIGGER_MANUAL_RUN);
  EXPECT_EQ(Decode<v1::Workflow>(R"({"triggered_by":"API"})").message.trigger(),
            v1::WORKFLOW_TRIGGER_API);
  EXPECT_EQ(Decode<v1::Workflow>(R"({"triggered_by":"1"})").message.trigger(),
            v1::WORKFLOW_TRIGGER_SCHEDULE);
  EXPECT_EQ(Decode<v1::Workflow>("{}").message.trigger(), v1::WORKFLOW_TRIGGER_UNSPECIFIED);
}

TEST(Decoder, WordsAreReadInAnyLetterCase) {
  for (const char* word : {"done", "DONE", "Done"}) {
    EXPECT_EQ(Decode<v1::Pipeline>(std::string(R"({"state":")") + word + "\"}").message.state(),
              v1::PIPELINE_STATE_DONE);
  }
}

TEST(Decoder, UnknownWordsAreUnspecifiedAndCountedAndNeverAnError) {
  for (const char* value :
       {"\"paused\"", "99", "-1", "\"99\"", "18446744073709551615", "1.5", "1e300"}) {
    const auto decoded = Decode<v1::Pipeline>(std::string("{\"state\":") + value + "}");
    ASSERT_TRUE(decoded.status.ok()) << value << decoded.status;
    EXPECT_EQ(decoded.message.state(), v1::PIPELINE_STATE_UNSPECIFIED);
    EXPECT_EQ(decoded.drift.unknown_words, 1u) << value;
  }
  EXPECT_EQ(Decode<v1::Job>(R"({"status":{"result":"NONE"}})").drift.unknown_words, 0u);
  EXPECT_EQ(Decode<v1::Job>(R"({"status":{"result":""}})").drift.unknown_words, 0u);
}

TEST(Decoder, UnknownKeysAreCountedAtEveryLevelAndDropped) {
  const auto decoded = Decode<v1::Pipeline>(
      R"({"new":1,"queue":{"new":{"deep":[1]}},"blocks":[{"new":null,"jobs":[{"new":"x"}]},{}]})");
  ASSERT_TRUE(decoded.status.ok()) << decoded.status;
  EXPECT_EQ(decoded.drift.unknown_fields, 4u);
  EXPECT_EQ(decoded.message.blocks_size(), 2);
}

TEST(Decoder, KeysThatAreDroppedOnPurposeAreNoDrift) {
  EXPECT_EQ(Decode<v1::Deployment>(R"({"id":"d","can_requester_rerun":true})").drift.unknown_fields,
            0u);
  EXPECT_EQ(
      Decode<v1::Project>(R"({"apiVersion":"v1alpha","kind":"Project","spec":{"schedulers":[],)"
                          R"("visibility":"x","repository":{"whitelist":{}}}})")
          .drift.unknown_fields,
      0u);
}

TEST(Decoder, ABlockJobHasAResultOnlyOnceItIsFinished) {
  const auto result = [](const char* status) {
    return Decode<v1::BlockJob>(std::string(R"({"status":")") + status + R"(","result":"PASSED"})")
        .message.result();
  };
  EXPECT_EQ(result("ENQUEUED"), v1::JOB_RESULT_UNSPECIFIED);
  EXPECT_EQ(result("RUNNING"), v1::JOB_RESULT_UNSPECIFIED);
  EXPECT_EQ(result("STOPPING"), v1::JOB_RESULT_UNSPECIFIED);
  EXPECT_EQ(result("FINISHED"), v1::JOB_RESULT_PASSED);
  EXPECT_EQ(Decode<v1::BlockJob>(R"({"result":"PASSED","status":"RUNNING"})").message.result(),
            v1::JOB_RESULT_UNSPECIFIED)
      << "whatever the order of the keys";
}

TEST(Decoder, AResultReasonIsKeptOnlyWhereItMeansSomething) {
  struct Row {
    const char* json;
    v1::PipelineResult result;
    v1::PipelineResultReason reason;
  };
  const Row rows[] = {
      {R"({"state":"done","result":"passed","result_reason":"test"})", v1::PIPELINE_RESULT_PASSED,
       v1::PIPELINE_RESULT_REASON_UNSPECIFIED},
      {R"({"result_reason":"test","result":"passed","state":"done"})", v1::PIPELINE_RESULT_PASSED,
       v1::PIPELINE_RESULT_REASON_UNSPECIFIED},
      {R"({"state":"DONE","result":"FAILED","result_reason":"STUCK"})", v1::PIPELINE_RESULT_FAILED,
       v1::PIPELINE_RESULT_REASON_STUCK},
      {R"({"state":"running","result":"failed","result_reason":"test"})",
       v1::PIPELINE_RESULT_UNSPECIFIED, v1::PIPELINE_RESULT_REASON_UNSPECIFIED},
      {R"({"state":"done","result_reason":"test"})", v1::PIPELINE_RESULT_UNSPECIFIED,
       v1::PIPELINE_RESULT_REASON_UNSPECIFIED},
      {R"({"state":"done","result":"canceled","result_reason":"user"})",
       v1::PIPELINE_RESULT_CANCELED, v1::PIPELINE_RESULT_REASON_USER},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.json);
    const auto pipeline = Decode<v1::Pipeline>(row.json);
    EXPECT_EQ(pipeline.message.result(), row.result);
    EXPECT_EQ(pipeline.message.result_reason(), row.reason);
    const auto block = Decode<v1::Block>(row.json);
    EXPECT_EQ(block.message.result(), row.result);
    EXPECT_EQ(block.message.result_reason(), row.reason);
  }
}

TEST(Decoder, AJobsSpecIsOnlyInTheFullView) {
  const std::string job = R"({"spec":{"project_id":"p","commands":["make"],"new":1}})";
  for (const char* view : {"", "view: JOB_VIEW_BASIC"}) {
    const auto request = FromText<v1::GetJobRequest>(view);
    const auto decoded = Decode<v1::Job>(job, &request);
    ASSERT_TRUE(decoded.status.ok()) << decoded.status;
    EXPECT_FALSE(decoded.message.has_spec()) << view;
    EXPECT_EQ(decoded.message.project_id(), "p") << view;
  }
  const auto request = FromText<v1::GetJobRequest>("view: JOB_VIEW_FULL");
  const auto decoded = Decode<v1::Job>(job, &request);
  EXPECT_EQ(decoded.message.spec().commands(0), "make");
  EXPECT_EQ(decoded.message.project_id(), "p");
  EXPECT_EQ(decoded.drift.unknown_fields, 1u);
}

TEST(Decoder, SecretsNeverComeBack) {
  const auto decoded = Decode<v1::DeploymentTarget>(
      R"({"name":"n","env_vars":[{"name":"K","value":"CANARY"}],"files":[{"path":"p","content":"CANARY"}]})");
  ASSERT_TRUE(decoded.status.ok()) << decoded.status;
  EXPECT_EQ(decoded.message.env_vars_size() + decoded.message.files_size(), 0);
  EXPECT_EQ(decoded.drift.unknown_fields, 0u);
}

TEST(Decoder, CommaListsDurationsAndAgesAreRead) {
  const auto type = Decode<v1::AgentType>(
      R"({"spec":{"agent_name_settings":{"assignment_origin":"assignment_origin_aws_sts",)"
      R"("release_after":90,"aws":{"account_id":"1","role_name_patterns":"a, b*,"}}}})");
  ASSERT_TRUE(type.status.ok()) << type.status;
  const v1::AgentNameSettings& settings = type.message.name_settings();
  EXPECT_EQ(settings.assignment_origin(), v1::ASSIGNMENT_ORIGIN_AWS_STS);
  EXPECT_EQ(settings.release_after().seconds(), 90);
  EXPECT_THAT(settings.aws().role_name_patterns(), testing::ElementsAre("a", "b*"));
  const auto policy = Decode<v1::ArtifactRetentionPolicy>(
      R"({"job_level_retention_policies":[{"selector":"/x","age":"2 weeks"}]})");
  EXPECT_EQ(policy.message.job_level_rules(0).age().count(), 2);
  EXPECT_EQ(policy.message.job_level_rules(0).age().unit(), v1::AGE_UNIT_WEEK);
}

TEST(Decoder, ADuplicateKeyIsReadOnce) {
  const auto decoded = Decode<v1::Pipeline>(
      R"({"name":"a","name":"b","env_vars":[{"name":"x"}],"env_vars":[{"name":"y"}]})");
  ASSERT_TRUE(decoded.status.ok());
  EXPECT_EQ(decoded.message.env_vars_size(), 1);
}

TEST(Decoder, NumbersThatDoNotFitAreErrors) {
  for (const char* pid :
       {"2147483648", "-2147483649", "\"2147483648\"", "9223372036854775807",
        "18446744073709551615", "1.5", "1e300", "\"12x\"", "\" 12\"", "\"NaN\""}) {
    const auto decoded = Decode<v1::Agent>(std::string("{\"metadata\":{\"pid\":") + pid + "}}");
    EXPECT_EQ(decoded.status.code(), absl::StatusCode::kInvalidArgument) << pid;
    EXPECT_THAT(std::string(decoded.status.message()), StartsWith("metadata.pid: ")) << pid;
  }
  EXPECT_EQ(Decode<v1::Agent>(R"({"metadata":{"pid":2147483647}})").message.pid(), 2147483647);
  EXPECT_EQ(Decode<v1::Agent>(R"({"metadata":{"pid":-2147483648}})").message.pid(), INT32_MIN);
}

TEST(Decoder, AnErrorNamesThePathThroughListsAndObjects) {
  const auto decoded = Decode<v1::Pipeline>(R"({"blocks":[{},{},{"jobs":[{"index":"first"}]}]})");
  EXPECT_THAT(std::string(decoded.status.message()),
              StartsWith("blocks[2].jobs[0].index: expected"));
}

TEST(Decoder, AnErrorQuotesLittleOfTheValue) {
  const auto decoded =
      Decode<v1::Agent>(R"({"metadata":{"pid":")" + std::string(5000, 'x') + "\"}}");
  EXPECT_LT(decoded.status.message().size(), 200u);
}

// {"a":{"b":value}} for the path a.b
json::object At(const std::string& path, json::value value) {
  const std::vector<std::string> keys = absl::StrSplit(path, '.');
  for (size_t i = keys.size(); i-- > 1;) value = json::object{{keys[i], std::move(value)}};
  return json::object{{keys[0], std::move(value)}};
}

json::value WrongFor(const FieldPlan& plan) {
  const FieldDescriptor* field = plan.field;
  if (plan.wire.codec() == upstream::v1::CODEC_COMMA_LIST) return json::array();
  if (field->is_repeated()) return "a text";
  if (field->type() == FieldDescriptor::TYPE_MESSAGE && !IsTimestamp(field)) return true;
  return json::array{1};
}

void CheckEveryField(const MessagePlan& plan, const google::protobuf::Message& prototype) {
  for (const std::unique_ptr<FieldPlan>& field : plan.fields) {
    if (field->wire.secret()) continue;
    SCOPED_TRACE(plan.type->full_name() + "." + field->field->name());
    const std::unique_ptr<google::protobuf::Message> message(prototype.New());
    Drift drift;
    const absl::Status status = DecodeObject(At(field->path, WrongFor(*field)), plan,
                                             DecodeContext{nullptr, &drift}, *message);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_THAT(std::string(status.message()), StartsWith(field->path + ": "));
  }
}

TEST(Decoder, AWrongTypeInAnyFieldNamesIt) {
  const google::protobuf::Message* prototypes[] = {
      &v1::Workflow::default_instance(),
      &v1::Pipeline::default_instance(),
      &v1::Queue::default_instance(),
      &v1::Triggerer::default_instance(),
      &v1::Block::default_instance(),
      &v1::BlockJob::default_instance(),
      &v1::Promotion::default_instance(),
      &v1::Job::default_instance(),
      &v1::JobAgent::default_instance(),
      &v1::JobSpec::default_instance(),
      &v1::JobAgentPort::default_instance(),
      &v1::JobSpecContainer::default_instance(),
      &v1::Agent::default_instance(),
      &v1::AgentType::default_instance(),
      &v1::AgentNameSettings::default_instance(),
      &v1::AgentNameSettingsAws::default_instance(),
      &v1::DeploymentTarget::default_instance(),
      &v1::Deployment::default_instance(),
      &v1::SubjectRule::default_instance(),
      &v1::ObjectRule::default_instance(),
      &v1::ArtifactRetentionPolicy::default_instance(),
      &v1::ArtifactRetentionRule::default_instance(),
      &v1::Project::default_instance(),
      &v1::ProjectRepository::default_instance(),
      &v1::RunWorkflowResponse::default_instance(),
  };
  for (const google::protobuf::Message* prototype : prototypes) {
    const MessagePlan* plan = Table().PlanOf(prototype->GetDescriptor());
    ASSERT_NE(plan, nullptr) << prototype->GetTypeName();
    CheckEveryField(*plan, *prototype);
  }
}

}  // namespace
}  // namespace semaphore::client
