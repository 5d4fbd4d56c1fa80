// Every text field of every request message held against hostile values: each is refused by name
// with nothing sent, or, where the contract lets it through (api.md, "Conventions"), travels so
// that it cannot change which request upstream sees.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <limits>
#include <set>
#include <string>
#include <string_view>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/pages.h"
#include "client/quote.h"
#include "client/validate.h"
#include "tests/client/full_request.h"
#include "tests/client/upstream_fixture.h"

namespace semaphore::client {
namespace {

using google::protobuf::Message;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// What the contract says of CR and LF: these fields, and no others, may hold them.
bool MayHaveLines(const TextField& field) {
  static const std::set<std::string>* const names = new std::set<std::string>{
      "semaphore.v1.DeploymentTarget.description",
      "semaphore.v1.EnvVar.value",
      "semaphore.v1.ValidatePipelineYamlRequest.yaml_definition",
  };
  return field.place == TextPlace::kMapValue || names->contains(field.name);
}

enum class Where { kNowhere, kBytesOnly, kBodyTexts, kAllTexts, kAllButNames };

struct Hostile {
  const char* name;
  std::string text;
  Where allowed;
};

std::string WithNul(std::string text) {
  text += '\0';
  return text + "z";
}

std::vector<Hostile> Hostiles() {
  return {
      {"ten megabytes", std::string(10 << 20, 'a'), Where::kNowhere},
      {"one byte too many", std::string((1 << 20) + 1, 'a'), Where::kNowhere},
      {"NUL", WithNul("a"), Where::kBytesOnly},
      {"only NUL", std::string(1, '\0'), Where::kBytesOnly},
      {"a byte that is no UTF-8", "a\xff", Where::kBytesOnly},
      {"a cut character", "a\xe2\x82", Where::kBytesOnly},
      {"a surrogate", "\xed\xa0\x80", Where::kBytesOnly},
      {"an overlong slash", "\xc0\xaf", Where::kBytesOnly},
      {"beyond Unicode", "\xf4\x90\x80\x80", Where::kBytesOnly},
      {"CR LF", "a\r\nHost: evil", Where::kBodyTexts},
      {"LF", "a\nb", Where::kBodyTexts},
      {"CR", "a\rb", Where::kBodyTexts},
      {"the parent", "..", Where::kAllTexts},
      {"the directory", ".", Where::kAllTexts},
      {"a way out", "../../secrets", Where::kAllTexts},
      {"an encoded way out", "%2e%2e%2fx", Where::kAllTexts},
      {"an encoded line end", "%0d%0aHost: evil", Where::kAllTexts},
      {"another query", "x?a=b&page_size=9#f", Where::kAllTexts},
      {"a space", "a HTTP/1.1", Where::kAllTexts},
      {"a quote", "a\"},{\"b\\", Where::kAllTexts},
      {"an escape sequence", "\x1b[2J", Where::kAllButNames},
      {"brackets", "name[x]", Where::kAllButNames},
      {"an open bracket", "a[", Where::kAllButNames},
      {"a closing bracket", "a]", Where::kAllButNames},
  };
}

bool IsAllowed(const TextField& field, const Hostile& hostile) {
  switch (field.place) {
    case TextPlace::kPathId:
    case TextPlace::kToken:
    case TextPlace::kPageToken:
    case TextPlace::kMask:
      return false;
    case TextPlace::kBytes:
      return hostile.allowed != Where::kNowhere;
    case TextPlace::kCommaItem:
      if (absl::StrContains(hostile.text, ",")) return false;
      break;
    case TextPlace::kMapKey:
      return hostile.allowed == Where::kAllTexts;
    default:
      break;
  }
  return hostile.allowed == Where::kAllTexts || hostile.allowed == Where::kAllButNames ||
         (hostile.allowed == Where::kBodyTexts && MayHaveLines(field));
}

// How an error names the field: map entries by their key, which may be the hostile text.
std::string NameInError(const TextField& field, const Hostile& hostile) {
  const std::string name =
      field.place == TextPlace::kMapKey ? absl::StrCat(field.path, "[", Quote(hostile.text), "]")
      : field.place == TextPlace::kMapValue ? absl::StrCat(field.path, "[\"KEY\"]")
                                            : field.path;
  return std::string(Utf8Prefix(name, 75));
}

class HostileInputTest : public UpstreamFixture {
 protected:
  HostileInputTest() {
    http_.Otherwise([](const HttpRequest&) {
      HttpResult result;
      result.may_have_arrived = true;
      result.response = {400, {}, "enough"};
      return result;
    });
  }

