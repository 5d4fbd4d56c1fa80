// Who may do what, through the whole gateway: every method by every role, credentials that are no
// good, what callers are told, what is counted, logged and audited, and that a caller's own
// credential goes nowhere.
#include <gmock/gmock.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <future>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/clock.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/log.h"
#include "gateway/token_hash.h"
#include "semaphore/v1/pipeline.pb.h"
#include "tests/client/method_fixture.h"
#include "tests/simulator/simulator.h"

namespace semaphore::gateway {
namespace {

using simulator::FaultAction;
using simulator::FaultStage;
using simulator::Simulator;
using testing::HasSubstr;
using testing::Not;

constexpr char kGetPipeline[] = "/semaphore.v1.PipelineService/GetPipeline";
constexpr char kStopPipeline[] = "/semaphore.v1.PipelineService/StopPipeline";

// A token that is found wherever it should not be.
std::string TokenOf(const std::string& name) {
  return absl::StrCat("CANARY-token-of-", name, "-0123456789abcdef");
}

std::string EntryOf(const std::string& name, const std::string& role,
                    const std::vector<std::string>& tokens, const std::string& more = "") {
  const std::string hashes =
      absl::StrJoin(tokens, ", ", [](std::string* out, const std::string& token) {
        absl::StrAppend(out, FormatTokenHash(*HashToken(token)));
      });
  return absl::StrCat("  - {name: ", name, ", role: ", role, ", token_sha256: [", hashes, "]", more,
                      "}\n");
}

class IdentityTest : public testing::Test {
 protected:
  IdentityTest()
      : folder_(std::filesystem::path(testing::TempDir()) /
                absl::StrCat("identity-", getpid(), "-",
                             testing::UnitTest::GetInstance()->current_test_info()->name())),
        callers_((folder_ / "callers.yaml").string()) {
    std::filesystem::create_directories(folder_);
    config_.organizations = {Organization("acme"), Organization("beta")};
    config_.grpc.address = {"127.0.0.1", 0};
    config_.admin = {"127.0.0.1", 0};
    config_.upstream.requests_per_second = 100000;
    config_.upstream.burst = 100000;
    config_.callers.requests_per_second = 0;
    config_.cache_max_bytes = 0;  // so that every call reaches upstream
    config_.auth = AuthConfig{callers_};
    std::string entries;
    for (const char* role : {"viewer", "operator", "admin"})
      entries += EntryOf(role, role, {TokenOf(role)});
    WriteCallers(entries);
  }
  ~IdentityTest() override {
    gateway_.reset();
    log_.reset();
    std::filesystem::remove_all(folder_);
  }

  OrganizationConfig Organization(const std::string& name) {
    OrganizationConfig organization;
    organization.name = name;
    organization.host = "localhost";
    organization.port = upstream_->port();
    organization.base_path = "/api/v1alpha";
    organization.token_env = "SEMAPHORE_API_TOKEN";
    organization.token = "simulator-token";
    organization.ca_file = (folder_ / "ca.pem").string();
    std::ofstream(organization.ca_file) << upstream_->ca_pem();
    return organization;
  }

  void WriteCallers(const std::string& entries) {
    const std::string fresh = callers_ + ".new";
    std::ofstream(fresh, std::ios::trunc) << "callers:\n" << entries;
    ASSERT_EQ(chmod(fresh.c_str(), 0600), 0);
    std::filesystem::rename(fresh, callers_);
  }

  absl::Status Start() {
    log_ = std::make_unique<Log>(clock_, Log::Options{.level = LogLevel::kDebug},
                                 [this](std::string_view line) {
                                   const std::lock_guard lock(lines_mutex_);
                                   lines_.emplace_back(line);
                                   new_line_.notify_all();
                                 });
    auto gateway = Gateway::Start(config_, *log_);
    if (!gateway.ok()) return gateway.status();
    gateway_ = *std::move(gateway);
    stub_ = std::make_unique<grpc::GenericStub>(grpc::CreateChannel(
        absl::StrCat("127.0.0.1:", gateway_->grpc_port()), grpc::InsecureChannelCredentials()));
    return absl::OkStatus();
  }
  void Serve() { ASSERT_EQ(Start(), absl::OkStatus()); }

  using Metadata = std::vector<std::pair<std::string, std::string>>;

  static Metadata As(const std::string& token) { return {{"authorization", "Bearer " + token}}; }
  static Metadata AsNamed(const std::string& name) { return As(TokenOf(name)); }
  static Metadata With(Metadata metadata, const std::string& key, const std::string& value) {
    metadata.emplace_back(key, value);
    return metadata;
  }

