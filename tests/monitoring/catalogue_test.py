"""No dashboard, rule or fixture names a metric or label that the gateway does not export; its own catalogue decides.

  SEMAPHORE_GATEWAY=… /usr/bin/python3 -B catalogue_test.py
"""

import json
import os
import re
import subprocess
import unittest

import dashboards_test
import fixture
import promql
import rules_test

# What Prometheus itself adds.
SCRAPED = {"job", "instance"}
OF_PROMETHEUS = {"up": set(), "ALERTS": {"alertname", "alertstate", "severity"}}


def read_catalogue():
    printed = subprocess.run([os.environ["SEMAPHORE_GATEWAY"], "metrics-catalog"], check=True, capture_output=True,
                             text=True, timeout=60).stdout
    return {family["name"]: family for family in json.loads(printed)}


class Catalogue(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.catalogue = read_catalogue()
        cls.known = {name: labels | SCRAPED for name, labels in OF_PROMETHEUS.items()}
        for name, family in cls.catalogue.items():
            labels = set(family["labels"]) | SCRAPED
            if family["type"] == "histogram":
                cls.known.update({name + "_bucket": labels | {"le"}, name + "_count": labels, name + "_sum": labels})
            else:
                cls.known[name] = labels
        for rule in rules_test.RULES:
            if "record" in rule:
                labels = promql.Names(str(rule["expr"])).grouping | set(rule.get("labels", {}))
                cls.known.setdefault(rule["record"], set()).update(labels)

    def assert_known(self, expr):
        """Returns the metrics named."""
        names = promql.Names(expr)
        together = set()
        for metric, labels in names.selectors:
            # Told shortly: the catalogue is long.
            self.assertTrue(metric in self.known, f"no such metric: {metric} in {expr}")
            self.assertEqual(labels - self.known[metric], set(), f"{metric} has no such label: {expr}")
            together |= self.known[metric]
        self.assertEqual(names.grouping - together, set(), f"no metric has such a label: {expr}")
        return {metric for metric, _ in names.selectors}

    def test_rules_name_what_is_exported(self):
        for rule in rules_test.RULES:
            with self.subTest(rule.get("alert") or rule["record"]):
                self.assert_known(str(rule["expr"]))

    def test_panels_name_what_is_exported(self):
        for name, panel in dashboards_test.ALL_PANELS:
            for target in panel["targets"]:
                with self.subTest(dashboard=name, panel=panel["title"]):
                    filled = re.sub(r"\$\w+", "1", target["expr"])
                    self.assertTrue(self.assert_known(filled))

    def test_variables_name_what_is_exported(self):
        for name, dashboard in dashboards_test.DASHBOARDS.items():
            for variable in dashboards_test.variables(dashboard).values():
                with self.subTest(dashboard=name, variable=variable["name"]):
                    selector, label = dashboards_test.LABEL_VALUES.fullmatch(variable["query"]["query"]).groups()
                    [metric] = self.assert_known(selector)
                    self.assertIn(label, self.known[metric])

    def test_the_fixture_has_the_labels_of_the_catalogue(self):
        for name, label_sets in fixture.Fixture().families.items():
            if name in OF_PROMETHEUS:
                continue
            with self.subTest(name):
                self.assertTrue(name in self.catalogue, "no such metric")
                for labels in label_sets:
                    self.assertEqual(labels, set(self.catalogue[name]["labels"]))

    def test_the_runbook_names_metrics_and_log_events_that_exist(self):
        text = (rules_test.ROOT / "docs" / "runbook.md").read_text()
        for metric in set(re.findall(r"\b(?:semaphoreci|grpc_server)_\w+", text)):
            self.assertTrue(metric in self.known, metric)
        source = "".join(path.read_text() for path in (rules_test.ROOT / "gateway").glob("*.cc"))
        told = [event for line in re.findall(r"log: (.+)", text) for event in re.findall(r"`([a-z_]+)`", line)]
        self.assertTrue(told)
        for event in set(told) - {"event", "level", "code", "reason", "error", "peer"}:
            self.assertTrue(f'"{event}"' in source, f"no such event: {event}")

    def test_every_family_is_shown_on_a_dashboard_or_asked_by_a_rule(self):
        exprs = [re.sub(r"\$\w+", "1", target["expr"]) for _, panel in dashboards_test.ALL_PANELS
                 for target in panel["targets"]]
        exprs += [str(rule["expr"]) for rule in rules_test.RULES]
        used = {metric for expr in exprs for metric, _ in promql.Names(expr).selectors}
        used |= {re.sub("_(bucket|count|sum)$", "", metric) for metric in used}
        # For those who look into the page itself.
        unused = {"process_virtual_memory_bytes", "semaphoreci_gateway_callers",
                  "semaphoreci_gateway_audit_lines_total", "semaphoreci_gateway_audit_lines_waiting",
                  "semaphoreci_gateway_tls_reloads_total"}
        self.assertEqual(set(self.catalogue) - used - unused, set())


if __name__ == "__main__":
    unittest.main()
