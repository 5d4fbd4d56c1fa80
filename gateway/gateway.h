// The whole running gateway, put together from its parts in the order in which they depend on each
// other. It owns all of them; main and tests start one from a Config and stop it.
#ifndef SEMAPHORE_GATEWAY_GATEWAY_H_
#define SEMAPHORE_GATEWAY_GATEWAY_H_

#include <cstdint>
#include <memory>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "gateway/config.h"
#include "gateway/log.h"

namespace semaphore::gateway {

class Gateway {
 public:
  // Serves when it returns. The error says which part could not start and why. `log` outlives the
  // gateway.
  static absl::StatusOr<std::unique_ptr<Gateway>> Start(const Config& config, Log& log);

  // As Stop(0).
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  uint16_t grpc_port() const;
  uint16_t admin_port() const;
  uint16_t rest_port() const;  // 0: REST is not configured

  // Tells health checks first, lets calls in hand finish within `grace`, cancels the rest, and ends
  // every thread.
  void Stop(absl::Duration grace);

 private:
  struct Parts;
  explicit Gateway(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_GATEWAY_H_
