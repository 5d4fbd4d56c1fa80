// The verdicts of the cache, without a cache: what a caller may ask for, how long each kind of
// reply is good for, and whether a kept one may answer.
#include "gateway/cache_policy.h"

#include <gmock/gmock.h>
#include <google/rpc/error_details.pb.h>
#include <gtest/gtest.h>

#include <chrono>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "client/error.h"
#include "semaphore/v1/job.pb.h"
#include "semaphore/v1/pipeline.pb.h"

namespace semaphore::gateway {
namespace {

using absl::Hours;
using absl::Seconds;
using absl::ZeroDuration;
using client::MethodSpec;
using client::Reason;
using std::chrono::seconds;

constexpr client::MonotonicTime kSaid{std::chrono::hours(1)};
const absl::Time kWall = absl::FromUnixSeconds(1'800'000'000);

// ---- cache-control

struct ControlRow {
  const char* text;
  bool no_cache;
  std::optional<int64_t> max_age;
  std::optional<int64_t> max_stale;
};

std::optional<int64_t> SecondsOf(const std::optional<absl::Duration>& duration) {
  if (!duration) return std::nullopt;
  return absl::ToInt64Seconds(*duration);
}

TEST(ParseCacheControl, UnderstandsWhatHttpAllows) {
  constexpr int64_t kHuge = int64_t{1} << 31;
  const ControlRow rows[] = {
      {"", false, {}, {}},
      {" ", false, {}, {}},
      {",,, ,", false, {}, {}},
      {"no-cache", true, {}, {}},
      {"No-CACHE", true, {}, {}},
      {"no-cache=\"x\"", true, {}, {}},
      {"max-age=0", false, 0, {}},
      {"MAX-AGE=5", false, 5, {}},
      {"max-age=\"5\"", false, 5, {}},
      {"\tmax-age = 5 ,max-stale= 7", false, 5, 7},
      {"no-cache,max-age=1,max-stale=2", true, 1, 2},
      {"max-stale", false, {}, kHuge},
      {"max-stale, max-stale=9", false, {}, 9},
      {"max-age=9, max-age=3", false, 3, {}},
      {"max-age=3, max-age=9", false, 3, {}},
      {"max-age=007", false, 7, {}},
      {"max-age=2147483649", false, kHuge, {}},
      {"max-age=9223372036854775808", false, kHuge, {}},
      {"max-age=99999999999999999999999999", false, kHuge, {}},
      {"no-store, only-if-cached, min-fresh=x, =, =5, x=max-age=1", false, {}, {}},
      {"no-caches, max-aged=x, xmax-age=x", false, {}, {}},
  };
  for (const ControlRow& row : rows) {
    SCOPED_TRACE(row.text);
    const absl::StatusOr<CacheDirectives> directives = ParseCacheControl(row.text);
    ASSERT_TRUE(directives.ok()) << directives.status();
    EXPECT_EQ(directives->no_cache, row.no_cache);
    EXPECT_EQ(SecondsOf(directives->max_age), row.max_age);
    EXPECT_EQ(SecondsOf(directives->max_stale), row.max_stale);
  }
}

TEST(ParseCacheControl, RefusesAKnownDirectiveWithoutANumberOfSeconds) {
  for (const char* text :
       {"max-age", "max-age=", "max-age=\"\"", "max-age=\"", "max-age=-1", "max-age=+1",
        "max-age=1.5", "max-age=5s", "max-age=0x5", "max-age=1 2", "max-age=='5'", "max-age=five",
        "max-stale=", "max-stale=-0", "max-stale=x", "no-cache, max-age=x", "max-age=1, max-age=x",
        "max-age=\xff\xfe", "max-age=\"5"}) {
    SCOPED_TRACE(text);
    const absl::Status status = ParseCacheControl(text).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
    EXPECT_TRUE(client::HasReason(status, Reason::kInvalidField));
    EXPECT_THAT(std::string(status.message()), testing::HasSubstr("cache-control: expected"));
    const auto payload = status.GetPayload("type.googleapis.com/google.rpc.BadRequest");
    ASSERT_TRUE(payload);
    google::rpc::BadRequest bad_request;
    ASSERT_TRUE(bad_request.ParseFromString(std::string(*payload)));
    ASSERT_EQ(bad_request.field_violations_size(), 1);
    EXPECT_EQ(bad_request.field_violations(0).field(), "cache-control");
  }
}

// ---- lifetimes

class LifetimeTest : public testing::Test {
 protected:
  const MethodSpec& Method(const std::string& name) {
    const MethodSpec* spec = table_->Find("semaphore.v1." + name);
    EXPECT_NE(spec, nullptr) << name;
    return *spec;
  }

  // Of an empty reply to an empty request.
  Lifetime OfNothing(const MethodSpec& method) {
    return LifetimeOf(method, *method.request_prototype, *method.reply_prototype, lifetimes_,
                      kWall);
  }

  Lifetime OfPipeline(const v1::Pipeline& pipeline) {
    return LifetimeOf(Method("PipelineService/GetPipeline"), v1::GetPipelineRequest(), pipeline,
                      lifetimes_, kWall);
  }

  const std::unique_ptr<client::MethodTable> table_ = *client::MethodTable::Build();
  // All different.
  const Lifetimes lifetimes_ = {.terminal = Hours(1),
                                .unsettled = Seconds(11),
                                .live = Seconds(2),
                                .list = Seconds(4),
                                .setting = Seconds(50),
                                .not_found = Seconds(1)};
};

TEST_F(LifetimeTest, EveryMethodHasTheLifetimeOfItsClass) {
  struct Row {
    const char* method;
    absl::Duration fresh;
  };
  const Row rows[] = {
      {"WorkflowService/GetWorkflow", Seconds(2)},
      {"WorkflowService/ListWorkflows", Seconds(4)},
      {"PipelineService/GetPipeline", Seconds(2)},
      {"PipelineService/ListPipelines", Seconds(4)},
      {"PromotionService/ListPromotions", Seconds(4)},
      {"JobService/GetJob", Seconds(2)},
      {"JobService/GetJobLog", Seconds(2)},
      {"AgentTypeService/ListAgentTypes", Seconds(50)},
      {"AgentTypeService/GetAgentType", Seconds(50)},
      {"AgentService/ListAgents", Seconds(4)},
      {"AgentService/GetAgent", Seconds(2)},
      {"DeploymentTargetService/ListDeploymentTargets", Seconds(4)},
      {"DeploymentTargetService/GetDeploymentTarget", Seconds(2)},
      {"DeploymentTargetService/LookupDeploymentTarget", Seconds(2)},
      {"DeploymentTargetService/ListDeployments", Seconds(4)},
      {"ArtifactRetentionPolicyService/GetArtifactRetentionPolicy", Seconds(50)},
      {"ProjectService/ListProjects", Seconds(50)},
      {"ProjectService/GetProject", Seconds(50)},
  };
  std::set<std::string> told;
  for (const Row& row : rows) {
    SCOPED_TRACE(row.method);
    const Lifetime lifetime = OfNothing(Method(row.method));
    EXPECT_EQ(lifetime.fresh, row.fresh);
    EXPECT_FALSE(lifetime.settled);
    told.insert(Method(row.method).full_name);
  }
  for (const auto& spec : table_->methods()) {
    SCOPED_TRACE(spec->full_name);
    EXPECT_EQ(told.count(spec->full_name) == 1, spec->IsRead()) << "a read without a row";
    EXPECT_EQ(IsCacheable(*spec, *spec->request_prototype), spec->IsRead());
    EXPECT_EQ(OfNothing(*spec).fresh > ZeroDuration(), spec->IsRead());
  }
}

TEST_F(LifetimeTest, AMethodWithoutACacheClassIsNeverKept) {
  MethodSpec method = Method("PipelineService/GetPipeline");
  method.call.mutable_cache()->clear_class_();
  EXPECT_FALSE(IsCacheable(method, v1::GetPipelineRequest()));
  v1::Pipeline done;
  done.set_state(v1::PIPELINE_STATE_DONE);
  EXPECT_EQ(LifetimeOf(method, v1::GetPipelineRequest(), done, lifetimes_, kWall).fresh,
            ZeroDuration());
  method.call.clear_cache();
  EXPECT_FALSE(IsCacheable(method, v1::GetPipelineRequest()));
}

TEST_F(LifetimeTest, APipelineLivesLongOnceItHasSettled) {
  for (int state = v1::PipelineState_MIN; state < v1::PIPELINE_STATE_DONE; ++state) {
    v1::Pipeline running;
    running.set_state(static_cast<v1::PipelineState>(state));
    running.mutable_done_time()->set_seconds(1);  // not believed
    EXPECT_EQ(OfPipeline(running).fresh, Seconds(2)) << state;
  }
  struct Row {
    const char* what;
    std::optional<absl::Duration> ago;
    bool settled;
  };
  const Row rows[] = {
      {"long ago", Hours(10'000), true},
      {"just over the time to settle", Seconds(120) + absl::Nanoseconds(1), true},
      {"exactly the time to settle", Seconds(120), false},
      {"now", ZeroDuration(), false},
      {"in the future, or the clock stepped back", -Hours(5), false},
      {"not told", std::nullopt, false},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(row.what);
    v1::Pipeline done;
    done.set_state(v1::PIPELINE_STATE_DONE);
    if (row.ago) {
      const absl::Time end = kWall - *row.ago;
      done.mutable_done_time()->set_seconds(absl::ToUnixSeconds(end));
      done.mutable_done_time()->set_nanos(static_cast<int32_t>(
          absl::ToInt64Nanoseconds(end - absl::FromUnixSeconds(absl::ToUnixSeconds(end)))));
    }
    const Lifetime lifetime = OfPipeline(done);
    EXPECT_EQ(lifetime.settled, row.settled);
    EXPECT_EQ(lifetime.fresh, row.settled ? Hours(1) : Seconds(11));
  }
}

TEST_F(LifetimeTest, AClockThatStepsBackUnsettlesWhatHadSettled) {
  v1::Pipeline done;
  done.set_state(v1::PIPELINE_STATE_DONE);
  done.mutable_done_time()->set_seconds(absl::ToUnixSeconds(kWall) - 1000);
  const MethodSpec& method = Method("PipelineService/GetPipeline");
  const v1::GetPipelineRequest request;
  EXPECT_TRUE(LifetimeOf(method, request, done, lifetimes_, kWall).settled);
  EXPECT_FALSE(LifetimeOf(method, request, done, lifetimes_, kWall - Hours(1)).settled);
  for (const int64_t end : {INT64_MIN, INT64_MAX}) {
    done.mutable_done_time()->set_seconds(end);
    EXPECT_EQ(LifetimeOf(method, request, done, lifetimes_, kWall).settled, end < 0);
  }
}

TEST_F(LifetimeTest, ACompleteLogIsSettledAtOnce) {
  const MethodSpec& method = Method("JobService/GetJobLog");
  v1::JobLog log;
  EXPECT_EQ(LifetimeOf(method, v1::GetJobLogRequest(), log, lifetimes_, kWall).fresh, Seconds(2));
  log.set_complete(true);
  const Lifetime lifetime = LifetimeOf(method, v1::GetJobLogRequest(), log, lifetimes_, kWall);
  EXPECT_TRUE(lifetime.settled);
  EXPECT_EQ(lifetime.fresh, Hours(1));
}

TEST_F(LifetimeTest, AJobWithItsSpecIsNeverKept) {
  const MethodSpec& method = Method("JobService/GetJob");
  v1::Job job;
  job.set_state(v1::JOB_STATE_FINISHED);
  job.mutable_finish_time()->set_seconds(1);
  struct Row {
    v1::JobView view;
    bool kept;
  };
  for (const Row& row : {Row{v1::JOB_VIEW_UNSPECIFIED, true}, Row{v1::JOB_VIEW_BASIC, true},
                         Row{v1::JOB_VIEW_FULL, false}}) {
    SCOPED_TRACE(row.view);
    v1::GetJobRequest request;
    request.set_view(row.view);
    EXPECT_EQ(IsCacheable(method, request), row.kept);
    const Lifetime lifetime = LifetimeOf(method, request, job, lifetimes_, kWall);
    EXPECT_EQ(lifetime.settled, row.kept);
    EXPECT_EQ(lifetime.fresh, row.kept ? Hours(1) : ZeroDuration());
  }
}

TEST_F(LifetimeTest, OfFailuresOnlyAMissingResourceIsKept) {
  EXPECT_EQ(
      LifetimeOfFailure(client::MakeError(Reason::kUpstreamNotFound, "not found"), lifetimes_),
      Seconds(1));
  for (int i = 0; i <= static_cast<int>(Reason::kGatewayError); ++i) {
    const auto reason = static_cast<Reason>(i);
    if (reason == Reason::kUpstreamNotFound) continue;
    EXPECT_EQ(LifetimeOfFailure(client::MakeError(reason, "x"), lifetimes_), ZeroDuration())
        << client::ReasonName(reason);
  }
  client::ErrorDetails details;
  details.code = absl::StatusCode::kNotFound;
  EXPECT_EQ(
      LifetimeOfFailure(client::MakeError(Reason::kUpstreamRejected, "x", details), lifetimes_),
      ZeroDuration());
  EXPECT_EQ(LifetimeOfFailure(absl::NotFoundError("from elsewhere"), lifetimes_), ZeroDuration());
  EXPECT_EQ(LifetimeOfFailure(absl::OkStatus(), lifetimes_), ZeroDuration());
}

// ---- usability

std::string NameOf(Usability usability) {
  switch (usability) {
    case Usability::kFresh:
      return "fresh";
    case Usability::kRevalidate:
      return "revalidate";
    case Usability::kIfError:
      return "if error";
    case Usability::kNo:
      return "no";
  }
  return "";
}

// A reply that is fresh for 10 s and in no case used later than 110 s after it was said.
CachedReply TenSeconds() {
  CachedReply reply;
  reply.said_at = kSaid;
  reply.fresh_until = kSaid + seconds(10);
  reply.stale_until = kSaid + seconds(110);
  return reply;
}

const Lifetimes kBounds = {.stale_while_revalidate = Seconds(5), .stale_if_error = Seconds(60)};

std::string At(const CachedReply& reply, const char* control, client::MonotonicDuration age) {
  return NameOf(UsabilityOf(reply, *ParseCacheControl(control), kBounds, kSaid + age));
}

TEST(UsabilityTest, FollowsTheBoundsOfTheGatewayAndTheWishOfTheCaller) {
  struct Row {
    const char* control;
    int age_seconds;
    const char* expected;
  };
  const Row rows[] = {
      {"", 0, "fresh"},
      {"", 10, "fresh"},
      {"", 11, "revalidate"},
      {"", 15, "revalidate"},
      {"", 16, "if error"},
      {"", 70, "if error"},
      {"", 71, "no"},
      {"", -1, "fresh"},  // said after this caller looked at the clock

      {"no-cache", 0, "no"},
      {"no-cache, max-stale=100, max-age=100", 0, "no"},

      {"max-age=0", 0, "fresh"},
      {"max-age=0", 1, "no"},
      {"max-age=5", 5, "fresh"},
      {"max-age=5", 6, "no"},
      {"max-age=12", 10, "fresh"},
      {"max-age=12", 12, "revalidate"},
      {"max-age=12", 13, "no"},
      {"max-age=20", 20, "if error"},
      {"max-age=20", 21, "no"},
      {"max-age=1000", 11, "revalidate"},
      {"max-age=1000", 71, "no"},

      {"max-stale=0", 10, "fresh"},
      {"max-stale=0", 11, "no"},
      {"max-stale=2", 12, "revalidate"},
      {"max-stale=2", 13, "no"},
      {"max-stale=30", 40, "revalidate"},
      {"max-stale=30", 41, "no"},
      {"max-stale=90", 100, "revalidate"},  // more than the gateway's own bounds
      {"max-stale", 110, "revalidate"},
      {"max-stale", 111, "no"},  // the reply's own end

      {"max-age=5, max-stale=3", 5, "fresh"},
      {"max-age=5, max-stale=3", 8, "revalidate"},
      {"max-age=5, max-stale=3", 9, "no"},
      {"max-age=20, max-stale=3", 10, "fresh"},
      {"max-age=20, max-stale=3", 13, "revalidate"},
      {"max-age=20, max-stale=3", 14, "no"},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(std::string(row.control) + " at " + std::to_string(row.age_seconds));
    EXPECT_EQ(At(TenSeconds(), row.control, seconds(row.age_seconds)), row.expected);
  }
}

TEST(UsabilityTest, BoundsAreExact) {
  const std::chrono::nanoseconds tick(1);
  EXPECT_EQ(At(TenSeconds(), "", seconds(10)), "fresh");
  EXPECT_EQ(At(TenSeconds(), "", seconds(10) + tick), "revalidate");
  EXPECT_EQ(At(TenSeconds(), "", seconds(15) + tick), "if error");
  EXPECT_EQ(At(TenSeconds(), "", seconds(70) + tick), "no");
  EXPECT_EQ(At(TenSeconds(), "max-age=3", seconds(3) + tick), "no");
  EXPECT_EQ(At(TenSeconds(), "max-stale=3", seconds(13) + tick), "no");
}

TEST(UsabilityTest, AReplyThatWasNeverFreshIsNeverUsed) {
  CachedReply reply = TenSeconds();
  for (const seconds fresh : {seconds(0), seconds(-1)}) {
    reply.fresh_until = kSaid + fresh;
    for (const char* control : {"", "max-age=100", "max-stale", "no-cache"}) {
      for (const int age : {0, 1, 50}) EXPECT_EQ(At(reply, control, seconds(age)), "no") << control;
    }
  }
}

TEST(UsabilityTest, WhatWasMissingIsFreshOrNothing) {
  CachedReply missing = TenSeconds();
  missing.status = client::MakeError(Reason::kUpstreamNotFound, "not found");
  EXPECT_EQ(At(missing, "", seconds(10)), "fresh");
  EXPECT_EQ(At(missing, "", seconds(11)), "no");
  EXPECT_EQ(At(missing, "max-stale", seconds(11)), "no");
  EXPECT_EQ(At(missing, "max-age=5", seconds(6)), "no");
}

TEST(UsabilityTest, WithoutStaleBoundsNothingStaleIsUsed) {
  const Lifetimes none = {.stale_while_revalidate = ZeroDuration(),
                          .stale_if_error = ZeroDuration()};
  EXPECT_EQ(NameOf(UsabilityOf(TenSeconds(), {}, none, kSaid + seconds(10))), "fresh");
  EXPECT_EQ(NameOf(UsabilityOf(TenSeconds(), {}, none, kSaid + seconds(11))), "no");
}

// ---- stale instead of a failure

TEST(StaleMayCover, WhatKeepsUpstreamFromAnsweringAndNeverWhatItAnswered) {
  const std::set<Reason> covered = {
      Reason::kUpstreamUnavailable,
      Reason::kUpstreamCircuitOpen,
      Reason::kUpstreamError,
      Reason::kUpstreamRateLimited,
      Reason::kUpstreamBudgetExhausted,
      Reason::kUpstreamMalformedResponse,
      Reason::kUpstreamResponseTooLarge,
      Reason::kDeadline,
      Reason::kCallerQuotaExhausted,
      Reason::kGatewayOverloaded,
  };
  for (int i = 0; i <= static_cast<int>(Reason::kGatewayError); ++i) {
    const auto reason = static_cast<Reason>(i);
    EXPECT_EQ(StaleMayCover(client::MakeError(reason, "x")), covered.count(reason) == 1)
        << client::ReasonName(reason);
  }
}

TEST(StaleMayCover, NeitherSuccessNorAStatusFromElsewhere) {
  EXPECT_FALSE(StaleMayCover(absl::OkStatus()));
  EXPECT_FALSE(StaleMayCover(absl::UnavailableError("x")));
  EXPECT_FALSE(StaleMayCover(absl::NotFoundError("x")));
}

}  // namespace
}  // namespace semaphore::gateway
