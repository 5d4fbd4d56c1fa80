"""What a caller is told when the gateway's token may not do something, is refused, or nobody can tell who
the gateway is: for every method, whichever way its area of upstream has of saying so."""

import unittest
import uuid

from processes import GatewayTest, new_token, row_of

REQUEST_ID = str(uuid.uuid4())

# Of each area, what reads and what changes; upstream's areas differ in how they refuse.
AREAS = {
    "hidden": {
        "WorkflowService.GetWorkflow": {"workflowId": "{done_workflow_id}"},
        "WorkflowService.ListWorkflows": {"projectId": "{project_id}"},
        "WorkflowService.RunWorkflow": {"projectId": "{project_id}", "reference": "refs/heads/master"},
        "WorkflowService.RerunWorkflow": {"workflowId": "{done_workflow_id}", "requestId": REQUEST_ID},
        "WorkflowService.StopWorkflow": {"workflowId": "{running_workflow_id}"},
        "PipelineService.GetPipeline": {"pipelineId": "{done_pipeline_id}"},
        "PipelineService.ListPipelines": {"projectId": "{project_id}"},
        "PipelineService.StopPipeline": {"pipelineId": "{running_pipeline_id}"},
        "PromotionService.ListPromotions": {"pipelineId": "{promoting_pipeline_id}"},
        "PromotionService.TriggerPromotion": {"pipelineId": "{done_pipeline_id}", "name": "Staging",
                                              "requestId": REQUEST_ID},
    },
    "hidden jobs": {
        "JobService.GetJob": {"jobId": "{cloud_job_id}"},
        "JobService.StopJob": {"jobId": "{running_cloud_job_id}"},
    },
    "denied": {
        "JobService.GetJobLog": {"jobId": "{running_self_hosted_job_id}"},
        "AgentTypeService.ListAgentTypes": {},
        "AgentTypeService.GetAgentType": {"agentTypeName": "{agent_type_name}"},
        "AgentTypeService.CreateAgentType": {"agentType": {"name": "s1-new"}},
        "AgentTypeService.UpdateAgentType": {"agentType": {"name": "{agent_type_name}",
                                                           "nameSettings": {"releaseAfter": "60s"}}},
        "AgentTypeService.DeleteAgentType": {"agentTypeName": "{empty_agent_type_name}"},
        "AgentTypeService.DisableAgents": {"agentTypeName": "{agent_type_name}"},
        "AgentService.ListAgents": {},
        "AgentService.GetAgent": {"agentName": "{agent_name}"},
        "ArtifactRetentionPolicyService.GetArtifactRetentionPolicy": {"projectId": "{project_id}"},
        "ArtifactRetentionPolicyService.UpdateArtifactRetentionPolicy": {"artifactRetentionPolicy": {
            "projectId": "{project_id}",
            "jobLevelRules": [{"selector": "/**", "age": {"count": 1, "unit": "AGE_UNIT_WEEK"}}]}},
    },
    "deployment targets": {
        "DeploymentTargetService.ListDeploymentTargets": {"projectId": "{project_id}"},
        "DeploymentTargetService.GetDeploymentTarget": {"deploymentTargetId": "{usable_target_id}"},
        "DeploymentTargetService.LookupDeploymentTarget": {"projectId": "{project_id}", "name": "usable"},
        "DeploymentTargetService.CreateDeploymentTarget": {
            "deploymentTarget": {"name": "new", "projectId": "{project_id}"}, "requestId": REQUEST_ID},
        "DeploymentTargetService.UpdateDeploymentTarget": {
            "deploymentTarget": {"deploymentTargetId": "{usable_target_id}", "url": "https://new.example"},
            "requestId": REQUEST_ID},
        "DeploymentTargetService.DeleteDeploymentTarget": {"deploymentTargetId": "{usable_target_id}",
                                                           "requestId": REQUEST_ID},
        "DeploymentTargetService.DeactivateDeploymentTarget": {"deploymentTargetId": "{usable_target_id}"},
        "DeploymentTargetService.ActivateDeploymentTarget": {"deploymentTargetId": "{cordoned_target_id}"},
        "DeploymentTargetService.ListDeployments": {"deploymentTargetId": "{deployed_target_id}"},
    },
    "one project": {"ProjectService.GetProject": {"projectName": "{project_name}"}},
    "lists of what is visible": {"ProjectService.ListProjects": {}},
    "free for all": {"PipelineService.ValidatePipelineYaml": {"yamlDefinition": "version: v1.0"}},
}
METHODS = {method: request for area in AREAS.values() for method, request in area.items()}
READS = {method for method in METHODS if method.partition(".")[2].startswith(("Get", "List", "Lookup"))}

NOT_FOUND = ("NOT_FOUND", "UPSTREAM_NOT_FOUND")
FORBIDDEN = ("PERMISSION_DENIED", "UPSTREAM_FORBIDDEN")


