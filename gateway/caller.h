// Who calls: what a front knows of a caller's credentials.
#ifndef SEMAPHORE_GATEWAY_CALLER_H_
#define SEMAPHORE_GATEWAY_CALLER_H_

#include <string>
#include <vector>

namespace semaphore::gateway {

// As the caller sent them. Never logged, never sent on.
struct Credentials {
  std::vector<std::string> authorization;  // every value of the metadata or header
  // Names that the caller's verified certificate proves: "dns:web.internal", "spiffe://corp/bot".
  std::vector<std::string> certificate_names;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CALLER_H_
