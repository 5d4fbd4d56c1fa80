"""The rules and alerts of deploy/prometheus, by promtool; and that nothing which belongs to an alert is missing.

  /usr/bin/python3 -B rules_test.py
"""

import collections
import pathlib
import re
import subprocess
import unittest

import yaml

import promql

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RULE_FILES = sorted((PROMETHEUS / "rules").glob("*.yml"))
RULE_TESTS = sorted((pathlib.Path(__file__).parent / "rules").glob("*.yml"))
GROUPS = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text())["groups"]]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
TESTS = [test for path in RULE_TESTS for test in yaml.safe_load(path.read_text())["tests"]]

# For each alert at least one test of each; more words may follow after a comma.
CASES = ("fires", "stays quiet", "no data", "restart")
# Its trouble is that there is no data.
FIRES_WITHOUT_DATA = {"SemaphoreGatewayDown"}
THRESHOLD = re.compile(r'semaphoreci:alert_threshold:value\{threshold="(\w+)"\}')


def seconds(text):
    return sum(int(number) * {"s": 1, "m": 60, "h": 3600}[unit] for number, unit in re.findall(r"(\d+)([smh])", text))


class Promtool(unittest.TestCase):
    def run_promtool(self, *arguments):
        ended = subprocess.run(["promtool", *arguments], capture_output=True, text=True)
        self.assertEqual(ended.returncode, 0, ended.stdout + ended.stderr)

    def test_the_rules_are_valid_and_without_lint(self):
        self.run_promtool("check", "rules", "--lint=all", "--lint-fatal", *RULE_FILES)

    def test_the_example_configuration_is_valid_and_finds_the_rules(self):
        self.run_promtool("check", "config", PROMETHEUS / "prometheus.yml")
        config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
        found = {path for pattern in config["rule_files"] for path in PROMETHEUS.glob(pattern)}
        self.assertEqual(found, set(RULE_FILES))

    def test_every_alert_does_as_its_tests_say(self):
        running = {path: subprocess.Popen(["promtool", "test", "rules", path], stdout=subprocess.PIPE,
                                          stderr=subprocess.STDOUT, text=True) for path in RULE_TESTS}
        for path, process in running.items():
            output, _ = process.communicate()
            with self.subTest(path.name):
                self.assertEqual(process.returncode, 0, output)


class Completeness(unittest.TestCase):
    def test_every_alert_is_seen_to_fire_to_stay_quiet_to_have_no_data_and_to_restart(self):
        cases = collections.defaultdict(set)
        for test in TESTS:
            alert, _, what = test["name"].partition(": ")
            self.assertIn(alert, ALERTS, test["name"])
            case = what.partition(",")[0]
            self.assertIn(case, CASES, test["name"])
            cases[alert].add(case)
            asked = test["alert_rule_test"]
            self.assertEqual({one["alertname"] for one in asked}, {alert}, test["name"])
            fired = any(one["exp_alerts"] for one in asked)
            must_fire = case == "fires" or (case == "no data" and alert in FIRES_WITHOUT_DATA)
            self.assertEqual(fired, must_fire, test["name"])
            if what == "no data":
                self.assertEqual(test["input_series"], [])
        self.assertEqual(dict(cases), {alert: set(CASES) for alert in ALERTS})

    def test_every_rule_test_evaluates_all_groups_and_alerts_last(self):
        # promtool evaluates first whatever the order leaves out.
        names = [group["name"] for group in GROUPS]
        alerting = {group["name"] for group in GROUPS if any("alert" in rule for rule in group["rules"])}
        for path in RULE_TESTS:
            order = yaml.safe_load(path.read_text())["group_eval_order"]
            self.assertEqual(sorted(order), sorted(names), path.name)
            self.assertEqual(order[0], "semaphoreci-thresholds")
            self.assertEqual(set(order[-len(alerting):]), alerting)

    def test_every_alert_has_a_severity_a_summary_a_description_and_a_place_in_the_runbook(self):
        headings = re.findall(r"^#+ (.+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
        anchors = {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}
        for name, rule in ALERTS.items():
            with self.subTest(name):
                self.assertIn(rule["labels"]["severity"], ("critical", "warning"))
                annotations = rule["annotations"]
                self.assertEqual(set(annotations), {"summary", "description", "runbook_url"})
                self.assertLess(len(annotations["summary"]), 100)
                self.assertTrue(annotations["description"].endswith("."))
                page, _, anchor = annotations["runbook_url"].partition("#")
                self.assertTrue(page.endswith("/docs/runbook.md"))
                self.assertEqual(anchor, name.lower())
                self.assertIn(anchor, anchors)

    def test_the_runbook_is_about_alerts_that_exist(self):
        about = re.findall(r"^#+ (Semaphore\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.MULTILINE)
        self.assertEqual(sorted(about), sorted(ALERTS))

    def test_every_threshold_is_defined_and_used_once_or_more(self):
        defined = [rule["labels"]["threshold"] for rule in RULES if rule.get("record") == "semaphoreci:alert_threshold:value"]
        used = {name for rule in ALERTS.values() for name in THRESHOLD.findall(rule["expr"])}
        self.assertEqual(sorted(defined), sorted(used))

    def test_recorded_series_are_named_level_metric_operation_and_have_no_gaps(self):
        for group in GROUPS:
            # A series is looked for five minutes back.
            self.assertLess(seconds(group["interval"]), 300, group["name"])
            for rule in group["rules"]:
                if "record" not in rule or rule["record"].startswith("semaphoreci:"):
                    continue
                with self.subTest(rule["record"]):
                    level, metric, operation = rule["record"].split(":")
                    grouping = promql.Names(rule["expr"]).grouping
                    for label in grouping:
                        self.assertIn(label, level)
                    self.assertEqual(len(level), len("_".join(grouping)), f"{level} has other labels than {grouping}")
                    self.assertTrue(operation)
                    self.assertRegex(metric, r"^(semaphoreci|grpc_server)_")


if __name__ == "__main__":
    unittest.main()
