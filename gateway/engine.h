// The path of a call, the same for every method and every front: caller, organization, parse,
// cache, validate, upstream, answer. Read engine.cc from top to bottom to follow one. It knows
// neither gRPC nor sockets; fronts hand it bytes and metadata and get bytes and a status back.
#ifndef SEMAPHORE_GATEWAY_ENGINE_H_
#define SEMAPHORE_GATEWAY_ENGINE_H_

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/clock.h"
#include "client/method_table.h"
#include "client/upstream.h"
#include "gateway/audit_log.h"
#include "gateway/authenticator.h"
#include "gateway/call_log.h"
#include "gateway/caller.h"
#include "gateway/caller_limits.h"
#include "gateway/metrics.h"
#include "gateway/reply_cache.h"

namespace semaphore::gateway {

// What a front knows of a call.
struct IncomingCall {
  const client::MethodSpec* method = nullptr;
  std::string request;                    // the encoded request message
  std::vector<std::string> organization;  // every x-semaphore-organization that was sent
  std::string cache_control;
  std::string priority;  // x-priority
  std::string traceparent;
  std::string request_id;                    // the caller's own x-request-id; may be empty
  std::function<std::string()> peer_source;  // the peer's address, for AnswerNow, which seldom asks
  Credentials credentials;                   // only when the engine authenticates()
  client::MonotonicTime started;
  // Why the front could make no request of it; told to those who may call the method.
  absl::Status unreadable;

  // What AnswerNow found out.
  std::shared_ptr<const Caller> caller;  // null: callers are not known, or this one was refused
  bool audited = false;                  // an audit line is promised

  // For Start only.
  std::string peer;
  client::MonotonicTime deadline;  // MonotonicTime::max(): none was given
};

struct Answer {
  absl::Status status;
  std::shared_ptr<const std::string> reply;  // the encoded reply message when OK
  std::string_view cache;                    // x-cache; empty when upstream had no part in it
  absl::Duration age;                        // since upstream said it
  absl::Duration fresh_for = {};             // from now; 0: not known, or past it
  std::string request_id;                    // x-request-id
  // How the caller stands after it; only where quotas had a part in the call.
  std::optional<CallerLimits::Standing> quota = {};
};

// A call that may be cancelled from any thread, before, during and after it runs.
class OngoingCall {
 public:
  explicit OngoingCall(const boost::asio::any_io_executor& executor);
  ~OngoingCall();
  OngoingCall(const OngoingCall&) = delete;
  OngoingCall& operator=(const OngoingCall&) = delete;

  void Cancel();

 private:
  friend class Engine;
  struct Strand;
  std::shared_ptr<Strand> strand_;
};

class Engine {
 public:
  struct Options {
    absl::Duration default_deadline = absl::Seconds(60);  // for callers that give none
    absl::Duration max_deadline = absl::Minutes(10);
    int64_t max_concurrent_calls = 10000;
    int64_t max_queued_bytes = 256 << 20;  // of request messages in hand
    CallerLimits::Options callers = {};
  };

  struct Organization {
    std::string name;
    client::Upstream* upstream;
  };

  using Done = std::function<void(Answer)>;

  // The first organization is the default. All references outlive the engine, and the engine
  // outlives every call. Without an authenticator everybody may do everything.
  Engine(Options options, boost::asio::any_io_executor executor,
         const std::vector<Organization>& organizations, ReplyCache& cache,
         const client::Clock& clock, Metrics& metrics, CallLog& call_log, AuditLog& audit_log,
         const Authenticator* authenticator);

  // Whether a front must bring credentials.
  bool authenticates() const { return authenticator_ != nullptr; }

  // For what is no call of a method: OK when these credentials are somebody's.
  absl::Status CheckCredentials(const Credentials& credentials);

  // For Start. Made apart from it so that a front can keep the handle before `done` may run.
  std::shared_ptr<OngoingCall> NewCall() const;

  // What AnswerNow finds out about a call that it cannot answer; Start goes on from there.
  struct Prepared {
    const Organization* organization = nullptr;
    std::shared_ptr<const google::protobuf::Message> request;
    client::Priority priority = client::Priority::kInteractive;
    CacheDirectives directives;
    std::string key;  // in the cache; empty: not kept there
  };

  // The answer to a call that needs no waiting: one from the cache, or a refusal. Nothing when it
  // must be started. On the calling thread, without a hop.
  std::optional<Answer> AnswerNow(IncomingCall& call, Prepared& prepared);

  // Calls `done` exactly once: on this thread when there is no room, else on the call's executor.
  void Start(IncomingCall call, Prepared prepared, std::shared_ptr<OngoingCall> ongoing, Done done);

  // From now on every new call is refused with GATEWAY_DRAINING.
  void BeginDrain() { draining_ = true; }
  // The same, and blocks until no call is in hand, or for `grace`.
  void Drain(absl::Duration grace);

  int64_t calls_in_flight() const { return in_flight_; }

 private:
  struct Running;

  // Who calls, and whether they may, before anything else of the call is looked at.
  absl::Status Admit(IncomingCall& call);
  absl::Status CheckMayCall(const IncomingCall& call);
  absl::StatusOr<const Organization*> FindOrganization(const std::vector<std::string>& names) const;
  std::string RequestId(const std::string& given);
  std::optional<Answer> AnswerFromCache(const IncomingCall& call, Prepared& prepared);
  ReplyCache::ReadCall ReadCallOf(const IncomingCall& call, const Prepared& prepared);
  // Whether there is room for one more call in this process; `others` are in hand.
  absl::Status CheckRoom(int64_t others, int64_t queued_bytes) const;
  absl::Status ChargeCaller(const std::string& caller);
  client::MonotonicTime OwnDeadline(const IncomingCall& call) const;
  boost::asio::awaitable<void> Run(std::shared_ptr<Running> running);
  // Counts and logs an answer and fills in what goes with every one.
  Answer Conclude(const IncomingCall& call, const Prepared& prepared, Answer answer);
  void Audit(const IncomingCall& call, const Prepared& prepared, const CallRecord& record);
  void Finish(const IncomingCall& call, const Prepared& prepared, Answer answer, const Done& done);

  const Options options_;
  const boost::asio::any_io_executor executor_;
  std::vector<Organization> organizations_;
  ReplyCache& cache_;
  const client::Clock& clock_;
  Metrics& metrics_;
  CallLog& call_log_;
  AuditLog& audit_log_;
  const Authenticator* const authenticator_;  // null: callers are anonymous
  std::atomic<bool> draining_ = false;
  std::atomic<int64_t> in_flight_ = 0;
  std::atomic<int64_t> queued_bytes_ = 0;
  const std::string id_prefix_;  // of the request ids that this process makes
  std::atomic<uint64_t> ids_made_ = 0;
  CallerLimits caller_limits_;
  std::mutex idle_mutex_;
  std::condition_variable idle_;  // told under idle_mutex_ when a call ends while draining
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_ENGINE_H_
