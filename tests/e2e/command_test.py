"""`semaphore-gateway call`, `health` and `estimate`, as a person or a script uses them."""

import json
import unittest

from processes import GatewayTest


class Commands(GatewayTest):

    def test_the_five_methods_answer_json(self):
        pipeline = json.dumps({"pipelineId": self.ids["running_pipeline_id"], "view": "PIPELINE_VIEW_FULL"})
        self.assertTrue(self.assert_replied(self.run_call("PipelineService.GetPipeline", pipeline))["blocks"])
        project = json.dumps({"projectId": self.ids["project_id"]})
        listed = self.assert_replied(self.run_call("WorkflowService.ListWorkflows", project))
        self.assertEqual(len(listed["workflows"]), 30)
        run = json.dumps({"projectId": self.ids["project_id"], "reference": "refs/heads/master"})
        self.assertTrue(self.assert_replied(self.run_call("WorkflowService.RunWorkflow", run))["workflowId"])
        stop = json.dumps({"pipelineId": self.ids["running_pipeline_id"]})
        self.assertEqual(self.assert_replied(self.run_call("PipelineService.StopPipeline", stop)), {})
        for job in ("cloud_job_id", "self_hosted_job_id"):
            log = self.assert_replied(self.run_call("JobService.GetJobLog", json.dumps({"jobId": self.ids[job]})))
            self.assertTrue(log["complete"])

    def test_a_method_may_be_written_in_full_and_a_request_in_snake_case(self):
        request = json.dumps({"pipeline_id": self.ids["done_pipeline_id"]})
        for method in ("semaphore.v1.PipelineService.GetPipeline", "semaphore.v1.PipelineService/GetPipeline"):
            self.assert_replied(self.run_call(method, request))

    def test_a_request_may_come_from_standard_input(self):
        request = json.dumps({"pipelineId": self.ids["done_pipeline_id"]})
        reply = self.assert_replied(self.run_call("PipelineService.GetPipeline", "-", standard_input=request))
        self.assertEqual(reply["pipelineId"], self.ids["done_pipeline_id"])

    def test_a_failed_call_tells_its_details_and_has_an_exit_status_of_its_own(self):
        ended = self.run_call("PipelineService.GetPipeline", '{"pipelineId": "no-such-pipeline"}')
        self.assertEqual((ended.returncode, ended.stdout), (1, ""))
        self.assertTrue(ended.stderr.startswith("NOT_FOUND: "), ended.stderr)
        self.assertIn("UPSTREAM_NOT_FOUND", ended.stderr)
        ended = self.run_call("PipelineService.GetPipeline", '{}')
        self.assertIn("pipeline_id", ended.stderr)
        ended = self.run_call("PipelineService.GetPipeline", '{}', "--organization", "nobody")
        self.assertIn("UNKNOWN_ORGANIZATION", ended.stderr)

    def test_a_call_that_cannot_be_made_is_explained(self):
        rows = [("PipelineService.GetPipeline", "{not json", "GetPipelineRequest"),
                ("PipelineService.GetPipeline", '{"nope": 1}', "nope"),
                ("PipelineService.Nope", "{}", "Nope"),
                ("NopeService.GetPipeline", "{}", "semaphore.v1.PipelineService")]
        for method, request, said in rows:
            with self.subTest(method=method, request=request):
                ended = self.run_call(method, request)
                self.assertEqual((ended.returncode, ended.stdout), (2, ""), ended)
                self.assertIn(said, ended.stderr)

    def test_health_has_an_exit_status(self):
        healthy = self.run_command("health", "--address", self.gateway.address)
        self.assertEqual((healthy.returncode, healthy.stdout), (0, "serving\n"))
        # Port 9 of this machine: nothing serves there.
        dead = self.run_command("health", "--address", "127.0.0.1:9")
        self.assertEqual(dead.returncode, 1)
        self.assertIn("127.0.0.1:9", dead.stderr)
        dead = self.run_command("call", "--address", "127.0.0.1:9", "PipelineService.GetPipeline", "{}")
        self.assertEqual(dead.returncode, 1)
        self.assertIn("127.0.0.1:9", dead.stderr)

    def estimate(self, metrics, *options):
        """What it prints, as a dictionary from the words of a line to its last number."""
        config = self.folder / "estimate.yaml"
        config.write_text("organizations: [{name: acme, token_file: estimate-token}]\n" + metrics)
        (self.folder / "estimate-token").write_text("any")
        ended = self.run_command("estimate", "--config", str(config), *options)
        rows = [line.split() for line in ended.stdout.splitlines()]
        return ended, {row[0]: float(row[-1]) for row in rows if len(row) > 1 and row[-1].isdigit()}

    def test_an_estimate_says_what_collecting_would_cost_and_asks_nobody(self):
        metrics = "metrics: {projects: [web, api], state_dir: state}\n"
        ended, few = self.estimate(metrics, "--pipelines-per-day", "10")
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        self.assertGreater(few["finished"], 0)
        self.assertGreater(few["semaphoreci_pipeline_runs_total"], 0)
        many = self.estimate(metrics, "--pipelines-per-day", "10000")[1]
        self.assertGreater(many["finished"], few["finished"])
        fine = self.estimate(metrics.replace("state_dir", "level: job, state_dir"))[1]
        self.assertIn("semaphoreci_job_runs_total", fine)
        self.assertFalse((self.folder / "state").exists())

    def test_an_estimate_of_nothing_or_of_nonsense_is_refused(self):
        ended = self.estimate("")[0]
        self.assertEqual((ended.returncode, ended.stdout), (2, ""))
        self.assertIn("no metrics section", ended.stderr)
        for nonsense in ("-1", "x", "nan"):
            with self.subTest(nonsense):
                ended = self.estimate("metrics: {discover: true}\n", "--projects", nonsense)[0]
                self.assertEqual((ended.returncode, ended.stdout), (2, ""))
                self.assertIn("projects", ended.stderr)


if __name__ == "__main__":
    unittest.main()
