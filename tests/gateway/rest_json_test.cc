// Our JSON against protobuf's: for every message of the API both read and write the same, and where
// protobuf's reader is laxer than the mapping, or says less, ours is held to tables.
#include <gmock/gmock.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/duration.pb.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/timestamp.pb.h>
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <google/protobuf/wrappers.pb.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <gtest/gtest.h>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "gateway/rest_json_reader.h"
#include "gateway/rest_json_writer.h"
#include "semaphore/v1/agent_type.pb.h"
#include "semaphore/v1/deployment_target.pb.h"
#include "semaphore/v1/job.pb.h"
#include "semaphore/v1/workflow.pb.h"
#include "tests/client/full_request.h"
#include "tests/client/method_fixture.h"
#include "tests/client/status_reading.h"

namespace semaphore::gateway {
namespace {

using client::FieldsOf;
using client::MethodSpec;
using client::ReasonOf;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::JsonStringToMessage;
using google::protobuf::util::MessageToJsonString;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

boost::json::value Parse(const std::string& text) {
  boost::json::error_code error;
  boost::json::value value = boost::json::parse(text, error);
  EXPECT_FALSE(error) << error.message() << ": " << text;
  return value;
}

std::string Written(const Message& message) {
  std::string json;
  const absl::Status status = AppendRestJson(message, &json);
  EXPECT_TRUE(status.ok()) << status;
  return json;
}

absl::Status Read(const std::string& json, Message& message) {
  return ReadRestJson(json, "", message, nullptr);
}

void ExpectSame(const Message& one, const Message& other) {
  std::string difference;
  google::protobuf::util::MessageDifferencer differencer;
  differencer.ReportDifferencesToString(&difference);
  EXPECT_TRUE(differencer.Compare(one, other)) << difference;
}

// Ours and protobuf's writer say the same, and each reader understands both.
void ExpectAgreement(const Message& message) {
  const std::string ours = Written(message);
  std::string theirs;
  ASSERT_TRUE(MessageToJsonString(message, &theirs).ok());
  EXPECT_EQ(Parse(ours), Parse(theirs)) << ours << "\n" << theirs;
  google::protobuf::util::JsonPrintOptions by_proto_names;
  by_proto_names.preserve_proto_field_names = true;
  std::string snake;
  ASSERT_TRUE(MessageToJsonString(message, &snake, by_proto_names).ok());
  for (const std::string& json : {ours, theirs, snake}) {
    const std::unique_ptr<Message> back(message.New());
    const absl::Status status = Read(json, *back);
    ASSERT_TRUE(status.ok()) << status << "\n" << json;
    ExpectSame(message, *back);
  }
  const std::unique_ptr<Message> back(message.New());
  ASSERT_TRUE(JsonStringToMessage(ours, back.get()).ok()) << ours;
  ExpectSame(message, *back);
}

// Fills every field, differently by `seed`: texts with characters that JSON escapes, numbers at
// their bounds, times with and without fractions, two items in each list.
void FillEverything(Message& message, int seed) {
  constexpr const char* kTexts[] = {"text", "a \"quoted\"\\\n\tline",
                                    "Zürich 日本 \xF0\x9F\x9A\x80", "<b>&amp;</b>\x01\x7F\u2028"};
  const google::protobuf::Reflection* reflection = message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i, ++seed) {
    const FieldDescriptor* field = message.GetDescriptor()->field(i);
    const int count = field->is_map() ? 1 : field->is_repeated() ? 2 : 1;
    for (int item = 0; item < count; ++item, ++seed) {
      const bool add = field->is_repeated();
      const std::string text = kTexts[seed % 4];
      switch (field->type()) {
        case FieldDescriptor::TYPE_STRING:
        case FieldDescriptor::TYPE_BYTES:
          add ? reflection->AddString(&message, field, text)
              : reflection->SetString(&message, field, text);
          break;
        case FieldDescriptor::TYPE_BOOL:
          reflection->SetBool(&message, field, true);
          break;
        case FieldDescriptor::TYPE_INT32:
          reflection->SetInt32(&message, field,
                               seed % 2 == 0 ? std::numeric_limits<int32_t>::min() : 7);
          break;
        case FieldDescriptor::TYPE_ENUM: {
          const auto* type = field->enum_type();
          reflection->SetEnumValue(&message, field,
                                   type->value(seed % type->value_count())->number());
          break;
        }
        case FieldDescriptor::TYPE_MESSAGE: {
          Message& inner = *(add ? reflection->AddMessage(&message, field)
                                 : reflection->MutableMessage(&message, field));
          using google::protobuf::DynamicCastToGenerated;
          if (auto* time = DynamicCastToGenerated<google::protobuf::Timestamp>(&inner)) {
            time->set_seconds(int64_t{1700000000} * (seed % 3 - 1));
            time->set_nanos(seed % 4 == 0   ? 0
                            : seed % 4 == 1 ? 500000000
                            : seed % 4 == 2 ? 1000
                                            : 1);
          } else if (auto* span = DynamicCastToGenerated<google::protobuf::Duration>(&inner)) {
            span->set_seconds(60 * (seed % 3 - 1));
          } else if (auto* mask = DynamicCastToGenerated<google::protobuf::FieldMask>(&inner)) {
            mask->add_paths("bookmark_parameter1");
            mask->add_paths("name_settings.aws");
          } else {
            FillEverything(inner, seed);
          }
          break;
        }
        default:
          ADD_FAILURE() << "not thought of: " << field->full_name();
      }
    }
  }
}

// ---- Agreement

TEST(RestJson, EveryRequestIsWrittenAndReadAsProtobufDoes) {
  for (const auto& method : client::Table().methods()) {
    SCOPED_TRACE(method->full_name);
    ExpectAgreement(*client::FullRequest(*method));
    ExpectAgreement(*method->request_prototype);
  }
}

TEST(RestJson, EveryReplyIsWrittenAndReadAsProtobufDoes) {
  for (const auto& method : client::Table().methods()) {
    SCOPED_TRACE(method->full_name);
    for (int seed = 0; seed < 4; ++seed) {
      const std::unique_ptr<Message> reply(method->reply_prototype->New());
      FillEverything(*reply, seed);
      ExpectAgreement(*reply);
      const std::unique_ptr<Message> request(method->request_prototype->New());
      FillEverything(*request, seed);
      ExpectAgreement(*request);
    }
  }
}

// The JSON of the golden pairs was written by hand.
TEST(RestJson, EveryGoldenRequestAndReplyIsReadAsProtobufDoes) {
  int read = 0;
  for (const auto& method : client::Table().methods()) {
    SCOPED_TRACE(method->full_name);
    const std::string service = method->service.substr(method->service.rfind('.') + 1);
    std::ifstream file(std::filesystem::path(SEMAPHORE_GOLDEN_DIR) /
                       absl::StrCat(service, ".", method->name, ".txt"));
    std::string section;
    for (std::string line; std::getline(file, line);) {
      if (line.rfind("--- ", 0) == 0) {
        section = line.substr(4);
        continue;
      }
      const Message* prototype = section == "request"   ? method->request_prototype
                                 : section == "becomes" ? method->reply_prototype
                                                        : nullptr;
      // Those that stand on one line, which nearly all do.
      if (prototype == nullptr || line.empty() || line.front() != '{' || line.back() != '}')
        continue;
      SCOPED_TRACE(line);
      const std::unique_ptr<Message> expected(prototype->New());
      ASSERT_TRUE(JsonStringToMessage(line, expected.get()).ok());
      const std::unique_ptr<Message> actual(prototype->New());
      const absl::Status status = Read(line, *actual);
      ASSERT_TRUE(status.ok()) << status;
      ExpectSame(*expected, *actual);
      ExpectAgreement(*actual);
      ++read;
    }
  }
  EXPECT_GT(read, 100);
}

TEST(RestJson, TheDetailsOfErrorsAreWrittenAsProtobufDoes) {
  google::rpc::ErrorInfo info;
  info.set_reason("R");
  (*info.mutable_metadata())["b"] = "2";
  (*info.mutable_metadata())["a"] = "\"1\"";
  (*info.mutable_metadata())[""] = "";
  ExpectAgreement(info);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_nanos(1000000);
  ExpectAgreement(retry);
}

// ---- Types that the API does not use yet

// One message with fields of every other type, and itself in it.
class EveryType {
 public:
  EveryType() : pool_(google::protobuf::DescriptorPool::generated_pool()), factory_(&pool_) {
    // So that the files of both are in the pool of generated types.
    google::protobuf::Timestamp::descriptor();
    google::protobuf::Int64Value::descriptor();
    factory_.SetDelegateToGeneratedFactory(true);
    google::protobuf::FileDescriptorProto file;
    file.set_name("every_type.proto");
    file.set_syntax("proto3");
    file.add_dependency("google/protobuf/wrappers.proto");
    file.add_dependency("google/protobuf/timestamp.proto");
    auto* type = file.add_message_type();
    type->set_name("Every");
    using Field = google::protobuf::FieldDescriptorProto;
    int number = 0;
    const auto add = [type, &number](const char* name, Field::Type kind, bool repeated,
                                     const char* of = nullptr) {
      Field* field = type->add_field();
      field->set_name(name);
      field->set_number(++number);
      field->set_type(kind);
      field->set_label(repeated ? Field::LABEL_REPEATED : Field::LABEL_OPTIONAL);
      if (of != nullptr) field->set_type_name(of);
      return field;
    };
    for (const bool repeated : {false, true}) {
      const std::string prefix = repeated ? "many_" : "one_";
      const auto named = [&](const char* name) { return prefix + name; };
      add(named("int64").c_str(), Field::TYPE_INT64, repeated);
      add(named("uint64").c_str(), Field::TYPE_UINT64, repeated);
      add(named("uint32").c_str(), Field::TYPE_UINT32, repeated);
      add(named("sint32").c_str(), Field::TYPE_SINT32, repeated);
      add(named("double").c_str(), Field::TYPE_DOUBLE, repeated);
      add(named("float").c_str(), Field::TYPE_FLOAT, repeated);
      add(named("bool").c_str(), Field::TYPE_BOOL, repeated);
      add(named("bytes").c_str(), Field::TYPE_BYTES, repeated);
      add(named("time").c_str(), Field::TYPE_MESSAGE, repeated, ".google.protobuf.Timestamp");
      add(named("wrapped").c_str(), Field::TYPE_MESSAGE, repeated, ".google.protobuf.Int64Value");
      add(named("every").c_str(), Field::TYPE_MESSAGE, repeated, ".Every");
    }
    type->add_oneof_decl()->set_name("choice");
    add("left", Field::TYPE_STRING, false)->set_oneof_index(0);
    add("right", Field::TYPE_STRING, false)->set_oneof_index(0);
    const std::pair<const char*, Field::Type> keys[] = {{"Int32", Field::TYPE_INT32},
                                                        {"Bool", Field::TYPE_BOOL}};
    for (const auto& [name, key] : keys) {
      auto* entry = type->add_nested_type();
      entry->set_name(absl::StrCat("By", name, "Entry"));
      entry->mutable_options()->set_map_entry(true);
      Field* const fields[] = {entry->add_field(), entry->add_field()};
      for (int i = 0; i < 2; ++i) {
        fields[i]->set_name(i == 0 ? "key" : "value");
        fields[i]->set_number(i + 1);
        fields[i]->set_type(i == 0 ? key : Field::TYPE_INT64);
        fields[i]->set_label(Field::LABEL_OPTIONAL);
      }
      add(name[0] == 'I' ? "by_int32" : "by_bool", Field::TYPE_MESSAGE, true,
          absl::StrCat(".Every.", entry->name()).c_str());
    }
    const auto* built = pool_.BuildFile(file);
    if (built == nullptr) {
      ADD_FAILURE() << "the file cannot be built";
      return;
    }
    prototype_ = factory_.GetPrototype(built->message_type(0));
  }