  struct Reply {
    grpc::Status status;
    std::string bytes;
    std::string metadata;

    std::string reason() const {
      google::rpc::Status details;
      details.ParseFromString(status.error_details());
      google::rpc::ErrorInfo info;
      for (const auto& any : details.details()) {
        if (any.UnpackTo(&info)) return info.reason();
      }
      return "";
    }
    std::string Everything() const {
      return absl::StrCat(status.error_message(), status.error_details(), bytes, metadata);
    }
    // What tells one refusal from another.
    std::string Words() const {
      return absl::StrCat(status.error_code(), status.error_message(), status.error_details());
    }
  };

  Reply Call(const std::string& method, const std::string& request, const Metadata& metadata) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(120));
    for (const auto& [key, value] : metadata) context.AddMetadata(key, value);
    grpc::CompletionQueue queue;
    const grpc::Slice slice(request);
    const auto call =
        stub_->PrepareUnaryCall(&context, method, grpc::ByteBuffer(&slice, 1), &queue);
    call->StartCall();
    Reply reply;
    grpc::ByteBuffer bytes;
    call->Finish(&bytes, &reply.status, nullptr);
    void* tag = nullptr;
    bool ok = false;
    queue.Next(&tag, &ok);
    std::vector<grpc::Slice> slices;
    if (bytes.Valid()) (void)bytes.Dump(&slices);
    for (const grpc::Slice& piece : slices)
      reply.bytes.append(reinterpret_cast<const char*>(piece.begin()), piece.size());
    for (const auto& [key, value] : context.GetServerInitialMetadata())
      absl::StrAppend(&reply.metadata, std::string(key.data(), key.size()), "=",
                      std::string(value.data(), value.size()), ";");
    return reply;
  }

  Reply Read(const Metadata& metadata) {
    v1::GetPipelineRequest request;
    request.set_pipeline_id(upstream_->ids().done_pipeline);
    return Call(kGetPipeline, request.SerializeAsString(), metadata);
  }

  Reply Stop(const Metadata& metadata) {
    v1::StopPipelineRequest request;
    request.set_pipeline_id(upstream_->ids().running_pipeline);
    return Call(kStopPipeline, request.SerializeAsString(), metadata);
  }

  std::string MetricsPage() {
    boost::asio::io_context context;
    boost::asio::ip::tcp::socket socket(context);
    socket.connect({boost::asio::ip::address_v4::loopback(), gateway_->admin_port()});
    boost::asio::write(
        socket, boost::asio::buffer(
                    std::string("GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")));
    std::string page;
    boost::system::error_code error;
    boost::asio::read(socket, boost::asio::dynamic_buffer(page), error);
    return page;
  }

  // Lines of an event so far.
  std::vector<std::string> Lines(const std::string& event) {
    const std::lock_guard lock(lines_mutex_);
    std::vector<std::string> found;
    for (const std::string& line : lines_) {
      if (absl::StrContains(line, absl::StrCat("\"event\":\"", event, "\""))) found.push_back(line);
    }
    return found;
  }
  void AwaitLines(const std::string& event, size_t count) {
    for (;;) {
      if (Lines(event).size() >= count) return;
      std::unique_lock lock(lines_mutex_);
      new_line_.wait_for(lock, std::chrono::milliseconds(100));
    }
  }
  // Everything that was logged; ends the gateway.
  std::string LogText() {
    gateway_.reset();
    log_.reset();
    return absl::StrJoin(lines_, "");
  }

  const std::unique_ptr<Simulator> upstream_ = *Simulator::Start();
  const std::filesystem::path folder_;
  const std::string callers_;
  client::SystemClock clock_;
  std::mutex lines_mutex_;  // of the next
  std::vector<std::string> lines_;
  std::condition_variable new_line_;
  std::unique_ptr<Log> log_;
  Config config_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<grpc::GenericStub> stub_;
};

// ---- Roles

