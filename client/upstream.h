// One organization's Semaphore: carries a method out from request message to encoded reply. Here
// are the loop over attempts and the walk from encoder to decoder; every decision in it (pages,
// retries, errors, budget) is a file of its own. Knows nothing of gRPC, caching or who is calling.
#ifndef SEMAPHORE_CLIENT_UPSTREAM_H_
#define SEMAPHORE_CLIENT_UPSTREAM_H_

#include <google/protobuf/message.h>

#include <boost/asio/awaitable.hpp>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/budget.h"
#include "client/circuit_breaker.h"
#include "client/clock.h"
#include "client/decoder.h"
#include "client/encoder.h"
#include "client/http_client.h"
#include "client/job_log_shelf.h"
#include "client/method_table.h"
#include "client/resource_locks.h"
#include "client/retry_budget.h"

namespace semaphore::client {

struct CallContext {
  MonotonicTime deadline;
  std::string traceparent = {};  // W3C trace context to send on; may be empty
  Turn turn = {};                // whose place in the queue for upstream it is
  bool fresh = false;            // nothing that was downloaded before
  // Set when others may come to wait for the call too; see Upstream::Raise.
  std::shared_ptr<Budget::SharedTurn> shared_turn = {};
};

struct CallResult {
  absl::Status status;
  std::string reply;              // encoded reply message when OK
  bool kept = false;              // answered from a log that was downloaded before
  absl::Duration age;             // since upstream said it
  int attempts = 0;               // requests written or tried
  bool may_have_arrived = false;  // upstream may have seen a request of this call
};

// What happened, for metrics. Called on the call's executor; must be quick and thread-safe.
struct UpstreamObserver {
  struct Attempt {
    const MethodSpec& method;
    int http_status;  // 0: no reply
    HttpCause cause;
    absl::Duration duration;
  };
  std::function<void(const Attempt&)> attempt = [](const Attempt&) {};
  std::function<void(std::string_view reason)> retry = [](std::string_view) {};
  std::function<void(CircuitBreaker::State)> circuit = [](CircuitBreaker::State) {};
  std::function<void(const MethodSpec&, const Drift&)> drift = [](const MethodSpec&, const Drift&) {
  };
};

class Upstream {
 public:
  struct Options {
    std::string organization;  // name in the configuration; binds page tokens
    std::string host;       // of the base URL, as in a Location header: "acme.semaphoreci.com" or
                            // "localhost:8443"
    std::string base_path;  // "/api/v1alpha"
    std::function<absl::StatusOr<std::string>()> token;  // the API token in force
    std::function<double()> random;                      // uniform in [0, 1), for jitter
    Sleeper sleeper = SleepUntil;
    CircuitBreaker::Options circuit = {};
    RetryBudget::Options retries = {};
    UpstreamObserver observer;
  };

  // All references must outlive this. INTERNAL if a method names a function that does not exist.
  static absl::StatusOr<std::unique_ptr<Upstream>> Create(Options options, const MethodTable& table,
                                                          HttpClient& http, Budget& budget,
                                                          const Clock& clock);

  // Carries out a validated request on the calling coroutine's strand. Ends by the deadline;
  // honours cancellation.
  boost::asio::awaitable<CallResult> Call(const MethodSpec& spec,
                                          std::shared_ptr<const google::protobuf::Message> request,
                                          CallContext context);

  // Below: what functions.cc and merge.cc build their methods from.

  struct Exchange {
    absl::Status status;  // OK exactly for 2xx, and for 302 where asked for
    HttpResponse response;
    int attempts = 0;
    bool may_have_arrived = false;
  };

  struct SendOptions {
    std::string made_token;        // idempotency token that the gateway made for this call
    bool accept_redirect = false;  // hand a 302 to the caller
    bool authorize = true;         // send the API token
    std::string secret;  // where it is not sent: what stands in the target instead and goes no
                         // further
    // Where set, its secrets are taken out of upstream's words too.
    std::shared_ptr<const google::protobuf::Message> request;
    std::function<void(HttpRequest&)> before_each;  // adjusts the request before each attempt
  };

  // The loop over attempts.
  boost::asio::awaitable<Exchange> Send(const MethodSpec& spec, HttpRequest request,
                                        CallContext context, SendOptions options);

  // A method that is one request, which `adjust` may still change.
  boost::asio::awaitable<CallResult> CallPlain(
      const MethodSpec& spec, std::shared_ptr<const google::protobuf::Message> request,
      CallContext context, std::function<void(EncodedRequest&)> adjust = {});

  // A list method, from page token to next page token.
  boost::asio::awaitable<CallResult> CallPage(
      const MethodSpec& spec, std::shared_ptr<const google::protobuf::Message> request,
      CallContext context);

  HttpRequest ToHttp(const MethodSpec& spec, const EncodedRequest& encoded) const;
  void Observe(const MethodSpec& spec, const Drift& drift) const;

  // How upstream's health is judged at present.
  struct Health {
    CircuitBreaker::State circuit = CircuitBreaker::State::kClosed;
    CircuitBreaker::Stats circuit_stats;
    double retries_available = 0;
    RetryBudget::Stats retry_stats;
  };
  Health GetHealth() const;

  // A call under way with that turn becomes as urgent as that. Any thread.
  void Raise(const std::shared_ptr<Budget::SharedTurn>& turn, Priority priority) {
    budget_.Raise(turn, priority);
  }

  const Options& options() const { return options_; }
  const MethodTable& table() const { return table_; }
  const Clock& clock() const { return clock_; }
  JobLogShelf& job_logs() { return job_logs_; }

  // The right to change one resource, held until it is destroyed; DEADLINE or CANCELLED when it
  // could not be had.
  boost::asio::awaitable<absl::StatusOr<ResourceLocks::Held>> Lock(std::string resource,
                                                                   MonotonicTime deadline);

 private:
  Upstream(Options options, const MethodTable& table, HttpClient& http, Budget& budget,
           const Clock& clock);

  boost::asio::awaitable<HttpResult> TryOnce(const MethodSpec& spec, HttpRequest request,
                                             CallContext context, bool first);
  absl::StatusOr<CircuitBreaker::Verdict> AskCircuit(bool only_look);
  void JudgeAttempt(const MethodSpec& spec, const HttpResult& result, MonotonicDuration waited,
                    const CircuitBreaker::Verdict& admission);
  bool MayRetry();
  absl::Status StatusOf(const HttpResult& result, const SendOptions& options) const;
  void Redact(HttpResponse& response, const std::string& secret) const;

  const Options options_;
  const MethodTable& table_;
  HttpClient& http_;
  Budget& budget_;
  const Clock& clock_;
  JobLogShelf job_logs_;
  ResourceLocks locks_;

  mutable std::mutex mutex_;  // of the next three
  CircuitBreaker circuit_;
  CircuitBreaker::State circuit_state_ = CircuitBreaker::State::kClosed;  // as last observed
  RetryBudget retries_;
};

// The result of a call that failed, after `exchange` if anything was sent.
CallResult FailedCall(const MethodSpec& spec, absl::Status status,
                      const Upstream::Exchange& exchange = {});

// OUTCOME_UNKNOWN for a change that was sent without a clear answer; `made_token` lets the caller
// repeat it safely.
absl::Status OutcomeUnknown(const MethodSpec& spec, const absl::Status& cause,
                            const std::string& made_token);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_UPSTREAM_H_
