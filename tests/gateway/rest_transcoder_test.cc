#include "gateway/rest_transcoder.h"

#include <gmock/gmock.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "client/error.h"
#include "client/field_mask.h"
#include "client/validate.h"
#include "gateway/rest_json_writer.h"
#include "google/api/annotations.pb.h"
#include "google/api/http.pb.h"
#include "semaphore/v1/agent_type.pb.h"
#include "semaphore/v1/pipeline.pb.h"
#include "tests/client/full_request.h"
#include "tests/client/method_fixture.h"
#include "tests/client/status_reading.h"

namespace semaphore::gateway {
namespace {

using client::FieldsOf;
using client::MethodSpec;
using client::ReasonOf;
using google::protobuf::Message;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const RestTranscoder& Transcoder() {
  static const RestTranscoder* const transcoder = [] {
    auto created = RestTranscoder::Create(client::Table());
    if (!created.ok()) ADD_FAILURE() << created.status();
    return created->release();
  }();
  return *transcoder;
}

struct Asked {
  std::string verb;
  std::string target;
  std::string body;
  const char* content_type = "application/json";
};

absl::StatusOr<RestTranscoder::Routed> Transcode(const Asked& asked) {
  return Transcoder().Transcode({.verb = asked.verb,
                                 .target = asked.target,
                                 .content_type = asked.body.empty() ? "" : asked.content_type,
                                 .body = asked.body});
}

std::unique_ptr<Message> Decoded(const RestTranscoder::Routed& routed) {
  std::unique_ptr<Message> request(routed.method->request_prototype->New());
  EXPECT_TRUE(request->ParseFromString(routed.request));
  return request;
}

// A request that is accepted, and the message that it becomes, as text.
struct Accepted {
  Asked asked;
  const char* method;
  std::string message;
};

void Expect(const Accepted& row) {
  SCOPED_TRACE(absl::StrCat(row.asked.verb, " ", row.asked.target, " ", row.asked.body));
  const auto routed = Transcode(row.asked);
  ASSERT_TRUE(routed.ok()) << routed.status();
  EXPECT_EQ(routed->method->full_name, absl::StrCat("semaphore.v1.", row.method));
  const std::unique_ptr<Message> expected(routed->method->request_prototype->New());
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(row.message, expected.get()));
  const std::unique_ptr<Message> actual = Decoded(*routed);
  std::string difference;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&difference);
  EXPECT_TRUE(differencer.Compare(*expected, *actual)) << difference;
}

// A request that is refused as INVALID_FIELD, and the field that is named.
struct Refused {
  Asked asked;
  const char* field;
  const char* words = "";
};

void Expect(const Refused& row) {
  SCOPED_TRACE(absl::StrCat(row.asked.verb, " ", absl::CEscape(row.asked.target), " ",
                            absl::CEscape(row.asked.body)));
  const auto routed = Transcode(row.asked);
  EXPECT_EQ(ReasonOf(routed.status()), "INVALID_FIELD") << routed.status();
  EXPECT_THAT(FieldsOf(routed.status()), ElementsAre(row.field));
  EXPECT_THAT(std::string(routed.status().message()), HasSubstr(row.words));
}

// ---- Every method

// The rule's path with the id "text" wherever a field stands.
std::pair<std::string, std::string> PlaceOf(const MethodSpec& method) {
  const google::api::HttpRule& rule = method.descriptor->options().GetExtension(google::api::http);
  std::pair<std::string, std::string> place = rule.has_get()    ? std::pair("GET", rule.get())
                                              : rule.has_post() ? std::pair("POST", rule.post())
                                              : rule.has_patch()
                                                  ? std::pair("PATCH", rule.patch())
                                                  : std::pair("DELETE", rule.delete_());
  for (size_t open = 0; (open = place.second.find('{')) != std::string::npos;) {
    place.second.replace(open, place.second.find('}') - open + 1, "text");
  }
  return place;
}

// A full request of the method as a caller would write it: what is not in the path or the body goes
// into the query.
Asked AsRest(const MethodSpec& method) {
  const google::api::HttpRule& rule = method.descriptor->options().GetExtension(google::api::http);
  const std::unique_ptr<Message> full = client::FullRequest(method);
  const auto [verb, path] = PlaceOf(method);
  Asked asked{verb, path, ""};
  std::string query;
  const std::string path_template = rule.get() + rule.delete_() + rule.post() + rule.patch();
  for (int i = 0; i < full->GetDescriptor()->field_count(); ++i) {
    const auto* field = full->GetDescriptor()->field(i);
    const bool in_path = path_template.find("{" + field->name() + "}") != std::string::npos;
    if (rule.body() == "*" || in_path) continue;
    const std::unique_ptr<Message> alone(full->New());
    if (field->name() == rule.body()) {
      std::string body;
      EXPECT_TRUE(AppendRestJson(full->GetReflection()->GetMessage(*full, field), &body).ok());
      asked.body = body;
      continue;
    }
    alone->CopyFrom(*full);
    for (int j = 0; j < full->GetDescriptor()->field_count(); ++j) {
      if (j != i) alone->GetReflection()->ClearField(alone.get(), full->GetDescriptor()->field(j));
    }
    std::string json;
    EXPECT_TRUE(AppendRestMembers(*alone, &json).ok());
    if (json.empty()) continue;
    // "name":"value"
    const std::string members = absl::StrReplaceAll(json, {{"\":", "="}, {"\"", ""}});
    absl::StrAppend(&query, query.empty() ? "?" : "&", members);
  }
  if (rule.body() == "*") {
    EXPECT_TRUE(AppendRestJson(*full, &asked.body).ok());
  }
  asked.target += query;
  return asked;
}

