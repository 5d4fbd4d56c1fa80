"""Lists of thousands of items, through the ways upstream has of paging by itself, in pages of many sizes:
nothing is lost, repeated, truncated or out of order. What is right, the simulator says itself."""

import itertools
import unittest

from walks import ITEMS, LARGE_SIZES, SMALL_SIZES, List, WalksTest


class PagedUpstream(WalksTest):
    dialect = "real"
    sizes = SMALL_SIZES + LARGE_SIZES
    ones = (1,)  # the size of the pages of two lists besides
    simulator_arguments = ("--projects", "2", "--workflows", str(ITEMS), "--promotions", str(ITEMS),
                           "--agents", str(ITEMS), "--agents-per-millisecond", "3", "--later-agents", "0",
                           "--deployments", str(ITEMS))

    @classmethod
    def setUpClass(cls):
        cls.simulator_arguments += ("--dialect", cls.dialect)
        super().setUpClass()

    def test_workflows(self):
        listed = List("WorkflowService.ListWorkflows", "workflows", lambda item: item.workflow_id,
                      lambda item: item["wf_id"], {"projectId": self.ids["other_project_id"]})
        _, expected, _ = self.own("plumber-workflows", {"project_id": self.ids["other_project_id"], "page_size": 9999},
                                  listed)
        self.check_sizes(listed, expected, self.ones + self.sizes)

    def test_pipelines(self):
        # The list of the reference does not tell the pipeline's own id; of this file, each workflow has one.
        file = ".semaphore/semaphore.yml"
        listed = List("PipelineService.ListPipelines", "pipelines",
                      lambda item: (item.pipeline_id, item.workflow_id, item.create_time.seconds),
                      lambda item: (item.get("ppl_id", ""), item["wf_id"], item["created_at"]["seconds"]),
                      {"projectId": self.ids["other_project_id"], "yamlFilePath": file})
        _, expected, _ = self.own("pipelines", {"project_id": self.ids["other_project_id"], "yml_file_path": file,
                                                "page_size": 9999}, listed)
        self.check_sizes(listed, expected, self.sizes[1:])

    def test_promotions(self):
        pipeline = self.ids["promoting_pipeline_id"]
        listed = List("PromotionService.ListPromotions", "promotions",
                      lambda item: (item.name, item.triggered_by, item.override, item.trigger_time.seconds,
                                    item.trigger_time.nanos, item.scheduled_pipeline_id),
                      lambda item: (item["name"], item["triggered_by"], item.get("override", False),
                                    item.get("triggered_at", {}).get("seconds", 0),
                                    item.get("triggered_at", {}).get("nanos", 0),
                                    item.get("scheduled_pipeline_id", "")),
                      {"pipelineId": pipeline})
        expected = []
        for page in range(1, ITEMS // 60 + 1):
            _, items, _ = self.own("promotions", {"pipeline_id": pipeline, "page": page, "page_size": 60}, listed)
            expected += items
        self.check_sizes(listed, expected, self.sizes)

    def test_agents_of_which_three_connected_in_each_millisecond(self):
        listed = List("AgentService.ListAgents", "agents", lambda item: item.name,
                      lambda item: item["metadata"]["name"])
        # Upstream repeats agents where its page ends within a millisecond; a dict keeps the first of each.
        expected, cursor = {}, ""
        while True:
            _, names, answer = self.own("agents", {"page_size": 200, "cursor": cursor}, listed, "agents")
            expected |= dict.fromkeys(names)
            cursor = answer["cursor"]
            if not cursor:
                break
        self.check_sizes(listed, list(expected), self.sizes)

    def test_deployments(self):
        target = self.ids["deployed_target_id"]
        listed = List("DeploymentTargetService.ListDeployments", "deployments", lambda item: item.deployment_id,
                      lambda item: item["id"], {"deploymentTargetId": target})
        expected, cursor = [], {}
        while True:
            _, items, answer = self.own(f"deployment_targets/{target}/history", cursor, listed, "deployments")
            expected += items
            if not answer["cursor_before"]:
                break
            cursor = {"cursor_type": "BEFORE", "cursor_value": answer["cursor_before"]}
        # Upstream gives no more than ten, so that all larger pages are alike.
        self.check_sizes(listed, expected, self.ones + self.sizes[1:3])


class PagedUpstreamInTheDialectOfTheReference(PagedUpstream):
    dialect = "reference"
    sizes = LARGE_SIZES
    ones = ()


class CrowdedMilliseconds(WalksTest):
    """More agents in a millisecond than a caller's page, or even upstream's smallest, has room for."""
    simulator_arguments = ("--agents", "1200", "--agents-per-millisecond", "150", "--later-agents", "0",
                           "--dialect", "real")

    def test_a_walk_gets_past_any_millisecond_that_fits_into_upstreams_largest_page(self):
        listed = List("AgentService.ListAgents", "agents", lambda item: item.name,
                      lambda item: item["metadata"]["name"])
        for size in (1, 7, 100, 1000):
            with self.subTest(size=size):
                found = [name for _, names, _ in self.pages(listed, itertools.repeat(size)) for name in names]
                self.assertEqual(len(found), 1200)
                self.assertEqual(len(set(found)), 1200)


class OvercrowdedMilliseconds(WalksTest):
    simulator_arguments = ("--agents", "900", "--agents-per-millisecond", "300", "--later-agents", "0")

    def test_a_walk_that_upstream_cannot_end_fails_instead_of_ending_early_or_never(self):
        request = {"pageSize": 1000}
        for _ in range(10):
            reply = self.client.call("AgentService.ListAgents", request)
            if reply.code != "OK":
                break
            request["pageToken"] = reply.message["nextPageToken"]
        self.assert_failed(reply, "INTERNAL", "UPSTREAM_MALFORMED_RESPONSE")


if __name__ == "__main__":
    unittest.main()
