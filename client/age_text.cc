#include "client/age_text.h"

#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/quote.h"

namespace semaphore::client {

absl::Status ParseAgeText(const std::string& text, const MessagePlan& plan,
                          google::protobuf::Message& age) {
  const std::pair<std::string, std::string> parts = absl::StrSplit(text, absl::MaxSplits(' ', 1));
  const google::protobuf::FieldDescriptor* count = plan.type->FindFieldByName("count");
  const google::protobuf::FieldDescriptor* unit = plan.type->FindFieldByName("unit");
  int32_t number = 0;
  const std::optional<int> value = plan.Find(unit)->enum_plan->FromWord(parts.second);
  if (!absl::SimpleAtoi(parts.first, &number) || number < 1 || !value) {
    return absl::InvalidArgumentError(
        absl::StrCat("expected an age like \"2 weeks\", got ", Quote(text)));
  }
  age.GetReflection()->SetInt32(&age, count, number);
  age.GetReflection()->SetEnumValue(&age, unit, *value);
  return absl::OkStatus();
}

std::string FormatAgeText(const google::protobuf::Message& age, const MessagePlan& plan) {
  const google::protobuf::FieldDescriptor* unit = plan.type->FindFieldByName("unit");
  const int32_t count = age.GetReflection()->GetInt32(age, plan.type->FindFieldByName("count"));
  const std::optional<std::string> word =
      plan.Find(unit)->enum_plan->ToWord(age.GetReflection()->GetEnumValue(age, unit));
  return absl::StrCat(count, " ", word.value_or(""), count == 1 ? "" : "s");
}

}  // namespace semaphore::client
