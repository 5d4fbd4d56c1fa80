#include "gateway/rest_query.h"

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/error.h"
#include "client/string_view.h"
#include "gateway/rest_value.h"

namespace semaphore::gateway {
namespace {

using client::FieldViolation;
using client::ToAbsl;
using client::ToStd;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr size_t kMaxViolations = 16;
constexpr size_t kMaxDepth = 32;

// A parameter's field, through messages, and its path in the request's own spelling.
struct Target {
  std::vector<const FieldDescriptor*> field;
  std::string path;
};

bool IsPrefix(const std::vector<const FieldDescriptor*>& prefix,
              const std::vector<const FieldDescriptor*>& whole) {
  return prefix.size() <= whole.size() && std::equal(prefix.begin(), prefix.end(), whole.begin());
}

class Query {
 public:
  Query(const RestRoute& route, Message& message) : route_(route), message_(message) {}

  absl::Status Read(std::string_view query) {
    for (const absl::string_view pair : absl::StrSplit(ToAbsl(query), '&', absl::SkipEmpty())) {
      Parameter(ToStd(pair));
      if (violations_.size() == kMaxViolations) break;
    }
    return violations_.empty() ? absl::OkStatus() : client::InvalidFields(violations_);
  }

 private:
  void Wrong(std::string field, std::string description) {
    violations_.push_back({std::move(field), std::move(description)});
  }

  void Parameter(std::string_view pair) {
    const size_t equals = std::min(pair.find('='), pair.size());
    const absl::StatusOr<std::string> name = PercentDecode(pair.substr(0, equals), true);
    if (!name.ok()) return Wrong("query", std::string(name.status().message()));
    Target target;
    if (!Resolve(*name, target)) return;
    const absl::StatusOr<std::string> value =
        PercentDecode(pair.substr(std::min(equals + 1, pair.size())), true);
    if (!value.ok()) return Wrong(target.path, std::string(value.status().message()));
    const bool again = !seen_.insert(target.path).second;
    if (again && !target.field.back()->is_repeated())
      return Wrong(target.path, "given twice, in one spelling or in both");
    Set(*value, target);
  }

  // False, with a violation, for a parameter that may not be given.
  bool Resolve(const std::string& name, Target& target) {
    const auto refuse = [this, &name](std::string what) {
      Wrong(name.empty() ? "query" : ShownName(name), std::move(what));
      return false;
    };
    const Descriptor* type = route_.method->descriptor->input_type();
    for (const absl::string_view part : absl::StrSplit(name, '.')) {
      if (!target.field.empty()) {
        const FieldDescriptor* above = target.field.back();
        if (above->is_repeated() || target.field.size() == kMaxDepth)
          return refuse("lists of messages and maps cannot be given in the query");
        type = IsTextual(above) ? nullptr : above->message_type();
      }
      const FieldDescriptor* field = type == nullptr ? nullptr : FindRestField(type, ToStd(part));
      if (field == nullptr) {
        return refuse(absl::StrCat("no such parameter",
                                   type == nullptr ? "" : DidYouMean(type, ToStd(part))));
      }
      target.field.push_back(field);
      absl::StrAppend(&target.path, target.path.empty() ? "" : ".", field->name());
    }
    return IsFree(target) && IsSettable(target);
  }

  // Whether neither the path nor the body gives the field.
  bool IsFree(const Target& target) {
    for (const PathVariable& variable : route_.variables) {
      if (IsPrefix(variable.field, target.field)) {
        Wrong(target.path, "the path gives it; it cannot stand in the query as well");
        return false;
      }
    }
    if (route_.body == "*" || route_.body_field == target.field.front()) {
      Wrong(target.path, "it belongs into the body, not into the query");
      return false;
    }
    return true;
  }

  bool IsSettable(const Target& target) {
    const FieldDescriptor* field = target.field.back();
    if (IsTextual(field)) return true;
    Wrong(target.path, field->is_repeated()
                           ? "lists of messages and maps cannot be given in the query"
                           : "it is a message; give its members, joined by dots");
    return false;
  }

  void Set(std::string value, const Target& target) {
    const FieldDescriptor* field = target.field.back();
    const Descriptor* type = field->message_type();
    const auto known =
        type == nullptr ? Descriptor::WELLKNOWNTYPE_UNSPECIFIED : type->well_known_type();
    // Of "12:00:00+02:00" that was not escaped the plus has become a space, which no time has.
    constexpr size_t kOffset = 6;
    if (known == Descriptor::WELLKNOWNTYPE_TIMESTAMP && value.size() > kOffset &&
        value[value.size() - kOffset] == ' ') {
      value[value.size() - kOffset] = '+';
    }
    if (known == Descriptor::WELLKNOWNTYPE_FIELDMASK && value.empty())
      return Wrong(target.path, "names no field; leave it out, or give * for all");
    Message* message = &message_;
    for (const FieldDescriptor* step : target.field) {
      if (step != field) message = message->GetReflection()->MutableMessage(message, step);
    }
    const absl::Status set = SetFromText(value, field, *message);
    if (!set.ok()) Wrong(target.path, std::string(set.message()));
  }

  const RestRoute& route_;
  Message& message_;
  std::vector<FieldViolation> violations_;
  absl::flat_hash_set<std::string> seen_;
};

}  // namespace

absl::Status ReadQuery(std::string_view query, const RestRoute& route, Message& message) {
  return Query(route, message).Read(query);
}

}  // namespace semaphore::gateway
