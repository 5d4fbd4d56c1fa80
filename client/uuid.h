// Random UUIDs (version 4), for idempotency tokens.
#ifndef SEMAPHORE_CLIENT_UUID_H_
#define SEMAPHORE_CLIENT_UUID_H_

#include <string>

namespace semaphore::client {

// From the system's random device; no two are equal.
std::string MakeUuid();

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_UUID_H_
