// The cache over an upstream that lives in virtual time: requests take time to arrive, replies take
// time to come back, and what is read is what stood there at the moment between.
#include "gateway/reply_cache.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/strand.hpp>
#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/local_budget.h"
#include "client/upstream.h"
#include "gateway/memory_store.h"
#include "semaphore/v1/pipeline.pb.h"
#include "tests/client/method_fixture.h"
#include "tests/client/status_reading.h"
#include "tests/client/virtual_time.h"

namespace semaphore::gateway {
namespace {

namespace asio = boost::asio;
using client::HttpCause;
using client::HttpRequest;
using client::HttpResult;
using client::Method;
using client::MonotonicDuration;
using client::MonotonicTime;
using client::ReasonOf;
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

constexpr char kGet[] = "PipelineService/GetPipeline";
constexpr char kList[] = "PipelineService/ListPipelines";
constexpr char kStop[] = "PipelineService/StopPipeline";

// Pipelines whose commit_sha counts the changes made to them.
class World final : public client::HttpClient {
 public:
  explicit World(client::VirtualTime& time) : time_(time) {}

  asio::awaitable<HttpResult> Send(HttpRequest request, MonotonicTime deadline) override {
    co_await asio::this_coro::throw_if_cancelled(false);
    ++requests;
    HttpResult result;
    if (request.admit) {
      result.status = co_await request.admit(deadline);
      result.cause = HttpCause::kRefused;
      if (!result.status.ok()) co_return result;
    }
    result.cause = HttpCause::kNone;
    result.may_have_arrived = true;
    const MonotonicTime arrives = time_.Now() + latency();
    bool slept = co_await time_.Sleep(std::min(arrives, deadline));
    if (slept && arrives <= deadline) {
      result.response = Answer(request);
      const MonotonicTime returns = time_.Now() + latency();
      slept = co_await time_.Sleep(std::min(returns, deadline));
      if (slept && returns <= deadline) co_return result;
    }
    ++cut_off;
    result.cause = slept ? HttpCause::kDeadline : HttpCause::kCancelled;
    result.status = absl::DeadlineExceededError("cut off");
    co_return result;
  }

  client::HttpResponse Answer(const HttpRequest& request) {
    if (down) return {503, {}, ""};
    if (status != 200) return {status, {}, body};
    const std::string id = request.target.substr(request.target.rfind('/') + 1);
    if (request.method == "PATCH") {
      ++versions[id];
      return {200, {}, "\"Pipeline termination started.\""};
    }
    if (absl::StrContains(request.target, "/pipelines?")) {
      int sum = 0;
      for (const auto& [name, version] : versions) sum += version;
      return {200,
              {{"page-number", "1"}},
              absl::StrCat(R"([{"ppl_id":"all","commit_sha":")", sum, R"("}])")};
    }
    return {200,
            {},
            absl::StrCat(R"({"pipeline":{"ppl_id":")", id, R"(","commit_sha":")", versions[id],
                         R"(","state":")", state, R"(","result":"passed","done_at":)", done_at,
                         R"(},"blocks":[]})")};
  }

  std::function<MonotonicDuration()> latency = [] { return milliseconds(50); };
  std::map<std::string, int> versions;
  std::string state = "running";
  std::string done_at = "\"\"";
  bool down = false;
  int status = 200;
  std::string body;
  int requests = 0;
  int cut_off = 0;

 private:
  client::VirtualTime& time_;
};

struct Call {
  const char* method = kGet;
  std::string id = "p";
  MonotonicDuration arrives{};
  MonotonicDuration within = seconds(30);
  CacheDirectives directives = {};

  MonotonicTime began = {};
  MonotonicTime ended = {};
  ReplyCache::Answer answer = {};
  bool done = false;
};

class ReplyCacheTest : public testing::Test {
 protected:
  ReplyCacheTest() { Make({}); }

  void Make(ReplyCache::Options options, size_t max_bytes = 64 << 20) {
    cache_.reset();
    store_ = std::make_unique<MemoryStore>(MemoryStore::Options{.max_bytes = max_bytes});
    cache_ = std::make_unique<ReplyCache>(std::move(options), *store_, time_.clock(),
                                          time_.context().get_executor());
    client::Upstream::Options upstream;
    upstream.organization = "acme";
    upstream.token = [] { return "CANARY-token"; };
    upstream.random = [] { return 0.5; };
    upstream.sleeper = time_.TheSleeper();
    upstream.circuit.min_volume = 1'000'000;
    upstream.retries.reserve = 0;
    upstream.retries.share = 0;
    upstream_ = *client::Upstream::Create(std::move(upstream), client::Table(), world_, budget_,
                                          time_.clock());
  }

