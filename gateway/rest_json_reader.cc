#include "gateway/rest_json_reader.h"

#include <cstddef>
#include <optional>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/field_mask.h"
#include "client/quote.h"
#include "client/string_view.h"
#include "gateway/json_cursor.h"
#include "gateway/rest_value.h"

namespace semaphore::gateway {
namespace {

using client::Quote;
using client::ToAbsl;
using client::ToStd;
using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

constexpr int kMaxDepth = 32;

// Where in the body we are; lives on the stack and costs nothing until an error or a mask asks.
struct Path {
  const Path* parent = nullptr;
  std::string_view name;        // of a field, or
  std::optional<size_t> index;  // in a list, or
  std::string_view key;         // in a map
  int depth = 0;

  std::string Text() const {
    const std::string text = parent != nullptr ? parent->Text() : "";
    if (index) return absl::StrCat(text, "[", *index, "]");
    if (!key.empty()) return absl::StrCat(text, "[", Quote(key), "]");
    if (name.empty()) return text;
    return absl::StrCat(text, text.empty() ? "" : ".", ToAbsl(name));
  }
};

absl::Status Wrong(const Path& path, std::string_view what) {
  const std::string text = path.Text();
  return client::InvalidFields({{text.empty() ? "body" : text, std::string(what)}});
}

class Reader {
 public:
  Reader(std::string_view text, std::vector<std::string>* given) : cursor_(text), given_(given) {}

  absl::Status Run(const std::string& prefix, Message& message) {
    const Path root{.parent = nullptr, .name = prefix, .index = {}, .key = {}, .depth = 0};
    const absl::Status read = Object(root, message, given_ != nullptr);
    if (!read.ok()) return read;
    const absl::Status end = cursor_.CheckEnd();
    return end.ok() ? end : Wrong(Path{}, ToStd(end.message()));
  }

 private:
  // The kind of the next value; an error where there is none.
  absl::StatusOr<JsonKind> Next(const Path& path) {
    const JsonKind kind = cursor_.Peek();
    if (kind == JsonKind::kNone) return Syntax(path, cursor_.NoValue());
    return kind;
  }

  static absl::Status Syntax(const Path& path, const absl::Status& status) {
    return Wrong(path, ToStd(status.message()));
  }

  static absl::Status Expected(const Path& path, std::string_view what, JsonKind got) {
    return Wrong(path,
                 absl::StrCat("expected ", ToAbsl(what), ", got ", ToAbsl(JsonKindName(got))));
  }

  static Path Below(const Path& path, std::string_view name) {
    return {.parent = &path, .name = name, .index = {}, .key = {}, .depth = path.depth + 1};
  }

  // Takes the opening bracket of an object or an array.
  absl::Status Open(const Path& path, JsonKind wanted) {
    const absl::StatusOr<JsonKind> kind = Next(path);
    if (!kind.ok()) return kind.status();
    if (*kind != wanted) return Expected(path, JsonKindName(wanted), *kind);
    if (path.depth >= kMaxDepth)
      return Wrong(path, absl::StrCat("more than ", kMaxDepth, " levels deep"));
    cursor_.TakeOpening();
    return absl::OkStatus();
  }

  // `collect`: what is given here goes into the list of what was given.
  absl::Status Object(const Path& path, Message& message, bool collect) {
    const absl::Status opened = Open(path, JsonKind::kObject);
    if (!opened.ok()) return opened;
    const Descriptor* type = message.GetDescriptor();
    std::vector<bool> seen(static_cast<size_t>(type->field_count()));
    for (bool first = true;; first = false) {
      const absl::StatusOr<bool> more = cursor_.More(first, '}');
      if (!more.ok()) return Syntax(path, more.status());
      if (!*more) return absl::OkStatus();
      const absl::StatusOr<std::string> name = cursor_.TakeName();
      if (!name.ok()) return Syntax(path, name.status());
      const FieldDescriptor* field = FindRestField(type, *name);
      if (field == nullptr) return Unknown(path, type, *name);
      const auto index = static_cast<size_t>(field->index());
      if (seen[index])
        return Wrong(Below(path, field->name()), "given twice, in one spelling or in both");
      seen[index] = true;
      const absl::Status read = Member(Below(path, field->name()), field, message, collect);
      if (!read.ok()) return read;
    }
  }

  static absl::Status Unknown(const Path& path, const Descriptor* type, const std::string& name) {
    return Wrong(Below(path, ShownName(name)),
                 absl::StrCat("no such field in ", type->name(), DidYouMean(type, name)));
  }

  absl::Status Member(const Path& path, const FieldDescriptor* field, Message& message,
                      bool collect) {
    const absl::StatusOr<JsonKind> kind = Next(path);
    if (!kind.ok()) return kind.status();
    if (*kind == JsonKind::kNull) {
      cursor_.TakeWord(*kind);
      return absl::OkStatus();
    }
    if (field->real_containing_oneof() != nullptr &&
        message.GetReflection()->HasOneof(message, field->real_containing_oneof())) {
      return Wrong(path, "stands beside another field that excludes it");
    }
    collect = collect && client::IsWritable(field);
    const size_t before = collect ? given_->size() : 0;
    absl::Status read;
    if (field->is_map()) {
      read = Map(path, field, message);
    } else if (field->is_repeated()) {
      read = List(path, field, message);
    } else {
      read = Value(path, *kind, field, message, collect);
    }
    // Without the prefix: a mask is about the resource.
    if (read.ok() && collect && given_->size() == before) given_->push_back(RelativeText(path));
    return read;
  }

