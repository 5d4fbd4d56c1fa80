"""The page for people who just want to look, in a real browser: with hand-made data, whose numbers are known, and before
a gateway.

Needs chromium, chromium-driver and python3-selenium, and is skipped without. With --screenshots FOLDER it also writes
status-page-390.png and status-page-1440.png there.
"""

import http.server
import itertools
import json
import pathlib
import shutil
import sys
import threading
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
PAGE = pathlib.Path(__file__).parents[2] / "gateway" / "status_page.html"
OF_CI_FIELDS = ["passed", "passed_or_failed", "run_seconds", "runs_timed", "active", "agents"]
FIELDS = ["time", "calls", "calls_failed", "call_seconds", "cache_requests", "cache_hits", "budget_share", "waiting",
          "circuit_open", *OF_CI_FIELDS]
HOUR = 3600
# The least contrast of text that people read easily, by WCAG 2.
CONTRAST = 4.5

# Of each text on the page: its text, and the contrast of its colour to that of the first background behind it.
CONTRASTS = """
const parts = color => color.match(/[\\d.]+/g).map(Number);
const light = color => parts(color).slice(0, 3).map(c => c / 255)
  .map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4)
  .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
const behind = e => {
  const color = getComputedStyle(e).backgroundColor;
  return parts(color)[3] === 0 ? behind(e.parentElement) : color;
};
return [...document.querySelectorAll("body *")]
  .filter(e => e.checkVisibility() && [...e.childNodes].some(n => n.nodeType === Node.TEXT_NODE && n.data.trim()))
  .map(e => [light(getComputedStyle(e).color), light(behind(e)), e.textContent])
  .map(([a, b, text]) => [text, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)]);
"""


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
        self.assertEqual(status["fields"], FIELDS)
        self.assertEqual(status.keys(), made_status().keys())
        self.assertEqual(status["age"].keys(), made_status()["age"].keys())
        for row in status["samples"]:
            self.assertEqual(len(row), len(status["fields"]))


def start_browser():
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-proxy-server"):
        options.add_argument(argument)
    browser = webdriver.Chrome(service=Service(DRIVER), options=options)
    browser.set_page_load_timeout(LIMIT_SECONDS)
    return browser


def resize(browser, width, height=900):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride",
                            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500})


class Looks(unittest.TestCase):

    def assert_fits(self, browser):
        over = browser.execute_script("return document.documentElement.scrollWidth - window.innerWidth")
        self.assertLessEqual(over, 0)
        wide = browser.execute_script(
            "return [...document.querySelectorAll('body *')].filter(e => "
            "e.getBoundingClientRect().right > window.innerWidth).map(e => e.outerHTML)")
        self.assertEqual(wide, [])
        errors = [entry for entry in browser.get_log("browser")
                  if entry["level"] == "SEVERE" and "favicon" not in entry["message"]]
        self.assertEqual(errors, [])


def sample(time, **fields):
    return {**dict.fromkeys(FIELDS, 0), "budget_share": 1, "time": time, **fields}


def before_facts(time):
    return sample(time, **dict.fromkeys(OF_CI_FIELDS))


def made_status(*samples, failing=(), failing_total=None, collector=True, **age):
    """What the gateway would say."""
    return {"collector": collector,
            "age": {"places": 1, "old": 0, "newest_seconds": 5, "oldest_seconds": 5, "organization": "acme",
                    "project": "web", **age},
            "fields": FIELDS, "samples": [[each[name] for name in FIELDS] for each in samples],
            "failing_total": len(failing) if failing_total is None else failing_total,
            "failing": list(failing)}


def failing_row(ref="main", **names):
    return {"organization": "acme", "project": "web", "pipeline": "a.yml", **names, "ref": ref}


