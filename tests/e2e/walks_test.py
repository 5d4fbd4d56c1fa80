"""Lists of thousands of items through every way upstream has of paging, in pages of many sizes: nothing is
lost, repeated, truncated or out of order. What is right, the simulator says itself."""

import itertools
import unittest
import urllib.parse

from processes import GatewayTest

ITEMS = 3000
SMALL_SIZES = (2, 7)
LARGE_SIZES = (30, 99, 100, 499, 1000, 5000)
MOST = 1000  # more is coerced


class List:
    """A paged method. `key` and `own_key` give the same of a reply's item and of upstream's."""

    def __init__(self, method, items, key, own_key, request=None):
        self.method, self.items, self.key, self.own_key = method, items, key, own_key
        self.request = request or {}


class WalksTest(GatewayTest):
    items = ITEMS
    settings = ("upstream: {requests_per_second: 100000, burst: 100000}\n"
                "callers: {requests_per_second: 0}\n")

    def pages(self, listed, sizes):
        """The items of each page; `sizes` may be endless."""
        token = ""
        for size in sizes:
            request = {**listed.request, "pageSize": size, "pageToken": token}
            future = self.client.start(listed.method, request)
            message = future.reply_class.FromString(future.result())
            yield size, [listed.key(item) for item in getattr(message, listed.items)], message
            token = message.next_page_token
            if not token:
                return

    def check(self, listed, expected, sizes):
        found = []
        for size, items, message in self.pages(listed, sizes):
            self.assertLessEqual(len(items), min(size, MOST))
            self.assertTrue(items or not expected, f"an empty page after {len(found)} items")
            found += items
            self.assertLessEqual(len(found), len(expected))
            if "total_size" in message.DESCRIPTOR.fields_by_name and message.HasField("total_size"):
                self.assertEqual(message.total_size, len(expected))
        self.assertEqual(len(found), len(expected))
        self.assertEqual(found, expected)

    def check_sizes(self, listed, expected, sizes):
        self.assertEqual(len(expected), self.items)
        for size in sizes:
            with self.subTest(size=size):
                self.check(listed, expected, itertools.repeat(size))
        with self.subTest("sizes that change"):
            self.check(listed, expected, itertools.cycle((7, 1, 499, 30, 2, 1000, 100, 99)))

    def own(self, path, parameters, listed, items=None):
        """One answer of upstream, as keys."""
        headers, answer = self.simulator.get(path + "?" + urllib.parse.urlencode(parameters))
        return headers, [listed.own_key(item) for item in (answer[items] if items else answer)], answer


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
        self.check_sizes(listed, expected, self.ones + self.sizes[:3])


class PagedUpstreamInTheDialectOfTheReference(PagedUpstream):
    dialect = "reference"
    sizes = LARGE_SIZES
    ones = ()


class UnpagedUpstream(WalksTest):
    """Each page costs upstream the whole list; pages of few items are therefore of a shorter one."""
    sizes = (100, 499, 1000, 5000)
    simulator_arguments = ("--agent-types", str(ITEMS), "--deployment-targets", str(ITEMS))

    def test_agent_types(self):
        listed = List("AgentTypeService.ListAgentTypes", "agent_types", lambda item: item.name,
                      lambda item: item["metadata"]["name"])
        _, expected, _ = self.own("self_hosted_agent_types", {}, listed, "agent_types")
        self.check_sizes(listed, expected, self.sizes)

    def test_deployment_targets(self):
        project = self.ids["project_id"]
        listed = List("DeploymentTargetService.ListDeploymentTargets", "deployment_targets",
                      lambda item: item.deployment_target_id, lambda item: item["id"], {"projectId": project})
        _, expected, _ = self.own("deployment_targets", {"project_id": project}, listed)
        self.check_sizes(listed, expected, self.sizes)


class UnpagedUpstreamInTheDialectOfTheReference(UnpagedUpstream):
    sizes = (499, 5000)
    simulator_arguments = (*UnpagedUpstream.simulator_arguments, "--dialect", "reference")


class ShortUnpagedUpstream(UnpagedUpstream):
    items = 300
    sizes = (1, *SMALL_SIZES, 30, 99, 299, 300)
    simulator_arguments = ("--agent-types", "300", "--deployment-targets", "300")


class ManyProjects(WalksTest):
    sizes = (7, *LARGE_SIZES)
    # The empty project is one more.
    simulator_arguments = ("--projects", str(ITEMS - 1), "--workflows", "4")

    def test_projects(self):
        listed = List("ProjectService.ListProjects", "projects", lambda item: item.project_id,
                      lambda item: item["metadata"]["id"])
        expected, more = [], True
        for page in itertools.count(1):
            headers, items, _ = self.own("projects", {"page": page}, listed)
            expected += items
            if headers["x-has-more"] != "true":
                break
        self.check_sizes(listed, expected, self.sizes)


class ManyProjectsInTheDialectOfTheReference(ManyProjects):
    sizes = LARGE_SIZES
    simulator_arguments = (*ManyProjects.simulator_arguments, "--dialect", "reference")


class FewerProjects(ManyProjects):
    """But more than upstream's page of 500."""
    items = 600
    sizes = (1, *SMALL_SIZES, 300, 600)
    simulator_arguments = ("--projects", "599", "--workflows", "4")


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


if __name__ == "__main__":
    unittest.main()
