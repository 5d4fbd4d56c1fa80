"""Every query of every panel and variable of the Grafana dashboards, asked of a real Prometheus that holds the fixture.

  /usr/bin/python3 -B dashboards_test.py
"""

import json
import math
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

import yaml

import fixture
from prometheus_process import Prometheus

GRAFANA = pathlib.Path(__file__).resolve().parents[2] / "deploy" / "grafana"
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((GRAFANA / "dashboards").glob("*.json"))}
# What a Grafana without plugins has.
CORE_PANELS = {"row", "stat", "timeseries", "table", "heatmap", "state-timeline", "bargauge", "gauge", "text"}
LABEL_VALUES = re.compile(r"label_values\((.+), (\w+)\)")
RANGE_SECONDS = 60 * fixture.MINUTES


def panels(dashboard):
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


ALL_PANELS = [(name, panel) for name, dashboard in DASHBOARDS.items() for panel in panels(dashboard)]


def variables(dashboard):
    return {one["name"]: one for one in dashboard["templating"]["list"] if one["type"] == "query"}


def as_regex(value):
    """As Grafana writes a chosen value into a query for Prometheus: escaped for a regular expression in a string."""
    return re.sub(r"[\\^$*+?.()|\[\]{}]", lambda found: "\\\\" + found.group(0), value)


def filled_in(expr, chosen):
    """`chosen`: variable to regular expression."""
    words = {"__range_s": str(RANGE_SECONDS), "__range": f"{RANGE_SECONDS}s", "__rate_interval": "5m",
             "__interval": "1m", **chosen}
    return re.sub(r"\$(\w+)|\$\{(\w+)\}", lambda found: words[found.group(1) or found.group(2)], expr)


class Shape(unittest.TestCase):
    """What can be told without Prometheus."""

    def test_there_are_six_with_stable_uids(self):
        self.assertEqual({name: dashboard["uid"] for name, dashboard in DASHBOARDS.items()},
                         {name: f"semaphore-{name}"
                          for name in ("overview", "pipelines", "jobs", "dora", "agents", "gateway")})

    def test_they_are_what_the_generator_writes(self):
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([sys.executable, "-B", GRAFANA / "generate.py", folder], check=True)
            for name in DASHBOARDS:
                self.assertEqual((pathlib.Path(folder) / f"{name}.json").read_text(),
                                 (GRAFANA / "dashboards" / f"{name}.json").read_text(),
                                 f"run deploy/grafana/generate.py: {name}.json is not up to date")

    def test_every_panel_is_a_core_panel_with_title_description_and_unit(self):
        for name, panel in ALL_PANELS:
            with self.subTest(dashboard=name, panel=panel["title"]):
                self.assertIn(panel["type"], CORE_PANELS)
                self.assertTrue(panel["title"])
                self.assertRegex(panel["description"], r".{15,}\.$")
                self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
                self.assertTrue(panel["fieldConfig"]["defaults"]["thresholds"]["steps"])

    def test_every_query_goes_to_the_chosen_data_source(self):
        for name, panel in ALL_PANELS:
            with self.subTest(dashboard=name, panel=panel["title"]):
                self.assertTrue(panel["targets"])
                for one in [panel, *panel["targets"]]:
                    self.assertEqual(one["datasource"], {"type": "prometheus", "uid": "${datasource}"})

    def test_each_dashboard_can_be_steered_and_left(self):
        for name, dashboard in DASHBOARDS.items():
            with self.subTest(name):
                first = dashboard["templating"]["list"][0]
                self.assertEqual((first["type"], first["name"], first["query"]), ("datasource", "datasource", "prometheus"))
                self.assertIn("organization", variables(dashboard))
                self.assertTrue(dashboard["refresh"] and dashboard["time"]["from"])
                [link] = dashboard["links"]
                self.assertTrue(set(link["tags"]) <= set(dashboard["tags"]))
                self.assertNotIn("id", dashboard)  # Grafana gives one; a fixed one would hit somebody else's

    def test_every_link_leads_to_one_of_them_and_takes_the_organization_along(self):
        links = re.findall(r"/d/([\w-]+)\?([^\"]+)", json.dumps(DASHBOARDS))
        self.assertTrue(links)
        by_uid = {dashboard["uid"]: dashboard for dashboard in DASHBOARDS.values()}
        for uid, parameters in links:
            named = re.findall(r"var-(\w+)=", parameters)
            self.assertIn("organization", named)
            self.assertLessEqual(set(named), set(variables(by_uid[uid])))

    def test_panels_do_not_overlap_and_have_ids_and_titles_of_their_own(self):
        for name, dashboard in DASHBOARDS.items():
            with self.subTest(name):
                ids = [panel["id"] for panel in dashboard["panels"]]
                self.assertEqual(len(ids), len(set(ids)))
                titles = [panel["title"] for panel in panels(dashboard)]
                self.assertEqual(sorted(titles), sorted(set(titles)))
                taken = set()
                for panel in dashboard["panels"]:
                    at = panel["gridPos"]
                    self.assertLessEqual(at["x"] + at["w"], 24)
                    cells = {(x, y) for x in range(at["x"], at["x"] + at["w"])
                             for y in range(at["y"], at["y"] + at["h"])}
                    self.assertFalse(cells & taken, panel["title"])
                    taken |= cells

    def test_the_runbook_names_panels_that_exist(self):
        text = (GRAFANA.parents[1] / "docs" / "runbook.md").read_text()
        named = set(re.findall(r"(?<!\*)\*([A-Z][^*\n]+)\*(?!\*)", text))
        self.assertTrue(named)
        self.assertEqual(named - {panel["title"] for _, panel in ALL_PANELS}, set())

    def test_provisioning_files_name_what_is_there(self):
        folder = GRAFANA / "provisioning"
        [provider] = yaml.safe_load((folder / "dashboards" / "semaphore.yaml").read_text())["providers"]
        self.assertEqual((provider["type"], provider["options"]["path"]), ("file", "/var/lib/grafana/dashboards/semaphore"))
        [source] = yaml.safe_load((folder / "datasources" / "semaphore.yaml").read_text())["datasources"]
        self.assertEqual((source["type"], source["access"]), ("prometheus", "proxy"))
        scrape = yaml.safe_load((GRAFANA.parent / "prometheus" / "prometheus.yml").read_text())["global"]
        self.assertEqual(source["jsonData"]["timeInterval"], scrape["scrape_interval"])


