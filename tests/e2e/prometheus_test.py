"""The whole way of a number: simulated Semaphore, gateway, Prometheus. Hundreds of pipelines in a seeded order, some of which live 50 ms;
faults on the way, and the gateway killed in the middle. In the end Prometheus must know exactly how many there were.

  SEED=7 SEMAPHORE_GATEWAY=… SEMAPHORE_SIMULATOR=… /usr/bin/python3 -B prometheus_test.py
"""

import collections
import json
import os
import pathlib
import random
import shutil
import sys
import tempfile
import unittest
import urllib.parse

import processes

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "monitoring"))
from prometheus_process import Prometheus  # noqa: E402

SEED = int(os.environ.get("SEED", "1"))
ROUNDS = 60
PIPELINES_PER_ROUND = 5
KILLED_IN = (15, 35)
ROUNDS_WITHOUT_GATEWAY = 4
# At this pace a malformed pipeline lives 50 ms, and the others from a quarter of a second to five.
PACE = 20

# Of each kind, how the simulator ends it; the refs that the gateway lists, and others.
REFERENCES = ("refs/heads/master", "refs/heads/release-1", "refs/heads/feature-1", "refs/heads/failing-main",
              "refs/heads/failing-2", "refs/heads/no-such-main", "refs/heads/no-such-2", "refs/heads/no-such-3")
LISTED = ("master", "release-1", "failing-main", "no-such-main")

RUNS = "semaphoreci_pipeline_runs_total"

# Between two requests that are answered well.
FAULTS = ({"action": "answer", "status": 503}, {"action": "answer", "status": 500}, {"action": "reset"},
          {"action": "truncated_chunks"}, {"action": "close", "stage": "head"},
          {"action": "answer", "status": 429, "headers": {"retry-after": "1"}})

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s}}
scrape_configs:
  - job_name: semaphore-ci
    metrics_path: /metrics/ci
    static_configs: [{{targets: ['{address}']}}]
