#include "gateway/openapi.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>
#include <set>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "gateway/embedded_files.h"

namespace semaphore::gateway {
namespace {

namespace json = boost::json;
using ::testing::HasSubstr;
using ::testing::Not;

class OpenApi : public ::testing::Test {
 protected:
  static const json::object& Document() {
    static const auto* const document = [] {
      const auto table = client::MethodTable::Build();
      const auto text = OpenApiDocument(**table, kCommentedProtos);
      EXPECT_TRUE(text.ok()) << text.status();
      return new json::value(json::parse(text.ok() ? *text : "{}"));
    }();
    return document->as_object();
  }

  static const json::object& Operation(const std::string& path, const char* verb) {
    return Document().at("paths").at(path).at(verb).as_object();
  }

  static const json::object& Parameter(const json::object& operation, const std::string& name) {
    for (const json::value& parameter : operation.at("parameters").as_array()) {
      const auto* found = parameter.as_object().if_contains("name");
      if (found != nullptr && found->as_string() == name) return parameter.as_object();
    }
    static const json::object nothing;
    return nothing;
  }
};

// Calls `visit` with every object of a document.
template <typename Visit>
void ForEachObject(const json::value& value, const Visit& visit) {
  if (value.is_array()) {
    for (const json::value& item : value.get_array()) ForEachObject(item, visit);
  } else if (value.is_object()) {
    visit(value.get_object());
    for (const auto& member : value.get_object()) ForEachObject(member.value(), visit);
  }
}

TEST_F(OpenApi, HasEveryMethodOfTheTableOnce) {
  std::set<std::string> ids;
  for (const auto& path : Document().at("paths").as_object()) {
    for (const auto& operation : path.value().as_object()) {
      EXPECT_TRUE(ids.insert(std::string(operation.value().at("operationId").as_string())).second);
    }
  }
  const auto table = client::MethodTable::Build();
  for (const auto& method : (*table)->methods()) {
    const std::string id = absl::StrCat(method->descriptor->service()->name(), "_", method->name);
    EXPECT_EQ(ids.count(id), 1u) << id;
  }
  EXPECT_EQ(ids.size(), (*table)->methods().size());
}

TEST_F(OpenApi, RefersOnlyToWhatItHolds) {
  int references = 0;
  ForEachObject(json::value(Document()), [&](const json::object& object) {
    const auto* reference = object.if_contains("$ref");
    if (reference == nullptr) return;
    ++references;
    std::string pointer(reference->as_string());
    ASSERT_EQ(pointer.rfind("#/", 0), 0u) << pointer;
    boost::json::error_code error;
    EXPECT_NE(json::value(Document()).find_pointer(pointer.substr(1), error), nullptr) << pointer;
  });
  EXPECT_GT(references, 300);
}

TEST_F(OpenApi, TellsCommentsOfMethodsFieldsAndEnums) {
  const json::object& run = Operation("/v1/workflows:run", "post");
  EXPECT_EQ(run.at("summary").as_string(), "Starts a new workflow");
  EXPECT_THAT(std::string(run.at("description").as_string()), HasSubstr("OUTCOME_UNKNOWN"));
  const json::value document(Document());
  EXPECT_THAT(std::string(document
                              .at_pointer("/components/schemas/Workflow/properties/branchName/"
                                          "description")
                              .as_string()),
              HasSubstr("refs/tags/"));
  EXPECT_EQ(document.at_pointer("/components/schemas/WorkflowTrigger/description").as_string(),
            "What started a workflow.");
}

TEST_F(OpenApi, EveryOperationSaysWhatItDoes) {
  for (const auto& path : Document().at("paths").as_object()) {
    for (const auto& operation : path.value().as_object()) {
      EXPECT_FALSE(operation.value().at("summary").as_string().empty()) << path.key();
    }
  }
}

TEST_F(OpenApi, NamesParametersAsJsonDoes) {
  const json::object& list = Operation("/v1/workflows", "get");
  EXPECT_EQ(Parameter(list, "projectId").at("required").as_bool(), true);
  EXPECT_EQ(Parameter(list, "createdAfter").at("schema").at("format").as_string(), "date-time");
  EXPECT_EQ(Parameter(list, "pageSize").at("in").as_string(), "query");
  const json::object& update = Operation("/v1/agentTypes/{agentTypeName}", "patch");
  EXPECT_EQ(Parameter(update, "agentTypeName").at("in").as_string(), "path");
  EXPECT_EQ(Parameter(update, "updateMask").at("schema").at("type").as_string(), "string");
}

TEST_F(OpenApi, AsksInABodyForWhatIsNotInThePath) {
  const json::value rerun(Operation("/v1/workflows/{workflowId}:rerun", "post"));
  const json::object& properties =
      rerun.at_pointer("/requestBody/content/application~1json/schema/properties").as_object();
  EXPECT_TRUE(properties.contains("requestId"));
  EXPECT_FALSE(properties.contains("workflowId"));
  EXPECT_FALSE(rerun.at("requestBody").at("required").as_bool());
  const json::value create(Operation("/v1/deploymentTargets", "post"));
  EXPECT_EQ(json::serialize(create.at_pointer(
                "/requestBody/content/application~1json/schema/allOf/1/required")),
            R"(["name","projectId"])");
}

TEST_F(OpenApi, ShowsSecretsInNoReply) {
  const json::value get(Operation("/v1/deploymentTargets/{deploymentTargetId}", "get"));
  const std::string example =
      json::serialize(get.at_pointer("/responses/200/content/application~1json/example"));
  EXPECT_THAT(example, Not(HasSubstr("files")));
  const json::value document(Document());
  EXPECT_TRUE(document.at_pointer("/components/schemas/DeploymentTarget/properties/files/writeOnly")
                  .as_bool());
}

TEST_F(OpenApi, IsTheSameEachTime) {
  const auto table = client::MethodTable::Build();
  EXPECT_EQ(*OpenApiDocument(**table, kCommentedProtos),
            *OpenApiDocument(**table, kCommentedProtos));
}

TEST_F(OpenApi, RefusesDescriptorsThatCannotBeRead) {
  const auto table = client::MethodTable::Build();
  EXPECT_EQ(OpenApiDocument(**table, "\xff\xff").status().code(), absl::StatusCode::kInternal);
}

}  // namespace
}  // namespace semaphore::gateway
