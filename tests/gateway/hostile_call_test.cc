// Calls that no honest client makes, and secrets that upstream repeats, through the whole gateway:
// every refusal has its reason, and what is secret is in no answer, log line or metric.
#include <gmock/gmock.h>
#include <google/protobuf/stubs/logging.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <boost/asio/connect.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <fstream>
#include <future>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "client/clock.h"
#include "gateway/config.h"
#include "gateway/gateway.h"
#include "gateway/log.h"
#include "semaphore/v1/deployment_target.pb.h"
#include "semaphore/v1/pipeline.pb.h"
#include "tests/simulator/simulator.h"

namespace semaphore::gateway {
namespace {

using simulator::FaultAction;
using simulator::Simulator;
using testing::HasSubstr;
using testing::Not;

constexpr char kGetPipeline[] = "/semaphore.v1.PipelineService/GetPipeline";
constexpr char kCreateTarget[] = "/semaphore.v1.DeploymentTargetService/CreateDeploymentTarget";
constexpr char kToken[] = "CANARY-simulator-token";

class HostileCallTest : public testing::Test {
 protected:
  HostileCallTest() {
    OrganizationConfig organization;
    organization.name = "acme";
    organization.host = "localhost";
    organization.port = upstream_->port();
    organization.base_path = "/api/v1alpha";
    organization.token_env = "SEMAPHORE_API_TOKEN";
    organization.token = kToken;
    organization.ca_file =
        absl::StrCat(testing::TempDir(), "/hostile_call_test_ca_", upstream_->port(), ".pem");
    std::ofstream(organization.ca_file) << upstream_->ca_pem();
    config_.organizations = {organization};
    config_.grpc.address = {"127.0.0.1", 0};
    config_.admin = {"127.0.0.1", 0};
    config_.upstream.requests_per_second = 100000;
    config_.upstream.burst = 100000;
    config_.cache_max_bytes = 0;  // so that every call reaches upstream
  }

  void Serve() {
    auto gateway = Gateway::Start(config_, *log_);
    ASSERT_TRUE(gateway.ok()) << gateway.status();
    gateway_ = *std::move(gateway);
    stub_ = std::make_unique<grpc::GenericStub>(grpc::CreateChannel(
        absl::StrCat("127.0.0.1:", gateway_->grpc_port()), grpc::InsecureChannelCredentials()));
  }

  using Metadata = std::vector<std::pair<std::string, std::string>>;

  struct Reply {
    grpc::Status status;
    std::string bytes;

    google::rpc::ErrorInfo info() const { return Detail<google::rpc::ErrorInfo>(); }
    std::string Everything() const {
      return absl::StrCat(status.error_message(), status.error_details(), bytes);
    }
    template <typename Message>
    Message Detail() const {
      google::rpc::Status details;
      details.ParseFromString(status.error_details());
      Message message;
      for (const auto& any : details.details()) {
        if (any.UnpackTo(&message)) return message;
      }
      return {};
    }
  };

