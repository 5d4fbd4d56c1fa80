// Secrets that a request carries (`secret` in the proto: environment variables and files of a
// deployment target) taken out of what upstream says about it. The gateway's own token is not here;
// see Upstream::Redact.
#ifndef SEMAPHORE_CLIENT_REDACT_H_
#define SEMAPHORE_CLIENT_REDACT_H_

#include <google/protobuf/message.h>

#include <string>
#include <string_view>
#include <vector>

namespace semaphore::client {

// The texts in fields that are secret; bytes also in base64, as they are sent.
std::vector<std::string> SecretsOf(const google::protobuf::Message& request);

// `text` with every piece of a secret that is at least 8 bytes long, and every whole secret of at
// least 4, replaced by "[redacted]": upstream may quote a secret cut short. Anything shorter cannot
// be told from the words around it. Redact("value is \"hunter2hu", {"hunter2hunter2"}) is
// "value is \"[redacted]".
std::string Redact(std::string_view text, const std::vector<std::string>& secrets);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_REDACT_H_
