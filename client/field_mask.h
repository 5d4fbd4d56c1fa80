// Update masks: which fields of a resource a change is about (api.md, "Updates"; AIP-134). Upstream
// has no masks, so they are turned into what it has: members that are sent or left out, or a whole
// that was read and merged.
#ifndef SEMAPHORE_CLIENT_FIELD_MASK_H_
#define SEMAPHORE_CLIENT_FIELD_MASK_H_

#include <google/protobuf/message.h>

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/method_table.h"

namespace semaphore::client {

// Whether an update may change the field: it is neither output-only nor immutable nor an
// identifier.
bool IsWritable(const google::protobuf::FieldDescriptor* field);

// The resource field of an update request: the message that the mask is about.
const google::protobuf::FieldDescriptor* ResourceField(const MethodSpec& spec);

// The paths of the resource that an update changes: those of its mask; without one, its populated
// fields; with "*", all writable ones. Output-only paths are left out, and so are the resource's
// identifier and immutable fields unless a mask names them: that, like a path that does not exist,
// is INVALID_ARGUMENT.
absl::StatusOr<std::vector<std::string>> ChangedPaths(const MethodSpec& spec,
                                                      const google::protobuf::Message& request);

// Replaces the fields at `paths` of `target` by those of `source`, cleared where they are empty
// there. Both are resources of one type.
void CopyPaths(const std::vector<std::string>& paths, const google::protobuf::Message& source,
               google::protobuf::Message& target);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_FIELD_MASK_H_
