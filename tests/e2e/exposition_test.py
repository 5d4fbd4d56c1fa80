"""The metrics pages as parsers that are not ours read them, and the catalogue of their families."""

import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import unittest
import urllib.request

from prometheus_client import parser as text_parser
from prometheus_client.openmetrics import parser as open_metrics_parser

from processes import GatewayTest, LIMIT_SECONDS, wait_until

PROMETHEUS_ACCEPT = ("application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
                     "text/plain;version=0.0.4;q=0.5,*/*;q=0.1")
# The unit tests write pages of every family with hostile values where this environment variable says.
UNIT_TESTS = os.environ.get("SEMAPHORE_GATEWAY_TESTS", "")


def promtool_complains(page):
    promtool = shutil.which("promtool") or "/usr/bin/promtool"
    ended = subprocess.run([promtool, "check", "metrics"], input=page, capture_output=True, text=True,
                           timeout=LIMIT_SECONDS)
    return ended.stdout + ended.stderr + ("" if ended.returncode == 0 else f"exit status {ended.returncode}")


class PagesTest(GatewayTest):

    def fetch(self, path, **headers):
        """As Prometheus does it."""
        request = urllib.request.Request(self.gateway.admin + path,
                                         headers={"x-prometheus-scrape-timeout-seconds": "10", **headers})
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=LIMIT_SECONDS) as response:
            return response.headers, response.read()

    def catalog(self):
        ended = self.run_command("metrics-catalog")
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))
        return {family["name"]: family for family in json.loads(ended.stdout)}


