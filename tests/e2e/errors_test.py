"""How failures look to a caller: code, reason, and the details that say what to do."""

import unittest

from processes import GatewayTest, row_of

GET_PIPELINE = "PipelineService.GetPipeline"
PIPELINES = "/api/v1alpha/pipelines/"


class Errors(GatewayTest):

    def get_pipeline(self, **arguments):
        return self.client.call(GET_PIPELINE, {"pipelineId": self.ids["done_pipeline_id"]}, **arguments)

    def test_what_is_not_there_is_not_found(self):
        reply = self.client.call(GET_PIPELINE, {"pipelineId": "no-such-pipeline"})
        self.assert_failed(reply, "NOT_FOUND", "UPSTREAM_NOT_FOUND")
        self.assertEqual(reply.info["method"], "semaphore.v1.PipelineService/GetPipeline")
        self.assertEqual(reply.info["upstreamStatus"], "404")
        self.assertIsNone(reply.retry_seconds)

    def test_a_wrong_field_is_named_and_nothing_is_sent(self):
        rows = [
            (GET_PIPELINE, {}, "pipeline_id"),
            (GET_PIPELINE, {"pipelineId": "a/b"}, "pipeline_id"),
            (GET_PIPELINE, {"pipelineId": ".."}, "pipeline_id"),
            ("WorkflowService.ListWorkflows", {"projectId": "p", "pageSize": -1}, "page_size"),
            ("WorkflowService.ListWorkflows", {"projectId": "p", "pageToken": "not-ours"}, "page_token"),
            ("WorkflowService.RunWorkflow", {"projectId": "p"}, "reference"),
            ("JobService.GetJobLog", {"jobId": "x" * 129}, "job_id"),
        ]
        for method, request, field in rows:
            with self.subTest(method=method, field=field):
                reply = self.client.call(method, request)
                self.assert_failed(reply, "INVALID_ARGUMENT", "INVALID_FIELD")
                violations = reply.details["google.rpc.BadRequest"]["fieldViolations"]
                self.assertIn(field, [violation["field"] for violation in violations])
        self.assertEqual(self.simulator.requests(), [])

    def test_a_page_token_of_another_list_is_refused(self):
        first = self.client.call("WorkflowService.ListWorkflows",
                                 {"projectId": self.ids["project_id"], "pageSize": 2})
        reply = self.client.call("WorkflowService.ListWorkflows",
                                 {"projectId": self.ids["other_project_id"],
                                  "pageToken": first.message["nextPageToken"]})
        self.assert_failed(reply, "INVALID_ARGUMENT", "INVALID_FIELD")

    def test_an_organization_that_is_not_configured_is_refused(self):
        reply = self.get_pipeline(metadata=[("x-semaphore-organization", "nobody")])
        self.assert_failed(reply, "INVALID_ARGUMENT", "UNKNOWN_ORGANIZATION")
        self.assertEqual(self.simulator.requests(), [])

    def test_a_read_is_tried_again_until_upstream_recovers(self):
        for status in (429, 500, 503):
            with self.subTest(status=status):
                self.simulator.reset()
                self.simulator.add_fault(action="answer", status=status, headers={"retry-after": "0"}, times=1)
                self.assert_ok(self.get_pipeline())
                self.assertEqual(len(self.simulator.requests()), 2)

    def test_a_read_of_an_upstream_that_stays_unavailable_fails_with_a_hint_to_retry(self):
        self.simulator.add_fault(action="answer", status=503, body="upstream connect error")
        reply = self.get_pipeline()
        self.assert_failed(reply, "UNAVAILABLE", "UPSTREAM_UNAVAILABLE")
        self.assertIsNotNone(reply.retry_seconds)
        self.assertEqual(reply.info["upstreamStatus"], "503")
        self.assertGreater(len(self.simulator.requests()), 1)

    def test_running_a_workflow_is_never_repeated_and_says_when_the_outcome_is_unknown(self):
        request = {"projectId": self.ids["project_id"], "reference": "refs/heads/master"}
        for fault in ({"action": "answer", "status": 503}, {"action": "reset", "stage": "before_reply"},
                      {"action": "close", "stage": "body"}):
            with self.subTest(fault=fault):
                self.simulator.reset()
                self.simulator.add_fault(method="POST", **fault)
                reply = self.client.call("WorkflowService.RunWorkflow", request)
                self.assert_failed(reply, "UNKNOWN", "OUTCOME_UNKNOWN")
                self.assertIsNone(reply.retry_seconds)
                self.assertEqual(len(self.simulator.requests("POST")), 1)

    def test_stopping_a_pipeline_is_repeated(self):
        self.simulator.add_fault(action="reset", stage="before_reply", method="PATCH", times=1)
        self.assert_ok(self.client.call("PipelineService.StopPipeline",
                                        {"pipelineId": self.ids["running_pipeline_id"]}))
        self.assertEqual(len(self.simulator.requests("PATCH")), 2)

    def test_a_refused_token_is_not_the_callers_permission(self):
        rows = [("Unauthorized", "UNAUTHENTICATED", "UPSTREAM_TOKEN_REJECTED"),
                ("Permission denied", "PERMISSION_DENIED", "UPSTREAM_FORBIDDEN")]
        for body, code, reason in rows:
            with self.subTest(body=body):
                self.simulator.reset()
                self.simulator.add_fault(action="answer", status=401, body=body)
                self.assert_failed(self.get_pipeline(), code, reason)

    def test_a_reply_that_makes_no_sense_is_told_as_such(self):
        for body in ('{"pipeline": {"ppl_id": "a"', "<html>", "[]", '{"pipeline": {"ppl_id": 7, "state": {}}}'):
            with self.subTest(body=body):
                self.simulator.reset()
                self.simulator.add_fault(action="answer", status=200, body=body, target_prefix=PIPELINES)
                self.assert_failed(self.get_pipeline(), "INTERNAL", "UPSTREAM_MALFORMED_RESPONSE")

    def test_a_reply_that_is_too_large_or_too_deep_is_cut_off(self):
        for fault in ({"action": "huge_body", "megabytes": 100}, {"action": "deep_body", "depth": 100000}):
            with self.subTest(fault=fault):
                self.simulator.reset()
                self.simulator.add_fault(**fault)
                self.assert_failed(self.get_pipeline(), "INTERNAL", "UPSTREAM_RESPONSE_TOO_LARGE")

    def test_a_token_that_upstream_repeats_is_taken_out_of_its_message(self):
        self.simulator.add_fault(action="answer", status=400, body=f"what is {self.simulator.token}?")
        reply = self.get_pipeline()
        self.assert_failed(reply, "INVALID_ARGUMENT", "UPSTREAM_REJECTED")
        self.assertEqual(reply.info["upstreamMessage"], "what is [redacted]?")

    def test_a_method_that_is_not_there_is_unimplemented(self):
        for path in ("/semaphore.v1.PipelineService/NoSuchMethod", "/no.such.Service/Get"):
            with self.subTest(path=path):
                reply = self.client.call_unknown(path)
                self.assertEqual((reply.code, reply.reason), ("UNIMPLEMENTED", "METHOD_NOT_FOUND"), reply)


