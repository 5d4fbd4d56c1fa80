// Golden pairs: for every method, what is sent for a request and what an upstream reply becomes, in
// both dialects. The cases are text files in tests/golden (the README there explains the form); a
// method without them fails here.
#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/use_future.hpp>
#include <deque>
#include <filesystem>
#include <fstream>
#include <future>
#include <iterator>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/clock.h"
#include "client/error.h"
#include "client/local_budget.h"
#include "client/method_table.h"
#include "client/string_view.h"
#include "client/upstream.h"
#include "client/validate.h"

namespace semaphore::client {
namespace {

namespace asio = boost::asio;
using google::protobuf::Message;

struct Exchange {
  std::string sends;
  HttpResponse reply;
};

struct Case {
  std::string name;
  std::string request;
  std::vector<Exchange> exchanges;
  std::string becomes;
};

// "200\ntotal: 3\n\n[…]": the status stands in the section's title, headers (if any) before a blank
// line.
HttpResponse ParseReply(int status, const std::string& text) {
  HttpResponse reply;
  reply.status = status;
  std::string rest = text;
  for (;;) {
    const size_t end = rest.find('\n');
    const std::string line = rest.substr(0, end);
    const std::pair<std::string, std::string> header =
        absl::StrSplit(line, absl::MaxSplits(": ", 1));
    const bool is_header =
        header.first.find_first_not_of("abcdefghijklmnopqrstuvwxyz-") == std::string::npos &&
        absl::StrContains(line, ": ");
    if (!is_header && (!line.empty() || reply.headers.empty())) break;
    rest = end == std::string::npos ? "" : rest.substr(end + 1);
    if (line.empty()) break;
    reply.headers.push_back(header);
  }
  reply.body = rest;
  return reply;
}

std::vector<Case> ParseCases(const std::string& text) {
  std::vector<Case> cases;
  std::string section;
  std::string body;
  const auto end_section = [&] {
    while (!body.empty() && body.back() == '\n') body.pop_back();
    if (cases.empty()) {
      // What stands before the first case is a comment.
    } else if (section == "request") {
      cases.back().request = body;
    } else if (section == "sends") {
      cases.back().exchanges.push_back({body, {}});
    } else if (absl::StartsWith(section, "reply ") && !cases.back().exchanges.empty()) {
      int status = 0;
      EXPECT_TRUE(absl::SimpleAtoi(section.substr(6), &status)) << section;
      cases.back().exchanges.back().reply = ParseReply(status, body);
    } else if (section == "becomes") {
      cases.back().becomes = body;
    } else if (!section.empty()) {
      ADD_FAILURE() << "unknown section: " << section;
    }
    section.clear();
    body.clear();
  };
  for (const std::string& line : std::vector<std::string>(absl::StrSplit(text, '\n'))) {
    if (absl::StartsWith(line, "=== ")) {
      end_section();
      cases.push_back({line.substr(4), "", {}, ""});
    } else if (absl::StartsWith(line, "--- ")) {
      end_section();
      section = line.substr(4);
    } else {
      absl::StrAppend(&body, line, "\n");
    }
  }
  end_section();
  return cases;
}

std::string Describe(const HttpRequest& request) {
  std::string text = absl::StrCat(request.method, " ", request.target);
  if (!request.content_type.empty()) absl::StrAppend(&text, "\n", request.content_type);
  if (!request.body.empty()) absl::StrAppend(&text, "\n", request.body);
  return text;
}

// Plays the exchanges of one case and holds each request to what the file says.
class GoldenHttpClient final : public HttpClient {
 public:
  explicit GoldenHttpClient(const std::vector<Exchange>& exchanges)
      : left_(exchanges.begin(), exchanges.end()) {}

  asio::awaitable<HttpResult> Send(HttpRequest request, MonotonicTime) override {
    HttpResult result;
    result.may_have_arrived = true;
    if (left_.empty()) {
      ADD_FAILURE() << "one request too many: " << Describe(request);
      result.status = absl::UnavailableError("no more exchanges");
      result.cause = HttpCause::kTls;
      co_return result;
    }
    EXPECT_EQ(Describe(request), left_.front().sends);
    result.response = left_.front().reply;
    left_.pop_front();
    if (request.body_sink && result.response.status == 200) {
      const absl::Status taken = request.body_sink(result.response.body);
      if (!taken.ok()) {
        result.status = taken;
        result.cause = HttpCause::kRefused;
      }
    }
    co_return result;
  }

  size_t left() const { return left_.size(); }

 private:
  std::deque<Exchange> left_;
};

asio::awaitable<bool> NoSleep(MonotonicTime) { co_return true; }

// One case, from request JSON to reply JSON or "CODE REASON".
class Runner {
 public:
  explicit Runner(const MethodTable& table) : table_(table) {}