class PermissionsTest(GatewayTest):

    def setUp(self):
        super().setUp()
        self.addCleanup(self.simulator.set_access, "full")

    def filled(self, value):
        """A request with the simulator's ids in it."""
        if isinstance(value, dict):
            return {key: self.filled(one) for key, one in value.items()}
        if isinstance(value, list):
            return [self.filled(one) for one in value]
        return value.format(**self.ids) if isinstance(value, str) else value

    def call(self, method, client=None):
        # A cached reply would hide what upstream says now.
        metadata = [("cache-control", "no-cache")] if method in READS else []
        return (client or self.client).call(method, self.filled(METHODS[method]), metadata=metadata)

    def check(self, access, expected):
        """`expected` of every method: code and reason, or None for an OK reply."""
        self.simulator.set_access(access)
        for method in METHODS:
            with self.subTest(access=access, method=method):
                reply, wanted = self.call(method), expected(method)
                if wanted is None:
                    self.assert_ok(reply)
                else:
                    self.assert_failed(reply, *wanted)
                    self.assertEqual(reply.info["method"], "semaphore.v1." + method.replace(".", "/"))


class Permissions(PermissionsTest):

    def test_every_method_is_here(self):
        self.assertEqual(self.client.reflection.methods(), set(METHODS))

    def test_without_any_permission_things_are_hidden_or_denied(self):
        by_area = {"hidden": NOT_FOUND, "hidden jobs": NOT_FOUND, "denied": FORBIDDEN,
                   "deployment targets": FORBIDDEN, "one project": FORBIDDEN,
                   "lists of what is visible": None, "free for all": None}
        wanted = {method: by_area[area] for area, methods in AREAS.items() for method in methods}
        self.check("no_permission", wanted.get)
        self.assertEqual(self.call("ProjectService.ListProjects").message, {})

    def test_with_the_permission_to_read_only_changes_are_refused(self):
        def wanted(method):
            if method in READS or method in ("PipelineService.ValidatePipelineYaml", "JobService.StopJob"):
                return None
            return NOT_FOUND if method in AREAS["hidden"] else FORBIDDEN
        self.check("read_only", wanted)

    def test_a_feature_that_is_off_is_told_in_upstreams_words(self):
        self.simulator.set_access("no_deployment_targets")
        for method in AREAS["deployment targets"]:
            with self.subTest(method=method):
                reply = self.call(method)
                self.assert_failed(reply, *FORBIDDEN)
                self.assertIn("The deployment targets feature is not enabled", reply.info["upstreamMessage"])
        self.assert_ok(self.call("PipelineService.GetPipeline"))

    def test_a_feature_that_is_off_in_part_refuses_only_that_part(self):
        self.simulator.set_access("no_advanced_deployment_targets")
        target = {"name": "plain", "projectId": self.ids["project_id"]}
        create = "DeploymentTargetService.CreateDeploymentTarget"
        self.assert_ok(self.client.call(create, {"deploymentTarget": {
            **target, "subjectRules": [{"type": "SUBJECT_RULE_TYPE_ANY"}]}}))
        reply = self.client.call(create, {"deploymentTarget": {
            **target, "name": "advanced", "subjectRules": [{"type": "SUBJECT_RULE_TYPE_AUTO"}]}})
        self.assert_failed(reply, *FORBIDDEN)
        self.assertIn("advanced deployment targets", reply.info["upstreamMessage"])


class Door(PermissionsTest):
    """Refusals that come before any area is asked."""

    def test_an_address_that_is_not_allowed_is_forbidden_and_named(self):
        self.check("ip_not_allowed", lambda method: FORBIDDEN)
        self.assertIn("127.0.0.1", self.call("PipelineService.GetPipeline").info["upstreamMessage"])

    def test_an_organization_that_upstream_does_not_know_is_not_found(self):
        self.check("unknown_organization", lambda method: NOT_FOUND)

    def test_an_outage_of_upstreams_authentication_says_when_to_try_again(self):
        self.simulator.set_access("auth_outage")
        for method in METHODS:
            with self.subTest(method=method):
                reply = self.call(method)
                self.assert_failed(reply, "UNAVAILABLE", "UPSTREAM_UNAVAILABLE")
                self.assertGreater(reply.retry_seconds, 0)
                self.assertEqual(reply.info["upstreamStatus"], "403")
        for method in ("WorkflowService.RunWorkflow", "AgentTypeService.CreateAgentType"):
            with self.subTest("is asked once", method=method):
                self.simulator.reset()
                self.call(method)
                self.assertEqual(len(self.simulator.requests("POST")), 1)
        self.simulator.set_access("full")
        self.assert_ok(self.call("PipelineService.GetPipeline"))

    def test_a_token_that_upstream_refuses_is_not_the_callers_fault(self):
        token_file = self.folder / "wrong-token"
        token_file.write_text(new_token())
        self.secrets.append(token_file.read_text())
        _, client = self.start_gateway([row_of(self.simulator, token_file=token_file)], self.settings, "refused")
        for method in METHODS:
            with self.subTest(method=method):
                self.assert_failed(self.call(method, client), "UNAUTHENTICATED", "UPSTREAM_TOKEN_REJECTED")


if __name__ == "__main__":
    unittest.main()