  // As the gateway does it: validated first, and carried out only then.
  absl::Status Run(const MethodSpec& spec, std::shared_ptr<const Message> request) {
    http_.requests.clear();
    const absl::Status valid = ValidateRequest(spec, *request);
    if (!valid.ok()) return valid;
    return CallMessage(spec, std::move(request)).status;
  }

  std::shared_ptr<Message> Full(const MethodSpec& spec) { return FullRequest(spec); }

  void ExpectRefused(const absl::Status& status, const std::string& field) {
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    EXPECT_EQ(ReasonOf(status), "INVALID_FIELD") << status;
    EXPECT_THAT(FieldsOf(status), testing::Contains(field));
    EXPECT_TRUE(http_.requests.empty()) << "something was sent";
    EXPECT_LT(status.message().size(), 1024u);
    EXPECT_LT(DetailBytes(status), 4096u);
  }

  // What was sent is a request that no text of the caller's can have split or redirected.
  void ExpectHarmless(const MethodSpec& spec) {
    ASSERT_FALSE(http_.requests.empty());
    for (const HttpRequest& request : http_.requests) {
      const std::string path = request.target.substr(0, request.target.find('?'));
      EXPECT_THAT(path + "/", Not(HasSubstr("/../")));
      EXPECT_THAT(path + "/", Not(HasSubstr("/./")));
      EXPECT_THAT(path, StartsWith("/api/v1alpha/"));
      EXPECT_EQ(request.target.find_first_of("\r\n #\"<>\\"), std::string::npos) << request.target;
      EXPECT_EQ(request.target.find('\0'), std::string::npos);
      EXPECT_LE(std::count(request.target.begin(), request.target.end(), '?'), 1);
      EXPECT_EQ(request.target.find("page_size=9"), std::string::npos);
      if (!spec.IsRead() && spec.call.encoding() == upstream::v1::ENCODING_FORM) {
        EXPECT_EQ(request.body.find_first_of("\r\n #?[]\"<>\\"), std::string::npos);
        EXPECT_EQ(request.body.find("page_size=9"), std::string::npos);
      }
    }
  }
};

class HostileText : public HostileInputTest, public testing::WithParamInterface<std::string> {};

TEST_P(HostileText, IsRefusedByNameInEveryFieldOrTravelsHarmless) {
  const MethodSpec& spec = Method(GetParam());
  const std::shared_ptr<Message> benign = Full(spec);
  ASSERT_TRUE(ValidateRequest(spec, *benign).ok()) << ValidateRequest(spec, *benign);
  const size_t fields = TextFields(spec, *Full(spec)).size();
  for (const Hostile& hostile : Hostiles()) {
    for (size_t i = 0; i < fields; ++i) {
      const std::shared_ptr<Message> request = Full(spec);
      const TextField field = TextFields(spec, *request)[i];
      SCOPED_TRACE(absl::StrCat(field.path, " holds ", hostile.name));
      field.set(hostile.text);
      const absl::Status status = Run(spec, request);
      if (IsAllowed(field, hostile)) {
        EXPECT_NE(ReasonOf(status), "INVALID_FIELD") << status;
        ExpectHarmless(spec);
      } else {
        ExpectRefused(status, NameInError(field, hostile));
      }
    }
  }
}

TEST_P(HostileText, AnEmptyIdOrNameIsRefusedByName) {
  const MethodSpec& spec = Method(GetParam());
  const size_t fields = TextFields(spec, *Full(spec)).size();
  for (size_t i = 0; i < fields; ++i) {
    const std::shared_ptr<Message> request = Full(spec);
    const TextField field = TextFields(spec, *request)[i];
    const bool needed = field.place == TextPlace::kPathId || field.place == TextPlace::kMask ||
                        field.place == TextPlace::kCommaItem || field.required;
    if (!needed || field.place == TextPlace::kMapKey) continue;
    SCOPED_TRACE(field.path);
    field.set("");
    ExpectRefused(Run(spec, request), field.path);
  }
}

std::vector<std::string> AllMethods() {
  std::vector<std::string> names;
  for (const auto& spec : Table().methods())
    names.push_back(spec->full_name.substr(std::string_view("semaphore.v1.").size()));
  return names;
}

std::string TestName(const testing::TestParamInfo<std::string>& info) {
  return info.param.substr(info.param.find('/') + 1);
}

INSTANTIATE_TEST_SUITE_P(Of, HostileText, testing::ValuesIn(AllMethods()), TestName);

TEST(HostileText, IsTriedInEveryMethodOfTheContract) { EXPECT_EQ(AllMethods().size(), 35u); }

// ---- Pages

std::vector<const MethodSpec*> PagedMethods() {
  std::vector<const MethodSpec*> paged;
  for (const auto& spec : Table().methods()) {
    if (spec->page_token != nullptr) paged.push_back(spec.get());
  }
  return paged;
}

TEST_F(HostileInputTest, ANegativePageSizeIsRefusedAndAGiantOneFitsUpstream) {
  for (const MethodSpec* spec : PagedMethods()) {
    SCOPED_TRACE(spec->full_name);
    const auto with = [this, spec](int32_t size) {
      std::shared_ptr<Message> request = Full(*spec);
      request->GetReflection()->SetInt32(request.get(), spec->page_size, size);
      return Run(*spec, std::move(request));
    };
    for (const int32_t size : {-1, -1000, std::numeric_limits<int32_t>::min()})
      ExpectRefused(with(size), "page_size");
    for (const int32_t size : {0, 1, 1001, 1000000, std::numeric_limits<int32_t>::max()}) {
      EXPECT_EQ(ReasonOf(with(size)), "UPSTREAM_REJECTED") << size;
      const std::string& target = http_.requests.back().target;
      const size_t at = target.find("page_size=");
      if (at == std::string::npos) continue;
      const int asked = std::atoi(target.c_str() + at + 10);
      EXPECT_GE(asked, spec->call.pages().min()) << target;
      EXPECT_LE(asked, spec->call.pages().max()) << target;
    }
  }
}

TEST_F(HostileInputTest, APageTokenIsGoodForItsOwnListOnly) {
  PagePosition position;
  position.offset = 3;
  for (const MethodSpec* spec : PagedMethods()) {
    SCOPED_TRACE(spec->full_name);
    const auto with_token = [](const MethodSpec& list, Message& request, const std::string& token) {
      request.GetReflection()->SetString(&request, list.page_token, token);
    };
    const std::string own = EncodePageToken(position, PageBinding(*spec, "acme", *Full(*spec)));
    std::shared_ptr<Message> request = Full(*spec);
    with_token(*spec, *request, own);
    request->GetReflection()->SetInt32(request.get(), spec->page_size, 77);
    EXPECT_EQ(ReasonOf(Run(*spec, request)), "UPSTREAM_REJECTED") << "another size is allowed";

    request = Full(*spec);
    with_token(*spec, *request,
               EncodePageToken(position, PageBinding(*spec, "other", *Full(*spec))));
    ExpectRefused(Run(*spec, request), "page_token");

    for (const MethodSpec* other : PagedMethods()) {
      if (other == spec) continue;
      SCOPED_TRACE(other->full_name);
      request = Full(*other);
      with_token(*other, *request, own);
      ExpectRefused(Run(*other, request), "page_token");
    }
    const google::protobuf::Descriptor* type = spec->descriptor->input_type();
    for (int i = 0; i < type->field_count(); ++i) {
      const google::protobuf::FieldDescriptor* field = type->field(i);
      const bool filter = field != spec->page_size && field != spec->page_token;
      if (!filter) continue;
      SCOPED_TRACE(field->name());
      request = Full(*spec);
      if (field->type() == google::protobuf::FieldDescriptor::TYPE_STRING) {
        request->GetReflection()->SetString(request.get(), field, "other");
      } else {
        request->GetReflection()->ClearField(request.get(), field);
      }
      with_token(*spec, *request, own);
      ExpectRefused(Run(*spec, request), "page_token");
    }
  }
}

TEST_F(HostileInputTest, APageTokenThatWasCutOrEditedIsRefusedByEveryList) {
  PagePosition position;
  position.offset = 3;
  for (const MethodSpec* spec : PagedMethods()) {
    SCOPED_TRACE(spec->full_name);
    const std::string own = EncodePageToken(position, PageBinding(*spec, "acme", *Full(*spec)));
    for (size_t at = 0; at < own.size(); ++at) {
      std::string edited = own;
      edited[at] = edited[at] == 'A' ? 'B' : 'A';
      for (const std::string& token : {own.substr(0, at), edited, own + own.substr(at)}) {
        if (token.empty()) continue;
        const std::shared_ptr<Message> request = Full(*spec);
        request->GetReflection()->SetString(request.get(), spec->page_token, token);
        ExpectRefused(Run(*spec, request), "page_token");
      }
    }
  }
}

// ---- Update masks

TEST_F(HostileInputTest, AMaskMayNameWritableFieldsOnly) {
  using google::protobuf::FieldDescriptor;
  int updates = 0;
  for (const auto& spec : Table().methods()) {
    if (spec->mask_field == nullptr) continue;
    ++updates;
    const google::protobuf::Descriptor* resource = spec->descriptor->output_type();
    for (int i = 0; i < resource->field_count(); ++i) {
      const FieldDescriptor* field = resource->field(i);
      SCOPED_TRACE(spec->full_name + " " + field->name());
      const auto& wire = field->options().GetExtension(upstream::v1::wire);
      const std::set<int> behavior(wire.behavior().begin(), wire.behavior().end());
      const std::shared_ptr<Message> request = Full(*spec);
      for (const TextField& text : TextFields(*spec, *request)) {
        if (text.place == TextPlace::kMask) text.set(field->name());
      }
      if (behavior.contains(upstream::v1::BEHAVIOR_IDENTIFIER) ||
          behavior.contains(upstream::v1::BEHAVIOR_IMMUTABLE)) {
        ExpectRefused(Run(*spec, request), "update_mask");
      } else {
        EXPECT_TRUE(ValidateRequest(*spec, *request).ok()) << ValidateRequest(*spec, *request);
      }
    }
    for (const char* path : {"no_such_field",
                             "nameSettings",
                             "NAME",
                             "name.x",
                             "description.x",
                             ".",
                             "*.*",
                             "a..b",
                             ".name",
                             "name.",
                             "deployment_target.description",
                             "subject_rules.type",
                             "subject_rules[0]",
                             "job_level_rules.age.count",
                             "update_mask",
                             "last_deployment.nothing",
                             "create_time.hours",
                             "name_settings.aws.nothing",
                             " description",
                             "**"}) {
      SCOPED_TRACE(spec->full_name + " " + path);
      const std::shared_ptr<Message> request = Full(*spec);
      for (const TextField& text : TextFields(*spec, *request)) {
        if (text.place == TextPlace::kMask) text.set(path);
      }
      ExpectRefused(Run(*spec, request), "update_mask");
    }
  }
  EXPECT_EQ(updates, 3);
}

}  // namespace
}  // namespace semaphore::client
