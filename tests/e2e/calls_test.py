"""The five methods, through gRPC, the gateway, TLS and the simulator, in both of its dialects."""

import datetime
import unittest
import urllib.parse

from processes import GatewayTest


class CallsInTheRealDialect(GatewayTest):
    tells_all_times = True

    def test_a_pipeline_in_the_basic_view_has_its_state_and_times_but_no_blocks(self):
        reply = self.client.call("PipelineService.GetPipeline", {"pipelineId": self.ids["done_pipeline_id"]})
        pipeline = self.assert_ok(reply)
        self.assertEqual(pipeline["pipelineId"], self.ids["done_pipeline_id"])
        self.assertEqual(pipeline["workflowId"], self.ids["done_workflow_id"])
        self.assertEqual(pipeline["state"], "PIPELINE_STATE_DONE")
        self.assertEqual(pipeline["result"], "PIPELINE_RESULT_PASSED")
        self.assertNotIn("blocks", pipeline)
        created = datetime.datetime.fromisoformat(pipeline["createTime"].replace("Z", "+00:00"))
        self.assertGreater(created.year, 2000)
        self.assertEqual("doneTime" in pipeline, self.tells_all_times)
        if self.tells_all_times:
            done = datetime.datetime.fromisoformat(pipeline["doneTime"].replace("Z", "+00:00"))
            self.assertLess(created, done)
        self.assertNotIn("stoppingTime", pipeline)  # unset upstream, in whatever spelling

    def test_a_pipeline_in_the_full_view_has_its_blocks_and_jobs(self):
        reply = self.client.call("PipelineService.GetPipeline",
                                 {"pipelineId": self.ids["failed_pipeline_id"], "view": "PIPELINE_VIEW_FULL"})
        pipeline = self.assert_ok(reply)
        self.assertEqual(pipeline["result"], "PIPELINE_RESULT_FAILED")
        self.assertTrue(pipeline["blocks"])
        jobs = [job for block in pipeline["blocks"] for job in block.get("jobs", [])]
        self.assertTrue(any(job.get("result") == "JOB_RESULT_FAILED" for job in jobs), jobs)
        self.assertTrue(all(job["jobId"] for job in jobs))

    def test_a_reply_says_where_it_came_from_how_old_it_is_and_which_request_it_was(self):
        pipeline = {"pipelineId": self.ids["done_pipeline_id"]}
        reply = self.client.call("PipelineService.GetPipeline", pipeline)
        self.assert_ok(reply)
        self.assertEqual(reply.metadata["x-cache"], "miss")
        self.assertEqual(reply.metadata["age"], "0")
        self.assertTrue(reply.metadata["x-request-id"])
        fresh = self.client.call("PipelineService.GetPipeline", pipeline,
                                 metadata=[("cache-control", "no-cache"), ("x-request-id", "mine-1")])
        self.assertEqual(fresh.metadata["x-cache"], "bypass")
        self.assertEqual(fresh.metadata["x-request-id"], "mine-1")

    def test_what_goes_upstream_names_the_client_and_holds_none_of_the_callers_own_metadata(self):
        self.client.call("PipelineService.GetPipeline", {"pipelineId": self.ids["done_pipeline_id"]},
                         metadata=[("x-semaphore-organization", "acme"), ("x-mine", "1"),
                                   ("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")])
        [request] = self.simulator.requests()
        self.assertEqual(request["authorization"], "right")
        headers = {name.lower(): value for name, value in request["headers"]}
        self.assertEqual(headers["user-agent"], "SemaphoreCI v2.0 Client")
        self.assertEqual(headers["accept-encoding"], "identity")
        self.assertEqual(headers["traceparent"], "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
        self.assertFalse([name for name in headers if name.startswith("x-")])

    def test_workflows_are_walked_to_the_end_in_pages_of_any_size(self):
        project = {"projectId": self.ids["other_project_id"]}
        walks = {}
        for size in (0, 7, 1000):
            found, pages = self.client.walk("WorkflowService.ListWorkflows", {**project, "pageSize": size},
                                            "workflows")
            walks[size] = [workflow["workflowId"] for workflow in found]
            self.assertEqual(len(pages), {0: 2, 7: 5, 1000: 1}[size])
        self.assertEqual(len(set(walks[1000])), 35)
        self.assertEqual(walks[7], walks[1000])
        self.assertEqual(walks[0], walks[1000])

    def test_an_empty_list_is_one_empty_page(self):
        found, pages = self.client.walk("WorkflowService.ListWorkflows",
                                        {"projectId": self.ids["empty_project_id"]}, "workflows")
        self.assertEqual((found, len(pages)), ([], 1))

    def test_a_workflow_is_run_by_one_form_and_its_pipeline_can_be_read(self):
        reply = self.client.call("WorkflowService.RunWorkflow",
                                 {"projectId": self.ids["project_id"], "reference": "refs/heads/feature/ä&b",
                                  "parameters": {"WHO": "a=b&c"}})
        started = self.assert_ok(reply)
        self.assertEqual(reply.metadata["x-cache"], "bypass")
        [request] = self.simulator.requests("POST")
        headers = {name.lower(): value for name, value in request["headers"]}
        self.assertEqual(headers["content-type"], "application/x-www-form-urlencoded")
        form = urllib.parse.parse_qs(request["body"])
        self.assertEqual(form["reference"], ["refs/heads/feature/ä&b"])
        self.assertIn(["a=b&c"], form.values())
        pipeline = self.assert_ok(self.client.call("PipelineService.GetPipeline",
                                                   {"pipelineId": started["pipelineId"]}))
        self.assertEqual(pipeline["workflowId"], started["workflowId"])

    def test_a_running_pipeline_stops_and_stopping_it_again_is_ok(self):
        started = self.assert_ok(self.client.call(
            "WorkflowService.RunWorkflow",
            {"projectId": self.ids["project_id"], "reference": "refs/heads/endless"}))
        pipeline = {"pipelineId": started["pipelineId"]}
        for _ in range(2):
            reply = self.client.call("PipelineService.StopPipeline", pipeline)
            self.assertEqual(self.assert_ok(reply), {})
            self.assertEqual(reply.metadata["x-cache"], "bypass")
        requests = self.simulator.requests("PATCH")
        self.assertEqual([request["body"] for request in requests], ['{"terminate_request":true}'] * 2)
        state = self.assert_ok(self.client.call("PipelineService.GetPipeline", pipeline))["state"]
        self.assertIn(state, ("PIPELINE_STATE_STOPPING", "PIPELINE_STATE_DONE"))

    def check_log(self, job_id):
        whole = self.assert_ok(self.client.call("JobService.GetJobLog", {"jobId": job_id}))
        self.assertTrue(whole["complete"])
        self.simulator.control("DELETE", "requests")
        events, pages = self.client.walk("JobService.GetJobLog", {"jobId": job_id, "pageSize": 3}, "events")
        self.assertEqual(events, whole["events"])
        self.assertGreater(len(pages), 1)
        self.assertEqual([page.message.get("complete", False) for page in pages],
                         [False] * (len(pages) - 1) + [True])
        self.assertEqual(events[0]["kind"], "JOB_LOG_EVENT_KIND_JOB_STARTED")
        self.assertEqual(events[-1]["kind"], "JOB_LOG_EVENT_KIND_JOB_FINISHED")
        self.assertEqual(events[-1]["result"], "JOB_RESULT_PASSED")
        finished = [event for event in events if event["kind"] == "JOB_LOG_EVENT_KIND_COMMAND_FINISHED"]
        self.assertTrue(finished and all("exitCode" in event for event in finished))
        return pages

    def test_the_log_of_a_cloud_job_is_read_in_pages(self):
        self.check_log(self.ids["cloud_job_id"])

    def test_the_log_of_a_self_hosted_job_is_read_in_pages(self):
        self.check_log(self.ids["self_hosted_job_id"])

    def test_a_log_of_a_megabyte_is_walked_with_one_download(self):
        request = {"jobId": self.ids["huge_log_job_id"], "pageSize": 1000}
        events, pages = self.client.walk("JobService.GetJobLog", request, "events")
        self.assertGreater(sum(len(event.get("output", "")) for event in events), 500_000)
        self.assertEqual(len(self.simulator.requests("GET")), 1)
        self.assertEqual([page.metadata["x-cache"] for page in pages], ["miss"] + ["hit"] * (len(pages) - 1))


class CallsInTheDialectOfTheReference(CallsInTheRealDialect):
    simulator_arguments = ("--dialect", "reference")
    tells_all_times = False


class ListsThatGrow(GatewayTest):
    # Of its own simulator, so that the newest workflow before the walk is not of this second: the pin
    # of a walk is as coarse as upstream's parameter.

    def test_a_workflow_that_starts_during_a_walk_does_not_shift_its_pages(self):
        project = {"projectId": self.ids["project_id"], "pageSize": 10}
        before, _ = self.client.walk("WorkflowService.ListWorkflows", project, "workflows")
        first = self.client.call("WorkflowService.ListWorkflows", project)
        self.assert_ok(self.client.call("WorkflowService.RunWorkflow",
                                        {"projectId": self.ids["project_id"], "reference": "refs/heads/new"}))
        rest, _ = self.client.walk("WorkflowService.ListWorkflows",
                                   {**project, "pageToken": first.message["nextPageToken"]}, "workflows")
        walked = [workflow["workflowId"] for workflow in first.message["workflows"] + rest]
        self.assertEqual(walked, [workflow["workflowId"] for workflow in before])


class HandOverOfSelfHostedLogs(GatewayTest):

    def test_the_log_store_gets_the_pass_but_not_the_token_and_the_pass_is_told_nobody(self):
        self.assert_ok(self.client.call("JobService.GetJobLog", {"jobId": self.ids["self_hosted_job_id"]}))
        first, second = self.simulator.requests()
        self.assertEqual(first["authorization"], "right")
        self.assertTrue(second["target"].startswith("/api/v1/logs/"), second["target"])
        self.assertEqual(second["authorization"], "none")
        self.secrets.append(urllib.parse.parse_qs(urllib.parse.urlsplit(second["target"]).query)["jwt"][0])

    def test_a_hand_over_to_another_host_is_not_followed(self):
        self.simulator.add_fault(action="answer", status=302, target_prefix="/api/v1alpha/logs/",
                                 headers={"location": "https://elsewhere.example/api/v1/logs/x?jwt=y"})
        reply = self.client.call("JobService.GetJobLog", {"jobId": self.ids["self_hosted_job_id"]})
        self.assert_failed(reply, "INTERNAL", "UPSTREAM_MALFORMED_RESPONSE")
        self.assertEqual(len(self.simulator.requests()), 1)


if __name__ == "__main__":
    unittest.main()
