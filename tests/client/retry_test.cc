// The retry rules as a table (api.md, "Errors"): what happens to each kind of method after each
// kind of failure, and what its caller is told at the end.
#include "client/retry.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "client/error.h"
#include "client/upstream_error.h"
#include "tests/client/method_fixture.h"

namespace semaphore::client {
namespace {

constexpr absl::Time kNow = absl::UnixEpoch();

// A failed attempt, what makes it worth another, and whether upstream clearly refused.
struct Failure {
  const char* what;
  Attempt attempt;
  std::string_view passing;  // why it may pass by itself; empty: it will not
  bool clear;
};

Attempt Broken(HttpCause cause, bool may_have_arrived, Reason reason) {
  Attempt attempt;
  attempt.status = MakeError(reason, "broken");
  attempt.cause = cause;
  attempt.may_have_arrived = may_have_arrived;
  return attempt;
}

Attempt Answered(int status, const std::string& body) {
  const HttpResponse response{status, {}, body};
  Attempt attempt;
  attempt.status = StatusFromReply(response, kNow);
  attempt.may_have_arrived = true;
  attempt.http_status = EffectiveStatus(response);
  attempt.retry_after = RetryAfter(response, kNow);
  return attempt;
}

std::vector<Failure> Failures() {
  const Reason down = Reason::kUpstreamUnavailable;
  return {
      {"name not resolved", Broken(HttpCause::kDns, false, down), "connection", false},
      {"connection refused", Broken(HttpCause::kConnect, false, down), "connection", false},
      {"proxy refused", Broken(HttpCause::kProxy, false, down), "connection", false},
      {"certificate not trusted", Broken(HttpCause::kTls, false, down), "", false},
      {"reset before the write", Broken(HttpCause::kReset, false, down), "connection", false},
      {"reset after the write", Broken(HttpCause::kReset, true, down), "connection", false},
      {"no HTTP", Broken(HttpCause::kMalformed, true, Reason::kUpstreamMalformedResponse), "",
       false},
      {"too large", Broken(HttpCause::kTooLarge, true, Reason::kUpstreamResponseTooLarge), "",
       false},
      {"out of time before the write", Broken(HttpCause::kDeadline, false, Reason::kDeadline), "",
       false},
      {"out of time after the write", Broken(HttpCause::kDeadline, true, Reason::kDeadline), "",
       false},
      {"cancelled before the write", Broken(HttpCause::kCancelled, false, Reason::kCancelled), "",
       false},
      {"cancelled after the write", Broken(HttpCause::kCancelled, true, Reason::kCancelled), "",
       false},
      {"no budget", Broken(HttpCause::kRefused, false, Reason::kUpstreamBudgetExhausted), "",
       false},
      {"502", Answered(502, ""), "unavailable", false},
      {"503", Answered(503, ""), "unavailable", false},
      {"504", Answered(504, "upstream request timeout"), "unavailable", false},
      {"403 without words", Answered(403, ""), "unavailable", true},
      {"500", Answered(500, "\"Internal error\""), "error", false},
      {"400 that says INTERNAL", Answered(400, R"({"code":"INTERNAL","message":"x"})"), "error",
       false},
      {"400 that says UNAVAILABLE", Answered(400, R"({"code":14,"message":"x"})"), "unavailable",
       false},
      {"505", Answered(505, ""), "", false},
      {"429", Answered(429, ""), "rate_limited", true},
      {"400", Answered(400, "no"), "", true},
      {"401", Answered(401, "Unauthorized"), "", true},
      {"401 of a permission", Answered(401, "Permission denied"), "", true},
      {"403", Answered(403, "no"), "", true},
      {"404", Answered(404, "Not Found"), "", true},
      {"405", Answered(405, ""), "", true},
      {"409", Answered(409, "no"), "", true},
      {"418", Answered(418, ""), "", true},
      {"422", Answered(422, "no"), "", true},
      {"501", Answered(501, ""), "", true},
      {"a body that makes no sense",
       Broken(HttpCause::kNone, true, Reason::kUpstreamMalformedResponse), "", false},
  };
}

const MethodSpec& Read() { return Method("PipelineService/GetPipeline"); }
const MethodSpec& Natural() { return Method("PipelineService/StopPipeline"); }
const MethodSpec& WithToken() { return Method("WorkflowService/RerunWorkflow"); }
const MethodSpec& Never() { return Method("WorkflowService/RunWorkflow"); }

constexpr bool kCallersToken = true;
constexpr bool kOurToken = false;

// Runs every failure as each attempt.
template <typename Expect>
void ForEach(const MethodSpec& spec, bool caller_token, Expect expect) {
  for (const Failure& failure : Failures()) {
    for (int number = 1; number <= kMaxAttempts + 1; ++number) {
      SCOPED_TRACE(std::string(failure.what) + ", attempt " + std::to_string(number));
      Attempt attempt = failure.attempt;
      attempt.number = number;
      expect(failure, number, DecideRetry(spec, attempt, caller_token, 0.5));
    }
  }
}

TEST(Retry, AReadIsRepeatedAfterWhatMayPassAndItsOutcomeIsNeverUnknown) {
  ForEach(Read(), kOurToken, [](const Failure& failure, int number, const RetryVerdict& verdict) {
    EXPECT_EQ(verdict.retry, !failure.passing.empty() && number < kMaxAttempts);
    EXPECT_EQ(verdict.reason, failure.passing);
    EXPECT_FALSE(verdict.outcome_unknown);
  });
}

TEST(Retry, AChangeThatIsIdempotentByNatureIsTreatedAsARead) {
  ForEach(Natural(), kOurToken,
          [](const Failure& failure, int number, const RetryVerdict& verdict) {
            EXPECT_EQ(verdict.retry, !failure.passing.empty() && number < kMaxAttempts);
            EXPECT_FALSE(verdict.outcome_unknown);
          });
}

TEST(Retry, AChangeWithTheCallersTokenIsTreatedAsARead) {
  ForEach(WithToken(), kCallersToken,
          [](const Failure& failure, int number, const RetryVerdict& verdict) {
            EXPECT_EQ(verdict.retry, !failure.passing.empty() && number < kMaxAttempts);
            EXPECT_FALSE(verdict.outcome_unknown);
          });
}

TEST(Retry, AChangeWithOurTokenIsRepeatedTooButEndsUnknownWhenItMayHaveArrived) {
  ForEach(WithToken(), kOurToken,
          [](const Failure& failure, int number, const RetryVerdict& verdict) {
            EXPECT_EQ(verdict.retry, !failure.passing.empty() && number < kMaxAttempts);
            EXPECT_EQ(verdict.outcome_unknown,
                      !verdict.retry && failure.attempt.may_have_arrived && !failure.clear);
          });
}

TEST(Retry, AChangeThatWouldActTwiceIsNeverRepeatedAndEndsUnknownWhenItMayHaveArrived) {
  ForEach(Never(), kOurToken, [](const Failure& failure, int, const RetryVerdict& verdict) {
    EXPECT_FALSE(verdict.retry);
    EXPECT_EQ(verdict.outcome_unknown, failure.attempt.may_have_arrived && !failure.clear);
  });
}

TEST(Retry, NothingIsInDoubtAfterAClearAnswerOrBeforeTheWrite) {
  ForEach(WithToken(), kOurToken, [](const Failure& failure, int, const RetryVerdict& verdict) {
    EXPECT_EQ(verdict.in_doubt, failure.attempt.may_have_arrived && !failure.clear);
  });
}

// An earlier attempt went unanswered. Which answers to the last one say what became of it?
TEST(Retry, ADoubtStaysUntilTheServiceItselfAnswersTheSameToken) {
  const std::vector<std::string> settling = {"400", "404", "405", "409", "418", "422", "501"};
  for (const Failure& failure : Failures()) {
    SCOPED_TRACE(failure.what);
    Attempt attempt = failure.attempt;
    attempt.number = kMaxAttempts;
    attempt.earlier_in_doubt = true;
    const bool settled =
        std::find(settling.begin(), settling.end(), failure.what) != settling.end();
    EXPECT_EQ(DecideRetry(WithToken(), attempt, kOurToken, 0).outcome_unknown, !settled);
    EXPECT_FALSE(DecideRetry(WithToken(), attempt, kCallersToken, 0).outcome_unknown);
    EXPECT_FALSE(DecideRetry(Natural(), attempt, kOurToken, 0).outcome_unknown);
  }
}

TEST(Retry, TheBackoffIsFullJitterOver100MillisecondsDoubledEachTime) {
  Attempt attempt = Answered(503, "");
  for (const auto& [number, ceiling] : {std::pair{1, 100}, std::pair{2, 200}}) {
    attempt.number = number;
    EXPECT_EQ(DecideRetry(Read(), attempt, kOurToken, 0).delay, absl::ZeroDuration());
    EXPECT_EQ(DecideRetry(Read(), attempt, kOurToken, 0.5).delay, absl::Milliseconds(ceiling / 2));
    EXPECT_LT(DecideRetry(Read(), attempt, kOurToken, 0.999999).delay, absl::Milliseconds(ceiling));
  }
}

TEST(Retry, UpstreamsRetryAfterIsTheLeastDelay) {
  for (const int status : {429, 503}) {
    const HttpResponse response{status, {{"retry-after", "3"}}, ""};
    Attempt attempt = Answered(status, "");
    attempt.retry_after = RetryAfter(response, kNow);
    EXPECT_EQ(DecideRetry(Read(), attempt, kOurToken, 0.9).delay, absl::Seconds(3)) << status;
    attempt.retry_after = absl::ZeroDuration();
    EXPECT_EQ(DecideRetry(Read(), attempt, kOurToken, 0.5).delay, absl::Milliseconds(50)) << status;
  }
}

}  // namespace
}  // namespace semaphore::client