TEST(RestTranscoder, EveryMethodIsReachedWithAllItsFields) {
  for (const auto& method : client::Table().methods()) {
    SCOPED_TRACE(method->full_name);
    const Asked asked = AsRest(*method);
    SCOPED_TRACE(absl::StrCat(asked.verb, " ", asked.target, " ", asked.body));
    const auto routed = Transcode(asked);
    ASSERT_TRUE(routed.ok()) << routed.status();
    EXPECT_EQ(routed->method, method.get());
    const std::unique_ptr<Message> actual = Decoded(*routed);
    const absl::Status valid = client::ValidateRequest(*method, *actual);
    EXPECT_TRUE(valid.ok()) << valid;
    if (method->mask_field != nullptr)
      actual->GetReflection()->ClearField(actual.get(), method->mask_field);
    std::string difference;
    google::protobuf::util::MessageDifferencer differencer;
    differencer.ReportDifferencesToString(&difference);
    EXPECT_TRUE(differencer.Compare(*client::FullRequest(*method), *actual)) << difference;
  }
}

TEST(RestTranscoder, EveryMethodIsAllowedOnItsPathAndNothingElseIs) {
  for (const auto& method : client::Table().methods()) {
    SCOPED_TRACE(method->full_name);
    const auto [verb, path] = PlaceOf(*method);
    EXPECT_THAT(Transcoder().AllowedVerbs(path), testing::Contains(verb));
    EXPECT_THAT(Transcoder().AllowedVerbs(path + "?x=%"), testing::Contains("OPTIONS"));
    const auto found = Transcoder().FindMethod(verb, path + "?anything");
    ASSERT_TRUE(found.ok()) << found.status();
    EXPECT_EQ(*found, method.get());
    for (const char* other : {"PUT", "TRACE", "get", ""}) {
      const auto refused = Transcoder().Transcode({other, path, "", ""});
      EXPECT_EQ(ReasonOf(refused.status()), "METHOD_NOT_ALLOWED") << other;
      EXPECT_THAT(std::string(refused.status().message()), HasSubstr(verb));
    }
  }
}

TEST(RestTranscoder, AllowedVerbsAreThoseOfThePath) {
  EXPECT_THAT(Transcoder().AllowedVerbs("/v1/agentTypes/s1-a"),
              ElementsAre("DELETE", "GET", "HEAD", "OPTIONS", "PATCH"));
  EXPECT_THAT(Transcoder().AllowedVerbs("/v1/deploymentTargets?x=y"),
              ElementsAre("GET", "HEAD", "OPTIONS", "POST"));
  EXPECT_THAT(Transcoder().AllowedVerbs("/v1/jobs/j:stop"), ElementsAre("OPTIONS", "POST"));
  EXPECT_THAT(Transcoder().AllowedVerbs("/v1/nothing"), IsEmpty());
  EXPECT_THAT(Transcoder().AllowedVerbs("/v1/jobs/%zz"), IsEmpty());
  EXPECT_THAT(Transcoder().AllowedVerbs("*"), IsEmpty());
}

// ---- Paths

TEST(RestTranscoder, PathsNameMethodsAndIds) {
  const Accepted rows[] = {
      {{"GET", "/v1/pipelines/p-1", ""}, "PipelineService/GetPipeline", "pipeline_id: 'p-1'"},
      {{"GET", "/v1/pipelines/p-1?", ""}, "PipelineService/GetPipeline", "pipeline_id: 'p-1'"},
      {{"GET", "/v1/jobs/j/log", ""}, "JobService/GetJobLog", "job_id: 'j'"},
      {{"GET", "/v1/deploymentTargets/d/deployments", ""},
       "DeploymentTargetService/ListDeployments",
       "deployment_target_id: 'd'"},
      {{"GET", "/v1/deploymentTargets:lookup?name=n&projectId=p", ""},
       "DeploymentTargetService/LookupDeploymentTarget",
       "name: 'n' project_id: 'p'"},
      {{"POST", "/v1/jobs/j:stop", ""}, "JobService/StopJob", "job_id: 'j'"},
      {{"POST", "/v1/jobs/j:stop", "{}"}, "JobService/StopJob", "job_id: 'j'"},
      // Escaped or not, a character is the same.
      {{"GET", "/v1/%70ipelines/%70%2d1", ""}, "PipelineService/GetPipeline", "pipeline_id: 'p-1'"},
      {{"POST", "/v1/jobs/j:%73top", ""}, "JobService/StopJob", "job_id: 'j'"},
      // What looks like another route is an id where an id is expected.
      {{"GET", "/v1/jobs/log", ""}, "JobService/GetJob", "job_id: 'log'"},
      {{"GET", "/v1/jobs/log/log", ""}, "JobService/GetJobLog", "job_id: 'log'"},
      {{"GET", "/v1/jobs/...", ""}, "JobService/GetJob", "job_id: '...'"},
      {{"GET", "/v1/projects/a~b_c.d-e", ""},
       "ProjectService/GetProject",
       "project_name: 'a~b_c.d-e'"},
  };
  for (const Accepted& row : rows) Expect(row);
}

