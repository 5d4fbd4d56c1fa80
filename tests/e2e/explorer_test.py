"""The explorer page in a real browser: what a person sees, tries and is told."""

import json
import pathlib
import sys
import unittest

import browser as browsing
from processes import GatewayTest

SCREENSHOTS = None  # a folder: where to put pictures of the page for docs/


@browsing.needs_browser
class Explorer(GatewayTest):
    settings = GatewayTest.settings + "rest: {address: '127.0.0.1:0'}\n"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.browser = browsing.open_browser(cls)

    def open(self, fragment=""):
        self.browser.get("about:blank")
        self.browser.get(self.gateway.rest + "/" + fragment)
        browsing.wait_for(self.browser, lambda b: b.find_elements("css selector", "#operations a"))

    def find(self, selector):
        return self.browser.find_element("css selector", selector)

    def fill(self, name, text):
        field = self.find(f'[data-name="{name}"]')
        field.clear()
        field.send_keys(text)

    def send(self):
        self.find("#send").click()
        return browsing.wait_for(self.browser, lambda b: b.find_elements("css selector", "#status"))[0].text

    def tearDown(self):
        # A failed request is an entry of the browser's own; what the page does wrong is not.
        wrong = [said for said in browsing.complaints(self.browser) if "Failed to load resource" not in said]
        self.assertEqual(wrong, [])

    def test_it_lists_every_operation_and_finds_one_by_its_name(self):
        self.open()
        self.assertEqual(len(self.browser.find_elements("css selector", "#operations a")), 35)
        self.find("#filter").send_keys("rerun")
        self.assertEqual([link.get_attribute("hash") for link in
                          self.browser.find_elements("css selector", "#operations a")],
                         ["#WorkflowService_RerunWorkflow"])

    def test_a_read_shows_its_reply_and_the_curl_that_makes_it(self):
        self.open("#PipelineService_GetPipeline")
        self.fill("pipelineId", self.ids["done_pipeline_id"])
        self.assertRegex(self.send(), r"^200 ")
        reply = json.loads(self.find("#reply").text)
        self.assertEqual(reply["pipelineId"], self.ids["done_pipeline_id"])
        self.assertIn(f"/v1/pipelines/{self.ids['done_pipeline_id']}'", self.find("#curl").text)
        self.assertIn("x-request-id: ", self.find("#headers").text)

    def test_an_error_is_shown_as_it_is(self):
        self.open("#PipelineService_GetPipeline")
        self.fill("pipelineId", "no-such-pipeline")
        self.assertRegex(self.send(), r"^404 ")
        self.assertEqual(json.loads(self.find("#reply").text)["details"][0]["reason"], "UPSTREAM_NOT_FOUND")

    def test_a_required_parameter_that_is_missing_is_asked_for(self):
        self.open("#WorkflowService_ListWorkflows")
        self.find("#send").click()
        self.assertEqual(self.browser.find_elements("css selector", "#status"), [])

    def test_a_change_is_made_with_the_body_as_it_stands(self):
        self.open("#WorkflowService_RunWorkflow")
        body = self.find("#body")
        example = json.loads(body.get_attribute("value"))
        self.assertIn("reference", example)
        body.clear()
        body.send_keys(json.dumps({"projectId": self.ids["project_id"], "reference": "refs/heads/explorer"}))
        self.assertRegex(self.send(), r"^200 ")
        self.assertEqual(len(self.simulator.requests("POST")), 1)

    def test_the_page_fits_a_phone_and_a_desk(self):
        for width in (390, 1440):
            browsing.set_width(self.browser, width)
            for fragment in ("", "#DeploymentTargetService_UpdateDeploymentTarget", "#JobService_GetJobLog"):
                with self.subTest(width=width, fragment=fragment):
                    self.open(fragment)
                    self.assertLessEqual(browsing.overflow(self.browser), 0)
        if SCREENSHOTS:
            self.open("#PipelineService_GetPipeline")
            self.fill("pipelineId", self.ids["done_pipeline_id"])
            self.send()
            self.browser.save_screenshot(str(SCREENSHOTS / "explorer.png"))


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[1] == "--screenshots":
        SCREENSHOTS = pathlib.Path(sys.argv[2])
        del sys.argv[1:3]
    unittest.main()
