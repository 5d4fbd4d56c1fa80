"""What an operator relies on: several organizations, tokens that change, health, draining, metrics,
and a start that fails with a reason."""

import os
import signal
import subprocess
import unittest

from processes import GATEWAY, LIMIT_SECONDS, GatewayTest, environment, new_token, row_of, wait_until

GET_PIPELINE = "PipelineService.GetPipeline"


class Organizations(GatewayTest):

    def test_each_call_goes_to_the_organization_that_it_names_and_else_to_the_first(self):
        other = self.start_simulator("other", arguments=("--seed", "2"))
        gateway, client = self.start_gateway([row_of(self.simulator), row_of(other, "umbrella")], name="two")
        mine = {"pipelineId": self.ids["done_pipeline_id"]}
        theirs = {"pipelineId": other.ids["done_pipeline_id"]}
        self.assert_ok(client.call(GET_PIPELINE, mine))
        self.assert_ok(client.call(GET_PIPELINE, mine, [("x-semaphore-organization", "acme")]))
        self.assert_ok(client.call(GET_PIPELINE, theirs, [("x-semaphore-organization", "umbrella")]))
        reply = client.call(GET_PIPELINE, theirs)
        self.assert_failed(reply, "NOT_FOUND", "UPSTREAM_NOT_FOUND")
        self.assertEqual([request["authorization"] for request in other.requests()], ["right"])
        self.assertEqual(len(self.simulator.requests()), 3)
        requests = "semaphoreci_gateway_upstream_requests_total"
        self.assertEqual(gateway.metric(requests, organization="umbrella", code="200"), 1)

    def test_a_page_token_of_one_organization_is_refused_by_the_other(self):
        # The same seed: the same ids in both, so that only the organization differs.
        other = self.start_simulator("twin")
        _, client = self.start_gateway([row_of(self.simulator), row_of(other, "twin")], name="twins")
        request = {"projectId": self.ids["project_id"], "pageSize": 2}
        token = client.call("WorkflowService.ListWorkflows", request).message["nextPageToken"]
        reply = client.call("WorkflowService.ListWorkflows", {**request, "pageToken": token},
                            [("x-semaphore-organization", "twin")])
        self.assert_failed(reply, "INVALID_ARGUMENT", "INVALID_FIELD")


class Tokens(GatewayTest):

    def test_a_token_file_that_is_replaced_is_used_without_a_restart(self):
        certificate = ["--certificate-file", self.folder / "c.pem", "--key-file", self.folder / "k.pem"]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-out", certificate[1],
                        "-keyout", certificate[3]], check=True, stderr=subprocess.DEVNULL)
        before = self.start_simulator("before", arguments=certificate)
        token_file = self.folder / "rotated"
        token_file.write_text(before.token)
        gateway, client = self.start_gateway([row_of(before, token_file=token_file)], name="rotating")
        pipeline = {"pipelineId": before.ids["done_pipeline_id"]}
        self.assert_ok(client.call(GET_PIPELINE, pipeline))

        # The same service, from now on with another token.
        before.stop()
        after = self.start_simulator("after", new_token(), [*certificate, "--port", str(before.port)])
        self.assert_failed(client.call(GET_PIPELINE, pipeline), "UNAUTHENTICATED", "UPSTREAM_TOKEN_REJECTED")
        replacement = self.folder / "rotated.new"
        replacement.write_text(after.token + "\n")
        os.replace(replacement, token_file)
        wait_until(lambda: client.call(GET_PIPELINE, pipeline).code == "OK", "the new token is used")
        wait_until(lambda: gateway.events("token_loaded"), "the log tells of the new token")

        # A file that is gone takes no working token away.
        token_file.unlink()

        def noticed():
            self.assert_ok(client.call(GET_PIPELINE, pipeline))
            return gateway.events("token_unusable")
        wait_until(noticed, "the log tells of the missing file")
        self.assert_ok(client.call(GET_PIPELINE, pipeline))


class Health(GatewayTest):

    def test_a_running_gateway_says_so_in_every_way(self):
        self.assertEqual(self.client.health(), 1)
        self.assertEqual(self.gateway.get("/healthz")[0], 200)
        self.assertEqual(self.gateway.get("/readyz")[0], 200)
        self.assertEqual(self.gateway.get("/nowhere")[0], 404)

    def test_every_service_is_listed_by_reflection(self):
        resources = ("Agent", "AgentType", "ArtifactRetentionPolicy", "DeploymentTarget", "Job", "Pipeline",
                     "Project", "Promotion", "Workflow")
        services = set(self.client.reflection.services)
        self.assertLessEqual({f"semaphore.v1.{resource}Service" for resource in resources}, services)
        self.assertIn("grpc.health.v1.Health", services)

    def test_calls_are_counted(self):
        handled = {"name": "grpc_server_handled_total", "grpc_method": "GetPipeline"}
        before = self.gateway.metric(**handled, grpc_code="NotFound")
        self.client.call(GET_PIPELINE, {"pipelineId": "no-such-pipeline"})
        self.assertEqual(self.gateway.metric(**handled, grpc_code="NotFound"), before + 1)
        status, text = self.gateway.get("/metrics")
        self.assertEqual(status, 200)
        self.assertIn("process_open_fds ", text)