  std::unique_ptr<Message> New() const { return std::unique_ptr<Message>(prototype_->New()); }

 private:
  google::protobuf::DescriptorPool pool_;
  google::protobuf::DynamicMessageFactory factory_;
  const Message* prototype_ = nullptr;
};

TEST(RestJson, EveryTypeHasTheJsonOfTheMapping) {
  const EveryType types;
  // Read, and written as the second; where that is empty, as the first.
  const std::pair<const char*, const char*> rows[] = {
      {R"({"oneInt64":"-9223372036854775808"})", ""},
      {R"({"oneInt64":9007199254740993})", R"({"oneInt64":"9007199254740993"})"},
      {R"({"oneInt64":1e3,"oneUint32":"4294967295"})",
       R"({"oneInt64":"1000","oneUint32":4294967295})"},
      {R"({"oneUint64":"18446744073709551615"})", ""},
      {R"({"oneSint32":-2147483648})", ""},
      {R"({"oneSint32":"12.0"})", R"({"oneSint32":12})"},
      {R"({"oneDouble":0.1,"oneFloat":1.5})", ""},
      {R"({"oneDouble":"NaN","oneFloat":"-Infinity"})", ""},
      {R"({"oneDouble":"1.5e300"})", R"({"oneDouble":1.5e+300})"},
      {R"({"oneBool":false,"oneDouble":0,"oneBytes":"","oneInt64":"0"})", "{}"},
      {R"({"oneBytes":"-_8"})", R"({"oneBytes":"+/8="})"},
      {R"({"oneBytes":"+/8="})", ""},
      {R"({"oneTime":"1970-01-01T00:00:00Z"})", ""},
      {R"({"oneTime":"2026-02-28T23:30:00.25-01:00"})",
       R"({"oneTime":"2026-03-01T00:30:00.250Z"})"},
      {R"({"oneTime":"0001-01-01T00:00:00Z"})", ""},
      {R"({"oneTime":"9999-12-31T23:59:59.999999999Z"})", ""},
      {R"({"oneWrapped":"0"})", ""},
      {R"({"oneWrapped":null,"manyWrapped":null,"oneEvery":null,"byBool":null})", "{}"},
      {R"({"oneEvery":{}})", ""},
      {R"({"oneEvery":{"oneEvery":{"oneBool":true}}})", ""},
      {R"({"manyInt64":["1","2"],"manyBool":[true,false],"manyDouble":[1,"NaN"]})", ""},
      {R"({"manyTime":["2026-01-01T00:00:00Z"],"manyWrapped":["5"],"manyEvery":[{},{"oneBool":true}]})",
       ""},
      {R"({"manyUint64":[],"manyFloat":[0],"manyBytes":["AA=="]})",
       R"({"manyFloat":[0],"manyBytes":["AA=="]})"},
      {R"({"byInt32":{"-7":"1"},"byBool":{"true":"2"}})", ""},
      {R"({"left":"","right":null})", R"({"left":""})"},
      {R"({"one_int64":"5","many_bool":[true]})", R"({"oneInt64":"5","manyBool":[true]})"},
  };
  for (const auto& [json, written] : rows) {
    SCOPED_TRACE(json);
    const std::unique_ptr<Message> message = types.New();
    const absl::Status status = Read(json, *message);
    ASSERT_TRUE(status.ok()) << status;
    const std::string expected = *written == '\0' ? json : written;
    EXPECT_EQ(Parse(Written(*message)), Parse(expected)) << Written(*message);
  }
}

TEST(RestJson, AValueThatItsTypeCannotHoldIsRefused) {
  const EveryType types;
  const char* rows[] = {
      R"({"oneInt64":9223372036854775808})",
      R"({"oneInt64":1.5})",
      R"({"oneInt64":1e19})",
      R"({"oneInt64":1e400})",
      R"({"oneInt64":""})",
      R"({"oneInt64":" 1"})",
      R"({"oneInt64":"0x1"})",
      R"({"oneInt64":9007199254740993.0})",
      R"({"oneInt64":true})",
      R"({"oneInt64":[]})",
      R"({"oneUint64":-1})",
      R"({"oneUint32":4294967296})",
      R"({"oneUint32":-1.0})",
      R"({"oneSint32":2147483648})",
      R"({"oneSint32":3e9})",
      R"({"oneSint32":"NaN"})",
      R"({"oneDouble":1e400})",
      R"({"oneDouble":-1e400})",
      R"({"oneDouble":"inf"})",
      R"({"oneDouble":"nan"})",
      R"({"oneFloat":1e39})",
      R"({"oneDouble":true})",
      R"({"oneBool":"true"})",
      R"({"oneBool":1})",
      R"({"oneBool":{}})",
      R"({"oneBytes":"*"})",
      R"({"oneBytes":"AA A="})",
      R"({"oneBytes":"A"})",
      R"({"oneBytes":5})",
      R"({"oneBytes":"+_8="})",
      R"({"oneBytes":"AA.."})",
      R"({"oneTime":"2026-02-30T00:00:00Z"})",
      R"({"oneTime":"2026-01-01"})",
      R"({"oneTime":1})",
      R"({"oneTime":"2026-01-01T00:00:00"})",
      R"({"oneTime":"2026-01-01 00:00:00Z"})",
      R"({"oneTime":"2026-01-01T00:00:00.0123456789Z"})",
      R"({"oneTime":"1700000000"})",
      R"({"oneTime":"2026-01-01T24:00:00Z"})",
      R"({"oneTime":"2026-01-01T00:00:60Z"})",
      R"({"oneTime":"0001-01-01T00:00:00+00:01"})",
      R"({"oneTime":"10000-01-01T00:00:00Z"})",
      R"({"oneTime":""})",
      R"({"oneTime":"2026-01-01T00:00:00+0100"})",
      R"({"oneWrapped":{"value":"5"}})",
      R"({"oneEvery":[]})",
      R"({"oneEvery":"x"})",
      R"({"manyInt64":"1"})",
      R"({"manyInt64":[null]})",
      R"({"manyEvery":[null]})",
      R"({"manyInt64":{}})",
      R"({"byInt32":[]})",
      R"({"byInt32":{"a":"1"}})",
      R"({"byInt32":{"1":null}})",
      R"({"byInt32":{"1":"1","1":"2"}})",
      R"({"byBool":{"1":"1"}})",
      R"({"left":"a","right":"b"})",
      R"({"oneInt64":1,"one_int64":1})",
      R"({"oneBool":null,"oneBool":true})",
  };
  for (const char* json : rows) {
    SCOPED_TRACE(json);
    const std::unique_ptr<Message> message = types.New();
    const absl::Status status = Read(json, *message);
    EXPECT_EQ(ReasonOf(status), "INVALID_FIELD") << status << Written(*message);
  }
}

TEST(RestJson, NestingIsBounded) {
  const EveryType types;
  const auto nested = [](int levels) {
    std::string json;
    for (int i = 1; i < levels; ++i) json += R"({"oneEvery":)";
    json += "{}";
    return json + std::string(static_cast<size_t>(levels - 1), '}');
  };
  EXPECT_TRUE(Read(nested(32), *types.New()).ok());
  EXPECT_THAT(Read(nested(33), *types.New()).ToString(), HasSubstr("more than 32 levels"));
  EXPECT_FALSE(Read(nested(1000000), *types.New()).ok());
  EXPECT_FALSE(Read(std::string(1000000, '['), *types.New()).ok());
}

// ---- Durations and masks

TEST(RestJson, DurationsHaveTheirBoundsAndFractions) {
  struct Row {
    const char* text;
    const char* written;  // empty: refused
  };
  const Row rows[] = {
      {"60s", "60s"},
      {"0s", "0s"},
      {"-0.5s", "-0.500s"},
      {"1.000001s", "1.000001s"},
      {"1.000000001s", "1.000000001s"},
      {"315576000000s", "315576000000s"},
      {"-315576000000s", "-315576000000s"},
      {"315576000001s", ""},
      {"315576000000.1s", ""},
      {"1.0000000001s", ""},
      {"1m", ""},
      {"60", ""},
      {"s", ""},
      {"", ""},
      {".5s", ""},
      {"1.s", ""},
      {"--1s", ""},
      {"+1s", ""},
      {"1 s", ""},
      {"1e3s", ""},
      {"99999999999999999999s", ""},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.text);
    google::rpc::RetryInfo message;
    const absl::Status status = Read(absl::StrCat(R"({"retryDelay":")", row.text, "\"}"), message);
    EXPECT_EQ(status.ok(), *row.written != '\0') << status;
    if (status.ok()) {
      EXPECT_EQ(Written(message), absl::StrCat(R"({"retryDelay":")", row.written, "\"}"));
    }
  }
}