  // A call of raw bytes, as only a hostile client makes it.
  Reply Call(const std::string& method, const std::string& request, const Metadata& metadata = {}) {
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
    return reply;
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

  // Everything that was logged; ends the gateway.
  std::string LogText() {
    gateway_.reset();
    log_.reset();
    return log_text_;
  }

  const std::unique_ptr<Simulator> upstream_ = *Simulator::Start({.token = kToken});
  client::SystemClock clock_;
  std::string log_text_;  // of the log's thread until the log has ended
  std::unique_ptr<Log> log_ =
      std::make_unique<Log>(clock_, Log::Options{.level = LogLevel::kDebug},
                            [this](std::string_view line) { log_text_ += line; });
  Config config_;
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<grpc::GenericStub> stub_;
};

std::string PipelineRequest(const std::string& id) {
  v1::GetPipelineRequest request;
  request.set_pipeline_id(id);
  return request.SerializeAsString();
}

TEST_F(HostileCallTest, AMethodThatDoesNotExistIsToldSo) {
  Serve();
  for (const char* method :
       {"/semaphore.v1.PipelineService/NoSuchMethod", "/semaphore.v1.NoService/GetPipeline", "/x/y",
        "/semaphore.v1.PipelineService/", "/grpc.health.v1.Health/NoSuchMethod"}) {
    SCOPED_TRACE(method);
    const Reply reply = Call(method, PipelineRequest("p"));
    EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::UNIMPLEMENTED);
    EXPECT_EQ(reply.info().reason(), "METHOD_NOT_FOUND");
  }
  EXPECT_TRUE(Call(kGetPipeline, PipelineRequest(upstream_->ids().done_pipeline)).status.ok());
}

TEST_F(HostileCallTest, BytesThatAreNoRequestAreRefusedAndNothingIsSent) {
  const google::protobuf::LogSilencer silence;  // as main does
  Serve();
  const std::string rows[] = {
      "\xff\xff\xff\xff",
      std::string("\x0a\x05"
                  "ab",
                  4),                          // a length beyond the end
      std::string("\x0a\x02\xff\xfe", 4),      // a text that is no UTF-8
      std::string("\x0a\x03\xed\xa0\x80", 5),  // a surrogate in a text
      std::string("\x0a\xff\xff\xff\xff\x0f", 6),
      std::string(1000, '\x0b'),  // groups without an end
  };
  for (const std::string& bytes : rows) {
    SCOPED_TRACE(absl::CEscape(bytes.substr(0, 20)));
    const Reply reply = Call(kGetPipeline, bytes);
    EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(reply.info().reason(), "INVALID_FIELD");
  }
  EXPECT_EQ(upstream_->total_connections(), 0);
}

TEST_F(HostileCallTest, ARequestOverTheBoundIsRefusedAndNothingIsSent) {
  Serve();
  const Reply within = Call(kGetPipeline, PipelineRequest(std::string(3 << 20, 'a')));
  EXPECT_EQ(within.info().reason(), "INVALID_FIELD");
  EXPECT_LT(within.Everything().size(), 2048u);
  const Reply beyond = Call(kGetPipeline, PipelineRequest(std::string(10 << 20, 'a')));
  EXPECT_EQ(beyond.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(upstream_->total_connections(), 0);
}

TEST_F(HostileCallTest, MetadataThatIsNoMetadataGoesNoFurther) {
  Serve();
  const std::string id = upstream_->ids().done_pipeline;
  const Metadata rows[] = {
      {{"x-semaphore-organization", "acme"}, {"x-request-id", std::string(5000, 'x')}},
      {{"x-request-id", "{\"a\":1}"}, {"traceparent", "00-\"-zz"}},
      {{"traceparent", std::string(129, '0')}, {"cache-control", std::string(4000, ',')}},
      {{"authorization", "Token theirs"}, {"host", "evil"}, {"cookie", "a=b"}},
  };
  for (const Metadata& metadata : rows) {
    upstream_->ClearRequests();
    EXPECT_TRUE(Call(kGetPipeline, PipelineRequest(id), metadata).status.ok());
    const auto requests = upstream_->Requests();
    ASSERT_EQ(requests.size(), 1);
    for (const auto& [name, value] : requests[0].headers) {
      EXPECT_THAT(value, Not(HasSubstr("theirs")));
      EXPECT_THAT(value, Not(HasSubstr("evil")));
      EXPECT_NE(name, "traceparent");
      EXPECT_NE(name, "cookie");
      EXPECT_NE(name, "x-request-id");
    }
  }
  upstream_->ClearRequests();
  for (const std::string& organization :
       {std::string("../acme"), std::string(5000, 'o'), std::string("ACME"), std::string("acme ,b"),
        std::string("a\"b\\")}) {
    const Reply reply =
        Call(kGetPipeline, PipelineRequest(id), {{"x-semaphore-organization", organization}});
    EXPECT_EQ(reply.status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
    EXPECT_EQ(reply.info().reason(), "UNKNOWN_ORGANIZATION");
    EXPECT_LT(reply.status.error_message().size(), 300u);
  }
  const Reply twice =
      Call(kGetPipeline, PipelineRequest(id),
           {{"x-semaphore-organization", "acme"}, {"x-semaphore-organization", "acme"}});
  EXPECT_EQ(twice.info().reason(), "UNKNOWN_ORGANIZATION");
  EXPECT_TRUE(upstream_->Requests().empty());
}

TEST_F(HostileCallTest, MoreCallsThanTheGatewayTakesAreTurnedAwayWithTheTimeToComeBack) {
  config_.limits.max_concurrent_calls = 1;
  Serve();
  upstream_->AddFault({.times = 1, .action = FaultAction::kHold});
  const std::string request = PipelineRequest(upstream_->ids().done_pipeline);
  std::future<Reply> first =
      std::async(std::launch::async, [&] { return Call(kGetPipeline, request); });
  ASSERT_TRUE(upstream_->WaitUntil([this] { return upstream_->held() == 1; }));
  const Reply second = Call(kGetPipeline, request);
  EXPECT_EQ(second.status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(second.info().reason(), "GATEWAY_OVERLOADED");
  EXPECT_TRUE(second.Detail<google::rpc::RetryInfo>().has_retry_delay());
  upstream_->ReleaseHeld();
  EXPECT_TRUE(first.get().status.ok());
  EXPECT_TRUE(Call(kGetPipeline, request).status.ok());
}

TEST_F(HostileCallTest, NoSecretIsInAnyAnswerLogLineOrMetric) {
  Serve();
  v1::CreateDeploymentTargetRequest request;
  v1::DeploymentTarget* target = request.mutable_deployment_target();
  target->set_name("production");
  target->set_project_id(upstream_->ids().project);
  v1::EnvVar* variable = target->add_env_vars();
  variable->set_name("SECRET");
  variable->set_value("CANARY-value-of-a-variable");
  v1::DeploymentTargetFile* file = target->add_files();
  file->set_path("/etc/secret");
  file->set_content("CANARY-content-of-a-file");
  const std::string content = absl::Base64Escape(file->content());
  const std::string bytes = request.SerializeAsString();

  std::string seen;
  const std::string bodies[] = {
      absl::StrCat("\"bad value ", variable->value(), " of ", kToken, "\""),
      absl::StrCat("{\"message\":\"", file->content(), " ", content, "\"}"),
      absl::StrCat("<html>", kToken, content, "</html>"),
  };
  const std::string echo = absl::StrCat(R"({"id":"d","env_vars":[{"value":")", variable->value(),
                                        R"("}],"files":[{"content":")", content, "\"}]}");
  upstream_->AddFault({.status = 200, .body = echo});
  const Reply created = Call(kCreateTarget, bytes);
  EXPECT_TRUE(created.status.ok()) << created.status.error_message();
  seen += created.Everything();
  for (const int status : {200, 302, 400, 401, 403, 404, 422, 500, 503}) {
    for (const std::string& body : bodies) {
      upstream_->ClearFaults();
      upstream_->AddFault({.status = status, .body = body});
      seen += Call(kCreateTarget, bytes).Everything();
    }
  }
  // A validation that fails, too.
  variable->set_value(std::string("CANARY\0value", 12));
  const Reply refused = Call(kCreateTarget, request.SerializeAsString());
  EXPECT_EQ(refused.info().reason(), "INVALID_FIELD");
  seen += refused.Everything();

  const std::string metrics = MetricsPage();
  EXPECT_THAT(metrics, HasSubstr("CreateDeploymentTarget"));
  const std::string log = LogText();
  EXPECT_THAT(log, HasSubstr("CreateDeploymentTarget"));
  for (const std::string& text : {seen, metrics, log}) {
    for (const std::string& secret : {std::string("CANARY"), content.substr(0, 12)}) {
      const size_t at = text.find(secret);
      EXPECT_EQ(at, std::string::npos)
          << text.substr(at < 200 ? 0 : at - 200, 400) << " holds a secret";
    }
  }
}

}  // namespace
}  // namespace semaphore::gateway