"""


class Counted(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="semaphore-e2e-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.random = random.Random(SEED)
        cls.simulator = processes.Simulator(cls.folder, arguments=("--pace", str(PACE), "--seed", str(SEED),
                                                                   "--workflows", "4", "--agents", "5"))
        cls.addClassCleanup(cls.simulator.stop)
        cls.project = cls.simulator.get("projects")[1][0]["metadata"]
        # What ran when the simulator started may end while the gateway starts, and nobody could say on which side.
        processes.wait_until(lambda: not cls.soon_done(), "what was seeded done")
        cls.before = {pipeline["ppl_id"] for pipeline in cls.pipelines() if pipeline["state"] == "DONE"}

        metrics = {"projects": [cls.project["name"]], "refs": list(LISTED), "poll_interval": "1s",
                   "state_dir": str(cls.folder / "state"), "level": "pipeline"}
        cls.settings = ("upstream: {requests_per_second: 100000, burst: 100000}\n"
                        f"metrics: {json.dumps(metrics)}\n")
        cls.gateway = processes.Gateway(cls.folder, [processes.row_of(cls.simulator)], cls.settings)
        cls.addClassCleanup(lambda: cls.gateway.stop())
        # Prometheus asks where the first one was, so the next ones must be there, too.
        cls.address = urllib.parse.urlsplit(cls.gateway.admin).netloc
        (cls.folder / "prometheus").mkdir()
        cls.prometheus = Prometheus(cls.folder / "prometheus", CONFIG.format(address=cls.address))
        cls.addClassCleanup(cls.prometheus.stop)

    @classmethod
    def pipelines(cls):
        """All of the project, as the simulator lists them."""
        found, page = [], 1
        while True:
            _, listed = cls.simulator.get(f"pipelines?project_id={cls.project['id']}&page={page}&page_size=30")
            fresh = [one for one in listed if one["ppl_id"] not in {other["ppl_id"] for other in found}]
            found += fresh
            if len(listed) < 30 or not fresh:
                return found
            page += 1

    @classmethod
    def soon_done(cls):
        return [one for one in cls.pipelines()
                if one["state"] != "DONE" and one["ppl_id"] not in cls.simulator.ids.values()]

    def run_workflow(self, reference):
        body = json.dumps({"project_id": self.project["id"], "reference": reference})
        self.simulator._control.request("POST", "/api/v1alpha/plumber-workflows", body=body,
                                        headers={"authorization": "Token " + self.simulator.token,
                                                 "content-type": "application/json"})
        response = self.simulator._control.getresponse()
        text = response.read().decode()
        self.assertEqual(response.status, 200, text)
        return json.loads(text)

    def restart_gateway(self):
        gateway = self.gateway
        config = gateway.config_file.read_text().replace("admin: {address: '127.0.0.1:0'}",
                                                         f"admin: {{address: '{self.address}'}}")
        gateway.config_file.write_text(config)
        processes.Program.__init__(gateway, self.folder, f"gateway-{len(list(self.folder.glob('gateway*.err')))}",
                                   [processes.GATEWAY, "serve", "--config", gateway.config_file])
        gateway.wait_for_output(lambda: gateway.events("serving"), "serving again")

    def scrapes(self):
        found = self.instant('count_over_time(up{job="semaphore-ci"}[1h])')
        return found[0][1] if found else 0

    def instant(self, expr):
        """Now, by Prometheus's own clock."""
        data = self.prometheus.api("query", query=expr)
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    def wait_for_scrapes(self, count):
        until = self.scrapes() + count
        processes.wait_until(lambda: self.scrapes() >= until, f"{count} more scrapes")

    def samples(self, name):
        """Label set without job and instance, to the raw samples of its series in their order."""
        data = self.prometheus.api("query", query=f"{name}[1h]")
        series = collections.defaultdict(list)
        for one in data["result"]:
            labels = {label: value for label, value in one["metric"].items()
                      if label not in ("__name__", "job", "instance")}
            series[frozenset(labels.items())] += [(float(at), float(value)) for at, value in one["values"]]
        return {labels: sorted(values) for labels, values in series.items()}

    def truth(self):
        """From what the simulator lists: how many ended how since the gateway began to count."""
        counted = collections.Counter()
        for one in self.pipelines():
            if one["state"] != "DONE" or one["ppl_id"] in self.before:
                continue
            folder = one["working_directory"].rstrip("/")
            branch = one["branch_name"]
            counted[frozenset({
                "organization": "acme", "project": self.project["name"], "pipeline": f"{folder}/{one['yaml_file_name']}",
                "ref": branch if branch in LISTED else "other", "ref_type": "branch",
                "result": one["result"].lower()}.items())] += 1
        return counted

    def grown(self):
        """What Prometheus saw of it: last minus first raw sample."""
        grown = {labels: values[-1][1] - values[0][1] for labels, values in self.samples(RUNS).items()}
        return {labels: value for labels, value in grown.items() if value}

    def test_prometheus_knows_exactly_how_many_pipelines_ended_how(self):
        # Counting begins with the first collection; what ends before it is history.
        processes.wait_until(lambda: any(value == 1 for _, value in self.instant("semaphoreci_up")), "collection")
        self.wait_for_scrapes(3)
        down_until = None
        for number in range(ROUNDS):
            for _ in range(PIPELINES_PER_ROUND):
                self.run_workflow(self.random.choice(REFERENCES))
            if number % 5 == 2:
                self.simulator.add_fault(**self.random.choice(FAULTS), method="GET", target_prefix="/api/v1alpha/pipelines",
                                         skip=self.random.randrange(4), every=self.random.randrange(1, 4), times=4)
            if number in KILLED_IN:
                self.gateway.process.kill()
                self.gateway.process.wait()
                down_until = number + ROUNDS_WITHOUT_GATEWAY
            if number == down_until:
                self.restart_gateway()
                down_until = None
            self.wait_for_scrapes(1)
        self.simulator.control("DELETE", "faults")
        processes.wait_until(lambda: not self.soon_done(), "all pipelines done")
        truth = self.truth()
        self.assertGreaterEqual(sum(truth.values()), ROUNDS * PIPELINES_PER_ROUND)

        processes.wait_until(lambda: sum(self.grown().values()) >= sum(truth.values()), "all of them counted")
        # One that were counted twice would show in the next polls.
        self.wait_for_scrapes(5)
        self.assertEqual(self.grown(), dict(truth))
        self.assert_never_falls()
        self.assert_increase_is_close(truth)

    def assert_never_falls(self):
        for labels, values in self.samples(RUNS).items():
            for (_, earlier), (_, later) in zip(values, values[1:]):
                self.assertLessEqual(earlier, later, dict(labels))

    def assert_increase_is_close(self, truth):
        """increase() extrapolates to the ends of its range: asked at the last sample, hardly."""
        last = max(values[-1][0] for values in self.samples(RUNS).values())
        by = "organization, project, pipeline, ref, ref_type, result"
        grown = {frozenset(labels.items()): value
                 for labels, value in self.prometheus.query(f"sum by ({by}) (increase({RUNS}[1h]))", last)}
        for labels, count in truth.items():
            self.assertAlmostEqual(grown[labels], count, delta=0.01 * count, msg=dict(labels))


if __name__ == "__main__":
    unittest.main()