TEST(RestJson, MasksAreReadInEitherSpellingAndWrittenInCamelCase) {
  v1::UpdateAgentTypeRequest message;
  ASSERT_TRUE(
      Read(R"({"updateMask":"nameSettings.aws,name_settings.release_after,*"})", message).ok());
  EXPECT_THAT(message.update_mask().paths(),
              ElementsAre("name_settings.aws", "name_settings.release_after", "*"));
  EXPECT_EQ(Written(message), R"({"updateMask":"nameSettings.aws,nameSettings.releaseAfter,*"})");
  for (const char* mask : {"a,", ",a", "a b", "a,,b", "a\\u0000", "a/b"}) {
    SCOPED_TRACE(mask);
    EXPECT_FALSE(Read(absl::StrCat(R"({"updateMask":")", mask, "\"}"), message).ok());
  }
}

// ---- What is wrong is named

struct Refused {
  const char* json;
  const char* field;
  const char* words;
};

class RestJsonErrors : public testing::Test {
 protected:
  static void Expect(const Refused& row) {
    SCOPED_TRACE(row.json);
    v1::DeploymentTarget message;
    const absl::Status status = ReadRestJson(row.json, "deployment_target", message, nullptr);
    EXPECT_EQ(ReasonOf(status), "INVALID_FIELD");
    EXPECT_THAT(FieldsOf(status), ElementsAre(row.field));
    EXPECT_THAT(std::string(status.message()), HasSubstr(row.words));
  }
};

