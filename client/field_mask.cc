#include "client/field_mask.h"

#include <google/protobuf/field_mask.pb.h>
#include <google/protobuf/util/field_mask_util.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "client/quote.h"

namespace semaphore::client {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FieldMask;
using google::protobuf::Message;

bool Is(const FieldDescriptor* field, upstream::v1::Behavior behavior) {
  const upstream::v1::Wire& wire = field->options().GetExtension(upstream::v1::wire);
  return std::find(wire.behavior().begin(), wire.behavior().end(), behavior) !=
         wire.behavior().end();
}

bool IsPopulated(const Message& message, const FieldDescriptor* field) {
  return field->is_repeated() ? message.GetReflection()->FieldSize(message, field) > 0
                              : message.GetReflection()->HasField(message, field);
}

// One path of a mask that a caller gave; adds it unless it is output-only.
absl::Status AddPath(const Descriptor* resource, const std::string& path,
                     std::vector<std::string>& paths) {
  const std::vector<const FieldDescriptor*> fields = ResolveField(resource, path);
  const bool through_list = !fields.empty() && std::any_of(fields.begin(), fields.end() - 1,
                                                           [](const FieldDescriptor* field) {
                                                             return field->is_repeated();
                                                           });
  if (fields.empty() || through_list) {
    return absl::InvalidArgumentError(
        absl::StrCat("no field ", Quote(path), " in ", resource->name()));
  }
  for (const FieldDescriptor* field : fields) {
    if (Is(field, upstream::v1::BEHAVIOR_OUTPUT_ONLY)) return absl::OkStatus();
    if (!IsWritable(field)) {
      return absl::InvalidArgumentError(absl::StrCat(field->name(), " cannot be changed"));
    }
  }
  paths.push_back(path);
  return absl::OkStatus();
}

}  // namespace

namespace {

// The populated fields, down to the single value: what stands beside it in a message that is only
// partly given is not part of the change.
void AddPopulated(const Message& message, const std::string& prefix,
                  std::vector<std::string>& paths) {
  const Descriptor* type = message.GetDescriptor();
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    if (!IsWritable(field) || !IsPopulated(message, field)) continue;
    const bool nested = field->message_type() != nullptr && !field->is_repeated() &&
                        !IsTimestamp(field) && !IsDuration(field);
    const Message* const inner =
        nested ? &message.GetReflection()->GetMessage(message, field) : nullptr;
    const size_t before = paths.size();
    if (nested) AddPopulated(*inner, absl::StrCat(prefix, field->name(), "."), paths);
    if (paths.size() == before) paths.push_back(absl::StrCat(prefix, field->name()));
  }
}

}  // namespace

bool IsWritable(const FieldDescriptor* field) {
  return !Is(field, upstream::v1::BEHAVIOR_OUTPUT_ONLY) &&
         !Is(field, upstream::v1::BEHAVIOR_IMMUTABLE) &&
         !Is(field, upstream::v1::BEHAVIOR_IDENTIFIER);
}

const FieldDescriptor* ResourceField(const MethodSpec& spec) {
  const Descriptor* request = spec.descriptor->input_type();
  for (int i = 0; i < request->field_count(); ++i) {
    const FieldDescriptor* field = request->field(i);
    if (field->message_type() == spec.descriptor->output_type()) return field;
  }
  return nullptr;
}

absl::StatusOr<std::vector<std::string>> ChangedPaths(const MethodSpec& spec,
                                                      const Message& request) {
  const FieldDescriptor* resource_field = ResourceField(spec);
  const Message& resource = request.GetReflection()->GetMessage(request, resource_field);
  const Descriptor* type = resource.GetDescriptor();
  const bool masked = request.GetReflection()->HasField(request, spec.mask_field);
  const auto& mask = *google::protobuf::DynamicCastToGenerated<FieldMask>(
      &request.GetReflection()->GetMessage(request, spec.mask_field));
  std::vector<std::string> paths;
  const bool all = masked && mask.paths_size() == 1 && mask.paths(0) == "*";
  if (masked && !all) {
    for (const std::string& path : mask.paths()) {
      const absl::Status added = AddPath(type, path, paths);
      if (!added.ok()) return added;
    }
    return paths;
  }
  for (int i = 0; all && i < type->field_count(); ++i) {
    if (IsWritable(type->field(i))) paths.push_back(type->field(i)->name());
  }
  if (!all) AddPopulated(resource, "", paths);
  return paths;
}

void CopyPaths(const std::vector<std::string>& paths, const Message& source, Message& target) {
  FieldMask mask;
  for (const std::string& path : paths) mask.add_paths(path);
  google::protobuf::util::FieldMaskUtil::MergeOptions options;
  options.set_replace_message_fields(true);
  options.set_replace_repeated_fields(true);
  google::protobuf::util::FieldMaskUtil::MergeMessageTo(source, mask, options, &target);
}

}  // namespace semaphore::client
