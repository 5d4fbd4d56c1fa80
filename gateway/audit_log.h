// Who changed what, or tried to: one line for each change, allowed or refused, that is never
// dropped. A change for which no line can be promised must not be made. A line names the resources
// of a request by its id-like fields and holds nothing else of it.
#ifndef SEMAPHORE_GATEWAY_AUDIT_LOG_H_
#define SEMAPHORE_GATEWAY_AUDIT_LOG_H_

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

#include "client/method_table.h"
#include "gateway/log.h"

namespace semaphore::gateway {

struct AuditRecord {
  const client::MethodSpec* method;
  const google::protobuf::Message* request = nullptr;  // null: refused before it was looked at
  std::string_view caller;                             // "anonymous" when nobody is known
  std::string_view organization;                       // as configured; empty: not known
  std::string_view code;                               // "OK", "PERMISSION_DENIED", …
  std::string_view reason;                             // of the ErrorInfo; empty on OK
  std::string_view request_id;
  std::string_view peer;
};

class AuditLog {
 public:
  // Both outlive it.
  AuditLog(Log& log, const client::MethodTable& methods);

  // Room for the line of one change, to be asked for before it is made. Those `refused` anyway get
  // it only as long as the lane is less than half full.
  bool Reserve(bool refused) { return log_.ReserveAudit(refused); }
  // One "audit" line. Needs a Reserve that said yes.
  void Write(const AuditRecord& record);

 private:
  // A field of a request that names something: "deployment_target.project_id".
  struct NamedField {
    std::string key;  // "request.deployment_target.project_id"
    std::vector<const google::protobuf::FieldDescriptor*> path;
  };

  Log& log_;
  std::vector<std::vector<NamedField>> fields_;  // by client::MethodSpec::index
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_AUDIT_LOG_H_