TEST_F(RestJsonErrors, NameTheMember) {
  const Refused rows[] = {
      {R"({"nam":"x"})", "deployment_target.nam", R"(did you mean "name"?)"},
      {R"({"bogus":1})", "deployment_target.bogus", "no such field in DeploymentTarget"},
      {R"({"subjectRules":[{"type":"SUBJECT_RULE_TYPE_ANY"},{"subject":1}]})",
       "deployment_target.subject_rules[1].subject", "no such field in SubjectRule"},
      {R"({"name":5})", "deployment_target.name", "expected a string, got a number"},
      {R"({"name":{}})", "deployment_target.name", "expected a string, got an object"},
      {R"({"name":"a","name":"b"})", "deployment_target.name", "given twice"},
      {R"({"createTime":null,"create_time":null})", "deployment_target.create_time", "given twice"},
      {R"({"subjectRules":{}})", "deployment_target.subject_rules", "expected an array"},
      {R"({"subjectRules":[5]})", "deployment_target.subject_rules[0]", "expected an object"},
      {R"({"objectRules":[{"matchMode":"EXACT"}]})", "deployment_target.object_rules[0].match_mode",
       R"("EXACT" is no MatchMode; expected one of MATCH_MODE_UNSPECIFIED, MATCH_MODE_ALL, MATCH_MODE_EXACT)"},
      {R"({"objectRules":[{"matchMode":1.5}]})", "deployment_target.object_rules[0].match_mode",
       R"("1.5" is no MatchMode)"},
      {R"({"objectRules":[{"matchMode":true}]})", "deployment_target.object_rules[0].match_mode",
       "expected the name of a MatchMode, got true"},
      {R"({"createTime":"yesterday"})", "deployment_target.create_time",
       R"(expected a time like 2026-01-31T12:00:00Z, got "yesterday")"},
      {R"([])", "deployment_target", "expected an object, got an array"},
      {R"(null)", "deployment_target", "expected an object, got null"},
      {R"({"a b":1})", "deployment_target.\"a b\"", "no such field"},
      {R"({"":1})", "deployment_target.\"\"", "no such field"},
  };
  for (const Refused& row : rows) Expect(row);
}

