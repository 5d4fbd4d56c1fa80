"""The page for people who just want to look, in a real browser.

Needs chromium, chromium-driver and python3-selenium, and is skipped without. With --screenshots FOLDER it also writes
status-page-390.png and status-page-1440.png there.
"""

import json
import pathlib
import shutil
import sys
import unittest

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
except ImportError:
    webdriver = None

from processes import GatewayTest, LIMIT_SECONDS, wait_until

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
SCREENSHOTS = None
SAMPLES_OF_A_PICTURE = 10

OF_THE_GATEWAY = {"Calls", "Failed calls", "Mean latency", "Cache hits", "Budget left", "Waiting for the budget",
                  "Circuit breakers open"}
OF_CI = {"Pass rate", "Mean pipeline time", "Active pipelines", "Agents"}


class Data(GatewayTest):

    def test_the_page_may_load_nothing_from_elsewhere(self):
        status, page = self.gateway.get("/")
        self.assertEqual(status, 200)
        for forbidden in ("src=", "@import", "url(", "innerHTML"):
            self.assertNotIn(forbidden, page)
        self.assertNotIn("http", page.replace("http://www.w3.org/2000/svg", ""))

    def test_the_data_is_json_with_a_row_of_numbers_per_sample(self):
        status = json.loads(self.gateway.get("/status.json")[1])
        self.assertFalse(status["collector"])
        self.assertEqual(status["failing"], [])
        for row in status["samples"]:
            self.assertEqual(len(row), len(status["fields"]))


@unittest.skipUnless(webdriver and BROWSER and DRIVER, "chromium, chromium-driver or python3-selenium is missing")
class InABrowser(GatewayTest):

    def open(self, width):
        options = webdriver.ChromeOptions()
        options.binary_location = BROWSER
        for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"):
            options.add_argument(argument)
        browser = webdriver.Chrome(service=Service(DRIVER), options=options)
        self.addCleanup(browser.quit)
        browser.set_page_load_timeout(LIMIT_SECONDS)
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500})
        browser.get(self.gateway.admin + "/")
        return browser

    def call(self):
        """What a rate is drawn from: calls between two samples."""
        self.assert_replied(self.run_call(
            "PipelineService.GetPipeline", json.dumps({"pipelineId": self.ids["done_pipeline_id"]})))

    def wait_for_charts(self, browser, wanted):
        def drawn():
            self.call()
            return browser.execute_script(
                "return [...document.querySelectorAll('[data-chart]')].filter(c => c.querySelector('svg polyline'))"
                ".map(c => c.dataset.chart)")
        wait_until(lambda: wanted <= set(drawn()), f"a point in each of {sorted(wanted)}")

    def assert_fits(self, browser):
        over = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        self.assertLessEqual(over, 0)
        wide = browser.execute_script(
            "return [...document.querySelectorAll('section *')].filter(e => "
            "e.getBoundingClientRect().right > window.innerWidth).map(e => e.outerHTML)")
        self.assertEqual(wide, [])
        errors = [entry for entry in browser.get_log("browser")
                  if entry["level"] == "SEVERE" and "favicon" not in entry["message"]]
        self.assertEqual(errors, [])


class WithoutCollector(InABrowser):

    def test_it_says_that_there_are_no_facts_about_ci(self):
        browser = self.open(390)
        self.wait_for_charts(browser, OF_THE_GATEWAY - {"Cache hits"})
        self.assertIn("No facts about CI yet", browser.find_element("tag name", "main").text)
        self.assert_fits(browser)


class WithCollector(InABrowser):

    # Twenty times as fast, so that a pipeline is done within seconds.
    simulator_arguments = ("--pace", "20", "--workflows", "4", "--agents", "5")

    @classmethod
    def prepare(cls):
        metrics = {"discover": True, "refs": ["master", "failing-main"], "poll_interval": "1s",
                   "state_dir": str(cls.folder / "state")}
        cls.settings = ("upstream: {requests_per_second: 100000, burst: 100000}\n"
                        f"cache: {{max_bytes: 1048576}}\nmetrics: {json.dumps(metrics)}\n")

    def ci_metric(self, name):
        return sum(float(line.rpartition(" ")[2]) for line in self.gateway.get("/metrics/ci")[1].splitlines()
                   if line.partition("{")[0] == name)

    def run_workflow(self, branch):
        body = json.dumps({"projectId": self.ids["project_id"], "reference": "refs/heads/" + branch})
        self.assert_replied(self.run_call("WorkflowService.RunWorkflow", body))

    def wait_for_pipelines(self):
        """Until some were counted, and one failed on a listed ref. To look is also to scrape, which lets new series grow."""
        wait_until(lambda: self.ci_metric("semaphoreci_up") == 1, "a first collection")
        before = self.ci_metric("semaphoreci_pipeline_runs_total")
        for branch in ("master", "failing-main", "master", "master"):
            self.run_workflow(branch)
        wait_until(lambda: self.ci_metric("semaphoreci_pipeline_runs_total") >= before + 4, "pipelines counted")

    def wait_for_a_picture(self):
        """Screenshots want curves and not just points."""
        def enough():
            self.call()
            for branch in ("master", "failing-main", "endless"):
                self.run_workflow(branch)
            self.ci_metric("semaphoreci_up")
            return len(json.loads(self.gateway.get("/status.json")[1])["samples"]) >= SAMPLES_OF_A_PICTURE
        wait_until(enough, "enough samples")

    def test_it_fits_a_phone_and_a_desk_and_draws_every_chart(self):
        self.wait_for_pipelines()
        if SCREENSHOTS:
            self.wait_for_a_picture()
        for width in (390, 1440):
            with self.subTest(width=width):
                browser = self.open(width)
                self.wait_for_charts(browser, OF_THE_GATEWAY | OF_CI)
                titles = browser.execute_script(
                    "return [...document.querySelectorAll('[data-chart]')].map(c => c.dataset.chart)")
                self.assertEqual(set(titles), OF_THE_GATEWAY | OF_CI)
                wait_until(lambda: "on failing-main" in browser.find_element("tag name", "main").text,
                           "the failing branch named")
                self.assert_fits(browser)
                if SCREENSHOTS:
                    height = browser.execute_script("return document.documentElement.scrollHeight")
                    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                                            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})
                    browser.save_screenshot(str(SCREENSHOTS / f"status-page-{width}.png"))


if __name__ == "__main__":
    if "--screenshots" in sys.argv:
        at = sys.argv.index("--screenshots")
        SCREENSHOTS = pathlib.Path(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    unittest.main()