TEST_F(IdentityTest, EveryMethodAnswersTheRolesThatMayCallItAndNoOther) {
  Serve();
  const std::pair<const char*, upstream::v1::Role> roles[] = {
      {"viewer", upstream::v1::ROLE_VIEWER},
      {"operator", upstream::v1::ROLE_OPERATOR},
      {"admin", upstream::v1::ROLE_ADMIN}};
  for (const auto& method : client::Table().methods()) {
    for (const auto& [name, role] : roles) {
      SCOPED_TRACE(absl::StrCat(name, " calls ", method->full_name));
      upstream_->ClearRequests();
      // Where the role suffices the empty request is looked at; else not even its bytes are.
      const std::string request = role >= method->role ? "" : "\xff\xff";
      const Reply reply = Call("/" + method->full_name, request, AsNamed(name));
      if (role >= method->role) {
        EXPECT_NE(reply.status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
        EXPECT_NE(reply.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
      } else {
        EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
        EXPECT_EQ(reply.reason(), "CALLER_FORBIDDEN");
        EXPECT_TRUE(upstream_->Requests().empty());
      }
    }
  }
}

TEST_F(IdentityTest, AViewerIsRefusedEachChangingMethod) {
  Serve();
  int changes = 0;
  for (const auto& method : client::Table().methods()) {
    if (!method->IsChange()) continue;
    SCOPED_TRACE(method->full_name);
    EXPECT_EQ(Call("/" + method->full_name, "", AsNamed("viewer")).reason(), "CALLER_FORBIDDEN");
    ++changes;
  }
  EXPECT_EQ(changes, 16);
  EXPECT_EQ(upstream_->total_connections(), 0);
}

TEST_F(IdentityTest, AListOfMethodsNarrowsARole) {
  WriteCallers(
      EntryOf("narrow", "admin", {TokenOf("narrow")}, ", methods: [PipelineService.GetPipeline]"));
  Serve();
  EXPECT_TRUE(Read(AsNamed("narrow")).status.ok());
  EXPECT_EQ(Stop(AsNamed("narrow")).reason(), "CALLER_FORBIDDEN");
}

// ---- Credentials that are no good

TEST_F(IdentityTest, NoWrongTruncatedAndTwofoldCredentialsGetTheSameWords) {
  Serve();
  const std::string token = TokenOf("admin");
  const Metadata rows[] = {
      {},
      As("CANARY-of-nobody-0123456789abcdef"),
      As(token.substr(0, token.size() - 1)),
      As(token.substr(0, 1)),
      With(As(token), "authorization", "Bearer " + token),
      {{"authorization", token}},
      {{"authorization", "Token " + token}},
      {{"authorization", "Bearer  " + token + "x"}},
      {{"proxy-authorization", "Bearer " + token}},
      {{"x-authorization", "Bearer " + token}},
      With(As(token + "x"), "x-semaphore-organization", "nobody"),
  };
  std::set<std::string> words;
  for (const Metadata& metadata : rows) {
    const Reply reply = Read(metadata);
    EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
    EXPECT_EQ(reply.reason(), "CALLER_UNAUTHENTICATED");
    EXPECT_THAT(reply.Everything(), Not(HasSubstr("CANARY")));
    words.insert(reply.Words());
  }
  EXPECT_EQ(words.size(), 1u);
  EXPECT_EQ(upstream_->total_connections(), 0);
  EXPECT_TRUE(Read(As(token)).status.ok());
  EXPECT_TRUE(Read({{"authorization", "BEARER   " + token}}).status.ok());
}

TEST_F(IdentityTest, ARequestThatIsWrongTellsNothingBeforeItsCallerIsKnown) {
  Serve();
  const std::string words = Read({}).Words();
  for (const std::string& request : {std::string("\xff"), std::string(), std::string(100, 'x')}) {
    EXPECT_EQ(Call(kGetPipeline, request, {}).Words(), words);
    EXPECT_EQ(Call(kGetPipeline, request, {{"cache-control", "max-age=x"}}).Words(), words);
    EXPECT_EQ(Call(kGetPipeline, request, {{"x-priority", "urgent"}}).Words(), words);
    EXPECT_EQ(Call(kGetPipeline, request, {{"x-semaphore-organization", "nobody"}}).Words(), words);
  }
}

TEST_F(IdentityTest, WhetherAMethodExistsIsToldOnlyToCallersWhoAreKnown) {
  Serve();
  for (const char* method : {"/semaphore.v1.PipelineService/NoSuchMethod", "/x/y"}) {
    SCOPED_TRACE(method);
    EXPECT_EQ(Call(method, "", {}).reason(), "CALLER_UNAUTHENTICATED");
    EXPECT_EQ(Call(method, "", As("CANARY-of-nobody")).reason(), "CALLER_UNAUTHENTICATED");
    EXPECT_EQ(Call(method, "", AsNamed("viewer")).reason(), "METHOD_NOT_FOUND");
  }
}

TEST_F(IdentityTest, WhatIsKeptInTheCacheIsForCallersWhoAreKnown) {
  config_.cache_max_bytes = 64 << 20;
  Serve();
  EXPECT_TRUE(Read(AsNamed("viewer")).status.ok());
  EXPECT_THAT(Read(AsNamed("viewer")).metadata, HasSubstr("x-cache=hit"));
  EXPECT_EQ(Read({}).reason(), "CALLER_UNAUTHENTICATED");
  EXPECT_EQ(Read({}).bytes, "");
}

TEST_F(IdentityTest, HealthIsOpenToProbes) {
  Serve();
  const Reply reply = Call("/grpc.health.v1.Health/Check", "", {});
  EXPECT_TRUE(reply.status.ok()) << reply.status.error_message();
}

TEST_F(IdentityTest, ATokenThatWasRemovedFromTheFileEnds) {
  WriteCallers(EntryOf("bot", "viewer", {"CANARY-old-token-0123456789abcdef", TokenOf("bot")}));
  Serve();
  EXPECT_TRUE(Read(As("CANARY-old-token-0123456789abcdef")).status.ok());
  WriteCallers(EntryOf("bot", "viewer", {TokenOf("bot")}));
  AwaitLines("callers_loaded", 2);
  EXPECT_EQ(Read(As("CANARY-old-token-0123456789abcdef")).reason(), "CALLER_UNAUTHENTICATED");
  EXPECT_TRUE(Read(AsNamed("bot")).status.ok());
}

TEST_F(IdentityTest, WithoutASectionEverybodyMayCall) {
  config_.auth.reset();
  Serve();
  EXPECT_TRUE(Read({}).status.ok());
  EXPECT_TRUE(Read(As("CANARY-whatever")).status.ok());
  EXPECT_TRUE(Stop({}).status.ok());
}

// ---- Organizations

TEST_F(IdentityTest, CredentialsOfAnotherOrganizationAreRefusedLikeAnOrganizationThatIsNone) {
  WriteCallers(EntryOf("beta-bot", "admin", {TokenOf("beta-bot")}, ", organizations: [beta]"));
  Serve();
  const auto with = [](const std::string& organization) {
    return With(AsNamed("beta-bot"), "x-semaphore-organization", organization);
  };
  const Reply other = Read(with("acme"));
  EXPECT_EQ(other.status.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_EQ(other.reason(), "CALLER_FORBIDDEN");
  EXPECT_THAT(other.Everything(), Not(HasSubstr("acme")));
  EXPECT_EQ(Read(with("nobody")).Words(), other.Words());
  EXPECT_EQ(Read(AsNamed("beta-bot")).Words(), other.Words()) << "acme is the default";
  EXPECT_EQ(Read(With(with("beta"), "x-semaphore-organization", "acme")).Words(), other.Words());
  EXPECT_EQ(upstream_->total_connections(), 0);
  EXPECT_TRUE(Read(with("beta")).status.ok());
}

TEST_F(IdentityTest, ACallerOfAllOrganizationsIsToldWhichThereAre) {
  Serve();
  const Reply reply = Read(With(AsNamed("viewer"), "x-semaphore-organization", "nobody"));
  EXPECT_EQ(reply.reason(), "UNKNOWN_ORGANIZATION");
  EXPECT_THAT(std::string(reply.status.error_message()), HasSubstr("acme, beta"));
}

// ---- Rotation under load

TEST_F(IdentityTest, TokensAreRotatedUnderLoadWithoutAFailedCall) {
  const auto token = [](int generation) {
    return TokenOf(absl::StrCat("generation-", generation));
  };
  const auto file_of = [&](int generation) {
    return EntryOf("bot", "viewer", {token(generation), token(generation + 1)});
  };
  WriteCallers(file_of(0));
  Serve();
  std::atomic<int> generation = 0;
  std::atomic<bool> done = false;
  std::atomic<int> failed = 0;
  std::array<std::atomic<int>, 4> calls{};
  std::vector<std::thread> threads;
  for (std::atomic<int>& made : calls) {
    threads.emplace_back([&] {
      while (!done) {
        failed += Read(As(token(generation))).status.ok() ? 0 : 1;
        ++made;
      }
    });
  }
  for (int next = 1; next <= 3; ++next) {
    // Everybody goes over to the new token, and only then the old one is taken away.
    generation = next;
    for (std::atomic<int>& made : calls) {
      const int now = made;
      while (made < now + 2) std::this_thread::yield();
    }
    WriteCallers(file_of(next));
    AwaitLines("callers_loaded", static_cast<size_t>(next) + 1);
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(failed, 0);
  EXPECT_EQ(Read(As(token(0))).reason(), "CALLER_UNAUTHENTICATED");
}

TEST_F(IdentityTest, AFileThatBecomesUnusableIsToldOnceAndTakesNobodysAccess) {
  Serve();
  ASSERT_EQ(chmod(callers_.c_str(), 0666), 0);
  AwaitLines("callers_unusable", 1);
  EXPECT_THAT(Lines("callers_unusable").at(0), HasSubstr("may be written by its group"));
  EXPECT_TRUE(Read(AsNamed("viewer")).status.ok());
  EXPECT_THAT(MetricsPage(), HasSubstr("\nsemaphoreci_gateway_callers_file_usable 0\n"));
  ASSERT_EQ(chmod(callers_.c_str(), 0600), 0);
  AwaitLines("callers_loaded", 2);
  EXPECT_EQ(Lines("callers_unusable").size(), 1u);
  EXPECT_THAT(MetricsPage(), HasSubstr("\nsemaphoreci_gateway_callers_file_usable 1\n"));
}

TEST_F(IdentityTest, AGatewayDoesNotStartWithAFileThatOthersMayWrite) {
  ASSERT_EQ(chmod(callers_.c_str(), 0666), 0);
  EXPECT_THAT(std::string(Start().message()),
              testing::AllOf(HasSubstr(callers_), HasSubstr("may be written by its group")));
}

// ---- Quotas, metrics, logs

TEST_F(IdentityTest, QuotasAreByName) {
  config_.callers = {.requests_per_second = 0.01, .burst = 1};
  Serve();
  EXPECT_TRUE(Read(AsNamed("viewer")).status.ok());
  EXPECT_EQ(Read(AsNamed("viewer")).reason(), "CALLER_QUOTA_EXHAUSTED");
  EXPECT_TRUE(Read(AsNamed("operator")).status.ok()) << "from the same address";
}

TEST_F(IdentityTest, CallsAndRefusalsAreCountedByWhoAndWhy) {
  Serve();
  EXPECT_TRUE(Read(AsNamed("viewer")).status.ok());
  EXPECT_TRUE(Read(AsNamed("viewer")).status.ok());
  Stop(AsNamed("viewer"));
  Read({});
  Read(As("CANARY-of-nobody"));
  Read({{"authorization", "Basic CANARY"}});
  const std::string page = MetricsPage();
  for (const char* line :
       {"semaphoreci_gateway_caller_requests_total{caller=\"viewer\"} 3",
        "semaphoreci_gateway_caller_requests_total{caller=\"admin\"} 0",
        "semaphoreci_gateway_caller_requests_total{caller=\"anonymous\"} 3",
        "semaphoreci_gateway_caller_refusals_total{reason=\"method\"} 1",
        "semaphoreci_gateway_caller_refusals_total{reason=\"no_credentials\"} 1",
        "semaphoreci_gateway_caller_refusals_total{reason=\"unknown_token\"} 1",
        "semaphoreci_gateway_caller_refusals_total{reason=\"malformed_credentials\"} 1",
        "semaphoreci_gateway_caller_refusals_total{reason=\"organization\"} 0",
        "semaphoreci_gateway_callers 3"}) {
    EXPECT_THAT(page, HasSubstr(absl::StrCat("\n", line, "\n")));
  }
}

TEST_F(IdentityTest, NamesBeyondTwoHundredShareALabel) {
  std::string entries;
  for (int i = 0; i < 210; ++i) {
    const std::string name = absl::StrCat("bot-", i);
    entries += EntryOf(name, "viewer", {TokenOf(name)});
  }
  WriteCallers(entries);
  Serve();
  EXPECT_TRUE(Read(AsNamed("bot-199")).status.ok());
  EXPECT_TRUE(Read(AsNamed("bot-200")).status.ok());
  EXPECT_TRUE(Read(AsNamed("bot-209")).status.ok());
  const std::string page = MetricsPage();
  EXPECT_THAT(page, HasSubstr("caller_requests_total{caller=\"bot-199\"} 1\n"));
  EXPECT_THAT(page, HasSubstr("caller_requests_total{caller=\"other\"} 2\n"));
  EXPECT_THAT(page, Not(HasSubstr("bot-200")));
}

TEST_F(IdentityTest, ACallsLineNamesItsCaller) {
  Serve();
  EXPECT_TRUE(Read(AsNamed("viewer")).status.ok());
  AwaitLines("call", 1);
  EXPECT_THAT(Lines("call").at(0), HasSubstr("\"caller\":\"viewer\""));
}

// ---- Audit

TEST_F(IdentityTest, EveryChangeLeavesItsLineWhetherAllowedOrRefused) {
  Serve();
  EXPECT_TRUE(Stop(AsNamed("operator")).status.ok());
  EXPECT_EQ(Stop(AsNamed("viewer")).reason(), "CALLER_FORBIDDEN");
  EXPECT_EQ(Stop({}).reason(), "CALLER_UNAUTHENTICATED");
  EXPECT_EQ(Call(kStopPipeline, "", AsNamed("admin")).reason(), "INVALID_FIELD");
  EXPECT_TRUE(Read(AsNamed("viewer")).status.ok());
  AwaitLines("audit", 4);
  const std::vector<std::string> lines = Lines("audit");
  ASSERT_EQ(lines.size(), 4u) << "reads leave none";
  const std::string id =
      absl::StrCat("\"request.pipeline_id\":\"", upstream_->ids().running_pipeline, "\"");
  EXPECT_THAT(
      lines[0],
      testing::AllOf(HasSubstr("\"caller\":\"operator\""), HasSubstr(id),
                     HasSubstr("\"code\":\"OK\""), HasSubstr("\"organization\":\"acme\""),
                     HasSubstr("\"peer\":\"ipv4:127.0.0.1:"), HasSubstr("\"request_id\":\"")));
  EXPECT_THAT(lines[1], testing::AllOf(HasSubstr("\"caller\":\"viewer\""),
                                       HasSubstr("\"code\":\"PERMISSION_DENIED\""),
                                       HasSubstr("\"reason\":\"CALLER_FORBIDDEN\"")));
  EXPECT_THAT(lines[2], testing::AllOf(HasSubstr("\"caller\":\"anonymous\""),
                                       HasSubstr("\"reason\":\"CALLER_UNAUTHENTICATED\"")));
  EXPECT_THAT(lines[3], testing::AllOf(HasSubstr("\"caller\":\"admin\""),
                                       HasSubstr("\"reason\":\"INVALID_FIELD\"")));
  EXPECT_THAT(MetricsPage(), HasSubstr("\nsemaphoreci_gateway_audit_lines_total 4\n"));
}

TEST_F(IdentityTest, AChangeWhoseCallerGoesAwayLeavesItsLine) {
  Serve();
  upstream_->AddFault({.action = FaultAction::kSilence, .stage = FaultStage::kBeforeReply});
  std::future<Reply> call =
      std::async(std::launch::async, [this] { return Stop(AsNamed("admin")); });
  ASSERT_TRUE(upstream_->WaitUntil([this] { return !upstream_->Requests().empty(); }));
  gateway_->Stop(absl::ZeroDuration());
  call.get();
  const std::string log = LogText();
  EXPECT_THAT(log, HasSubstr("\"event\":\"audit\""));
}

// ---- The caller's own credential

TEST_F(IdentityTest, ACallersCredentialIsNeitherSentOnNorLoggedNorExported) {
  Serve();
  std::string seen;
  for (const char* name : {"viewer", "operator", "admin", "nobody"}) {
    seen += Read(AsNamed(name)).Everything();
    seen += Stop(AsNamed(name)).Everything();
    seen += Read({{"authorization", "Token " + TokenOf(name)}}).Everything();
    seen += Read(With(AsNamed(name), "authorization", "Bearer CANARY-second")).Everything();
    seen += Call("/x/y", "", AsNamed(name)).Everything();
    upstream_->AddFault({.times = 1, .status = 500});
    seen += Read(AsNamed(name)).Everything();
  }
  const auto requests = upstream_->Requests();
  EXPECT_FALSE(requests.empty());
  for (const auto& request : requests) {
    EXPECT_EQ(request.authorization, simulator::Authorization::kRight) << "the gateway's own token";
    absl::StrAppend(&seen, request.target, request.body);
    for (const auto& [name, value] : request.headers) absl::StrAppend(&seen, name, value);
  }
  seen += MetricsPage();
  seen += LogText();
  EXPECT_THAT(seen, HasSubstr("\"caller\":\"viewer\""));
  EXPECT_THAT(seen, Not(HasSubstr("CANARY")));
  for (const char* name : {"viewer", "operator", "admin"})
    EXPECT_THAT(seen, Not(HasSubstr(FormatTokenHash(*HashToken(TokenOf(name))))));
}

}  // namespace
}  // namespace semaphore::gateway