TEST(RestTranscoder, PathsOfNoMethodAreNotFound) {
  const std::string rows[] = {
      "",
      "/",
      "//",
      "*",
      "v1/pipelines",
      "/v1",
      "/v1/",
      "/v2/pipelines/p",
      "/v1/Pipelines/p",
      "/v1/pipelines/",
      "/v1/pipelines/p/",
      "/v1//pipelines/p",
      "//v1/pipelines/p",
      "/v1/pipelines//",
      "/v1/pipelines/p/q",
      "/v1/jobs/j/log/",
      "/v1/jobs/j/logs",
      "/v1/jobs//log",
      "/v1/pipelines/p:",
      "/v1/pipelines/:stop",
      "/v1/pipelines:",
      "/v1/pipelines:nothing",
      "/v1/pipelines/p:nothing",
      "/v1/pipelines/p:stop:",
      "/v1/pipelines/p:STOP",
      "/v1/pipelines:validate/",
      "/v1/pipelines%3Avalidate/x",
      "/v1/../v1/pipelines",
      "/v1%2Fpipelines/p",
      "/v1/deploymentTargets%3Alookup",
      "http://host/v1/pipelines/p",
      "/v1/pipelines/p/%2e%2e/p",
      std::string(65536, '/'),
      "/v1/pipelines/p" + std::string(65536, '/'),
      "/v1/pipelines/p" + std::string(65536, ':'),
  };
  for (const std::string& target : rows) {
    SCOPED_TRACE(target.substr(0, 60));
    for (const char* verb : {"GET", "POST"}) {
      const auto refused = Transcode({verb, target, ""});
      EXPECT_EQ(ReasonOf(refused.status()), "ROUTE_NOT_FOUND") << refused.status();
      EXPECT_LT(refused.status().message().size(), 300u);
    }
    EXPECT_THAT(Transcoder().AllowedVerbs(target), IsEmpty());
  }
}

TEST(RestTranscoder, WhatIsNoIdIsRefusedByTheNameOfItsField) {
  const Refused rows[] = {
      {{"GET", "/v1/pipelines/a%2Fb", ""}, "pipeline_id", R"(got "a/b")"},
      {{"GET", "/v1/pipelines/%2E%2E%2Fjobs", ""}, "pipeline_id"},
      {{"GET", "/v1/jobs/j%2Flog", ""}, "job_id"},
      {{"GET", "/v1/pipelines/..", ""}, "pipeline_id"},
      {{"GET", "/v1/pipelines/.", ""}, "pipeline_id"},
      {{"GET", "/v1/pipelines/%2e", ""}, "pipeline_id"},
      {{"GET", "/v1/pipelines/a%00", ""}, "pipeline_id", R"(\x00)"},
      {{"GET", "/v1/pipelines/a%3Astop", ""}, "pipeline_id", R"(got "a:stop")"},
      {{"POST", "/v1/pipelines/a%3Ab:stop", ""}, "pipeline_id", R"(got "a:b")"},
      {{"POST", "/v1/pipelines/a:b:stop", ""}, "pipeline_id", R"(got "a:b")"},
      {{"GET", "/v1/pipelines/a%C0%AF", ""}, "pipeline_id"},
      {{"GET", "/v1/pipelines/%FF", ""}, "pipeline_id"},
      {{"GET", "/v1/pipelines/%ED%A0%80", ""}, "pipeline_id"},
      {{"GET", "/v1/pipelines/\xC3\xBC", ""}, "pipeline_id"},
      {{"GET", "/v1/pipelines/a+b", ""}, "pipeline_id", R"(got "a+b")"},
      {{"GET", "/v1/pipelines/a%20b", ""}, "pipeline_id"},
      {{"GET", "/v1/pipelines/a%252Fb", ""}, "pipeline_id", R"(got "a%2Fb")"},
      {{"GET", "/v1/pipelines/a;b=c", ""}, "pipeline_id"},
      {{"GET", "/v1/pipelines/" + std::string(129, 'a'), ""}, "pipeline_id"},
      {{"GET", "/v1/pipelines/" + std::string(65536, 'a'), ""}, "pipeline_id"},
      {{"PATCH", "/v1/agentTypes/a%2Fb", "{}"}, "agent_type.name"},
      {{"GET", "/v1/pipelines/%", ""}, "path", R"(segment 3: "%" is no percent-escape)"},
      {{"GET", "/v1/pipelines/%1", ""}, "path"},
      {{"GET", "/v1/pipelines/%zz", ""}, "path", R"("%zz")"},
      {{"GET", "/v1/pipelines/%u0041", ""}, "path"},
      {{"POST", "/v1/jobs/j:%st", ""}, "path"},
  };
  for (const Refused& row : rows) Expect(row);
}