  // "name_settings.aws", whatever the path of the body itself is.
  static std::string RelativeText(const Path& path) {
    if (path.parent == nullptr) return "";
    const std::string above = RelativeText(*path.parent);
    return absl::StrCat(above, above.empty() ? "" : ".", ToAbsl(path.name));
  }

  absl::Status List(const Path& path, const FieldDescriptor* field, Message& message) {
    const absl::Status opened = Open(path, JsonKind::kArray);
    if (!opened.ok()) return opened;
    for (size_t i = 0;; ++i) {
      const absl::StatusOr<bool> more = cursor_.More(i == 0, ']');
      if (!more.ok()) return Syntax(path, more.status());
      if (!*more) return absl::OkStatus();
      const Path item{.parent = &path, .name = {}, .index = i, .key = {}, .depth = path.depth + 1};
      const absl::StatusOr<JsonKind> kind = Next(item);
      if (!kind.ok()) return kind.status();
      const absl::Status read = Value(item, *kind, field, message, false);
      if (!read.ok()) return read;
    }
  }

  absl::Status Map(const Path& path, const FieldDescriptor* field, Message& message) {
    const absl::Status opened = Open(path, JsonKind::kObject);
    if (!opened.ok()) return opened;
    absl::flat_hash_set<std::string> seen;
    for (bool first = true;; first = false) {
      const absl::StatusOr<bool> more = cursor_.More(first, '}');
      if (!more.ok()) return Syntax(path, more.status());
      if (!*more) return absl::OkStatus();
      const absl::StatusOr<std::string> name = cursor_.TakeName();
      if (!name.ok()) return Syntax(path, name.status());
      const Path item{
          .parent = &path, .name = {}, .index = {}, .key = *name, .depth = path.depth + 1};
      if (!seen.insert(*name).second) return Wrong(item, "given twice");
      Message& entry = *message.GetReflection()->AddMessage(&message, field);
      const absl::Status key = SetFromText(*name, field->message_type()->map_key(), entry);
      if (!key.ok()) return Wrong(item, ToStd(key.message()));
      const absl::StatusOr<JsonKind> kind = Next(item);
      if (!kind.ok()) return kind.status();
      const absl::Status read =
          Value(item, *kind, field->message_type()->map_value(), entry, false);
      if (!read.ok()) return read;
    }
  }

  // One value that is not null: of a single field, or to be appended to a list.
  absl::Status Value(const Path& path, JsonKind kind, const FieldDescriptor* field,
                     Message& message, bool collect) {
    const Reflection* reflection = message.GetReflection();
    if (!IsTextual(field)) {
      Message& inner = *(field->is_repeated() ? reflection->AddMessage(&message, field)
                                              : reflection->MutableMessage(&message, field));
      return Object(path, inner, collect);
    }
    absl::StatusOr<std::string> text = Text(path, kind, field);
    if (!text.ok()) return text.status();
    const absl::Status set = SetFromText(*text, field, message);
    return set.ok() ? set : Wrong(path, ToStd(set.message()));
  }

  // The text of a value of a kind that the field's type allows.
  absl::StatusOr<std::string> Text(const Path& path, JsonKind kind, const FieldDescriptor* field) {
    const Descriptor* type = field->message_type();
    const bool wrapper = type != nullptr && IsWrapper(type);
    const FieldDescriptor* scalar = wrapper ? type->FindFieldByNumber(1) : field;
    switch (scalar->cpp_type()) {
      case FieldDescriptor::CPPTYPE_BOOL:
        if (kind != JsonKind::kTrue && kind != JsonKind::kFalse)
          return Expected(path, "true or false", kind);
        cursor_.TakeWord(kind);
        return std::string(kind == JsonKind::kTrue ? "true" : "false");
      case FieldDescriptor::CPPTYPE_STRING:
      case FieldDescriptor::CPPTYPE_MESSAGE:
        if (kind != JsonKind::kString) return Expected(path, "a string", kind);
        break;
      case FieldDescriptor::CPPTYPE_ENUM:
        if (kind != JsonKind::kString && kind != JsonKind::kNumber)
          return Expected(path, absl::StrCat("the name of a ", scalar->enum_type()->name()), kind);
        break;
      default:
        if (kind != JsonKind::kString && kind != JsonKind::kNumber)
          return Expected(path, "a number", kind);
    }
    if (kind == JsonKind::kNumber) {
      const absl::StatusOr<std::string_view> number = cursor_.TakeNumber();
      if (!number.ok()) return Syntax(path, number.status());
      return std::string(*number);
    }
    absl::StatusOr<std::string> text = cursor_.TakeString();
    if (!text.ok()) return Syntax(path, text.status());
    return text;
  }

  JsonCursor cursor_;
  std::vector<std::string>* given_;
};

}  // namespace

absl::Status ReadRestJson(std::string_view text, const std::string& prefix, Message& message,
                          std::vector<std::string>* given) {
  return Reader(text, given).Run(prefix, message);
}

}  // namespace semaphore::gateway