  void Run(const MethodSpec& spec, const Case& golden) {
    std::shared_ptr<Message> request(spec.request_prototype->New());
    const auto parsed = google::protobuf::util::JsonStringToMessage(golden.request, request.get());
    ASSERT_TRUE(parsed.ok()) << parsed.ToString();
    const absl::Status valid = ValidateRequest(spec, *request);
    ASSERT_TRUE(valid.ok()) << valid;
    GoldenHttpClient http(golden.exchanges);
    Drift drift;
    const CallResult result = Call(spec, request, http, drift);
    EXPECT_EQ(http.left(), 0) << "exchanges that did not take place";
    if (absl::StrContains(golden.name, "(real)")) {
      EXPECT_EQ(drift.unknown_fields + drift.unknown_words, 0)
          << "keys or words of the real service are not known";
    }
    Compare(spec, golden, result);
  }

 private:
  CallResult Call(const MethodSpec& spec, std::shared_ptr<const Message> request, HttpClient& http,
                  Drift& drift) {
    asio::io_context context;
    LocalBudget budget({.requests_per_second = 1000, .burst = 1000}, clock_, context.get_executor(),
                       NoSleep);
    Upstream::Options options;
    options.organization = "acme";
    options.host = "acme.example";
    options.base_path = "";
    options.token = []() -> absl::StatusOr<std::string> { return std::string("token"); };
    options.random = [] { return 0.5; };
    options.sleeper = NoSleep;
    options.observer.drift = [&drift](const MethodSpec&, const Drift& seen) {
      drift.unknown_fields += seen.unknown_fields;
      drift.unknown_words += seen.unknown_words;
    };
    const auto upstream = *Upstream::Create(std::move(options), table_, http, budget, clock_);
    std::future<CallResult> future =
        asio::co_spawn(asio::make_strand(context),
                       upstream->Call(spec, std::move(request),
                                      {.deadline = clock_.Now() + std::chrono::seconds(60)}),
                       asio::use_future);
    context.run();
    return future.get();
  }

  void Compare(const MethodSpec& spec, const Case& golden, const CallResult& result) {
    if (!absl::StartsWith(golden.becomes, "{")) {
      const auto info = GetErrorInfo(result.status);
      EXPECT_EQ(absl::StrCat(absl::StatusCodeToString(result.status.code()), " ",
                             info ? info->reason() : ""),
                golden.becomes)
          << result.status;
      return;
    }
    ASSERT_TRUE(result.status.ok()) << result.status;
    const std::unique_ptr<Message> actual(spec.reply_prototype->New());
    ASSERT_TRUE(actual->ParseFromString(result.reply));
    const std::unique_ptr<Message> expected(spec.reply_prototype->New());
    const auto parsed = google::protobuf::util::JsonStringToMessage(golden.becomes, expected.get());
    ASSERT_TRUE(parsed.ok()) << parsed.ToString();
    std::string difference;
    google::protobuf::util::MessageDifferencer differencer;
    differencer.ReportDifferencesToString(&difference);
    EXPECT_TRUE(differencer.Compare(*expected, *actual)) << difference;
  }

  const MethodTable& table_;
  const SystemClock clock_;
};

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

// "semaphore.v1.PipelineService" + "GetPipeline" gives PipelineService.GetPipeline.txt.
std::filesystem::path FileOf(const MethodSpec& spec) {
  const std::string service = spec.service.substr(spec.service.rfind('.') + 1);
  return std::filesystem::path(SEMAPHORE_GOLDEN_DIR) /
         absl::StrCat(service, ".", spec.name, ".txt");
}

bool HasDialect(const std::vector<Case>& cases, absl::string_view dialect) {
  return std::any_of(cases.begin(), cases.end(), [dialect](const Case& golden) {
    return absl::StrContains(golden.name, dialect) && absl::StartsWith(golden.becomes, "{");
  });
}

TEST(GoldenTest, EveryMethodSendsAndUnderstandsWhatItsFileSays) {
  const auto table = *MethodTable::Build();
  Runner runner(*table);
  for (const auto& spec : table->methods()) {
    SCOPED_TRACE(spec->full_name);
    const std::vector<Case> cases = ParseCases(ReadFile(FileOf(*spec)));
    EXPECT_TRUE(HasDialect(cases, "(real)"))
        << "no case of the real service in " << FileOf(*spec).filename();
    // The reference does not know projects.
    if (spec->service != "semaphore.v1.ProjectService") {
      EXPECT_TRUE(HasDialect(cases, "(reference)"))
          << "no case of the reference in " << FileOf(*spec).filename();
    }
    for (const Case& golden : cases) {
      SCOPED_TRACE(golden.name);
      runner.Run(*spec, golden);
    }
  }
}

}  // namespace
}  // namespace semaphore::client