class Pages(http.server.BaseHTTPRequestHandler):
    """Answers with the page, and with what a test wants the data to be."""

    status = None

    def do_GET(self):
        page = self.path == "/"
        body = PAGE.read_bytes() if page else json.dumps(Pages.status).encode()
        known = page or self.path == "/status.json" and Pages.status is not None
        self.send_response(200 if known else 404)
        self.send_header("Content-Type", "text/html; charset=utf-8" if page else "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@unittest.skipUnless(webdriver and BROWSER and DRIVER, "chromium, chromium-driver or python3-selenium is missing")
class Numbers(Looks):

    @classmethod
    def setUpClass(cls):
        cls.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Pages)
        cls.addClassCleanup(cls.server.server_close)
        thread = threading.Thread(target=cls.server.serve_forever)
        thread.start()
        cls.addClassCleanup(thread.join)
        cls.addClassCleanup(cls.server.shutdown)
        cls.browser = start_browser()
        cls.addClassCleanup(cls.browser.quit)

    def setUp(self):
        resize(self.browser, 390)
        self.emulate_scheme("light")

    def emulate_scheme(self, scheme):
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia",
                                     {"features": [{"name": "prefers-color-scheme", "value": scheme}]})

    def show(self, status):
        Pages.status = status
        self.browser.get(f"http://127.0.0.1:{self.server.server_port}/")
        wait_until(lambda: self.state() != "Loading…", "the page drawn")
        if status is not None:
            self.assertIn("as of", self.state())

    def state(self):
        return self.browser.find_element("id", "state").text

    def age(self):
        return self.browser.find_element("id", "age").text

    def main(self):
        return self.browser.find_element("tag name", "main").text

    def cards(self):
        """Title to what the card has."""
        return dict(self.browser.execute_script(
            "return [...document.querySelectorAll('section')].map(c => [c.querySelector('h2').textContent, {"
            "value: c.querySelector('.value').textContent, old: c.classList.contains('old'),"
            "curve: (c.querySelector('polyline')?.getAttribute('points') ?? '').split(' ').filter(p => p).length,"
            "notes: [...c.querySelectorAll('.note')].map(n => n.textContent)}])"))

    def values(self):
        return {title: card["value"] for title, card in self.cards().items()}

    def test_each_chart_shows_the_number_that_follows_from_the_samples(self):
        self.show(made_status(
            sample(0),
            sample(1800, calls=100, call_seconds=1, calls_failed=10, cache_requests=1000, cache_hits=1000, passed=90,
                   passed_or_failed=100, run_seconds=5000, runs_timed=100),
            sample(3600, calls=200, call_seconds=3, calls_failed=20, cache_requests=1100, cache_hits=1050, passed=92,
                   passed_or_failed=104, run_seconds=5300, runs_timed=104, active=9),
            sample(5400, calls=650, call_seconds=12, calls_failed=38, cache_requests=1200, cache_hits=1050, passed=99,
                   passed_or_failed=112, run_seconds=5720, runs_timed=112, active=7, agents=3, budget_share=0.35,
                   waiting=4, circuit_open=1),
            failing=[failing_row()]))
        self.assertEqual(self.values(), {
            "Failing main branches": "1",
            "Pass rate": "75 %",  # 9 of 12 since 1800
            "Mean pipeline time": "60 s",  # 720 s of 12
            "Active pipelines": "7",
            "Agents": "3",
            "Calls": "0.25 /s",  # 450 in 1800 s
            "Failed calls": "0.01 /s",  # 18
            "Mean latency": "20 ms",  # 9 s of 450
            "Cache hits": "25 %",  # 50 of 200 since 1800
            "Budget left": "35 %",
            "Waiting for the budget": "4",
            "Circuit breakers open": "1"})
        self.assertEqual({title: card["curve"] for title, card in self.cards().items() if card["curve"] != 3},
                         {"Failing main branches": 0})
        self.assertEqual(self.age(), "")

    def test_a_total_that_falls_loses_no_more_than_that_step(self):
        self.show(made_status(
            sample(0, passed=100, passed_or_failed=200, run_seconds=1000, runs_timed=10, calls=50),
            sample(10, passed=110, passed_or_failed=220, run_seconds=1200, runs_timed=20, calls=60),
            sample(20, passed=5, passed_or_failed=6, run_seconds=50, runs_timed=2, calls=0),
            sample(30, passed=8, passed_or_failed=12, run_seconds=150, runs_timed=7, calls=20)))
        values = self.values()
        self.assertEqual(values["Pass rate"], "50 %")  # 10 + 3 of 20 + 6
        self.assertEqual(values["Mean pipeline time"], "20 s")  # 200 + 100 s of 10 + 5
        self.assertEqual(values["Calls"], "2 /s")

    def test_what_the_ledger_had_before_the_first_collection_is_no_growth(self):
        self.show(made_status(before_facts(0), before_facts(10),
                              sample(20, passed=1000, passed_or_failed=4000, active=6),
                              sample(30, passed=1003, passed_or_failed=4004, active=5)))
        cards = self.cards()
        self.assertEqual(cards["Pass rate"]["value"], "75 %")
        self.assertEqual(cards["Active pipelines"]["value"], "5")
        self.assertEqual(cards["Active pipelines"]["curve"], 1)

    def test_what_did_not_happen_lately_has_no_number_but_a_curve(self):
        totals = {"passed": 1, "passed_or_failed": 2, "runs_timed": 2, "run_seconds": 8, "calls": 3, "call_seconds": 3}
        self.show(made_status(sample(0), *[sample(10 + n * HOUR, **totals) for n in (0, 1, 2)]))
        cards = self.cards()
        for title in ("Pass rate", "Mean pipeline time", "Mean latency"):
            self.assertEqual(cards[title]["value"], "–", title)
            self.assertEqual(cards[title]["curve"], 1, title)
        self.assertEqual(cards["Calls"]["value"], "0 /s")

    def test_without_facts_it_says_so_on_each_card_of_ci(self):
        self.show(made_status(before_facts(0), before_facts(10), collector=False, places=0))
        cards = self.cards()
        for title in OF_CI | {"Failing main branches"}:
            self.assertEqual(cards[title]["value"], "–", title)
            self.assertIn("No facts about CI yet", cards[title]["notes"][0])
        self.assertEqual(cards["Calls"]["value"], "0 /s")
        self.assertEqual(self.age(), "")

    def test_the_first_moment_without_samples_is_drawn(self):
        self.show(made_status(collector=False, places=0))
        self.assertEqual(set(self.values().values()), {"–"})

    def test_when_all_facts_are_old_each_card_of_ci_says_how_old(self):
        self.show(made_status(sample(0), sample(10, active=3), failing=[failing_row()],
                              places=2, old=2, newest_seconds=7300, oldest_seconds=90000))
        self.assertEqual(self.age(), "Facts about CI are 2 h old: nothing was collected from Semaphore since.")
        for title, card in self.cards().items():
            of_ci = title in OF_CI | {"Failing main branches"}
            self.assertEqual(card["old"], of_ci, title)
            self.assertEqual("2 h old" in card["notes"], of_ci, title)
        self.assertEqual(self.values()["Active pipelines"], "3")

    def test_one_old_project_is_named_and_marks_no_card(self):
        self.show(made_status(sample(0), sample(10), places=12, old=1, oldest_seconds=400))
        self.assertEqual(self.age(), "Facts about 1 of 12 projects are old, the oldest acme / web: 6 min.")
        self.assertFalse(any(card["old"] for card in self.cards().values()))
        self.show(made_status(sample(0), sample(10), places=3, old=2, oldest_seconds=20000, project=""))
        self.assertEqual(self.age(), "Facts about 2 of 3 organizations are old, the oldest acme: 5 h.")

    def test_a_long_list_of_failing_branches_says_that_it_is_not_all(self):
        self.show(made_status(sample(0), sample(10), failing=[failing_row(f"release-{i}") for i in range(50)],
                              failing_total=80))
        card = self.cards()["Failing main branches"]
        self.assertEqual(card["value"], "80")
        self.assertEqual(card["notes"], ["50 of 80:"])
        self.assertEqual(len(self.browser.find_elements("tag name", "li")), 50)

    def test_names_are_text_fit_a_phone_and_turn_nothing_around(self):
        tag = "<img src=x onerror=\"document.title='hit'\">"
        to_the_left = "\u202egnp.\u05d0\u200f"
        rows = [failing_row(tag), failing_row("x" * 10240), failing_row(to_the_left, project=to_the_left),
                failing_row(tag, organization="z" * 10240)]
        self.show(made_status(sample(0), sample(10), failing=rows,
                              places=2, old=1, oldest_seconds=4000, organization=tag, project="y" * 10240))
        self.assertIn(f"acme / web / a.yml on {tag}", self.main())
        self.assertEqual(self.browser.find_elements("tag name", "img"), [])
        self.assertEqual(self.browser.title, "semaphore-gateway")
        self.assert_fits(self.browser)
        # From left to right, whatever is written in between.
        lefts = self.browser.execute_script(
            "return [...document.querySelectorAll('li')[2].children].map(e => e.getBoundingClientRect().left)")
        self.assertEqual(len(lefts), 4)
        self.assertEqual(lefts, sorted(lefts))

    def test_text_has_contrast_by_day_and_by_night(self):
        statuses = {
            "old": made_status(sample(0), sample(10), failing=[failing_row()], old=1, newest_seconds=7300),
            "new": made_status(sample(0), sample(10), failing=[failing_row()]),
            "none": made_status(before_facts(0), collector=False, places=0),
            "away": None}
        backgrounds = set()
        for scheme in ("light", "dark"):
            self.emulate_scheme(scheme)
            for name, status in statuses.items():
                self.show(status)
                texts = self.browser.execute_script(CONTRASTS)
                self.assertGreaterEqual(len(texts), 2)
                for text, contrast in texts:
                    with self.subTest(scheme=scheme, status=name, text=text):
                        self.assertGreaterEqual(contrast, CONTRAST)
            backgrounds.add(self.browser.execute_script("return getComputedStyle(document.body).backgroundColor"))
        self.assertEqual(len(backgrounds), 2)

    def test_when_the_gateway_goes_away_all_is_old(self):
        self.show(made_status(sample(0), sample(10)))
        Pages.status = None
        wait_until(lambda: "does not answer" in self.state(), "the page to notice")
        self.assertEqual(self.browser.find_element("tag name", "main").get_attribute("class"), "old")
        Pages.status = made_status(sample(0), sample(10))
        wait_until(lambda: "as of" in self.state(), "the page to recover")
        self.assertEqual(self.browser.find_element("tag name", "main").get_attribute("class"), "")


