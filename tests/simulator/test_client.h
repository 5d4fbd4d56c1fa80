// A small HTTPS client for the simulator's own tests: one connection at a time, each step by
// itself, so that a test can stop anywhere. It trusts the simulator's authority only and checks the
// host name.
#ifndef SEMAPHORE_TESTS_SIMULATOR_TEST_CLIENT_H_
#define SEMAPHORE_TESTS_SIMULATOR_TEST_CLIENT_H_

#include <gtest/gtest.h>

#include <boost/json/value.hpp>
#include <memory>
#include <string>
#include <string_view>

#include "tests/simulator/http_message.h"
#include "tests/simulator/manual_time.h"
#include "tests/simulator/simulator.h"

namespace semaphore::simulator {

struct TestRequest {
  std::string method = "GET";
  std::string target = {};  // "/api/v1alpha/…"
  std::string body = {};
  std::string content_type = {};
  std::string authorization = "Token simulator-token";  // empty: none is sent
  Headers headers = {};
};

struct TestReply {
  std::string error;  // why no whole reply came; empty: one did
  int status = 0;
  Headers headers;
  std::string body;  // as much as came

  std::string Header(std::string_view name) const;  // empty when there is none
  boost::json::value Json() const;                  // null when the body is not JSON
};

class TestClient {
 public:
  explicit TestClient(const Simulator& simulator);
  ~TestClient();

  // Connects when there is no connection, sends and reads.
  TestReply Send(const TestRequest& request);
  TestReply Get(std::string_view path);  // behind /api/v1alpha
  TestReply PostForm(std::string_view path, std::string_view form);
  TestReply PostJson(std::string_view path, std::string_view json);

  // Steps of Send. Each gives what went wrong, empty when nothing did.
  std::string ConnectTcp();
  std::string Connect();
  std::string Write(const TestRequest& request);
  std::string WriteRaw(std::string_view bytes);
  TestReply Read();

  // Everything up to the end of the stream.
  std::string ReadRaw();

  // Closes at once; the next connection resumes the TLS session.
  void Disconnect();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A simulator whose clock the test owns.
class SimulatorTest : public ::testing::Test {
 protected:
  void Start(SimulatorOptions options = {});

  Simulator& simulator() { return *simulator_; }
  TestClient& client() { return *client_; }
  const WellKnownIds& ids() { return simulator_->ids(); }

  ManualTime time_;
  std::unique_ptr<Simulator> simulator_;
  std::unique_ptr<TestClient> client_;
};

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_TEST_CLIENT_H_