TEST_F(RestJsonErrors, SayWhereTheTextIsNoJson) {
  const Refused rows[] = {
      {"", "deployment_target", "not JSON at byte 0: the text ends where a value is expected"},
      {"  ", "deployment_target", "not JSON at byte 2"},
      {"{", "deployment_target", "not JSON at byte 1"},
      {"{name:\"x\"}", "deployment_target", "expected the name of a member in double quotes"},
      {"{'name':'x'}", "deployment_target", "in double quotes"},
      {R"({"name" "x"})", "deployment_target", "expected : behind"},
      {R"({"name":})", "deployment_target.name", "expected a value"},
      {R"({"name":"x",})", "deployment_target", "a comma behind the last one"},
      {R"({"name":"x" "url":"y"})", "deployment_target", "expected , or }"},
      {R"({,"name":"x"})", "deployment_target", "expected the name"},
      {R"({"name":"x"}{})", "body", "more behind the end of the value"},
      {R"({"name":"x"})"
       "\x01",
       "body", "more behind the end"},
      {R"({"name":"x)", "deployment_target.name", "a string without its end"},
      {R"({"name":"x\)", "deployment_target.name", "a string without its end"},
      {R"({"name":"\x"})", "deployment_target.name", "a backslash before"},
      {R"({"name":"\u12"})", "deployment_target.name", "four hexadecimal digits"},
      {R"({"name":"\u12g4"})", "deployment_target.name", "four hexadecimal digits"},
      {R"({"name":"\ud800"})", "deployment_target.name", "half of a surrogate pair"},
      {R"({"name":"\udc00"})", "deployment_target.name", "half of a surrogate pair"},
      {R"({"name":"\ud800\u0041"})", "deployment_target.name", "half of a surrogate pair"},
      {R"({"name":"\ud800\n"})", "deployment_target.name", "half of a surrogate pair"},
      {"{\"name\":\"\xFF\"}", "deployment_target.name", "a byte that is no UTF-8"},
      {"{\"name\":\"\xC0\xAF\"}", "deployment_target.name", "a byte that is no UTF-8"},
      {"{\"name\":\"\xED\xA0\x80\"}", "deployment_target.name", "a byte that is no UTF-8"},
      {"{\"name\":\"a\nb\"}", "deployment_target.name", "a control character"},
      {"{\"n\xFF\":1}", "deployment_target", "a byte that is no UTF-8"},
      {R"({"active":trueish})", "deployment_target", "expected , or }"},
      {R"({"active":True})", "deployment_target.active", "expected a value"},
      {R"({"active":NaN})", "deployment_target.active", "NaN and Infinity are not JSON"},
      {R"({"state":01})", "deployment_target.state", "a number that begins with 0"},
      {R"({"state":-})", "deployment_target.state", "a number without digits"},
      {R"({"state":1.})", "deployment_target.state", "behind its point"},
      {R"({"state":1e})", "deployment_target.state", "in its exponent"},
      {R"({"state":+1})", "deployment_target.state", "expected a value"},
      {R"({"subjectRules":[{}})", "deployment_target.subject_rules", "expected , or ]"},
      {R"({"subjectRules":[{},]})", "deployment_target.subject_rules", "a comma behind the last"},
      {"{/**/}", "deployment_target", "expected the name"},
      {"\xEF\xBB\xBF{}", "deployment_target", "expected a value"},
  };
  for (const Refused& row : rows) Expect(row);
}