  std::shared_ptr<const google::protobuf::Message> RequestOf(const Call& call) const {
    const client::MethodSpec& method = Method(call.method);
    return client::RequestOf(method, call.method == kList
                                         ? absl::StrCat("project_id: '", project_, "'")
                                         : absl::StrCat("pipeline_id: '", call.id, "'"));
  }

  ReplyCache::ReadCall ReadCallOf(const Call& call) {
    ReplyCache::ReadCall read;
    read.target = {.organization = "acme", .upstream = upstream_.get()};
    read.method = &Method(call.method);
    read.request = RequestOf(call);
    ReplyCache::AppendKey("acme", "", *read.method, *read.request, read.key);
    read.directives = call.directives;
    read.context.deadline = time_.Now() + call.within;
    read.charge = [this] { return charge_; };
    return read;
  }

  // As the engine does it.
  asio::awaitable<void> Carry(Call& call) {
    co_await asio::this_coro::throw_if_cancelled(false);
    if (call.arrives > MonotonicDuration::zero()) co_await time_.Sleep(start_ + call.arrives);
    call.began = time_.Now();
    ReplyCache::ReadCall read = ReadCallOf(call);
    if (read.method->IsRead()) {
      bool needs_refresh = false;
      const auto found = cache_->Find(read.key, read.directives, needs_refresh);
      if (found) {
        call.answer = *found;
        if (needs_refresh) cache_->Refresh(std::move(read));
      } else {
        call.answer = co_await cache_->Read(std::move(read));
      }
    } else {
      client::CallResult result =
          co_await upstream_->Call(*read.method, read.request, read.context);
      if (result.may_have_arrived) cache_->Invalidate("acme", *read.method, *read.request);
      call.answer.status = result.status;
    }
    call.ended = time_.Now();
    call.done = true;
  }

  void Spawn(Call& call) {
    asio::co_spawn(asio::make_strand(time_.context()), Carry(call), asio::detached);
  }

  Call& Run(Call call) {
    start_ = time_.Now();
    calls_.push_back(std::move(call));
    Spawn(calls_.back());
    time_.Run();
    return calls_.back();
  }

  void RunAll(std::vector<Call> calls) {
    start_ = time_.Now();
    const size_t first = calls_.size();
    for (Call& call : calls) calls_.push_back(std::move(call));
    for (size_t i = first; i < calls_.size(); ++i) Spawn(calls_[i]);
    time_.Run();
  }

  void Pass(MonotonicDuration time) { Run({.id = "somebody-else", .arrives = time}); }

  static int VersionOf(const ReplyCache::Answer& answer) {
    EXPECT_TRUE(answer.status.ok()) << answer.status;
    v1::Pipeline pipeline;
    if (!answer.reply || !pipeline.ParseFromString(*answer.reply)) return -1;
    return std::stoi("0" + pipeline.commit_sha());
  }

  void FinishLongAgo() {
    world_.state = "done";
    world_.done_at = "\"2020-01-01 00:00:00.000000Z\"";
  }

  client::VirtualTime time_;
  MonotonicTime start_ = time_.Now();
  World world_{time_};
  client::LocalBudget budget_{
      {.requests_per_second = 1e6, .burst = 1000000, .max_in_flight = 20000},
      time_.clock(),
      time_.context().get_executor(),
      time_.TheSleeper()};
  absl::Status charge_;
  std::string project_ = "project";
  std::unique_ptr<client::Upstream> upstream_;
  std::unique_ptr<MemoryStore> store_;
  std::unique_ptr<ReplyCache> cache_;
  std::deque<Call> calls_;
};

TEST_F(ReplyCacheTest, ASecondReadWithinTheLifetimeIsAHitWithItsAge) {
  EXPECT_EQ(Run({}).answer.cache, "miss");
  const Call& again = Run({.arrives = seconds(1)});
  EXPECT_EQ(again.answer.cache, "hit");
  EXPECT_EQ(again.answer.age, absl::Milliseconds(1100));
  EXPECT_EQ(world_.requests, 1);
}

TEST_F(ReplyCacheTest, ALiveResourceIsAskedForAgainAfterSecondsAFinishedOneIsNot) {
  Run({});
  EXPECT_EQ(Run({.arrives = seconds(20)}).answer.cache, "miss");
  FinishLongAgo();
  Run({.arrives = seconds(20)});
  EXPECT_EQ(Run({.arrives = minutes(60)}).answer.cache, "hit");
  EXPECT_EQ(world_.requests, 3);
}