// ---- Queries

TEST(RestTranscoder, QueriesFillFieldsOfEveryType) {
  const std::string list = "/v1/pipelines?";
  const char kMethod[] = "PipelineService/ListPipelines";
  const Accepted rows[] = {
      {{"GET", list + "projectId=p&pageSize=3", ""}, kMethod, "project_id: 'p' page_size: 3"},
      {{"GET", list + "project_id=p&page_size=3", ""}, kMethod, "project_id: 'p' page_size: 3"},
      {{"GET", list + "&&projectId=p&", ""}, kMethod, "project_id: 'p'"},
      {{"GET", list + "p%72oject%49d=p", ""}, kMethod, "project_id: 'p'"},
      {{"GET", list + "branchName=", ""}, kMethod, ""},
      {{"GET", list + "branchName", ""}, kMethod, ""},
      {{"GET", list + "branchName=a+b%20c%2Bd", ""}, kMethod, "branch_name: 'a b c+d'"},
      {{"GET", list + "branchName=a=b?c/d:e", ""}, kMethod, "branch_name: 'a=b?c/d:e'"},
      {{"GET", list + "branchName=%26%3D%25", ""}, kMethod, "branch_name: '&=%'"},
      {{"GET", list + "branchName=Z%C3%BCrich", ""}, kMethod, "branch_name: 'Z\\303\\274rich'"},
      {{"GET", list + "branchName=Z\xC3\xBCrich", ""}, kMethod, "branch_name: 'Z\\303\\274rich'"},
      {{"GET", list + "pageSize=-1", ""}, kMethod, "page_size: -1"},
      {{"GET", list + "createdAfter=1970-01-01T00:00:10Z", ""},
       kMethod,
       "created_after { seconds: 10 }"},
      {{"GET", list + "createdAfter=1970-01-01T02:00:10.5%2B02:00", ""},
       kMethod,
       "created_after { seconds: 10 nanos: 500000000 }"},
      // A plus that nobody escaped.
      {{"GET", list + "createdAfter=1970-01-01T02:00:10+02:00", ""},
       kMethod,
       "created_after { seconds: 10 }"},
      {{"GET", list + "createdAfter=1969-12-31T22:00:10-02:00", ""},
       kMethod,
       "created_after { seconds: 10 }"},
      {{"GET", "/v1/pipelines/p?view=PIPELINE_VIEW_FULL", ""},
       "PipelineService/GetPipeline",
       "pipeline_id: 'p' view: PIPELINE_VIEW_FULL"},
      {{"GET", "/v1/pipelines/p?view=2", ""},
       "PipelineService/GetPipeline",
       "pipeline_id: 'p' view: PIPELINE_VIEW_FULL"},
      {{"DELETE", "/v1/deploymentTargets/d?request_id=r", ""},
       "DeploymentTargetService/DeleteDeploymentTarget",
       "deployment_target_id: 'd' request_id: 'r'"},
      {{"PATCH", "/v1/agentTypes/s1-a?updateMask=nameSettings.releaseAfter,name_settings.aws",
        "{}"},
       "AgentTypeService/UpdateAgentType",
       "agent_type { name: 's1-a' } "
       "update_mask { paths: 'name_settings.release_after' paths: 'name_settings.aws' }"},
      {{"PATCH", "/v1/agentTypes/s1-a?update_mask=*", ""},
       "AgentTypeService/UpdateAgentType",
       "agent_type { name: 's1-a' } update_mask { paths: '*' }"},
  };
  for (const Accepted& row : rows) Expect(row);
}