TEST_F(RestJsonErrors, NeverQuoteWhatMayBeSecret) {
  const char* rows[] = {
      R"({"envVars":[{"name":"A","value":["CANARY"]}]})",
      R"({"envVars":[{"name":"A","value":"CANARY\x"}]})",
      R"({"envVars":[{"name":"A","value":"CANARY})",
      R"({"files":[{"path":"a","content":"CANARY!"}]})",
      R"({"files":[{"path":"a","content":"CANARY" "CANARY"}]})",
      R"({"envVars":"CANARY"})",
      R"({"envVars":{"CANARY":"CANARY"}})",
  };
  for (const char* json : rows) {
    SCOPED_TRACE(json);
    v1::DeploymentTarget message;
    const absl::Status status = ReadRestJson(json, "deployment_target", message, nullptr);
    EXPECT_EQ(ReasonOf(status), "INVALID_FIELD");
    EXPECT_THAT(client::Everything(status), Not(HasSubstr("CANARY")));
  }
}

TEST(RestJson, EscapesMeanWhatTheySay) {
  v1::DeploymentTarget message;
  ASSERT_TRUE(
      Read("\t{ \"n\\u0061me\" :\r\n\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u20AC\\ud83d\\ude80\" } ",
           message)
          .ok());
  EXPECT_EQ(message.name(), "\"\\/\b\f\n\r\té€\xF0\x9F\x9A\x80");
  ASSERT_TRUE(Read(R"({"name":"a\u0000b"})", message).ok());
  EXPECT_EQ(message.name(), std::string("a\0b", 3));  // validation refuses it, by name
}

