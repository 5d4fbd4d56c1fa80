"""The whole way of a number: simulated Semaphore, gateway, Prometheus. Hundreds of pipelines of two projects in a seeded order, some of
which live 50 ms; stops, reruns and promotions; faults on the way; the gateway killed at random moments. In the end Prometheus must know
exactly what happened, family by family. ci_life.py makes it happen, ci_truth.py says what it was.

  SEED=7 SEMAPHORE_GATEWAY=… SEMAPHORE_SIMULATOR=… /usr/bin/python3 -B prometheus_test.py
"""

import collections
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.parse

import ci_life
import ci_truth
import processes

TESTS = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "monitoring"))
from prometheus_process import Prometheus  # noqa: E402

SEED = int(os.environ.get("SEED", "1"))
# At this pace a malformed pipeline lives 50 ms, and the others from a quarter of a second to five.
PACE = 20
ROUNDS = 30
ACTIONS_PER_ROUND = 15
ACTIONS_BEFORE = 60
LEAST_PIPELINES = 300
REFS = ("master", "release-.*", "refs/tags/v1.0", "failing-main", "no-such-main")

# Promotions are read a minute after the end of their pipeline, deployments once a minute until theirs is done; the sooner the last one
# is made, the sooner the test is through.
LAST_PROMOTING_ROUND = 18
ALL_COUNTED_SECONDS = 110

# How the gateway goes, and the most rounds until it is back; None: at once, only to be killed again while it starts or soon after.
OUTAGES = ((signal.SIGKILL, 3), (signal.SIGKILL, 3), (signal.SIGKILL, None), (signal.SIGTERM, 2))
FIRST_OUTAGE_ROUND = 2
ROUNDS_BETWEEN_OUTAGES = 5

WATERMARK = "semaphoreci_gateway_collector_watermark_timestamp_seconds"
SCRAPE_JOB = "semaphore-ci"  # in the example of a configuration


def prometheus_config(address):
    """Scrapes the page as that example does, only more often."""
    example = (TESTS.parent / "deploy/prometheus/prometheus.yml").read_text()
    job = example[example.index(f"  - job_name: {SCRAPE_JOB}"):]
    return "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n" + job.replace("127.0.0.1:9464", f"'{address}'")


def read_buckets():
    """Families of events to their buckets' bounds; a counter has none."""
    printed = subprocess.run([processes.GATEWAY, "metrics-catalog"], check=True, capture_output=True, timeout=processes.LIMIT_SECONDS)
    return {family["name"]: family["buckets"] for family in json.loads(printed.stdout) if family.get("event")}


def key_of(metric, name=None):
    """Name and labels of a series without those that Prometheus puts on."""
    labels = {label: value for label, value in metric.items() if label not in ("__name__", "instance")}
    if labels["job"] == SCRAPE_JOB:
        del labels["job"]
    if "le" in labels:
        labels["le"] = float(labels["le"])
    return name or metric["__name__"], frozenset(labels.items())


