#include "client/wire_plan.h"

#include <algorithm>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/string_view.h"

namespace semaphore::client {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;

// "PIPELINE_STATE_" for PipelineState: what every value name starts with.
std::string PrefixOf(const EnumDescriptor* type) {
  const std::string& zero = type->value(0)->name();
  constexpr absl::string_view kSuffix = "UNSPECIFIED";
  if (!absl::EndsWith(zero, kSuffix)) return "";
  return zero.substr(0, zero.size() - kSuffix.size());
}

absl::Status Wrong(const FieldDescriptor* field, absl::string_view what) {
  return absl::InternalError(absl::StrCat(field->full_name(), ": ", what));
}

bool IsPlainMessage(const FieldDescriptor* field) {
  return field->type() == FieldDescriptor::TYPE_MESSAGE && !field->is_map() &&
         !IsTimestamp(field) && !IsDuration(field);
}

KeyNode& NodeAt(KeyNode& root, absl::string_view path) {
  KeyNode* node = &root;
  for (const absl::string_view part : absl::StrSplit(path, '.')) {
    std::unique_ptr<KeyNode>& child = node->children[std::string(part)];
    if (child == nullptr) child = std::make_unique<KeyNode>();
    node = child.get();
  }
  return *node;
}

// The codec must suit the field; catches a slip in a proto file at the start instead of in
// production.
absl::Status CheckCodec(const FieldPlan& plan) {
  const FieldDescriptor* field = plan.field;
  switch (plan.wire.codec()) {
    case upstream::v1::CODEC_UNIX_SECONDS:
    case upstream::v1::CODEC_UNIX_SECONDS_CEILING:
      return IsTimestamp(field) ? absl::OkStatus()
                                : Wrong(field, "a UNIX_SECONDS codec needs a Timestamp");
    case upstream::v1::CODEC_DURATION_SECONDS:
      return IsDuration(field) ? absl::OkStatus()
                               : Wrong(field, "DURATION_SECONDS needs a Duration");
    case upstream::v1::CODEC_BASE64:
      return field->type() == FieldDescriptor::TYPE_BYTES ? absl::OkStatus()
                                                          : Wrong(field, "BASE64 needs bytes");
    case upstream::v1::CODEC_COMMA_LIST:
      return field->type() == FieldDescriptor::TYPE_STRING && field->is_repeated()
                 ? absl::OkStatus()
                 : Wrong(field, "COMMA_LIST needs a repeated string");
    case upstream::v1::CODEC_AGE_TEXT: {
      const Descriptor* type = field->message_type();
      return type != nullptr && type->FindFieldByName("count") != nullptr &&
                     type->FindFieldByName("unit") != nullptr
                 ? absl::OkStatus()
                 : Wrong(field, "AGE_TEXT needs a message of count and unit");
    }
    default:
      if (IsDuration(field)) return Wrong(field, "a Duration needs a codec");
      if (field->type() == FieldDescriptor::TYPE_BYTES) return Wrong(field, "bytes need a codec");
      return absl::OkStatus();
  }
}

}  // namespace

bool IsTimestamp(const FieldDescriptor* field) {
  return field->type() == FieldDescriptor::TYPE_MESSAGE &&
         field->message_type()->full_name() == "google.protobuf.Timestamp";
}

bool IsDuration(const FieldDescriptor* field) {
  return field->type() == FieldDescriptor::TYPE_MESSAGE &&
         field->message_type()->full_name() == "google.protobuf.Duration";
}