TEST_F(ReplyCacheTest, AThousandAtOnceAreOneRequest) {
  RunAll(std::vector<Call>(1000));
  EXPECT_EQ(world_.requests, 1);
  int missed = 0;
  for (const Call& call : calls_) {
    EXPECT_TRUE(call.answer.status.ok());
    EXPECT_TRUE(call.answer.cache == "miss" || call.answer.cache == "coalesced");
    missed += call.answer.cache == "miss";
  }
  EXPECT_EQ(missed, 1);
}

TEST_F(ReplyCacheTest, AFailureIsToldOnceToEachAndNotKept) {
  world_.status = 400;
  world_.body = "\"no\"";
  RunAll(std::vector<Call>(50));
  for (const Call& call : calls_) EXPECT_EQ(ReasonOf(call.answer.status), "UPSTREAM_REJECTED");
  EXPECT_EQ(world_.requests, 1);
  world_.status = 200;
  EXPECT_TRUE(Run({}).answer.status.ok());
  EXPECT_EQ(world_.requests, 2);
}

TEST_F(ReplyCacheTest, WhatIsNotFoundIsRememberedBriefly) {
  world_.status = 404;
  world_.body = "Not Found";
  EXPECT_EQ(ReasonOf(Run({}).answer.status), "UPSTREAM_NOT_FOUND");
  EXPECT_EQ(ReasonOf(Run({}).answer.status), "UPSTREAM_NOT_FOUND");
  EXPECT_EQ(world_.requests, 1);
  EXPECT_EQ(ReasonOf(Run({.arrives = seconds(10)}).answer.status), "UPSTREAM_NOT_FOUND");
  EXPECT_EQ(world_.requests, 2);
}

TEST_F(ReplyCacheTest, EachWaiterKeepsItsOwnDeadlineAndTheFetchServesTheRest) {
  world_.latency = [] { return seconds(5); };
  // The first one's time ends before the reply comes; the second one's does not.
  RunAll({{.within = seconds(4)}, {.arrives = seconds(1), .within = seconds(30)}});
  EXPECT_EQ(ReasonOf(calls_[0].answer.status), "DEADLINE");
  EXPECT_TRUE(calls_[1].answer.status.ok()) << calls_[1].answer.status;
}

TEST_F(ReplyCacheTest, AFetchEndsWhenNobodyWaits) {
  world_.latency = [] { return minutes(1); };
  std::vector<std::unique_ptr<asio::cancellation_signal>> signals;
  start_ = time_.Now();
  for (int i = 0; i < 10; ++i) {
    calls_.push_back({});
    signals.push_back(std::make_unique<asio::cancellation_signal>());
    asio::co_spawn(asio::make_strand(time_.context()), Carry(calls_.back()),
                   asio::bind_cancellation_slot(signals.back()->slot(), asio::detached));
  }
  time_.context().restart();
  time_.context().poll();
  EXPECT_EQ(cache_->GetStats().fetching, 1u);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ(world_.cut_off, 0);
    signals[i]->emit(asio::cancellation_type::terminal);
    time_.context().restart();
    time_.context().poll();
  }
  EXPECT_EQ(world_.cut_off, 1) << "the request goes on although nobody waits for it";
  EXPECT_EQ(cache_->GetStats().abandoned, 1u);
  EXPECT_EQ(cache_->GetStats().fetching, 0u);
  for (const Call& call : calls_) {
    EXPECT_EQ(call.answer.status.code(), absl::StatusCode::kCancelled);
  }
}

TEST_F(ReplyCacheTest, NoCacheAsksAnewAndItsReplyServesOthers) {
  Run({});
  world_.versions["p"] = 7;
  const Call& fresh = Run({.directives = {.no_cache = true}});
  EXPECT_EQ(fresh.answer.cache, "bypass");
  EXPECT_EQ(VersionOf(fresh.answer), 7);
  const Call& next = Run({});
  EXPECT_EQ(next.answer.cache, "hit");
  EXPECT_EQ(VersionOf(next.answer), 7);
}

TEST_F(ReplyCacheTest, AFollowerGetsNothingOlderThanItsMaxAgeAllows) {
  world_.latency = [] { return seconds(2); };
  RunAll({{}, {.arrives = seconds(1), .directives = {.max_age = absl::ZeroDuration()}}});
  EXPECT_EQ(world_.requests, 2);
  EXPECT_EQ(calls_[1].answer.cache, "miss");
  EXPECT_EQ(Run({.directives = {.max_age = absl::Seconds(1)}}).answer.cache, "miss");
}