class Counted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="semaphore-e2e-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.random = random.Random(SEED)
        cls.buckets = read_buckets()
        cls.simulator = processes.Simulator(cls.folder, arguments=("--pace", str(PACE), "--seed", str(SEED), "--projects", "2",
                                                                   "--workflows", "4", "--agents", "5"))
        cls.addClassCleanup(cls.simulator.stop)
        cls.life = ci_life.Life(cls.simulator, cls.random)
        cls.projects = {project["metadata"]["name"]: project["metadata"]["id"] for project in cls.simulator.get("projects")[1]}
        # A history that the gateway may remember and must not count: broken branches, failed commits, and promotions of what ended.
        for _ in range(2):
            for _ in range(ACTIONS_BEFORE // 2):
                cls.life.act(promoting=True)
            # What still runs may end while the gateway starts, and nobody could say on which side.
            processes.wait_until(cls.all_done, "what was begun done")
            cls.life.promote_one_that_passed()
        # The last that the gateway hears of before it counts; a promotion without a pipeline that came later would be news.
        for project in cls.life.projects:
            cls.life.run(project)
        processes.wait_until(cls.all_done, "the last of the history done")
        cls.before = ci_truth.events(ci_truth.read(cls.simulator), REFS)

        metrics = {"discover": True, "refs": list(REFS), "poll_interval": "1s", "state_dir": str(cls.folder / "state"), "level": "job"}
        settings = f"upstream: {{requests_per_second: 100000, burst: 100000}}\nmetrics: {json.dumps(metrics)}\n"
        cls.gateway = processes.Gateway(cls.folder, [processes.row_of(cls.simulator, ci_truth.ORGANIZATION)], settings)
        cls.addClassCleanup(lambda: cls.gateway.stop())
        # Prometheus asks where the first one was, so the next ones must be there, too.
        cls.address = urllib.parse.urlsplit(cls.gateway.admin).netloc
        (cls.folder / "prometheus").mkdir()
        cls.prometheus = Prometheus(cls.folder / "prometheus", prometheus_config(cls.address))
        cls.addClassCleanup(cls.prometheus.stop)

    @classmethod
    def all_done(cls):
        """But for the one pipeline that runs until it is stopped."""
        return all(one["state"] == "DONE" or one["ppl_id"] in cls.simulator.ids.values() for project in cls.projects.values()
                   for one in ci_truth.listed(cls.simulator, f"pipelines?project_id={project}"))

    def test_prometheus_knows_exactly_what_happened(self):
        # Counting begins with a project's first collection; what ends before it is history.
        processes.wait_until(lambda: all(self.gateway.metric(WATERMARK, project=name) for name in self.projects), "first collections")
        self.wait_for_scrapes(3)
        self.let_things_happen()

        happened = ci_truth.since(self.before, ci_truth.events(ci_truth.read(self.simulator), REFS))
        families = collections.Counter(event.family for event in happened)
        self.assertGreaterEqual(families["semaphoreci_pipeline_runs_total"], LEAST_PIPELINES)
        self.assertEqual(set(self.buckets), set(families))

        expected = ci_truth.growth(happened, self.buckets)
        self.wait_for_counts(expected)
        # One that were counted twice would show in the next polls.
        self.wait_for_scrapes(5)
        [(_, at)] = self.instant("timestamp(up)")
        samples = self.samples(at)
        self.assert_never_falls_and_stays(samples, at)
        self.assert_grew_as_expected(expected, samples)
        self.assert_increase_is_close(expected, self.increases(at))

    # ---- What happens ----

    def let_things_happen(self):
        outages = self.plan_outages()
        back_in = None
        for number in range(ROUNDS):
            self.life.begin_round(number)
            if self.random.random() < 0.4:
                self.life.add_fault()
            if number == back_in:
                self.start_gateway()
            if number == LAST_PROMOTING_ROUND:
                self.life.promote_one_that_passed()
            how, rounds = outages.get(number, (None, None))
            ends_after = self.random.randrange(ACTIONS_PER_ROUND)
            for action in range(ACTIONS_PER_ROUND):
                self.life.act(promoting=number <= LAST_PROMOTING_ROUND)
                if how is None or action != ends_after:
                    continue
                self.end_gateway(how)
                back_in = rounds and number + rounds
                if rounds is None:
                    self.start_gateway(until_serving=False)
                    self.end_gateway(how)
                    self.start_gateway()
            self.wait_for_scrapes(1)
        self.simulator.control("DELETE", "faults")
        processes.wait_until(self.all_done, "all pipelines done")

    def plan_outages(self):
        """Round to how the gateway goes in it and after how many more rounds it is back."""
        outages = self.random.sample(OUTAGES, len(OUTAGES))
        return {FIRST_OUTAGE_ROUND + ROUNDS_BETWEEN_OUTAGES * i + self.random.randrange(2):
                (how, most and self.random.randrange(1, most + 1)) for i, (how, most) in enumerate(outages)}

    def end_gateway(self, how):
        time.sleep(self.random.random())  # whatever it is doing by then
        if how == signal.SIGTERM:
            self.assertEqual(self.gateway.stop(), 0)
        else:
            self.gateway.process.kill()
            self.gateway.process.wait()

    def start_gateway(self, until_serving=True):
        gateway = self.gateway
        config = gateway.config_file.read_text().replace("admin: {address: '127.0.0.1:0'}",
                                                         f"admin: {{address: '{self.address}'}}")
        gateway.config_file.write_text(config)
        processes.Program.__init__(gateway, self.folder, f"gateway-{len(list(self.folder.glob('gateway*.err')))}",
                                   [processes.GATEWAY, "serve", "--config", gateway.config_file])
        if until_serving:
            gateway.wait_for_output(lambda: gateway.events("serving"), "serving again")

    # ---- What Prometheus saw ----

    def instant(self, expr):
        """Now, by Prometheus's own clock."""
        data = self.prometheus.api("query", query=expr)
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    def scrapes(self):
        found = self.instant("count_over_time(up[1h])")
        return found[0][1] if found else 0

    def wait_for_scrapes(self, count):
        until = self.scrapes() + count
        processes.wait_until(lambda: self.scrapes() >= until, f"{count} more scrapes")

    def wait_for_counts(self, expected):
        """Until as much was counted as happened; or ought to have been, and then the comparison tells what is missing."""
        wanted = collections.Counter()
        for (name, _), value in expected.items():
            if name.endswith(("_total", "_count")):
                wanted[name] += value
        deadline = time.monotonic() + ALL_COUNTED_SECONDS
        # The sum is without the names, so each is kept as a label first.
        totals = 'sum by (name) (label_replace({__name__=~"semaphoreci_.*(_total|_count)"}, "name", "$1", "__name__", "(.*)"))'

        def is_counted():
            seen = {labels["name"]: value for labels, value in self.instant(totals)}
            return all(seen.get(name, 0) >= count for name, count in wanted.items()) or time.monotonic() > deadline
        processes.wait_until(is_counted, "everything counted")

    def samples(self, at):
        """Each series to its raw samples, pairs of moment and value."""
        found = {}
        for family in self.buckets:
            data = self.prometheus.api("query", query=f'{{__name__=~"{family}(_count|_sum|_bucket)?"}}[1h]', time=at)
            for one in data["result"]:
                found[key_of(one["metric"])] = [(float(moment), float(value)) for moment, value in one["values"]]
        return found

    def increases(self, at):
        """Each series to what increase() says of it. It extrapolates to the ends of its range: asked at a scrape, hardly."""
        return {key_of(metric, family + suffix): value
                for family, bounds in self.buckets.items() for suffix in (("_count", "_sum", "_bucket") if bounds else ("",))
                for metric, value in self.prometheus.query(f"increase({family}{suffix}[1h])", at)}

    # ---- The comparison ----

    def assert_never_falls_and_stays(self, samples, at):
        for series, values in samples.items():
            numbers = [value for _, value in values]
            self.assertEqual(numbers, sorted(numbers), series)
            self.assertEqual(values[-1][0], at, series)

    def assert_grew_as_expected(self, expected, samples):
        """Last minus first raw sample. A sum adds the same numbers in another order, and each addition rounds it by up to 2^-53 of it:
        a thousand of them leave twelve digits right."""
        grown = {series: values[-1][1] - values[0][1] for series, values in samples.items()}
        self.assert_agrees(expected, grown, lambda name, value: 1e-12 * value if name.endswith("_sum") else 0)

    def assert_increase_is_close(self, expected, increases):
        self.assert_agrees(expected, increases, lambda _, value: 0.01 * value)

    def assert_agrees(self, expected, seen, tolerance):
        """Label set by label set in both directions; a family that is wrong hides no other."""
        wrong = {family: [] for family in self.buckets}
        for name, labels in expected.keys() | seen.keys():
            happened, counted = expected.get((name, labels), 0), seen.get((name, labels), 0)
            if abs(happened - counted) > tolerance(name, happened):
                text = ", ".join(f"{label}={value}" for label, value in sorted(labels))
                family = name if name in self.buckets else name.rpartition("_")[0]
                wrong[family].append(f"{name} {text}: {happened} happened, {counted} seen")
        for family, lines in wrong.items():
            with self.subTest(family=family):
                if lines:
                    self.fail("\n".join(sorted(lines)))


if __name__ == "__main__":
    unittest.main()