class Pages(PagesTest):

    def test_promtool_finds_nothing_to_say_about_the_own_page(self):
        self.assertEqual(promtool_complains(self.gateway.get("/metrics")[1]), "")

    def test_prometheus_gets_open_metrics_and_a_browser_text(self):
        headers, page = self.fetch("/metrics", Accept=PROMETHEUS_ACCEPT)
        self.assertEqual(headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.assertTrue(list(open_metrics_parser.text_string_to_metric_families(page.decode())))
        headers, page = self.fetch("/metrics", Accept="*/*")
        self.assertEqual(headers["content-type"], "text/plain; version=0.0.4; charset=utf-8")
        self.assertTrue(list(text_parser.text_string_to_metric_families(page.decode())))

    def test_every_family_of_the_own_page_is_in_the_catalogue_with_its_labels(self):
        catalog = self.catalog()
        page = self.gateway.get("/metrics")[1]
        for family in text_parser.text_string_to_metric_families(page):
            name = family.name + ("_total" if family.type == "counter" else "")
            with self.subTest(name=name):
                declared = catalog[name]
                self.assertEqual((declared["scope"], declared["type"], declared["help"]),
                                 ("gateway", family.type, family.documentation))
                for sample in family.samples:
                    self.assertEqual(set(sample.labels) - {"le"}, set(declared["labels"]))

    def test_no_facts_are_found_where_none_are_collected(self):
        status, text = self.gateway.get("/metrics/ci")
        self.assertEqual(status, 404)
        self.assertIn("metrics", text)


class PagesWithCollector(PagesTest):

    # Twenty times as fast, so that a pipeline is done within seconds.
    simulator_arguments = ("--pace", "20", "--workflows", "4", "--agents", "5")

    @classmethod
    def prepare(cls):
        metrics = {"discover": True, "refs": ["master", "failing-main"], "level": "job", "poll_interval": "1s",
                   "state_dir": str(cls.folder / "state")}
        cls.settings = f"upstream: {{requests_per_second: 100000, burst: 100000}}\nmetrics: {json.dumps(metrics)}\n"

    def families(self):
        headers, page = self.fetch("/metrics/ci", Accept=PROMETHEUS_ACCEPT)
        self.assertEqual(headers["content-type"], "application/openmetrics-text; version=1.0.0; charset=utf-8")
        return {family.name: family for family in open_metrics_parser.text_string_to_metric_families(page.decode())}

    def samples(self, family, suffix=""):
        """Those that are not 0, of a page that may not have the family yet."""
        found = self.families().get(family)
        return [sample for sample in (found.samples if found else [])
                if sample.name == family + suffix and sample.value > 0]

    def test_counted_pipelines_are_on_a_page_that_others_can_read(self):
        wait_until(lambda: self.samples("semaphoreci_up"), "a first collection")
        for branch in ("master", "failing-main"):
            body = json.dumps({"projectId": self.ids["project_id"], "reference": "refs/heads/" + branch})
            self.assert_replied(self.run_call("WorkflowService.RunWorkflow", body))
        # To look is to scrape, after which a new series may leave 0.
        wait_until(lambda: len(self.samples("semaphoreci_pipeline_runs", "_total")) >= 2, "two pipelines counted")
        wait_until(lambda: self.samples("semaphoreci_job_runs", "_total"), "their jobs counted")

        [failed] = self.samples("semaphoreci_pipeline_failures", "_total")
        self.assertEqual(set(failed.exemplar.labels), {"pipeline_id", "workflow_id"})
        buckets = self.samples("semaphoreci_pipeline_run_duration_seconds", "_bucket")
        self.assertTrue([bucket for bucket in buckets if bucket.exemplar])

        self.assertEqual(promtool_complains(self.fetch("/metrics/ci")[1].decode()), "")
        self.assertEqual(promtool_complains(self.gateway.get("/metrics")[1]), "")
        catalog = self.catalog()
        for family in self.families().values():
            name = family.name + ("_total" if family.type == "counter" else "")
            with self.subTest(name=name):
                self.assertEqual((catalog[name]["scope"], catalog[name]["type"]), ("ci", family.type))
                for sample in family.samples:
                    self.assertEqual(set(sample.labels) - {"le"}, set(catalog[name]["labels"]))

    def test_the_last_facts_are_shown_while_semaphore_is_away(self):
        wait_until(lambda: self.samples("semaphoreci_up"), "a first collection")
        self.simulator.add_fault(action="reset", target_prefix="/", times=1_000_000)
        wait_until(lambda: not self.samples("semaphoreci_up"), "the outage told")
        self.assertTrue(self.samples("semaphoreci_pipeline_last_result"))


@unittest.skipUnless(UNIT_TESTS, "SEMAPHORE_GATEWAY_TESTS names no gateway_tests")
class HostilePages(unittest.TestCase):

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="semaphore-pages-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        subprocess.run([UNIT_TESTS, "--gtest_filter=CiPage.OfEveryFamily*"], check=True, capture_output=True,
                       timeout=LIMIT_SECONDS, env=dict(os.environ, EXPOSITION_PAGES=str(cls.folder)))

    def test_promtool_finds_nothing_to_say(self):
        self.assertEqual(promtool_complains((self.folder / "hostile.txt").read_text()), "")

    def test_both_parsers_read_the_same_values(self):
        text = (self.folder / "hostile.txt").read_text()
        open_metrics = (self.folder / "hostile.openmetrics").read_text()
        def samples(families):
            return sorted((sample.name, sorted(sample.labels.items()), sample.value)
                          for family in families for sample in family.samples)
        self.assertEqual(samples(text_parser.text_string_to_metric_families(text)),
                         samples(open_metrics_parser.text_string_to_metric_families(open_metrics)))

    def test_open_metrics_has_exemplars_with_ids(self):
        page = (self.folder / "hostile.openmetrics").read_text()
        exemplars = [sample.exemplar for family in open_metrics_parser.text_string_to_metric_families(page)
                     for sample in family.samples if sample.exemplar]
        self.assertTrue(exemplars)
        for exemplar in exemplars:
            self.assertEqual(set(exemplar.labels), {"pipeline_id", "workflow_id"})


if __name__ == "__main__":
    unittest.main()
