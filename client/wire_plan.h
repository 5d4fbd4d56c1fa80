// The `wire` options of a message type, compiled once at the start into what the decoder and the
// encoder walk: which upstream key leads to which field, and how enum words are spelled. Immutable
// after it is built.
#ifndef SEMAPHORE_CLIENT_WIRE_PLAN_H_
#define SEMAPHORE_CLIENT_WIRE_PLAN_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "semaphore/upstream/v1/options.pb.h"

namespace semaphore::client {

// How one enum type is spelled upstream.
class EnumPlan {
 public:
  static absl::StatusOr<std::unique_ptr<EnumPlan>> Build(
      const google::protobuf::EnumDescriptor* type);

  // Any letter case; nullopt for a word that is not known.
  std::optional<int> FromWord(std::string_view word) const;
  // Upstream's own numbers, which are not protobuf's; nullopt for a number that is not known.
  std::optional<int> FromNumber(int64_t number) const;
  // What we send for a value; empty: nothing is sent. nullopt for a number that is no value of the
  // type.
  std::optional<std::string> ToWord(int value) const;

 private:
  absl::flat_hash_map<std::string, int> value_of_word_;  // lower case
  absl::flat_hash_map<int64_t, int> value_of_number_;
  absl::flat_hash_map<int, std::string> word_of_value_;
};

// A parsed `valid_when`: field=VALUE|VALUE or field!=VALUE|VALUE, of an enum, or field=true of a
// bool.
struct Condition {
  const google::protobuf::FieldDescriptor* field = nullptr;  // of the message itself
  std::string request_field;  // set instead: a field of the request, by name
  bool negated = false;
  std::vector<int> values;  // of a bool: 0 or 1

  bool Holds(int value) const;
  // Of a message that has `field` itself, set or not.
  bool HoldsFor(const google::protobuf::Message& message) const;
};

struct MessagePlan;

struct FieldPlan {
  const google::protobuf::FieldDescriptor* field = nullptr;
  std::vector<const google::protobuf::FieldDescriptor*>
      via;  // flattened parents to step through first
  upstream::v1::Wire wire;
  std::string path;                           // upstream's dotted key
  const EnumPlan* enum_plan = nullptr;        // for enum fields
  const MessagePlan* message_plan = nullptr;  // for message fields that are objects upstream
  std::vector<Condition> conditions;          // on the message itself, checked after decoding
  std::vector<Condition> request_conditions;  // checked before decoding

  bool Is(upstream::v1::Behavior behavior) const;
};

// A node of the tree of upstream keys: a field, further keys, or both ("spec" and
// "spec.project_id"); neither is a key that is known and dropped.
struct KeyNode {
  const FieldPlan* field = nullptr;
  absl::flat_hash_map<std::string, std::unique_ptr<KeyNode>> children;
};

struct MessagePlan {
  const google::protobuf::Descriptor* type = nullptr;
  std::vector<std::unique_ptr<FieldPlan>>
      fields;  // in the order of the proto file, flattened ones in place
  std::vector<const FieldPlan*> conditional;  // those with conditions
  KeyNode root;

  // The plan of a field of this message itself (not of a flattened one); null if there is none.
  const FieldPlan* Find(const google::protobuf::FieldDescriptor* field) const;
};

// Every plan that has been asked for, built on first use; plans stay valid as long as the set.
class WirePlans {
 public:
  absl::StatusOr<const MessagePlan*> For(const google::protobuf::Descriptor* type);
  absl::StatusOr<const EnumPlan*> For(const google::protobuf::EnumDescriptor* type);
  // The plan of a type that has been asked for; else null.
  const MessagePlan* Existing(const google::protobuf::Descriptor* type) const;

 private:
  absl::Status AddFields(const google::protobuf::Descriptor* type, std::string_view prefix,
                         const std::vector<const google::protobuf::FieldDescriptor*>& via,
                         MessagePlan& plan);
  absl::Status AddField(std::unique_ptr<FieldPlan> field_plan, MessagePlan& plan);
  absl::Status AddConditions(FieldPlan& field_plan);

  absl::flat_hash_map<const google::protobuf::Descriptor*, std::unique_ptr<MessagePlan>> messages_;
  absl::flat_hash_map<const google::protobuf::EnumDescriptor*, std::unique_ptr<EnumPlan>> enums_;
};

// Parses one `valid_when`, `terminal` or `never_if` condition against the message type it is about.
absl::StatusOr<Condition> ParseCondition(std::string_view text,
                                         const google::protobuf::Descriptor* type);

// Timestamp and Duration are values, not objects with keys of their own.
bool IsTimestamp(const google::protobuf::FieldDescriptor* field);
bool IsDuration(const google::protobuf::FieldDescriptor* field);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_WIRE_PLAN_H_
