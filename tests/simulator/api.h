// The service behind the socket: who may ask, which handler answers, and what the ledger may know
// of a request. It does no I/O; Answer and Describe run on the simulator's own thread.
#ifndef SEMAPHORE_TESTS_SIMULATOR_API_H_
#define SEMAPHORE_TESTS_SIMULATOR_API_H_

#include <atomic>
#include <mutex>
#include <string>

#include "tests/simulator/http_message.h"
#include "tests/simulator/ledger.h"
#include "tests/simulator/options.h"
#include "tests/simulator/resources.h"
#include "tests/simulator/router.h"
#include "tests/simulator/world.h"

namespace semaphore::simulator {

class Api {
 public:
  // All must outlive it.
  Api(const SimulatorOptions& options, World& world, Controls& controls);

  Reply Answer(const Request& request) const;

  // The request for the ledger, without any occurrence of the API token.
  RecordedRequest Describe(const Request& request) const;

  // From now on this is the right API token. Thread-safe.
  void SetToken(std::string token);

  // From now on the caller may do this. Thread-safe.
  void SetAccess(Access access) { access_ = access; }

 private:
  Reply AnswerAuthenticated(const Request& request) const;
  Authorization Judge(const Request& request) const;
  std::string Token() const;

  const SimulatorOptions& options_;
  Service service_;
  Router api_;
  Router log_store_;
  Router control_;
  std::atomic<Access> access_;
  mutable std::mutex mutex_;
  std::string token_;  // under mutex_
};

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_API_H_
