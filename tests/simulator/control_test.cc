// Scripting from outside, over HTTPS.
#include <boost/json/parse.hpp>

#include "tests/simulator/fault_json.h"
#include "tests/simulator/test_client.h"

namespace semaphore::simulator {
namespace {

class ControlTest : public SimulatorTest {
 protected:
  TestReply Control(const std::string& method, const std::string& name,
                    const std::string& body = "") {
    return client().Send({.method = method, .target = "/_simulator/" + name, .body = body});
  }
};

TEST_F(ControlTest, FaultsCanBeAddedAndRemoved) {
  Start();
  const TestReply added = Control("POST", "faults",
                                  R"([{"action": "answer", "status": 429, "times": 1,
                                       "headers": {"retry-after": "2"}},
                                      {"action": "answer", "status": 503}])");
  EXPECT_EQ(added.status, 200) << added.body;
  EXPECT_EQ(added.Json().at("added").as_int64(), 2);
  const std::string path = "/pipelines/" + ids().done_pipeline;
  EXPECT_EQ(client().Get(path).Header("retry-after"), "2");
  EXPECT_EQ(client().Get(path).status, 503);
  EXPECT_EQ(Control("DELETE", "faults").status, 200);
  EXPECT_EQ(client().Get(path).status, 200);
}

TEST_F(ControlTest, AWrongFaultIsRefusedWithTheReasonAndNoneIsAdded) {
  Start();
  const TestReply reply =
      Control("POST", "faults", R"([{"action": "answer"}, {"action": "answer", "stauts": 1}])");
  EXPECT_EQ(reply.status, 400);
  EXPECT_EQ(reply.body, "unknown key \"stauts\"\n");
  EXPECT_EQ(client().Get("/pipelines/" + ids().done_pipeline).status, 200);
}

TEST_F(ControlTest, ItsOwnRoutesNeedTheTokenAreNotStruckAndNotInTheLedger) {
  Start();
  simulator().AddFault({.status = 500});
  EXPECT_EQ(client().Send({.target = "/_simulator/ids", .authorization = ""}).status, 401);
  EXPECT_EQ(Control("GET", "ids").Json().at("done_pipeline_id").as_string(), ids().done_pipeline);
  EXPECT_TRUE(simulator().Requests().empty());
}

TEST_F(ControlTest, TheLedgerCanBeReadAndCleared) {
  Start();
  client().Get("/pipelines/unknown");
  const TestReply reply = Control("GET", "requests");
  const boost::json::value json = reply.Json();
  ASSERT_EQ(json.at("requests").as_array().size(), 1U);
  const boost::json::value& request = json.at("requests").at(0);
  EXPECT_EQ(request.at("method").as_string(), "GET");
  EXPECT_EQ(request.at("target").as_string(), "/api/v1alpha/pipelines/unknown");
  EXPECT_EQ(request.at("authorization").as_string(), "right");
  EXPECT_EQ(reply.body.find("simulator-token"), std::string::npos);
  Control("DELETE", "requests");
  EXPECT_TRUE(simulator().Requests().empty());
}

TEST_F(ControlTest, HeldRepliesCanBeReleased) {
  Start();
  Control("POST", "faults", R"({"action": "hold", "times": 1})");
  TestClient other(simulator());
  ASSERT_EQ(other.Write({.target = "/api/v1alpha/pipelines/" + ids().done_pipeline}), "");
  ASSERT_TRUE(simulator().WaitUntil([&] { return simulator().held() == 1; }));
  EXPECT_EQ(Control("POST", "release").status, 200);
  EXPECT_EQ(other.Read().status, 200);
}

TEST(FaultFromJsonTest, EveryFieldIsRead) {
  const auto fault = FaultFromJson(boost::json::parse(
      R"({"method": "POST", "target_prefix": "/a", "connection": 3, "skip": 4, "times": 5,
          "action": "silence", "stage": "head", "delay_ms": 6, "status": 201, "headers": {"b": "c"},
          "body": "d", "carry_out": true, "piece_bytes": 7, "piece_delay_ms": 8, "megabytes": 9,
          "depth": 10})"));
  ASSERT_TRUE(fault.ok()) << fault.status();
  EXPECT_EQ(fault->method, "POST");
  EXPECT_EQ(fault->target_prefix, "/a");
  EXPECT_EQ(fault->connection, 3U);
  EXPECT_EQ(fault->skip, 4);
  EXPECT_EQ(fault->times, 5);
  EXPECT_EQ(fault->action, FaultAction::kSilence);
  EXPECT_EQ(fault->stage, FaultStage::kHead);
  EXPECT_EQ(fault->delay, absl::Milliseconds(6));
  EXPECT_EQ(fault->status, 201);
  EXPECT_EQ(fault->headers, (Headers{{"b", "c"}}));
  EXPECT_EQ(fault->body, "d");
  EXPECT_TRUE(fault->carry_out);
  EXPECT_EQ(fault->piece_bytes, 7U);
  EXPECT_EQ(fault->piece_delay, absl::Milliseconds(8));
  EXPECT_EQ(fault->megabytes, 9U);
  EXPECT_EQ(fault->depth, 10U);
}

TEST(FaultFromJsonTest, WhatIsWrongIsRefused) {
  for (const char* text :
       {"1", "{}", R"({"action": "explode"})", R"({"action": 1})",
        R"({"action": "answer", "status": 99})", R"({"action": "answer", "times": -1})",
        R"({"action": "answer", "times": 1.5})", R"({"action": "close", "stage": "later"})",
        R"({"action": "answer", "stage": "head"})", R"({"action": "answer", "headers": {"a": 1}})",
        R"({"action": "answer", "headers": {"a": "b\r\nc: d"}})",
        R"({"action": "answer", "carry_out": "yes"})",
        R"({"action": "delay", "delay_ms": 3600001})",
        R"({"action": "huge_body", "megabytes": 513})"}) {
    EXPECT_FALSE(FaultFromJson(boost::json::parse(text)).ok()) << text;
  }
}

}  // namespace
}  // namespace semaphore::simulator
