"""Callers that go away or run out of time while their call is at each stage of its way upstream:
the call ends at once and no connection stays behind."""

import unittest

from processes import GatewayTest, wait_until

GET_PIPELINE = "PipelineService.GetPipeline"
CONNECTION_STAGES = ("accept", "handshake")
REQUEST_STAGES = ("request", "before_reply", "status_line", "head", "body")


class Interruptions(GatewayTest):

    def setUp(self):
        super().setUp()
        self.request = {"pipelineId": self.ids["done_pipeline_id"], "view": "PIPELINE_VIEW_FULL"}

    def drop_idle_connections(self):
        """So that the next call has to connect."""
        def none_left():
            if self.simulator.open_connections() == 0:
                return True
            self.simulator.control("DELETE", "faults")
            self.simulator.add_fault(action="tls_close", stage="after_reply", times=1)
            self.client.call(GET_PIPELINE, self.request)
            return False
        wait_until(none_left, "all idle connections closed")
        self.simulator.reset()

    def begin_silent_call(self, stage, timeout):
        """A call that upstream leaves alone at that stage, once it is there."""
        if stage in CONNECTION_STAGES:
            self.drop_idle_connections()
        self.simulator.add_fault(action="silence", stage=stage, times=1)
        future = self.client.start(GET_PIPELINE, self.request, timeout=timeout)
        if stage in CONNECTION_STAGES:
            wait_until(lambda: future.done() or self.simulator.open_connections() == 1, f"{stage} reached")
        else:
            wait_until(lambda: future.done() or self.simulator.requests(), f"{stage} reached")
        return future

    def assert_nothing_left(self, stage):
        # An idle connection of an earlier call may stay; the silent one may not.
        wait_until(lambda: self.gateway.metric("semaphoreci_gateway_upstream_requests_in_flight") == 0,
                   f"no request in flight after {stage}")
        wait_until(lambda: self.gateway.metric("semaphoreci_gateway_upstream_connections", state="active") == 0,
                   f"no connection in use after {stage}")
        self.simulator.reset()
        self.drop_idle_connections()
        self.assert_ok(self.client.call(GET_PIPELINE, self.request))

    def test_a_call_whose_caller_cancels_ends_and_leaves_no_connection(self):
        for stage in CONNECTION_STAGES + REQUEST_STAGES:
            with self.subTest(stage=stage):
                future = self.begin_silent_call(stage, timeout=300)
                self.assertFalse(future.done())
                self.assertTrue(future.cancel())
                self.assertEqual(self.client.finish(future).code, "CANCELLED")
                self.assert_nothing_left(stage)

    def test_a_call_that_runs_out_of_time_ends_and_leaves_no_connection(self):
        for stage in CONNECTION_STAGES + REQUEST_STAGES:
            with self.subTest(stage=stage):
                future = self.begin_silent_call(stage, timeout=1)
                self.assertEqual(self.client.finish(future).code, "DEADLINE_EXCEEDED")
                self.assert_nothing_left(stage)

    def test_a_slow_body_does_not_outlast_the_deadline(self):
        self.simulator.add_fault(action="slow_body", piece_bytes=1, piece_delay_ms=1000)
        reply = self.client.call(GET_PIPELINE, self.request, timeout=1)
        self.assertEqual(reply.code, "DEADLINE_EXCEEDED")
        self.assert_nothing_left("slow body")

    def test_a_deadline_that_passes_upstream_is_answered_by_the_gateway_itself(self):
        self.simulator.add_fault(action="silence", stage="before_reply", times=1)
        # The gateway keeps a twentieth of the time for its answer, here half a second.
        reply = self.client.call(GET_PIPELINE, self.request, timeout=10)
        self.assert_failed(reply, "DEADLINE_EXCEEDED", "DEADLINE")

    def test_a_log_whose_reader_cancels_in_the_middle_leaves_no_connection(self):
        self.simulator.add_fault(action="silence", stage="body", times=1)
        future = self.client.start("JobService.GetJobLog", {"jobId": self.ids["huge_log_job_id"]}, timeout=300)
        wait_until(self.simulator.requests, "the log is asked for")
        future.cancel()
        self.assertEqual(self.client.finish(future).code, "CANCELLED")
        self.assert_nothing_left("log body")

    def test_a_workflow_whose_caller_gives_up_is_run_once_and_not_repeated(self):
        self.simulator.add_fault(action="silence", stage="before_reply", method="POST", times=1)
        future = self.client.start("WorkflowService.RunWorkflow",
                                   {"projectId": self.ids["project_id"], "reference": "refs/heads/master"},
                                   timeout=300)
        wait_until(lambda: self.simulator.requests("POST"), "the workflow is run")
        future.cancel()
        self.client.finish(future)
        wait_until(lambda: self.gateway.metric("semaphoreci_gateway_upstream_requests_in_flight") == 0,
                   "no request in flight")
        self.assertEqual(len(self.simulator.requests("POST")), 1)

    def test_many_callers_that_cancel_at_once_leave_nothing(self):
        self.simulator.add_fault(action="silence", stage="before_reply")
        futures = [self.client.start(GET_PIPELINE, self.request, timeout=300) for _ in range(20)]
        wait_until(lambda: self.simulator.requests(), "one request upstream for all of them")
        for future in futures:
            future.cancel()
        self.assert_nothing_left("20 cancels")


if __name__ == "__main__":
    unittest.main()