class Draining(GatewayTest):

    def test_a_call_under_way_ends_well_while_the_gateway_takes_no_new_ones(self):
        gateway, client = self.start_gateway([row_of(self.simulator)], "shutdown: {grace: 5m}\n", "draining")
        watched = client.watch_health()  # must not hold up the end
        self.assertEqual(next(watched), 1)
        pipeline = {"pipelineId": self.ids["done_pipeline_id"]}
        self.simulator.add_fault(action="hold", times=1)
        future = client.start(GET_PIPELINE, pipeline, timeout=300)
        wait_until(lambda: self.simulator.state()["held"] == 1, "the call is under way")

        gateway.process.send_signal(signal.SIGTERM)
        self.assertEqual(next(watched), 2)
        wait_until(lambda: gateway.get("/readyz")[0] == 503, "not ready")
        self.assert_failed(client.call(GET_PIPELINE, pipeline), "UNAVAILABLE", "GATEWAY_DRAINING")
        self.assertFalse(future.done())
        self.simulator.control("POST", "release")
        self.assertEqual(self.assert_ok(client.finish(future))["pipelineId"], pipeline["pipelineId"])
        self.assertEqual(gateway.process.wait(timeout=LIMIT_SECONDS), 0)
        self.assertTrue(gateway.events("stopped"))

    def test_a_call_that_outlasts_the_grace_is_cut(self):
        gateway, client = self.start_gateway([row_of(self.simulator)], "shutdown: {grace: 100ms}\n", "hasty")
        self.simulator.add_fault(action="hold", times=1)
        future = client.start(GET_PIPELINE, {"pipelineId": self.ids["done_pipeline_id"]}, timeout=300)
        wait_until(lambda: self.simulator.state()["held"] == 1, "the call is under way")
        gateway.process.send_signal(signal.SIGTERM)
        self.assertIn(client.finish(future).code, ("UNAVAILABLE", "CANCELLED"))
        self.assertEqual(gateway.process.wait(timeout=LIMIT_SECONDS), 0)


class Starting(GatewayTest):

    def test_a_second_gateway_on_the_same_port_does_not_start_and_says_why(self):
        config = self.folder / "second.yaml"
        port = self.gateway.address.rpartition(":")[2]
        config.write_text(self.gateway.config_file.read_text().replace(
            "grpc: {address: '127.0.0.1:0'}", f"grpc: {{address: '127.0.0.1:{port}'}}"))
        ended = subprocess.run([GATEWAY, "--config", config], capture_output=True, text=True,
                               env=environment(), timeout=LIMIT_SECONDS)
        self.assertEqual(ended.returncode, 1, ended)
        self.assertIn(f"127.0.0.1:{port}", ended.stderr)
        self.assertIn("in use", ended.stderr)

    def test_a_configuration_that_is_wrong_is_refused_with_its_lines(self):
        config = self.folder / "wrong.yaml"
        config.write_text("organizations: [{name: acme, token_file: t}]\nupstream:\n  burst: many\n  max_wiat: 1s\n")
        for command in ("serve", "check-config"):
            ended = subprocess.run([GATEWAY, command, "--config", config], capture_output=True, text=True,
                                   env=environment(), timeout=LIMIT_SECONDS)
            self.assertEqual(ended.returncode, 2, ended)
            self.assertIn("wrong.yaml:3:10: upstream.burst", ended.stderr)
            self.assertIn("max_wait", ended.stderr)

    def test_the_configuration_is_shown_without_the_token(self):
        ended = subprocess.run([GATEWAY, "check-config", "--config", self.gateway.config_file],
                               capture_output=True, text=True, env=environment(), timeout=LIMIT_SECONDS)
        self.assertEqual(ended.returncode, 0, ended)
        self.assertIn("acme", ended.stdout)
        self.heard.append((ended.stdout + ended.stderr).encode())

    def test_the_environment_alone_is_enough_and_its_token_is_told_nobody(self):
        token = self.simulator.token
        variables = {"SEMAPHORE_ORGANIZATION": "acme", "SEMAPHORE_API_TOKEN": token,
                     "SEMAPHORE_BASE_URL": self.simulator.base_url,
                     "SEMAPHORE_CA_FILE": str(self.simulator.ca_file)}
        ended = subprocess.run([GATEWAY, "check-config"], capture_output=True, text=True,
                               env={**environment(), **variables}, timeout=LIMIT_SECONDS)
        self.assertEqual(ended.returncode, 0, ended)
        self.assertIn("SEMAPHORE_API_TOKEN", ended.stdout)
        self.heard.append((ended.stdout + ended.stderr).encode())


if __name__ == "__main__":
    unittest.main()
