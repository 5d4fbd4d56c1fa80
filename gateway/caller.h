// Who calls: what a front knows of a caller's credentials, and what an authenticated caller may do.
// Plain data; the authenticator makes a Caller out of Credentials, the engine asks it.
#ifndef SEMAPHORE_GATEWAY_CALLER_H_
#define SEMAPHORE_GATEWAY_CALLER_H_

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace semaphore::gateway {

// As the caller sent them. Never logged, never sent on.
struct Credentials {
  std::vector<std::string> authorization;  // every value of the metadata or header
  // Names that the caller's verified certificate proves: "dns:web.internal", "spiffe://corp/bot".
  std::vector<std::string> certificate_names;
};

struct Caller {
  std::string name;                        // in logs, metrics, quotas
  std::vector<bool> methods;               // whether it may call each, by client::MethodSpec::index
  std::vector<std::string> organizations;  // that it may use; empty: all
  size_t slot = 0;                         // in the metrics by caller

  bool MayCall(int method) const { return methods.at(static_cast<size_t>(method)); }
  bool MayUse(std::string_view organization) const {
    return organizations.empty() || std::find(organizations.begin(), organizations.end(),
                                              organization) != organizations.end();
  }
};

// Why a call was refused for who made it. Operators see which in a metric; callers are told less.
enum class CallerRefusal {
  kNoCredentials,
  kMalformedCredentials,  // an authorization that is no single bearer token
  kUnknownToken,
  kUnknownCertificate,
  kMethod,
  kOrganization,
};

// The words of the metric's label, in the order of the enumeration.
inline std::vector<std::string> CallerRefusalWords() {
  return {"no_credentials", "malformed_credentials", "unknown_token", "unknown_certificate",
          "method",         "organization"};
}

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CALLER_H_