absl::StatusOr<std::unique_ptr<EnumPlan>> EnumPlan::Build(const EnumDescriptor* type) {
  auto plan = std::make_unique<EnumPlan>();
  const std::string prefix = PrefixOf(type);
  for (int i = 0; i < type->value_count(); ++i) {
    const EnumValueDescriptor* value = type->value(i);
    const upstream::v1::Word& option = value->options().GetExtension(upstream::v1::word);
    std::vector<std::string> words(option.words().begin(), option.words().end());
    const bool is_zero = value->number() == 0;
    if (words.empty() && !is_zero) words.push_back(value->name().substr(prefix.size()));
    plan->word_of_value_[value->number()] = words.empty() || is_zero ? "" : words[0];
    for (const std::string& word : words) {
      if (!plan->value_of_word_.emplace(absl::AsciiStrToLower(word), value->number()).second) {
        return absl::InternalError(
            absl::StrCat(value->full_name(), ": word \"", word, "\" is taken"));
      }
    }
    if (option.has_number() &&
        !plan->value_of_number_.emplace(option.number(), value->number()).second) {
      return absl::InternalError(absl::StrCat(value->full_name(), ": number is taken"));
    }
  }
  return plan;
}

std::optional<int> EnumPlan::FromWord(std::string_view word) const {
  const auto found = value_of_word_.find(absl::AsciiStrToLower(ToAbsl(word)));
  if (found == value_of_word_.end()) return std::nullopt;
  return found->second;
}

std::optional<int> EnumPlan::FromNumber(int64_t number) const {
  const auto found = value_of_number_.find(number);
  if (found == value_of_number_.end()) return std::nullopt;
  return found->second;
}

std::optional<std::string> EnumPlan::ToWord(int value) const {
  const auto found = word_of_value_.find(value);
  if (found == word_of_value_.end()) return std::nullopt;
  return found->second;
}

bool Condition::Holds(int value) const {
  const bool listed = std::find(values.begin(), values.end(), value) != values.end();
  return listed != negated;
}

bool Condition::HoldsFor(const google::protobuf::Message& message) const {
  const google::protobuf::Reflection* reflection = message.GetReflection();
  return Holds(field->enum_type() != nullptr
                   ? reflection->GetEnumValue(message, field)
                   : static_cast<int>(reflection->GetBool(message, field)));
}

bool FieldPlan::Is(upstream::v1::Behavior behavior) const {
  return std::find(wire.behavior().begin(), wire.behavior().end(), behavior) !=
         wire.behavior().end();
}

const FieldPlan* MessagePlan::Find(const FieldDescriptor* field) const {
  for (const std::unique_ptr<FieldPlan>& plan : fields) {
    if (plan->field == field && plan->via.empty()) return plan.get();
  }
  return nullptr;
}

absl::StatusOr<Condition> ParseCondition(std::string_view text, const Descriptor* type) {
  const absl::Status wrong = absl::InternalError(
      absl::StrCat(type->full_name(), ": condition \"", ToAbsl(text),
                   "\" is not field=VALUE|… of enum values, or field=true or false of a bool"));
  const size_t equals = text.find('=');
  if (equals == std::string_view::npos || equals == 0) return wrong;
  Condition condition;
  condition.negated = text[equals - 1] == '!';
  std::string name(text.substr(0, equals - (condition.negated ? 1 : 0)));
  const std::vector<std::string> names = absl::StrSplit(ToAbsl(text.substr(equals + 1)), '|');
  const google::protobuf::FileDescriptor* file = type->file();
  const EnumDescriptor* enum_type = nullptr;
  if (absl::StartsWith(name, "request.")) {
    condition.request_field = name.substr(8);
    const auto* value = file->FindEnumValueByName(names[0]);
    if (value != nullptr) enum_type = value->type();
  } else {
    condition.field = type->FindFieldByName(name);
    if (condition.field == nullptr || condition.field->is_repeated()) return wrong;
    enum_type = condition.field->enum_type();
    if (condition.field->type() == FieldDescriptor::TYPE_BOOL) {
      if (names.size() != 1 || (names[0] != "true" && names[0] != "false")) return wrong;
      condition.values.push_back(names[0] == "true" ? 1 : 0);
      return condition;
    }
  }
  if (enum_type == nullptr) return wrong;
  for (const std::string& value_name : names) {
    const EnumValueDescriptor* value = enum_type->FindValueByName(value_name);
    if (value == nullptr) return wrong;
    condition.values.push_back(value->number());
  }
  return condition;
}