@unittest.skipUnless(webdriver and BROWSER and DRIVER, "chromium, chromium-driver or python3-selenium is missing")
class InABrowser(Looks, GatewayTest):

    def open(self, width):
        browser = start_browser()
        self.addCleanup(browser.quit)
        resize(browser, width)
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

    def status(self):
        return json.loads(self.gateway.get("/status.json")[1])

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
        """Screenshots want curves and not just points: some calls fail."""
        turns = itertools.count()

        def enough():
            self.call()
            if next(turns) % 8 < 3:
                self.run_call("PipelineService.GetPipeline", json.dumps({"pipelineId": self.ids["project_id"]}))
            for branch in ("master", "failing-main", "endless"):
                self.run_workflow(branch)
            self.ci_metric("semaphoreci_up")
            return len(self.status()["samples"]) >= SAMPLES_OF_A_PICTURE
        wait_until(enough, "enough samples")

    def test_it_knows_how_old_the_facts_are(self):
        wait_until(lambda: self.ci_metric("semaphoreci_up") == 1, "a first collection")
        wait_until(lambda: self.status()["age"]["places"] > 0, "a sample of its time")
        age = self.status()["age"]
        self.assertEqual((age["organization"], age["old"]), ("acme", 0))
        self.assertLess(age["oldest_seconds"], LIMIT_SECONDS)

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
                    resize(browser, width, height)
                    browser.save_screenshot(str(SCREENSHOTS / f"status-page-{width}.png"))


if __name__ == "__main__":
    if "--screenshots" in sys.argv:
        at = sys.argv.index("--screenshots")
        SCREENSHOTS = pathlib.Path(sys.argv[at + 1])
        del sys.argv[at:at + 2]
    unittest.main()
