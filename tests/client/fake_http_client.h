// An HttpClient that answers from a script and remembers what it was asked. It charges the budget
// and feeds body sinks as the real one does, and knows no network. A request without a line in the
// script fails the test.
#ifndef SEMAPHORE_TESTS_CLIENT_FAKE_HTTP_CLIENT_H_
#define SEMAPHORE_TESTS_CLIENT_FAKE_HTTP_CLIENT_H_

#include <gtest/gtest.h>

#include <deque>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "client/http_client.h"

namespace semaphore::client {

class FakeHttpClient final : public HttpClient {
 public:
  using Answer = std::function<HttpResult(const HttpRequest&)>;

  // A whole reply.
  void Reply(int status, std::string body,
             std::vector<std::pair<std::string, std::string>> headers = {}) {
    HttpResult result;
    result.may_have_arrived = true;
    result.response = {status, std::move(headers), std::move(body)};
    script_.push_back([result](const HttpRequest&) { return result; });
  }

  // A connection that ended without a whole reply.
  void Break(HttpCause cause, bool may_have_arrived,
             absl::Status status = absl::UnavailableError("broken")) {
    HttpResult result;
    result.status = std::move(status);
    result.cause = cause;
    result.stage = may_have_arrived ? HttpStage::kHeader : HttpStage::kDial;
    result.may_have_arrived = may_have_arrived;
    script_.push_back([result](const HttpRequest&) { return result; });
  }

  void Then(Answer answer) { script_.push_back(std::move(answer)); }

  // Answers whatever the script does not.
  void Otherwise(Answer answer) { otherwise_ = std::move(answer); }

  boost::asio::awaitable<HttpResult> Send(HttpRequest request, MonotonicTime deadline) override {
    requests.push_back(request);
    deadlines.push_back(deadline);
    if (request.admit) {
      absl::Status admitted = co_await request.admit(deadline);
      if (!admitted.ok()) {
        HttpResult refused;
        refused.status = std::move(admitted);
        refused.stage = HttpStage::kAdmit;
        refused.cause = HttpCause::kRefused;
        co_return refused;
      }
    }
    if (script_.empty() && !otherwise_) {
      ADD_FAILURE() << "nothing is scripted for " << request.method << " " << request.target;
      HttpResult unscripted;
      unscripted.status = absl::InternalError("unscripted");
      unscripted.cause = HttpCause::kReset;
      co_return unscripted;
    }
    Answer answer = otherwise_;
    if (!script_.empty()) {
      answer = std::move(script_.front());
      script_.pop_front();
    }
    HttpResult result = answer(request);
    if (request.body_sink && result.status.ok() && result.response.status == 200) {
      absl::Status sunk = request.body_sink(result.response.body);
      result.response.body.clear();
      if (!sunk.ok()) {
        result.status = std::move(sunk);
        result.stage = HttpStage::kBody;
        result.cause = HttpCause::kMalformed;
      }
    }
    co_return result;
  }

  size_t unused() const { return script_.size(); }

  std::vector<HttpRequest> requests;
  std::vector<MonotonicTime> deadlines;

 private:
  std::deque<Answer> script_;
  Answer otherwise_;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_TESTS_CLIENT_FAKE_HTTP_CLIENT_H_
