#include "tests/client/full_request.h"

#include <google/protobuf/duration.pb.h>
#include <google/protobuf/timestamp.pb.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/wire_plan.h"

namespace semaphore::client {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

const upstream::v1::Wire& WireOf(const FieldDescriptor* field) {
  return field->options().GetExtension(upstream::v1::wire);
}

bool Is(const FieldDescriptor* field, upstream::v1::Behavior behavior) {
  const upstream::v1::Wire& wire = WireOf(field);
  return std::find(wire.behavior().begin(), wire.behavior().end(), behavior) !=
         wire.behavior().end();
}

std::string TextFor(const MethodSpec& spec, const FieldDescriptor* field) {
  return field == spec.token_field ? kCallersToken : "text";
}

void Fill(const MethodSpec& spec, Message& message);

void FillOne(const MethodSpec& spec, const FieldDescriptor* field, Message& message) {
  const google::protobuf::Reflection* reflection = message.GetReflection();
  switch (field->type()) {
    case FieldDescriptor::TYPE_STRING:
    case FieldDescriptor::TYPE_BYTES:
      return reflection->SetString(&message, field, TextFor(spec, field));
    case FieldDescriptor::TYPE_BOOL:
      return reflection->SetBool(&message, field, true);
    case FieldDescriptor::TYPE_INT32:
      return reflection->SetInt32(&message, field, 1);
    case FieldDescriptor::TYPE_ENUM:
      return reflection->SetEnumValue(&message, field, field->enum_type()->value(1)->number());
    case FieldDescriptor::TYPE_MESSAGE: {
      Message* inner = reflection->MutableMessage(&message, field);
      if (auto* time =
              google::protobuf::DynamicCastToGenerated<google::protobuf::Timestamp>(inner)) {
        time->set_seconds(WireOf(field).later_than().empty() ? 1000 : 2000);
      } else if (auto* span =
                     google::protobuf::DynamicCastToGenerated<google::protobuf::Duration>(inner)) {
        span->set_seconds(60);
      } else {
        Fill(spec, *inner);
      }
      return;
    }
    default:
      return;
  }
}

void Fill(const MethodSpec& spec, Message& message) {
  const google::protobuf::Reflection* reflection = message.GetReflection();
  for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* field = message.GetDescriptor()->field(i);
    if (Is(field, upstream::v1::BEHAVIOR_OUTPUT_ONLY) || field == spec.page_token ||
        field == spec.mask_field) {
      continue;
    }
    if (!field->is_repeated()) {
      FillOne(spec, field, message);
    } else if (field->is_map()) {
      Message* entry = reflection->AddMessage(&message, field);
      entry->GetReflection()->SetString(entry, field->message_type()->map_key(), "KEY");
      entry->GetReflection()->SetString(entry, field->message_type()->map_value(), "value");
    } else if (field->message_type() != nullptr) {
      Fill(spec, *reflection->AddMessage(&message, field));
    } else if (field->type() == FieldDescriptor::TYPE_STRING) {
      reflection->AddString(&message, field, "text");
    }
  }
}

class Finder {
 public:
  explicit Finder(const MethodSpec& spec) : spec_(spec) {}

  void Visit(Message& message, const std::string& prefix) {
    const google::protobuf::Reflection* reflection = message.GetReflection();
    for (int i = 0; i < message.GetDescriptor()->field_count(); ++i) {
      const FieldDescriptor* field = message.GetDescriptor()->field(i);
      if (Is(field, upstream::v1::BEHAVIOR_OUTPUT_ONLY)) continue;
      const std::string path = absl::StrCat(prefix, field->name());
      if (field == spec_.mask_field) {
        AddMask(message, field);
      } else if (field->is_map()) {
        AddMap(*reflection->MutableRepeatedMessage(&message, field, 0), field, path);
      } else if (field->is_repeated()) {
        VisitList(message, field, absl::StrCat(path, "[0]"));
      } else if (field->message_type() != nullptr) {
        if (!IsTimestamp(field) && !IsDuration(field))
          Visit(*reflection->MutableMessage(&message, field), path + ".");
      } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
        Add(field, path, PlaceOf(field), [&message, field](const std::string& text) {
          message.GetReflection()->SetString(&message, field, text);
        });
      }
    }
  }

  std::vector<TextField> Take() { return std::move(fields_); }

 private:
  void Add(const FieldDescriptor* field, std::string path, TextPlace place,
           std::function<void(const std::string&)> set) {
    fields_.push_back({std::move(path), field->full_name(), place,
                       Is(field, upstream::v1::BEHAVIOR_REQUIRED), std::move(set)});
  }

  void VisitList(Message& message, const FieldDescriptor* field, const std::string& path) {
    if (field->message_type() != nullptr) {
      return Visit(*message.GetReflection()->MutableRepeatedMessage(&message, field, 0),
                   path + ".");
    }
    if (field->type() != FieldDescriptor::TYPE_STRING) return;
    const bool comma = WireOf(field).codec() == upstream::v1::CODEC_COMMA_LIST;
    Add(field, path, comma ? TextPlace::kCommaItem : TextPlace::kText,
        [&message, field](const std::string& text) {
          message.GetReflection()->SetRepeatedString(&message, field, 0, text);
        });
  }

  void AddMap(Message& entry, const FieldDescriptor* field, const std::string& path) {
    const auto setter = [&entry](const FieldDescriptor* part) {
      return [&entry, part](const std::string& text) {
        entry.GetReflection()->SetString(&entry, part, text);
      };
    };
    Add(field, path, TextPlace::kMapKey, setter(field->message_type()->map_key()));
    Add(field, path, TextPlace::kMapValue, setter(field->message_type()->map_value()));
  }

  void AddMask(Message& message, const FieldDescriptor* field) {
    Add(field, field->name(), TextPlace::kMask, [&message, field](const std::string& text) {
      Message* mask = message.GetReflection()->MutableMessage(&message, field);
      mask->Clear();
      mask->GetReflection()->AddString(mask, mask->GetDescriptor()->FindFieldByName("paths"), text);
    });
  }

  TextPlace PlaceOf(const FieldDescriptor* field) const {
    if (field == spec_.page_token) return TextPlace::kPageToken;
    if (field == spec_.token_field) return TextPlace::kToken;
    if (field->type() == FieldDescriptor::TYPE_BYTES) return TextPlace::kBytes;
    for (const PathPiece& piece : spec_.path) {
      if (!piece.field.empty() && piece.field.back() == field) return TextPlace::kPathId;
    }
    // Reading the pipeline comes first, by the list's filter.
    if (field->full_name() == "semaphore.v1.ListPromotionsRequest.pipeline_id")
      return TextPlace::kPathId;
    // What a change reads first goes into that reading's path.
    const bool identifies = Is(field, upstream::v1::BEHAVIOR_IDENTIFIER);
    return spec_.merge_from != nullptr && identifies ? TextPlace::kPathId : TextPlace::kText;
  }

  const MethodSpec& spec_;
  std::vector<TextField> fields_;
};

}  // namespace

std::unique_ptr<Message> FullRequest(const MethodSpec& spec) {
  std::unique_ptr<Message> request(spec.request_prototype->New());
  Fill(spec, *request);
  return request;
}

std::vector<TextField> TextFields(const MethodSpec& spec, Message& request) {
  Finder finder(spec);
  finder.Visit(request, "");
  return finder.Take();
}

}  // namespace semaphore::client
