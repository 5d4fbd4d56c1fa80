#include "client/redact.h"

#include <algorithm>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/escaping.h"
#include "client/string_view.h"
#include "semaphore/upstream/v1/options.pb.h"

namespace semaphore::client {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t kShortestSecretBytes = 4;
constexpr size_t kPieceBytes = 8;

void AddText(const Message& message, const FieldDescriptor* field,
             std::vector<std::string>& secrets) {
  const std::string text = message.GetReflection()->GetString(message, field);
  if (text.size() < kShortestSecretBytes) return;
  if (field->type() == FieldDescriptor::TYPE_BYTES) secrets.push_back(absl::Base64Escape(text));
  secrets.push_back(text);
}

void Collect(const Message& message, bool secret, std::vector<std::string>& secrets) {
  std::vector<const FieldDescriptor*> fields;
  message.GetReflection()->ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const upstream::v1::Wire& wire = field->options().GetExtension(upstream::v1::wire);
    const bool inside = secret || wire.secret();
    if (field->message_type() != nullptr && field->is_repeated()) {
      for (int i = 0; i < message.GetReflection()->FieldSize(message, field); ++i)
        Collect(message.GetReflection()->GetRepeatedMessage(message, field, i), inside, secrets);
    } else if (field->message_type() != nullptr) {
      Collect(message.GetReflection()->GetMessage(message, field), inside, secrets);
    } else if (inside && field->cpp_type() == FieldDescriptor::CPPTYPE_STRING) {
      AddText(message, field, secrets);
    }
  }
}

// Marks the bytes of `text` that belong to a piece of the secret. Time is that of one pass over
// each: the pieces of the text, which is short, are looked up while the secret goes by.
void Mark(std::string_view text, std::string_view secret, std::vector<bool>& marked) {
  const size_t piece = std::min(kPieceBytes, secret.size());
  if (text.size() < piece) return;
  absl::flat_hash_map<absl::string_view, std::vector<size_t>> places;
  for (size_t at = 0; at + piece <= text.size(); ++at)
    places[ToAbsl(text.substr(at, piece))].push_back(at);
  for (size_t at = 0; at + piece <= secret.size() && !places.empty(); ++at) {
    const auto found = places.find(ToAbsl(secret.substr(at, piece)));
    if (found == places.end()) continue;
    for (const size_t place : found->second)
      std::fill_n(marked.begin() + static_cast<std::ptrdiff_t>(place), piece, true);
    places.erase(found);
  }
}

}  // namespace

std::vector<std::string> SecretsOf(const Message& request) {
  std::vector<std::string> secrets;
  Collect(request, false, secrets);
  return secrets;
}

std::string Redact(std::string_view text, const std::vector<std::string>& secrets) {
  std::vector<bool> marked(text.size(), false);
  for (const std::string& secret : secrets) {
    if (secret.size() >= kShortestSecretBytes) Mark(text, secret, marked);
  }
  std::string redacted;
  redacted.reserve(text.size());
  for (size_t at = 0; at < text.size(); ++at) {
    if (!marked[at]) {
      redacted += text[at];
    } else if (at == 0 || !marked[at - 1]) {
      redacted += "[redacted]";
    }
  }
  return redacted;
}

}  // namespace semaphore::client