class Queries(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="semaphore-monitoring-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.fixture = fixture.Fixture()
        text = cls.folder / "fixture.txt"
        text.write_text(cls.fixture.open_metrics())
        subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", text, cls.folder / "data"],
                       check=True, capture_output=True)
        cls.prometheus = Prometheus(cls.folder, "global: {}\n", cls.folder / "data")
        cls.addClassCleanup(cls.prometheus.stop)

    def choices(self, dashboard, pick):
        """The variables in their order, each asked for with the choices before it, as Grafana does."""
        chosen = {}
        for name, one in variables(dashboard).items():
            selector, label = LABEL_VALUES.fullmatch(one["query"]["query"]).groups()
            self.assertEqual(label, name)
            values = self.prometheus.label_values(label, filled_in(selector, chosen), fixture.START, fixture.END)
            self.assertTrue(values, f"{dashboard['title']}: variable {name} has no values")
            chosen[name] = pick(one, values)
        return chosen

    def answer(self, target, expr):
        """Series of labels and values, at the end of the fixture or over all of it, as the panel asks."""
        if target["instant"]:
            return [(labels, [value]) for labels, value in self.prometheus.query(expr, fixture.END)]
        return self.prometheus.query_range(expr, fixture.START, fixture.END, 300)

    def ask_all(self, pick):
        for name, dashboard in DASHBOARDS.items():
            chosen = self.choices(dashboard, pick)
            for panel in panels(dashboard):
                for target in panel["targets"]:
                    with self.subTest(dashboard=name, panel=panel["title"], query=target["refId"]):
                        series = self.answer(target, filled_in(target["expr"], chosen))
                        self.assertTrue(series, f"no data: {filled_in(target['expr'], chosen)}")
                        self.assertTrue(any(math.isfinite(value) for _, values in series for value in values),
                                        "no number")
                        for label in re.findall(r"{{\s*(\w+)\s*}}", target["legendFormat"]):
                            for labels, _ in series:
                                self.assertIn(label, labels, "the legend names it")

    def test_every_panel_has_data_for_everything(self):
        self.ask_all(lambda variable, _: variable["allValue"])

    def test_every_panel_has_data_for_one_choice(self):
        # Of the pipelines the one that everything is about.
        self.ask_all(lambda _, values: as_regex(fixture.SEMAPHORE_YML if fixture.SEMAPHORE_YML in values else values[0]))

    def test_every_panel_has_data_for_several_choices(self):
        self.ask_all(lambda _, values: "(" + "|".join(as_regex(value) for value in values) + ")")

    def test_columns_that_tables_color_link_or_sort_by_are_there(self):
        for name, dashboard in DASHBOARDS.items():
            chosen = {one: variable["allValue"] for one, variable in variables(dashboard).items()}
            for panel in panels(dashboard):
                if panel["type"] != "table":
                    continue
                with self.subTest(dashboard=name, panel=panel["title"]):
                    [target] = panel["targets"]
                    series = self.answer(target, filled_in(target["expr"], chosen))
                    columns = set(series[0][0]) | {panel["transformations"][0]["options"]["renameByName"].get("Value")}
                    for override in panel["fieldConfig"]["overrides"]:
                        self.assertIn(override["matcher"]["options"], columns)
                        for field in re.findall(r"__data\.fields\.(\w+)", json.dumps(override)):
                            self.assertIn(field, columns)

    def test_where_results_have_colors_each_series_has_one(self):
        for name, dashboard in DASHBOARDS.items():
            chosen = {one: variable["allValue"] for one, variable in variables(dashboard).items()}
            for panel in panels(dashboard):
                overrides = panel["fieldConfig"]["overrides"]
                if panel["type"] != "timeseries" or not overrides:
                    continue
                colored = [re.compile(override["matcher"]["options"].strip("/")) for override in overrides]
                for target in panel["targets"]:
                    for labels, _ in self.answer(target, filled_in(target["expr"], chosen)):
                        legend = re.sub(r"{{(\w+)}}", lambda found: labels[found.group(1)], target["legendFormat"])
                        with self.subTest(dashboard=name, panel=panel["title"], legend=legend):
                            self.assertEqual(sum(bool(one.search(legend)) for one in colored), 1)

    def test_organizations_are_kept_apart_when_all_are_chosen(self):
        # Of web there are two. A heatmap has no place for a name.
        for name, dashboard in DASHBOARDS.items():
            everything = {one: variable["allValue"] for one, variable in variables(dashboard).items()}
            for panel in panels(dashboard):
                for target in panel["targets"]:
                    if "$organization" not in target["expr"] or panel["type"] == "heatmap":
                        continue
                    with self.subTest(dashboard=name, panel=panel["title"]):
                        for labels, _ in self.answer(target, filled_in(target["expr"], everything)):
                            self.assertIn("organization", labels)
                        if panel["type"] != "table":
                            self.assertIn("{{organization}}", target["legendFormat"])
        # Of a day there are four hours, so that the increases are extrapolated.
        self.assertEqual({labels: round(value, 3) for labels, value in
                          self.shown("overview", "Pass rate by project").items()},
                         {("acme", "api"): 0.6, ("acme", "web"): 0.8, ("globex", "web"): 1})
        for legend in ("{{organization}} {{project}} median", "{{organization}} {{project}} 90 %"):
            self.assertEqual(set(self.shown("overview", "Duration", legend)),
                             {("acme", "api"), ("acme", "web"), ("globex", "web")})
        self.assertEqual(set(self.shown("pipelines", "Duration", "{{organization}} {{project}} {{pipeline}} median")),
                         {(fixture.SEMAPHORE_YML, *of) for of in fixture.PROJECTS})
        self.assert_shown({(*of, "running"): 900 for of in fixture.PROJECTS}, "pipelines", "Oldest active pipeline")
        self.assert_shown({(*of, fixture.SEMAPHORE_YML, "Build", "unit"): 240 for of in fixture.PROJECTS}
                          | {(*of, fixture.SEMAPHORE_YML, "Test", job): 240 for of in fixture.PROJECTS
                             for job in ("unit", "e2e")}, "jobs", "Jobs that fail most")
        self.assert_shown({(*of, target): share for of in fixture.PROJECTS
                           for target, share in (("production", 1 / 3), ("staging", 0))}, "dora",
                          "Change failure rate by target")
        self.assert_shown({("acme", "api"): 3, ("acme", "web"): 3, ("globex", "web"): 3}, "agents", "Pipelines that wait")

    # What a panel must say at the end of the fixture, told by hand from the fixture: (labels, number).

    def shown(self, name, title, legend=None, **chosen):
        dashboard = DASHBOARDS[name]
        [panel] = [panel for panel in panels(dashboard) if panel["title"] == title]
        [target] = [one for one in panel["targets"] if legend is None or one["legendFormat"] == legend]
        everything = {one: variable["allValue"] for one, variable in variables(dashboard).items()}
        expr = filled_in(target["expr"], {**everything, **chosen})
        return {tuple(sorted(labels.values())): value for labels, value in self.prometheus.query(expr, fixture.END)}

    def assert_shown(self, expected, *arguments, **chosen):
        expected = {tuple(sorted(labels)): value for labels, value in expected.items()}
        shown = self.shown(*arguments, **chosen)
        self.assertEqual(set(shown), set(expected))
        for labels, value in expected.items():
            self.assertAlmostEqual(shown[labels], value, delta=1e-9 * max(1, abs(value)), msg=str(labels))

    def test_overview_says_what_the_fixture_says(self):
        # acme/api is the only one of three projects that ends red.
        self.assert_shown({("acme",): 1, ("globex",): 0}, "overview", "Broken branches")
        # On main 2+3 pass and 2+1 fail a minute, and two deploy pipelines pass; at globex all pass.
        self.assert_shown({("acme",): 7 / 10, ("globex",): 1}, "overview", "Pass rate")
        # 240 minutes; a minute at acme 8 on main, 6 on other, 2 deploy, and at globex 1, 3, 1.
        self.assertEqual(self.fixture.growth("semaphoreci_pipeline_runs_total", 240), 240 * 21)
        self.assert_shown({("acme",): 240 * 16, ("globex",): 240 * 5}, "overview", "Runs")
        # Half of the passed end at 120 s or less.
        self.assert_shown({("acme",): 120, ("globex",): 120}, "overview", "Median duration")
        self.assert_shown({("acme",): 12, ("globex",): 6}, "overview", "Active now")
        self.assert_shown({("acme",): 90, ("globex",): 45}, "overview", "Age of the data")
        self.assert_shown({("acme",): 45}, "overview", "Age of the data", organization="acme", project="api")
        self.assert_shown({("acme",): 1, ("globex",): 0}, "overview", "Never collected")
        self.assert_shown({("acme",): 0, ("globex",): 0}, "overview", "Never collected", project="web")
        self.assert_shown({("acme", "passed"): 60 * 9, ("acme", "failed"): 60 * 5, ("acme", "stopped"): 60 * 2,
                           ("acme", "canceled"): 0, ("acme", "unknown"): 0,
                           ("globex", "passed"): 60 * 3, ("globex", "failed"): 60, ("globex", "stopped"): 60,
                           ("globex", "canceled"): 0, ("globex", "unknown"): 0}, "overview", "Runs by result")

    def test_nothing_known_is_not_shown_as_nothing_broken(self):
        for title in ("Broken branches", "Never collected"):
            self.assert_shown({}, "overview", title, project="no-such")

    def test_pipelines_says_what_the_fixture_says(self):
        web = {"organization": "acme", "project": "web"}
        # 3 of 4 on main, 1 of 2 elsewhere, and the deploy pipeline.
        self.assert_shown({("acme",): 5 / 7}, "pipelines", "Pass rate", **web)
        self.assert_shown({("acme",): 3 / 4}, "pipelines", "Pass rate", **web, ref="main",
                          pipeline=as_regex(fixture.SEMAPHORE_YML))
        # Of 4 a minute 2 end by 120 s and 2 by 240 s: the 3.6th is at 120 + 120 · 1.6 / 2.
        self.assert_shown({("acme",): 216}, "pipelines", "90 % take at most", **web)
        self.assert_shown({("acme",): 240}, "pipelines", "Flaky commits", **web)
        self.assert_shown({("acme",): 720}, "pipelines", "Reruns", **web)
        self.assert_shown({("acme",): 2700}, "pipelines", "Median recovery", **web)
        self.assert_shown({("acme", "pending"): 10, ("acme", "executing"): 100, ("acme", "finalizing"): 2}, "pipelines",
                          "Where the time goes", **web)
        self.assert_shown({("acme", "running", "web"): 900}, "pipelines", "Oldest active pipeline", **web)

    def test_jobs_says_what_the_fixture_says(self):
        web = {"organization": "acme", "project": "web"}
        # Passed: Build 4 + 4, Test 3 + 3; failed: unit of both, and e2e, which has never passed.
        self.assert_shown({("acme",): 14 / 17}, "jobs", "Job pass rate", **web)
        self.assert_shown({("acme",): 240 * 17}, "jobs", "Jobs", **web)
        self.assert_shown({("acme",): 720}, "jobs", "Failed jobs", **web)
        self.assert_shown({("acme",): 1}, "jobs", "90 % wait at most", **web)
        of = (*web.values(), fixture.SEMAPHORE_YML)
        self.assert_shown({(*of, "Build", "unit"): 240, (*of, "Test", "unit"): 240, (*of, "Test", "e2e"): 240}, "jobs",
                          "Jobs that fail most", **web)
        self.assert_shown({(*of, "Build", "unit"): 1 / 5, (*of, "Test", "unit"): 1 / 4, (*of, "Test", "e2e"): 1}, "jobs",
                          "Jobs that fail most often", **web)
        self.assert_shown({(*of, "Build"): 0.2, (*of, "Test"): 0.25}, "jobs", "Blocks that fail most often", **web)

    def test_dora_says_what_the_fixture_says(self):
        web = {"organization": "acme", "project": "web"}
        # By rule and by hand, 2 to production and 4 to staging each, in every minute of the day.
        self.assert_shown({("acme",): 12 * 1440}, "dora", "Deployments a day", **web)
        # Of thirty days there is data of four hours.
        self.assert_shown({("acme",): 12 * 1440}, "dora", "Deployments a day", **web, **{"__range": "30d"})
        self.assert_shown({("acme",): 2 / 14}, "dora", "Change failure rate", **web)
        self.assert_shown({("acme",): 1 / 3}, "dora", "Change failure rate", **web, target="production")
        self.assert_shown({("acme",): 5400}, "dora", "Lead time", **web)
        self.assert_shown({("acme",): 2700}, "dora", "Time to restore", **web)
        self.assert_shown({("acme", "production", "web"): 600, ("acme", "staging", "web"): 600}, "dora",
                          "Last deployment", **web)

    def test_agents_says_what_the_fixture_says(self):
        acme = {"organization": "acme"}
        self.assert_shown({("acme",): 6}, "agents", "Agents", **acme)
        self.assert_shown({("acme",): 0.5}, "agents", "Utilisation", **acme)
        self.assert_shown({("acme", "s1-linux"): 0.75, ("acme", "s1-mac"): 0}, "agents", "Utilisation by type", **acme)
        self.assert_shown({("acme",): 6}, "agents", "Waiting pipelines", **acme)
        self.assert_shown({("acme",): 2}, "agents", "Versions in use", **acme)

    def test_gateway_says_what_the_fixture_says(self):
        # One of two is down.
        self.assert_shown({(): 1 / 2}, "gateway", "Up")
        # 99 calls a minute, of them 3 Unavailable.
        self.assert_shown({(): 99 / 60}, "gateway", "Calls")
        self.assert_shown({(): 3 / 99}, "gateway", "Errors")
        # Of 60 reads a minute and method 30 + 6 + 12 needed no request.
        self.assert_shown({(): 0.8}, "gateway", "Answered from the cache")
        self.assert_shown({(): 2 * 12 / 60}, "gateway", "How reads were answered", "miss")
        # That before acme is half open, until a request tries.
        self.assert_shown({("acme",): 0, ("globex",): 1}, "gateway", "Breakers open")
        self.assert_shown({("acme", "g1:9464"): 0, ("globex", "g1:9464"): 1}, "gateway", "Circuit breakers")
        self.assert_shown({(organization, code): rate for organization in ("acme", "globex")
                           for code, rate in (("200", 0.5), ("401", 0), ("404", 0.1), ("503", 0.05))}, "gateway",
                          "Replies by status")
        self.assert_shown({("acme",): 90, ("globex",): 45}, "gateway", "Age of the data")
        self.assert_shown({("acme", "api"): 45, ("acme", "web"): 90, ("globex", "web"): 45}, "gateway",
                          "Collected projects")
        self.assert_shown({("acme", "new"): 1}, "gateway", "Projects never collected")
        self.assert_shown({("g1:9464",): 0.5}, "gateway", "CPU")
        self.assert_shown({("0.1.0", "g1:9464", "semaphore-gateway"): 86400 + 14400}, "gateway", "Running since")


if __name__ == "__main__":
    unittest.main()