TEST(RestJson, AnUnknownNumberOfAnEnumIsWrittenAsItIs) {
  v1::DeploymentTarget message;
  ASSERT_TRUE(Read(R"({"state":77})", message).ok());
  EXPECT_EQ(Written(message), R"({"state":77})");
}

// ---- What was given

TEST(RestJson, WhatWasGivenIsKnownDownToTheSingleValue) {
  struct Row {
    const char* json;
    std::vector<std::string> given;
  };
  const Row rows[] = {
      {"{}", {}},
      {R"({"description":""})", {"description"}},
      {R"({"description":null})", {}},
      {R"({"subjectRules":[],"url":"x"})", {"subject_rules", "url"}},
      {R"({"subjectRules":[{"type":"SUBJECT_RULE_TYPE_ANY"}]})", {"subject_rules"}},
      {R"({"bookmark_parameter1":"1","bookmarkParameter2":"2"})",
       {"bookmark_parameter1", "bookmark_parameter2"}},
      // Neither the identifier nor what is immutable or output-only belongs into a mask.
      {R"({"deploymentTargetId":"d","projectId":"p","state":1,"active":true,"name":"n"})",
       {"name"}},
      {R"({"lastDeployment":{"pipelineId":"p"}})", {}},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.json);
    v1::DeploymentTarget message;
    std::vector<std::string> given;
    ASSERT_TRUE(ReadRestJson(row.json, "deployment_target", message, &given).ok());
    EXPECT_EQ(given, row.given);
  }
  v1::AgentType message;
  std::vector<std::string> given;
  ASSERT_TRUE(
      ReadRestJson(R"({"nameSettings":{"releaseAfter":"0s","aws":{"roleNamePatterns":[]}}})",
                   "agent_type", message, &given)
          .ok());
  EXPECT_THAT(given,
              ElementsAre("name_settings.release_after", "name_settings.aws.role_name_patterns"));
  given.clear();
  ASSERT_TRUE(ReadRestJson(R"({"nameSettings":{"aws":null}})", "agent_type", message, &given).ok());
  EXPECT_THAT(given, ElementsAre("name_settings"));
}

// ---- Writing

TEST(RestJson, WhatHasNoJsonIsAnError) {
  std::string json;
  v1::Workflow workflow;
  workflow.mutable_create_time()->set_seconds(-62135596801);
  EXPECT_EQ(AppendRestJson(workflow, &json).code(), absl::StatusCode::kInternal);
  workflow.mutable_create_time()->set_seconds(0);
  workflow.mutable_create_time()->set_nanos(1000000000);
  EXPECT_EQ(AppendRestJson(workflow, &json).code(), absl::StatusCode::kInternal);
  google::rpc::RetryInfo retry;
  retry.mutable_retry_delay()->set_seconds(1);
  retry.mutable_retry_delay()->set_nanos(-1);
  EXPECT_EQ(AppendRestJson(retry, &json).code(), absl::StatusCode::kInternal);
}

TEST(RestJson, TypesThatHaveNoJsonHereAreToldAtTheStart) {
  EXPECT_TRUE(CheckRestType(v1::DeploymentTarget::descriptor()).ok());
  EXPECT_THAT(CheckRestType(google::rpc::Status::descriptor()).ToString(),
              HasSubstr("google.protobuf.Any"));
}

}  // namespace
}  // namespace semaphore::gateway
