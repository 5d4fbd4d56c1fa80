#include "gateway/audit_log.h"

#include <algorithm>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "semaphore/upstream/v1/options.pb.h"

namespace semaphore::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t kMaxIdBytes = 128;

bool Tells(const FieldDescriptor* field) {
  const upstream::v1::Wire& wire = field->options().GetExtension(upstream::v1::wire);
  const bool output_only = std::find(wire.behavior().begin(), wire.behavior().end(),
                                     upstream::v1::BEHAVIOR_OUTPUT_ONLY) != wire.behavior().end();
  const std::string& name = field->name();
  return field->type() == FieldDescriptor::TYPE_STRING && !field->is_repeated() && !wire.secret() &&
         !output_only &&
         (name == "name" || absl::EndsWith(name, "_id") || absl::EndsWith(name, "_name"));
}

// Of the request itself, and of the resource that a Create or Update carries.
std::vector<std::vector<const FieldDescriptor*>> TellingFields(const client::MethodSpec& method) {
  std::vector<std::vector<const FieldDescriptor*>> found;
  const Descriptor* request = method.descriptor->input_type();
  for (int i = 0; i < request->field_count(); ++i) {
    const FieldDescriptor* field = request->field(i);
    if (Tells(field) && field != method.token_field) found.push_back({field});
    const bool resource =
        field->message_type() != nullptr && !field->is_repeated() &&
        std::any_of(method.resources.begin(), method.resources.end(), [&](const auto& changed) {
          return changed.type == field->message_type()->name();
        });
    if (!resource) continue;
    for (int j = 0; j < field->message_type()->field_count(); ++j) {
      const FieldDescriptor* member = field->message_type()->field(j);
      if (Tells(member)) found.push_back({field, member});
    }
  }
  return found;
}

std::string TextAt(const Message& request, const std::vector<const FieldDescriptor*>& path) {
  const Message* message = &request;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    message = &message->GetReflection()->GetMessage(*message, path[i]);
  }
  return message->GetReflection()->GetString(*message, path.back());
}

}  // namespace

AuditLog::AuditLog(Log& log, const client::MethodTable& methods) : log_(log) {
  for (const auto& method : methods.methods()) {
    std::vector<NamedField>& fields = fields_.emplace_back();
    if (!method->IsChange()) continue;
    for (std::vector<const FieldDescriptor*>& path : TellingFields(*method)) {
      std::string key = "request";
      for (const FieldDescriptor* step : path) absl::StrAppend(&key, ".", step->name());
      fields.push_back({std::move(key), std::move(path)});
    }
  }
}

void AuditLog::Write(const AuditRecord& record) {
  std::vector<LogField> line = {{"caller", record.caller},
                                {"method", std::string_view(record.method->full_name)},
                                {"code", record.code}};
  const auto add = [&line](std::string_view key, std::string_view text) {
    if (!text.empty()) line.emplace_back(key, text);
  };
  add("reason", record.reason);
  add("organization", record.organization);
  const std::vector<NamedField>& named = fields_[static_cast<size_t>(record.method->index)];
  std::vector<std::string> texts;  // the line borrows them
  texts.reserve(named.size());
  for (const NamedField& field : named) {
    if (record.request == nullptr) break;
    texts.push_back(TextAt(*record.request, field.path));
    // A request that was refused may hold anything in a field for an id.
    if (texts.back().size() > kMaxIdBytes) texts.back() = "(too long to be one)";
    add(field.key, texts.back());
  }
  add("request_id", record.request_id);
  add("peer", record.peer);
  log_.WriteAudit("audit", line);
}

}  // namespace semaphore::gateway