TEST(RestTranscoder, ParametersThatAreWrongAreNamed) {
  const std::string list = "/v1/pipelines?projectId=p&";
  const Refused rows[] = {
      {{"GET", list + "page_sise=1", ""}, "page_sise", R"(did you mean "pageSize"?)"},
      {{"GET", list + "PageSize=1", ""}, "PageSize", R"(did you mean "pageSize"?)"},
      {{"GET", list + "bogus=1", ""}, "bogus", "no such parameter"},
      {{"GET", list + "$alt=1", ""}, R"("$alt")"},
      {{"GET", list + "=1", ""}, "query"},
      {{"GET", list + "a%00b=1", ""}, R"("a\x00b")"},
      {{"GET", list + "a%FFb=1", ""}, R"("a\xffb")"},
      {{"GET", list + "a%zz=1", ""}, "query", R"("%zz" is no percent-escape)"},
      {{"GET", list + "branchName=%zz", ""}, "branch_name", R"("%zz")"},
      {{"GET", list + "branchName=%C0%AF", ""}, "branch_name", "expected UTF-8"},
      {{"GET", list + "branchName=%FF", ""}, "branch_name", "expected UTF-8"},
      {{"GET", list + "branchName=%ED%A0%80", ""}, "branch_name", "expected UTF-8"},
      {{"GET", list + "branchName=a&branchName=b", ""}, "branch_name", "given twice"},
      {{"GET", list + "branchName=a&branchName=a", ""}, "branch_name", "given twice"},
      {{"GET", list + "branchName=&branch_name=", ""}, "branch_name", "given twice"},
      {{"GET", list + "pageSize=1&page_size=1", ""}, "page_size", "given twice"},
      {{"GET", list + "project_id=q", ""}, "project_id", "given twice"},
      {{"GET", list + "pageSize=x", ""}, "page_size", R"(expected a 32-bit integer, got "x")"},
      {{"GET", list + "pageSize=", ""}, "page_size", R"(got "")"},
      {{"GET", list + "pageSize=1%00", ""}, "page_size", R"(got "1\x00")"},
      {{"GET", list + "pageSize=2147483648", ""}, "page_size"},
      {{"GET", list + "pageSize=1e400", ""}, "page_size"},
      {{"GET", list + "pageSize=NaN", ""}, "page_size"},
      {{"GET", list + "pageSize.x=1", ""}, "pageSize.x", "no such parameter"},
      {{"GET", list + "createdAfter=1700000000", ""}, "created_after", "expected a time like"},
      {{"GET", list + "createdAfter=", ""}, "created_after"},
      {{"GET", list + "createdAfter=2026-01-01T00:00:00", ""}, "created_after"},
      {{"GET", list + "createdAfter=2026-01-01T00:00:00%20Z", ""}, "created_after"},
      {{"GET", list + "createdAfter.seconds=1", ""}, "createdAfter.seconds", "no such parameter"},
      {{"GET", "/v1/pipelines/p?view=FULL", ""}, "view", R"("FULL" is no PipelineView)"},
      {{"GET", "/v1/pipelines/p?view=", ""}, "view"},
      {{"GET", "/v1/pipelines/p?pipelineId=p", ""}, "pipeline_id", "the path gives it"},
      {{"GET", "/v1/pipelines/p?pipeline_id=q", ""}, "pipeline_id", "the path gives it"},
      {{"POST", "/v1/jobs/j:stop?jobId=j", ""}, "job_id", "the path gives it"},
      {{"POST", "/v1/workflows/w:rerun?requestId=r", ""}, "request_id", "belongs into the body"},
      {{"POST", "/v1/workflows:run?parameters=r", ""}, "parameters", "belongs into the body"},
      {{"POST", "/v1/agentTypes?agentType.name=r", ""}, "agent_type.name", "into the body"},
      {{"PATCH", "/v1/agentTypes/s1-a?agentType.name=s1-a", ""}, "agent_type.name", "the path"},
      {{"PATCH", "/v1/agentTypes/s1-a?agentType=x", ""}, "agent_type", "into the body"},
      {{"PATCH", "/v1/agentTypes/s1-a?updateMask=", ""}, "update_mask", "names no field"},
      {{"PATCH", "/v1/agentTypes/s1-a?updateMask=a,,b", ""}, "update_mask", "joined by commas"},
      {{"PATCH", "/v1/agentTypes/s1-a?updateMask=a&updateMask=b", ""}, "update_mask", "twice"},
      {{"PATCH", "/v1/agentTypes/s1-a?updateMask.paths=a", ""}, "updateMask.paths"},
  };
  for (const Refused& row : rows) Expect(row);
}

TEST(RestTranscoder, UpToSixteenParametersThatAreWrongAreNamedAtOnce) {
  std::string target = "/v1/pipelines?";
  for (int i = 0; i < 10000; ++i) absl::StrAppend(&target, "x", i, "=1&");
  const auto refused = Transcode({"GET", target, ""});
  EXPECT_EQ(FieldsOf(refused.status()).size(), 16u);
  EXPECT_EQ(FieldsOf(refused.status()).back(), "x15");
  EXPECT_LT(client::DetailBytes(refused.status()), 4096u);
}

TEST(RestTranscoder, ALongHostileTargetIsAnsweredAsAShortOneIs) {
  const std::string names = "/v1/pipelines?";
  for (const std::string& target :
       {names + std::string(65536, '&'), names + "branchName=" + std::string(65000, '+'),
        names + "pageSize=" + std::string(65000, '9'), names + std::string(65000, '%'),
        names + std::string(65000, '.'), names + std::string(65000, 'x') + "=1"}) {
    SCOPED_TRACE(target.substr(0, 40));
    const auto routed = Transcode({"GET", target, ""});
    if (!routed.ok()) {
      EXPECT_EQ(ReasonOf(routed.status()), "INVALID_FIELD");
    }
    if (!routed.ok()) {
      EXPECT_LT(client::Everything(routed.status()).size(), 2048u);
    }
  }
}

// ---- Bodies