TEST_F(ReplyCacheTest, AStaleReplyIsServedWhileANewerOneIsFetched) {
  Make({.lifetimes = {.live = absl::Seconds(3), .stale_while_revalidate = absl::Seconds(10)}});
  Run({});
  world_.versions["p"] = 1;
  const Call& stale = Run({.arrives = seconds(5)});
  EXPECT_EQ(stale.answer.cache, "stale");
  EXPECT_EQ(VersionOf(stale.answer), 0);
  const Call& next = Run({});
  EXPECT_EQ(next.answer.cache, "hit");
  EXPECT_EQ(VersionOf(next.answer), 1);
  EXPECT_EQ(cache_->GetStats().refreshes, 1u);
}

TEST_F(ReplyCacheTest, OutagesOfASecondAMinuteAnHourAndADayAreSurvivedMarkedStale) {
  for (const auto outage :
       {MonotonicDuration(seconds(1)), MonotonicDuration(minutes(1)),
        MonotonicDuration(std::chrono::hours(1)), MonotonicDuration(std::chrono::hours(24))}) {
    for (const char* method : {kGet, kList}) {
      Make({});
      world_.down = false;
      Run({.method = method});
      world_.down = true;
      const Call& call = Run({.method = method, .arrives = outage});
      EXPECT_TRUE(call.answer.status.ok()) << call.answer.status;
      EXPECT_TRUE(call.answer.cache == "stale" || outage <= seconds(1)) << call.answer.cache;
      EXPECT_GE(call.answer.age, absl::FromChrono(outage));
    }
    // Who must have the truth is told that it is not to be had.
    EXPECT_EQ(ReasonOf(Run({.directives = {.no_cache = true}}).answer.status),
              "UPSTREAM_UNAVAILABLE");
  }
  const Call& too_old = Run({.arrives = std::chrono::hours(30)});
  EXPECT_EQ(ReasonOf(too_old.answer.status), "UPSTREAM_UNAVAILABLE") << "beyond its bound";
}

TEST_F(ReplyCacheTest, StaleNeverCoversARefusalOrWhatIsGone) {
  struct Row {
    int status;
    const char* body;
    const char* reason;
  };
  const Row rows[] = {{401, "Unauthorized", "UPSTREAM_TOKEN_REJECTED"},
                      {401, "Permission denied", "UPSTREAM_FORBIDDEN"},
                      {403, "feature is not enabled", "UPSTREAM_FORBIDDEN"},
                      {404, "Not Found", "UPSTREAM_NOT_FOUND"}};
  for (const Row& row : rows) {
    SCOPED_TRACE(row.body);
    Make({});
    world_.status = 200;
    world_.down = false;
    Run({});
    world_.status = row.status;
    world_.body = row.body;
    EXPECT_EQ(ReasonOf(Run({.arrives = minutes(1)}).answer.status), row.reason);
    // Nor does it come back when upstream then fails.
    world_.down = true;
    EXPECT_FALSE(Run({.arrives = minutes(1)}).answer.status.ok());
  }
}

TEST_F(ReplyCacheTest, ASpentQuotaIsToldUnlessAStaleReplyCanStandIn) {
  charge_ = client::MakeError(client::Reason::kCallerQuotaExhausted, "spent");
  EXPECT_EQ(ReasonOf(Run({}).answer.status), "CALLER_QUOTA_EXHAUSTED");
  charge_ = absl::OkStatus();
  Run({});
  charge_ = client::MakeError(client::Reason::kCallerQuotaExhausted, "spent");
  EXPECT_EQ(Run({.arrives = minutes(1)}).answer.cache, "stale");
  EXPECT_EQ(world_.requests, 1);
}

TEST_F(ReplyCacheTest, AChangeMakesTheNamedResourceAndTheListsOld) {
  RunAll({{}, {.id = "other"}, {.method = kList}});
  EXPECT_EQ(world_.requests, 3);
  Run({.method = kStop});
  const Call& after = Run({});
  EXPECT_EQ(after.answer.cache, "miss");
  EXPECT_EQ(VersionOf(after.answer), 1);
  EXPECT_EQ(Run({.method = kList}).answer.cache, "miss");
  EXPECT_EQ(Run({.id = "other"}).answer.cache, "hit");
}

TEST_F(ReplyCacheTest, AChangeWhoseOutcomeIsUnknownInvalidatesToo) {
  Run({});
  world_.down = true;
  Run({.method = kStop});
  world_.down = false;
  EXPECT_EQ(Run({}).answer.cache, "miss");
}