class Pause(GatewayTest):
    # Of its own gateway, which asks upstream nothing more until the pause is over.

    def test_a_read_that_is_told_to_come_back_later_than_its_deadline_says_so_and_so_do_those_after_it(self):
        pipeline = {"pipelineId": self.ids["done_pipeline_id"]}
        self.simulator.add_fault(action="answer", status=429, headers={"retry-after": "300"})
        for reason in ("UPSTREAM_RATE_LIMITED", "UPSTREAM_BUDGET_EXHAUSTED"):
            reply = self.client.call(GET_PIPELINE, pipeline)
            self.assert_failed(reply, "RESOURCE_EXHAUSTED", reason)
            self.assertGreater(reply.retry_seconds, 200)
            self.assertEqual(len(self.simulator.requests()), 1)


class Budget(GatewayTest):
    settings = "upstream: {requests_per_second: 0.01, burst: 1, max_wait: 0s}\n"

    def test_a_spent_budget_refuses_with_the_time_to_wait(self):
        pipeline = {"pipelineId": self.ids["done_pipeline_id"]}
        self.assert_ok(self.client.call(GET_PIPELINE, pipeline))
        reply = self.client.call(GET_PIPELINE, pipeline)
        self.assert_failed(reply, "RESOURCE_EXHAUSTED", "UPSTREAM_BUDGET_EXHAUSTED")
        self.assertGreater(reply.retry_seconds, 0)
        self.assertEqual(len(self.simulator.requests()), 1)


class Trust(GatewayTest):

    def test_a_certificate_of_another_authority_is_refused_before_the_token_is_sent(self):
        other = self.start_simulator("other")
        row = {**row_of(self.simulator), "ca_file": str(other.ca_file)}
        _, client = self.start_gateway([row], name="distrusting")
        reply = client.call(GET_PIPELINE, {"pipelineId": self.ids["done_pipeline_id"]})
        self.assert_failed(reply, "UNAVAILABLE", "UPSTREAM_UNAVAILABLE")
        self.assertEqual(self.simulator.requests(), [])


if __name__ == "__main__":
    unittest.main()
