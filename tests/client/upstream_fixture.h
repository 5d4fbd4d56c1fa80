// An Upstream over a scripted HttpClient and a clock that only sleeping moves.
#ifndef SEMAPHORE_TESTS_CLIENT_UPSTREAM_FIXTURE_H_
#define SEMAPHORE_TESTS_CLIENT_UPSTREAM_FIXTURE_H_

#include <gtest/gtest.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "client/local_budget.h"
#include "client/upstream.h"
#include "tests/client/fake_clock.h"
#include "tests/client/fake_http_client.h"
#include "tests/client/method_fixture.h"
#include "tests/client/status_reading.h"

namespace semaphore::client {

class UpstreamFixture : public testing::Test {
 protected:
  UpstreamFixture() {
    Upstream::Options options;
    options.organization = "acme";
    options.host = "acme.semaphoreci.com";
    options.base_path = "/api/v1alpha";
    options.token = [this] { return token_; };
    options.random = [this] { return random_; };
    options.sleeper = [this](MonotonicTime until) { return Sleep(until); };
    // Rows of failures are not to tire it; upstream_health_test.cc is about that.
    options.circuit.min_volume = 1'000'000;
    options.retries.reserve = 1'000'000;
    options.observer.attempt = [this](const UpstreamObserver::Attempt& attempt) {
      observed_.push_back(attempt.http_status);
    };
    options.observer.retry = [this](std::string_view reason) { retries_.emplace_back(reason); };
    options.observer.drift = [this](const MethodSpec&, const Drift& drift) {
      drift_.unknown_fields += drift.unknown_fields;
      drift_.unknown_words += drift.unknown_words;
    };
    auto made = Upstream::Create(std::move(options), Table(), http_, budget_, clock_);
    if (!made.ok()) ADD_FAILURE() << made.status();
    upstream_ = *std::move(made);
  }

  ~UpstreamFixture() override {
    EXPECT_EQ(http_.unused(), 0u) << "fewer requests than the script has replies";
  }

  // Carries out a call whose deadline is 30 seconds from now.
  CallResult Call(const char* method, const std::string& request,
                  MonotonicDuration within = std::chrono::seconds(30)) {
    const MethodSpec& spec = Method(method);
    return CallMessage(spec, RequestOf(spec, request), within);
  }

  CallResult CallMessage(const MethodSpec& spec,
                         std::shared_ptr<const google::protobuf::Message> request,
                         MonotonicDuration within = std::chrono::seconds(30)) {
    CallResult result;
    result.status = absl::UnknownError("the call did not end");
    boost::asio::co_spawn(context_,
                          upstream_->Call(spec, std::move(request),
                                          CallContext{.deadline = clock_.Now() + within,
                                                      .traceparent = traceparent_}),
                          [&result](std::exception_ptr exception, CallResult done) {
                            EXPECT_EQ(exception, nullptr);
                            result = std::move(done);
                          });
    context_.restart();
    context_.run();
    return result;
  }

  template <typename Reply>
  static Reply ReplyOf(const CallResult& result) {
    Reply reply;
    EXPECT_TRUE(result.status.ok()) << result.status;
    EXPECT_TRUE(reply.ParseFromString(result.reply));
    return reply;
  }

  boost::asio::awaitable<bool> Sleep(MonotonicTime until) {
    sleeps_.push_back(until - clock_.Now());
    if (cancel_sleeps_) co_return false;
    clock_.AdvanceTo(until);
    co_return true;
  }

  FakeClock clock_;
  boost::asio::io_context context_;
  FakeHttpClient http_;
  absl::StatusOr<std::string> token_ = "CANARY-token";
  double random_ = 0.5;
  bool cancel_sleeps_ = false;
  std::string traceparent_;
  std::vector<MonotonicDuration> sleeps_;
  std::vector<int> observed_;
  std::vector<std::string> retries_;
  Drift drift_;
  LocalBudget budget_{{.requests_per_second = 1000000, .burst = 1000},
                      clock_,
                      context_.get_executor(),
                      [this](MonotonicTime until) { return Sleep(until); }};
  std::unique_ptr<Upstream> upstream_;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_TESTS_CLIENT_UPSTREAM_FIXTURE_H_