TEST_F(ReplyCacheTest, OrganizationsNeverShare) {
  std::string one;
  std::string other;
  const auto request = RequestOf({});
  ReplyCache::AppendKey("acme", "", Method(kGet), *request, one);
  ReplyCache::AppendKey("beta", "", Method(kGet), *request, other);
  EXPECT_NE(one, other);
  other.clear();
  ReplyCache::AppendKey("acme", "caller", Method(kGet), *request, other);
  EXPECT_NE(one, other);
}

TEST_F(ReplyCacheTest, TenThousandDistinctMissesAtOnceAreAllAnswered) {
  std::vector<Call> calls;
  for (int i = 0; i < 10000; ++i) calls.push_back({.id = absl::StrCat("p-", i)});
  RunAll(std::move(calls));
  EXPECT_EQ(world_.requests, 10000);
  for (const Call& call : calls_) ASSERT_TRUE(call.answer.status.ok());
  EXPECT_EQ(cache_->GetStats().fetching, 0u);
}

TEST_F(ReplyCacheTest, ACacheTooSmallForAnythingStillCoalesces) {
  Make({}, 0);
  RunAll(std::vector<Call>(100));
  EXPECT_EQ(world_.requests, 1);
  EXPECT_EQ(Run({}).answer.cache, "miss");
}

TEST_F(ReplyCacheTest, UpstreamDyingUnderAThousandCallersAndComingBackServesThemAll) {
  Make({});
  for (int i = 0; i < 20; ++i) Run({.id = absl::StrCat("p-", i)});
  Pass(seconds(30));
  world_.down = true;
  std::vector<Call> calls;
  for (int i = 0; i < 1000; ++i) {
    calls.push_back({.id = absl::StrCat("p-", i % 20), .arrives = milliseconds(1 + i)});
  }
  const size_t first = calls_.size();
  RunAll(std::move(calls));
  for (size_t i = first; i < calls_.size(); ++i) {
    EXPECT_TRUE(calls_[i].answer.status.ok()) << calls_[i].answer.status;
    EXPECT_EQ(calls_[i].answer.cache, "stale");
  }
  world_.down = false;
  EXPECT_EQ(Run({.id = "p-0"}).answer.cache, "miss");
}

// Read your own writes: a read that begins after a change was answered never shows what was before
// it, whatever else is under way.
TEST_F(ReplyCacheTest, PropertyNoReadIsStaleAfterAChangeInTenThousandInterleavings) {
  for (uint32_t seed = 1; seed <= 10000; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&random](uint32_t bound) { return static_cast<int>(random() % bound); };
    calls_.clear();
    world_.versions.clear();
    world_.latency = [&below] { return milliseconds(1 + below(20)); };
    if (below(2) == 0) {
      FinishLongAgo();
    } else {
      world_.state = "running";
    }
    // A cache for every hundred of them, which share nothing but its table of generations.
    if (seed % 100 == 1) {
      Make({.lifetimes = {.live = absl::Milliseconds(1 + below(200)),
                          .list = absl::Milliseconds(1 + below(200)),
                          .stale_while_revalidate = absl::Milliseconds(below(100))}});
    }
    project_ = absl::StrCat("project-", seed);
    const std::string p = absl::StrCat("p-", seed);
    const std::string q = absl::StrCat("q-", seed);
    std::vector<Call> calls;
    for (int i = 0; i < 12; ++i) {
      const int kind = below(10);
      calls.push_back({.method = kind < 3   ? kStop
                                 : kind < 5 ? kList
                                            : kGet,
                       .id = below(3) == 0 ? q : p,
                       .arrives = milliseconds(1 + below(100)),
                       .within = milliseconds(below(6) == 0 ? 1 + below(30) : 30000),
                       .directives = {.no_cache = below(8) == 0}});
    }
    RunAll(std::move(calls));
    for (const Call& read : calls_) {
      ASSERT_TRUE(read.done);
      if (read.method == kStop || !read.answer.status.ok()) continue;
      std::map<std::string, int> least;  // changes that were answered before the read began
      for (const Call& change : calls_) {
        if (change.method == kStop && change.answer.status.ok() && change.ended < read.began) {
          ++least[change.id];
        }
      }
      int shown = 0;
      int expected = least[read.id];
      if (read.method == kList) {
        v1::ListPipelinesResponse list;
        ASSERT_TRUE(list.ParseFromString(*read.answer.reply));
        shown = std::stoi("0" + list.pipelines(0).commit_sha());
        expected = least[p] + least[q];
      } else {
        shown = VersionOf(read.answer);
      }
      ASSERT_GE(shown, expected) << "seed " << seed << ", " << read.method << " " << read.id << " "
                                 << read.answer.cache;
    }
  }
}

}  // namespace
}  // namespace semaphore::gateway
