#include "client/merge.h"

#include <boost/asio/this_coro.hpp>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/field_mask.h"

namespace semaphore::client {
namespace {

namespace asio = boost::asio;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using MessagePtr = std::shared_ptr<const Message>;

const FieldDescriptor* IdentifierOf(const google::protobuf::Descriptor* type) {
  for (int i = 0; i < type->field_count(); ++i) {
    const upstream::v1::Wire& wire = type->field(i)->options().GetExtension(upstream::v1::wire);
    for (const int behavior : wire.behavior()) {
      if (behavior == upstream::v1::BEHAVIOR_IDENTIFIER) return type->field(i);
    }
  }
  return nullptr;
}

// The request of the Get method for the resource that is to be changed.
MessagePtr ReadRequest(const MethodSpec& get, const Message& resource) {
  const std::shared_ptr<Message> request(get.request_prototype->New());
  const std::string id =
      resource.GetReflection()->GetString(resource, IdentifierOf(resource.GetDescriptor()));
  for (const PathPiece& piece : get.path) {
    if (!piece.field.empty())
      request->GetReflection()->SetString(request.get(), piece.field.back(), id);
  }
  return request;
}

// Whether upstream would refuse the change: a resource of lists only, a retention policy, must keep
// one of them (facts §5.8). Any other falls back to its defaults when its settings are cleared.
bool LeavesNothing(const Message& resource) {
  const google::protobuf::Descriptor* type = resource.GetDescriptor();
  const FieldDescriptor* identifier = IdentifierOf(type);
  for (int i = 0; i < type->field_count(); ++i) {
    const FieldDescriptor* field = type->field(i);
    const upstream::v1::Wire& wire = field->options().GetExtension(upstream::v1::wire);
    const bool output_only =
        wire.behavior_size() > 0 && wire.behavior(0) == upstream::v1::BEHAVIOR_OUTPUT_ONLY;
    if (field == identifier || output_only) continue;
    if (!field->is_repeated() || resource.GetReflection()->FieldSize(resource, field) > 0)
      return false;
  }
  return true;
}

// Members that the reply to a change tells wrongly (`from_read`) keep the value that was read.
void KeepRead(const Message& current, Message& reply) {
  const google::protobuf::Descriptor* type = current.GetDescriptor();
  std::vector<std::string> paths;
  for (int i = 0; i < type->field_count(); ++i) {
    if (type->field(i)->options().GetExtension(upstream::v1::wire).from_read()) {
      paths.push_back(type->field(i)->name());
    }
  }
  CopyPaths(paths, current, reply);
}

}  // namespace

asio::awaitable<CallResult> CallMerged(Upstream& upstream, const MethodSpec& spec,
                                       MessagePtr request, CallContext context) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const FieldDescriptor* resource_field = ResourceField(spec);
  const Message& change = request->GetReflection()->GetMessage(*request, resource_field);
  const std::vector<std::string> paths =
      *ChangedPaths(spec, *request);  // validated with the request
  const MessagePtr read_request = ReadRequest(*spec.merge_from, change);
  std::string key = absl::StrCat(spec.service, "/", read_request->SerializeAsString());
  const absl::StatusOr<ResourceLocks::Held> held =
      co_await upstream.Lock(std::move(key), context.deadline);
  if (!held.ok()) co_return FailedCall(spec, held.status());
  CallResult read = co_await upstream.Call(*spec.merge_from, read_request, context);
  if (!read.status.ok()) {
    read.status = WithMethod(std::move(read.status), spec.full_name);
    read.may_have_arrived = false;  // the change was not sent
    co_return read;
  }
  const std::unique_ptr<Message> current(spec.reply_prototype->New());
  current->ParseFromString(read.reply);
  const std::shared_ptr<Message> merged(request->New());
  merged->CopyFrom(*request);
  Message* resource = merged->GetReflection()->MutableMessage(merged.get(), resource_field);
  resource->CopyFrom(*current);
  CopyPaths(paths, change, *resource);
  // Whatever the reading said: what is written is what was asked for.
  CopyPaths({IdentifierOf(change.GetDescriptor())->name()}, change, *resource);
  if (LeavesNothing(*resource)) {
    co_return FailedCall(spec,
                         InvalidFields({{resource_field->name(),
                                         "Semaphore cannot clear everything; leave at least one "
                                         "field set"}}));
  }
  CallResult written = co_await upstream.CallPlain(spec, merged, context);
  written.attempts += read.attempts;
  if (!written.status.ok()) co_return written;
  const std::unique_ptr<Message> reply(spec.reply_prototype->New());
  reply->ParseFromString(written.reply);
  KeepRead(*current, *reply);
  reply->SerializeToString(&written.reply);
  co_return written;
}

}  // namespace semaphore::client