TEST(RestTranscoder, BodiesFillTheRequestOrAFieldOfIt) {
  const Accepted rows[] = {
      {{"POST", "/v1/workflows:run",
        R"({"projectId":"p","reference":"refs/heads/main","parameters":{"A":"1","B":""}})"},
       "WorkflowService/RunWorkflow",
       "project_id: 'p' reference: 'refs/heads/main' parameters { key: 'A' value: '1' } "
       "parameters { key: 'B' }"},
      {{"POST", "/v1/agentTypes/s1-a:disableAgents", R"({"onlyIdle":false})"},
       "AgentTypeService/DisableAgents",
       "agent_type_name: 's1-a' only_idle: false"},
      {{"POST", "/v1/agentTypes/s1-a:disableAgents", ""},
       "AgentTypeService/DisableAgents",
       "agent_type_name: 's1-a'"},
      // The body may repeat what the path says.
      {{"POST", "/v1/workflows/w:rerun", R"({"workflow_id":"w","requestId":"r"})"},
       "WorkflowService/RerunWorkflow",
       "workflow_id: 'w' request_id: 'r'"},
      {{"POST", "/v1/workflows/w:rerun", R"({"workflowId":""})"},
       "WorkflowService/RerunWorkflow",
       "workflow_id: 'w'"},
      {{"POST", "/v1/deploymentTargets?requestId=r",
        R"({"name":"n","files":[{"path":"a","content":"aGk="}],"envVars":[{"name":"A","value":"1"}]})"},
       "DeploymentTargetService/CreateDeploymentTarget",
       "deployment_target { name: 'n' files { path: 'a' content: 'hi' } "
       "env_vars { name: 'A' value: '1' } } request_id: 'r'"},
      {{"POST", "/v1/agentTypes", ""}, "AgentTypeService/CreateAgentType", ""},
      {{"POST", "/v1/agentTypes", "{}"}, "AgentTypeService/CreateAgentType", "agent_type {}"},
  };
  for (const Accepted& row : rows) Expect(row);
}

TEST(RestTranscoder, BodiesThatAreWrongAreNamed) {
  const Refused rows[] = {
      {{"GET", "/v1/pipelines/p", "{}"}, "body", "GET takes no body"},
      {{"GET", "/v1/pipelines/p", " "}, "body"},
      {{"DELETE", "/v1/agentTypes/s1-a", "{}"}, "body", "DELETE takes no body"},
      {{"POST", "/v1/workflows/w:rerun", "[]"}, "body", "expected an object, got an array"},
      {{"POST", "/v1/workflows/w:rerun", " "}, "body", "not JSON at byte 1"},
      {{"POST", "/v1/workflows/w:rerun", R"({"workflowId":"v"})"},
       "workflow_id",
       R"(the path says "w" and the body "v")"},
      {{"PATCH", "/v1/agentTypes/s1-a", R"({"name":"s1-b"})"},
       "agent_type.name",
       R"(the path says "s1-a" and the body "s1-b")"},
      {{"POST", "/v1/workflows/w:rerun", R"({"requestID":"v"})"},
       "requestID",
       R"(did you mean "requestId"?)"},
      {{"POST", "/v1/agentTypes", R"({"agentType":{"name":"x"}})"},
       "agent_type.agentType",
       "no such field in AgentType"},
      {{"POST", "/v1/workflows:run", R"({"parameters":{"A":1}})"},
       R"(parameters["A"])",
       "expected a string, got a number"},
      {{"POST", "/v1/workflows:run", R"({"parameters":{"A":"1","A":"2"}})"},
       R"(parameters["A"])",
       "given twice"},
      {{"POST", "/v1/workflows:run", R"({"parameters":{"A":null}})"}, R"(parameters["A"])"},
      {{"PATCH", "/v1/agentTypes/s1-a", R"({"nameSettings":{"releaseAfter":60}})"},
       "agent_type.name_settings.release_after",
       "expected a string, got a number"},
      {{"PATCH", "/v1/artifactRetentionPolicies/p",
        R"({"jobLevelRules":[{"age":{"count":1e400}}]})"},
       "artifact_retention_policy.job_level_rules[0].age.count",
       R"(expected a 32-bit integer, got "1e400")"},
  };
  for (const Refused& row : rows) Expect(row);
}

TEST(RestTranscoder, TheBodyIsJsonOrRefusedByItsType) {
  struct Row {
    const char* content_type;
    bool accepted;
  };
  const Row rows[] = {
      {"", true},
      {"application/json", true},
      {"Application/JSON", true},
      {"application/json;charset=utf-8", true},
      {"application/json; charset=UTF-8", true},
      {"application/json ; charset=\"utf-8\"", true},
      {"application/json; charset=latin-1", false},
      {"application/json; charset=utf-16", false},
      {"application/x-www-form-urlencoded", false},
      {"text/json", false},
      {"application/jsonp", false},
      {"application/merge-patch+json", false},
      {"multipart/form-data; boundary=x", false},
      {"application/json, text/plain", false},
      {"json", false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.content_type);
    const auto routed = Transcode({"POST", "/v1/jobs/j:stop", "{}", row.content_type});
    EXPECT_EQ(routed.ok(), row.accepted) << routed.status();
    if (!row.accepted) {
      EXPECT_EQ(ReasonOf(routed.status()), "UNSUPPORTED_MEDIA_TYPE");
    }
    // Nothing is of no type, whatever the header says.
    EXPECT_TRUE(Transcoder().Transcode({"POST", "/v1/jobs/j:stop", row.content_type, ""}).ok());
  }
}