absl::StatusOr<const EnumPlan*> WirePlans::For(const EnumDescriptor* type) {
  std::unique_ptr<EnumPlan>& plan = enums_[type];
  if (plan == nullptr) {
    absl::StatusOr<std::unique_ptr<EnumPlan>> built = EnumPlan::Build(type);
    if (!built.ok()) return built.status();
    plan = *std::move(built);
  }
  return plan.get();
}

const MessagePlan* WirePlans::Existing(const Descriptor* type) const {
  const auto found = messages_.find(type);
  return found == messages_.end() ? nullptr : found->second.get();
}

absl::StatusOr<const MessagePlan*> WirePlans::For(const Descriptor* type) {
  const auto found = messages_.find(type);
  if (found != messages_.end()) return found->second.get();
  MessagePlan& plan = *messages_.emplace(type, std::make_unique<MessagePlan>()).first->second;
  plan.type = type;
  const absl::Status added = AddFields(type, "", {}, plan);
  if (!added.ok()) return added;
  for (int i = 0; i < type->options().ExtensionSize(upstream::v1::dropped); ++i) {
    NodeAt(plan.root, type->options().GetExtension(upstream::v1::dropped, i));
  }
  return &plan;
}

absl::Status WirePlans::AddFields(const Descriptor* type, std::string_view prefix,
                                  const std::vector<const FieldDescriptor*>& via,
                                  MessagePlan& plan) {
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    auto field_plan = std::make_unique<FieldPlan>();
    field_plan->field = field;
    field_plan->via = via;
    field_plan->wire = field->options().GetExtension(upstream::v1::wire);
    if (field_plan->wire.flatten() && IsPlainMessage(field)) {
      std::vector<const FieldDescriptor*> deeper = via;
      deeper.push_back(field);
      const absl::Status added = AddFields(field->message_type(), prefix, deeper, plan);
      if (!added.ok()) return added;
      continue;
    }
    field_plan->path = absl::StrCat(
        ToAbsl(prefix), field_plan->wire.path().empty() ? field->name() : field_plan->wire.path());
    const absl::Status added = AddField(std::move(field_plan), plan);
    if (!added.ok()) return added;
  }
  return absl::OkStatus();
}

absl::Status WirePlans::AddField(std::unique_ptr<FieldPlan> field_plan, MessagePlan& plan) {
  const FieldDescriptor* field = field_plan->field;
  const absl::Status codec = CheckCodec(*field_plan);
  if (!codec.ok()) return codec;
  if (field->enum_type() != nullptr) {
    const absl::StatusOr<const EnumPlan*> enum_plan = For(field->enum_type());
    if (!enum_plan.ok()) return enum_plan.status();
    field_plan->enum_plan = *enum_plan;
  }
  if (IsPlainMessage(field)) {
    const absl::StatusOr<const MessagePlan*> message_plan = For(field->message_type());
    if (!message_plan.ok()) return message_plan.status();
    field_plan->message_plan = *message_plan;
  }
  const absl::Status conditions = AddConditions(*field_plan);
  if (!conditions.ok()) return conditions;
  if (!field_plan->conditions.empty()) plan.conditional.push_back(field_plan.get());
  KeyNode& node = NodeAt(plan.root, field_plan->path);
  if (node.field != nullptr)
    return Wrong(field, absl::StrCat("key \"", field_plan->path, "\" is taken"));
  node.field = field_plan.get();
  plan.fields.push_back(std::move(field_plan));
  return absl::OkStatus();
}

absl::Status WirePlans::AddConditions(FieldPlan& field_plan) {
  for (const std::string& text : field_plan.wire.valid_when()) {
    absl::StatusOr<Condition> condition = ParseCondition(text, field_plan.field->containing_type());
    if (!condition.ok()) return condition.status();
    (condition->field == nullptr ? field_plan.request_conditions : field_plan.conditions)
        .push_back(*std::move(condition));
  }
  return absl::OkStatus();
}

}  // namespace semaphore::client
