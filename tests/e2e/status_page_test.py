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

    def test_it_fits_a_phone_and_a_desk_and_draws_its_charts(self):
        for width in (390, 1440):
            with self.subTest(width=width):
                # What a rate is drawn from: calls between two samples.
                calls = lambda: self.assert_replied(self.run_call(
                    "PipelineService.GetPipeline", json.dumps({"pipelineId": self.ids["done_pipeline_id"]})))
                calls()
                browser = self.open(width)
                drawn = lambda: (calls(), browser.execute_script(
                    "return [...document.querySelectorAll('[data-chart]')].filter(c => c.querySelector('svg polyline'))"
                    ".map(c => c.dataset.chart)"))[1]
                wanted = {"Calls", "Failed calls", "Mean latency", "Budget left", "Waiting for the budget",
                          "Circuit breakers open"}
                wait_until(lambda: wanted <= set(drawn()), "a point in each chart of the gateway itself")
                self.assertIn("No facts about CI yet", browser.find_element("tag name", "main").text)
                over = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
                self.assertLessEqual(over, 0)
                wide = browser.execute_script(
                    "return [...document.querySelectorAll('section *')].filter(e => "
                    "e.getBoundingClientRect().right > window.innerWidth).map(e => e.outerHTML)")
                self.assertEqual(wide, [])
                errors = [entry for entry in browser.get_log("browser")
                          if entry["level"] == "SEVERE" and "favicon" not in entry["message"]]
                self.assertEqual(errors, [])
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