TEST(RestTranscoder, WhatIsRefusedBehindTheRouteNamesTheMethod) {
  const auto refused = Transcode({"GET", "/v1/pipelines/p?x=1", ""});
  EXPECT_EQ(client::MetadataOf(refused.status(), "method"),
            "semaphore.v1.PipelineService/GetPipeline");
}

// ---- Masks

TEST(RestTranscoder, AnUpdateWithoutAMaskChangesWhatItsBodyHas) {
  struct Row {
    const char* target;
    const char* body;
    std::vector<std::string> changed;
  };
  const char kAgentType[] = "/v1/agentTypes/s1-a";
  const char kTarget[] = "/v1/deploymentTargets/d";
  const char kPolicy[] = "/v1/artifactRetentionPolicies/p";
  const Row rows[] = {
      {kAgentType, R"({"nameSettings":{"releaseAfter":"60s"}})", {"name_settings.release_after"}},
      // What protobuf forgets: an explicit default, an empty list, an empty message.
      {kAgentType, R"({"nameSettings":{"releaseAfter":"0s"}})", {"name_settings.release_after"}},
      {kAgentType,
       R"({"nameSettings":{"assignmentOrigin":0}})",
       {"name_settings.assignment_origin"}},
      {kAgentType, R"({"nameSettings":{}})", {"name_settings"}},
      {kAgentType, R"({"nameSettings":null})", {}},
      {kAgentType, R"({"name":"s1-a"})", {}},
      {kAgentType, "{}", {}},
      {kAgentType, "", {}},
      {kTarget, R"({"description":"","url":"u"})", {"description", "url"}},
      {kTarget, R"({"subjectRules":[],"envVars":[]})", {"subject_rules", "env_vars"}},
      {kTarget, R"({"projectId":"p","active":true,"name":"n"})", {"name"}},
      {kPolicy, R"({"jobLevelRules":[]})", {"job_level_rules"}},
      {kPolicy,
       R"({"job_level_rules":[{"selector":"x","age":{"count":1,"unit":1}}]})",
       {"job_level_rules"}},
      // A mask of the caller's stands.
      {"/v1/deploymentTargets/d?updateMask=url", R"({"description":"x"})", {"url"}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(absl::StrCat(row.target, " ", row.body));
    const auto routed = Transcode({"PATCH", row.target, row.body});
    ASSERT_TRUE(routed.ok()) << routed.status();
    const std::unique_ptr<Message> request = Decoded(*routed);
    const auto changed = client::ChangedPaths(*routed->method, *request);
    ASSERT_TRUE(changed.ok()) << changed.status();
    EXPECT_EQ(*changed, row.changed);
  }
}

TEST(RestTranscoder, ACreationHasNoMask) {
  const auto routed = Transcode({"POST", "/v1/agentTypes", R"({"name":"s1-a"})"});
  ASSERT_TRUE(routed.ok()) << routed.status();
  EXPECT_EQ(routed->request, "\x0a\x06\x0a\x04s1-a");
}

// ---- Replies

TEST(RestTranscoder, RepliesAreJsonWithoutWhatHasNoValue) {
  v1::Pipeline pipeline;
  pipeline.set_pipeline_id("p");
  pipeline.set_state(v1::PIPELINE_STATE_DONE);
  pipeline.mutable_create_time()->set_seconds(1571055107);
  pipeline.mutable_create_time()->set_nanos(824128000);
  const auto json = Transcoder().ReplyJson(client::Method("PipelineService/GetPipeline"),
                                           pipeline.SerializeAsString());
  ASSERT_TRUE(json.ok()) << json.status();
  EXPECT_EQ(*json, R"({"pipelineId":"p","state":"PIPELINE_STATE_DONE",)"
                   R"("createTime":"2019-10-14T12:11:47.824128Z"})");
  EXPECT_EQ(*Transcoder().ReplyJson(client::Method("PipelineService/GetPipeline"), ""), "{}");
}

TEST(RestTranscoder, BytesThatAreNoReplyAreAnErrorOfOurs) {
  const MethodSpec& method = client::Method("PipelineService/GetPipeline");
  for (const std::string& bytes : {std::string("\xff\xff"), std::string("\x0a\x05x"),
                                   std::string("\x0a\x02\xff\xfe"), std::string(1000, '\x0b')}) {
    const auto json = Transcoder().ReplyJson(method, bytes);
    EXPECT_EQ(ReasonOf(json.status()), "GATEWAY_ERROR") << json.status();
    EXPECT_EQ(client::MetadataOf(json.status(), "method"), method.full_name);
  }
}

// ---- Rules that cannot be right

class RestRouterRules : public testing::Test {
 protected:
  static absl::Status Add(RestRouter& router, const char* method, const std::string& rule) {
    google::api::HttpRule parsed;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(rule, &parsed)) << rule;
    return router.Add(client::Method(method), parsed);
  }
};

