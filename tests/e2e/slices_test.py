"""Lists of thousands of items that upstream does not page, or in pages of its own size whatever is asked for,
in pages of many sizes: nothing is lost, repeated, truncated or out of order."""

import itertools
import unittest

from walks import ITEMS, LARGE_SIZES, SMALL_SIZES, List, WalksTest


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


if __name__ == "__main__":
    unittest.main()