TEST_F(RestRouterRules, AreRefusedWithTheMethodsName) {
  const std::pair<const char*, const char*> rows[] = {
      {"", "no pattern"},
      {"custom { kind: 'LIST' path: '/v1/x' }", "no pattern"},
      {"get: ''", "begins with /"},
      {"get: 'v1/x'", "begins with /"},
      {"get: '/'", "no path template"},
      {"get: '/v1//x'", "no path template"},
      {"get: '/v1/x/'", "no path template"},
      {"get: '/v1/*'", "no path template"},
      {"get: '/v1/**'", "no path template"},
      {"get: '/v1/x%20'", "no path template"},
      {"get: '/v1/x:'", "no path template"},
      {"get: '/v1/x:a/b'", "no path template"},
      {"get: '/v1/x{pipeline_id}'", "no path template"},
      {"get: '/v1/{pipeline_id}x'", "no path template"},
      {"get: '/v1/{pipeline_id'", "a brace without its end"},
      {"get: '/v1/{}'", "no request field"},
      {"get: '/v1/{bogus}'", "no request field {bogus}"},
      {"get: '/v1/{pipeline_id=**}'", "no request field"},
      {"get: '/v1/{pipeline_id=a/*}'", "no request field"},
      {"get: '/v1/{view}'", "no single string"},
      {"get: '/v1/{pipeline_id}/{pipeline_id}'", "stands there twice"},
      {"get: '/v1/x' body: '*'", "have no body"},
      {"post: '/v1/x'", "all others have one"},
      {"post: '/v1/x' body: 'view'", "body is no single message"},
      {"post: '/v1/x' body: 'bogus'", "body is no single message"},
      {"get: '/v1/x' response_body: 'name'", "response_body"},
      {"get: '/v1/x' additional_bindings { get: '/v1/x' }", "the same verb and path as"},
      {"get: '/v1/x' additional_bindings { get: '/v1/y' additional_bindings { get: '/v1/z' } }",
       "nested"},
  };
  for (const auto& [rule, words] : rows) {
    SCOPED_TRACE(rule);
    RestRouter router;
    const absl::Status status = Add(router, "PipelineService/GetPipeline", rule);
    EXPECT_EQ(status.code(), absl::StatusCode::kInternal);
    EXPECT_THAT(status.ToString(), HasSubstr("semaphore.v1.PipelineService/GetPipeline"));
    EXPECT_THAT(status.ToString(), HasSubstr(words));
  }
}

TEST_F(RestRouterRules, TwoMethodsMustNotShareVerbAndPath) {
  RestRouter router;
  ASSERT_TRUE(Add(router, "PipelineService/GetPipeline", "get: '/v1/x/{pipeline_id}'").ok());
  EXPECT_TRUE(Add(router, "JobService/StopJob", "post: '/v1/x/{job_id}' body: '*'").ok());
  EXPECT_TRUE(Add(router, "JobService/GetJob", "get: '/v1/x/{job_id}:y'").ok());
  EXPECT_TRUE(Add(router, "JobService/GetJob", "get: '/v1/x/y'").ok());
  // Another name of the variable is the same path.
  const absl::Status status = Add(router, "JobService/GetJob", "get: '/v1/x/{job_id}'");
  EXPECT_THAT(status.ToString(), HasSubstr("PipelineService/GetPipeline"));
  EXPECT_THAT(status.ToString(), HasSubstr("JobService/GetJob"));
}

TEST_F(RestRouterRules, TheMoreLiteralPathIsMeantUnlessItLacksTheVerb) {
  RestRouter router;
  ASSERT_TRUE(
      Add(router, "PipelineService/GetPipeline",
          "get: '/v1/x/{pipeline_id}' additional_bindings { get: '/v1/z/{pipeline_id=*}/y' }")
          .ok());
  ASSERT_TRUE(Add(router, "JobService/StopJob", "post: '/v1/x/stop' body: '*'").ok());
  ASSERT_TRUE(Add(router, "JobService/GetJob", "get: '/v1/x/job'").ok());
  const auto method = [&router](const char* verb, const char* path) {
    const auto match = router.Find(verb, path);
    return match.ok() ? match->route->method->name : ReasonOf(match.status());
  };
  EXPECT_EQ(method("GET", "/v1/x/job"), "GetJob");
  EXPECT_EQ(method("GET", "/v1/x/other"), "GetPipeline");
  EXPECT_EQ(method("GET", "/v1/x/stop"), "GetPipeline");
  EXPECT_EQ(method("POST", "/v1/x/stop"), "StopJob");
  EXPECT_EQ(method("POST", "/v1/x/job"), "METHOD_NOT_ALLOWED");
  EXPECT_EQ(method("GET", "/v1/z/a/y"), "GetPipeline");
  EXPECT_EQ(method("GET", "/v1/z/a/x"), "ROUTE_NOT_FOUND");
  EXPECT_THAT(router.AllowedVerbs("/v1/x/stop"), ElementsAre("GET", "HEAD", "OPTIONS", "POST"));
}

}  // namespace
}  // namespace semaphore::gateway
