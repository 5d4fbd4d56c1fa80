"""What people and bad networks do to a simulated Semaphore, one thing at a time, as `random` will have it."""

import collections
import itertools
import json

# How a pipeline ends is in the beginning of its branch's name: the oddest ones here pass, and yet they carry the label of one that does
# not, which is what a repaired main branch looks like. The last one has no name.
REFERENCES = ("refs/heads/master", "refs/heads/master", "refs/heads/master", "refs/heads/release-1", "refs/heads/feature-1",
              "refs/tags/v1.0", "refs/tags/v2.0", "refs/pull/7", "refs/heads/failing-main", "refs/heads/failing-2",
              "refs/heads/no-such-main", "refs/heads/no-such-2", "refs/heads/refs/heads/failing-main",
              "refs/heads/refs/heads/no-such-main", "refs/heads/")
FILES = (".semaphore/semaphore.yml", ".semaphore/semaphore.yml", ".semaphore/nightly.yml")
# Few enough for some to be built on branches that pass and on others that fail.
COMMITS = tuple(f"{number:040x}" for number in range(1, 40))
PROMOTIONS = ({"name": "Staging"}, {"name": "Production", "VERSION": "1.2", "REGION": "eu"}, {"name": "Rollback", "TO_VERSION": "1.1"},
              {"name": "Unschedulable"}, {"name": "Cordoned target"})

# Between two requests that are answered well.
FAULTS = ({"action": "answer", "status": 503}, {"action": "answer", "status": 500}, {"action": "reset"},
          {"action": "truncated_chunks"}, {"action": "close", "stage": "head"},
          {"action": "answer", "status": 429, "headers": {"retry-after": "1"}})
FAULTY = ("/api/v1alpha/pipelines", "/api/v1alpha/pipelines/", "/api/v1alpha/jobs/", "/api/v1alpha/promotions", "/api/v1alpha/")

# An action is about something that began in this round or one of so many before.
RECENT_ROUNDS = 6

Run = collections.namedtuple("Run", "round workflow_id pipeline_id is_rerun")


class Life:
    def __init__(self, simulator, random):
        self.simulator, self.random = simulator, random
        self.projects = [simulator.ids["project_id"], simulator.ids["other_project_id"]]
        self.recent = collections.deque()  # of Run
        self.round = 0
        # Promotions to these are deployments.
        for number, (project, target) in enumerate(itertools.product(self.projects, ("staging", "production"))):
            self.send("POST", "deployment_targets", {"project_id": project, "name": target,
                                                     "unique_token": f"00000000-0000-4000-8000-{number:012}"})

    def begin_round(self, number):
        self.round = number
        while self.recent and self.recent[0].round < number - RECENT_ROUNDS:
            self.recent.popleft()

    def act(self, promoting):
        actions = {self.run: 56, self.rerun: 12, self.run_again: 4, self.stop: 5, self.stop_workflow: 2, self.stop_job: 2,
                   self.promote: 19 if promoting else 0}
        [action] = self.random.choices(list(actions), list(actions.values())) if self.recent else [self.run]
        action()

    def add_fault(self):
        self.simulator.add_fault(**self.random.choice(FAULTS), method="GET", target_prefix=self.random.choice(FAULTY),
                                 skip=self.random.randrange(4), every=self.random.randrange(1, 4), times=4)

    def run(self, project=None):
        started = self.send("POST", "plumber-workflows", {
            "project_id": project or self.random.choice(self.projects), "reference": self.random.choice(REFERENCES),
            "commit_sha": self.random.choice(COMMITS), "pipeline_file": self.random.choice(FILES)})
        self.recent.append(Run(self.round, started["workflow_id"], started["pipeline_id"], False))

    def rerun(self):
        """The simulator reruns whole workflows only."""
        token = str(self.random.getrandbits(64))
        started = self.send("POST", f"plumber-workflows/{self.one().workflow_id}/reschedule", {"request_token": token})
        self.recent.append(Run(self.round, started["wf_id"], started["ppl_id"], True))

    def run_again(self):
        """Another first pipeline in the same workflow. Not where that is a rerun: whether it were another one, nobody says."""
        run = self.one()
        if not run.is_rerun:
            self.send("POST", "yaml", {"yaml_definition": "version: v1.0", "pipeline_id": run.pipeline_id})

    def stop(self):
        self.send("PATCH", f"pipelines/{self.one().pipeline_id}", {"terminate_request": True})

    def stop_workflow(self):
        self.send("POST", f"plumber-workflows/{self.one().workflow_id}/terminate", {})

    def stop_job(self):
        self.simulator.control("DELETE", "faults")  # they would strike us
        blocks = self.simulator.get(f"pipelines/{self.one().pipeline_id}?detailed=true")[1]["blocks"]
        jobs = [job["job_id"] for block in blocks for job in block["jobs"]]
        if jobs:
            self.send("POST", f"jobs/{self.random.choice(jobs)}/stop", {})

    def promote(self):
        """Some are refused: not every pipeline has promotions, not every one passed, and one target is cordoned."""
        promotion = {"pipeline_id": self.one().pipeline_id, "override": self.random.random() < 0.3, **self.random.choice(PROMOTIONS)}
        self.simulator.send("POST", "promotions", promotion)

    def promote_one_that_passed(self):
        """The youngest that can be."""
        self.simulator.control("DELETE", "faults")  # they would strike us
        for pipeline in self.simulator.get(f"pipelines?project_id={self.projects[0]}&page_size=99")[1]:
            if pipeline["switch_id"] and pipeline.get("result") == "PASSED":
                return self.send("POST", "promotions", {"pipeline_id": pipeline["ppl_id"], "name": "Staging"})
        raise AssertionError("no pipeline that passed has promotions")

    def one(self):
        return self.random.choice(self.recent)

    def send(self, method, path, body):
        status, text = self.simulator.send(method, path, body)
        if status != 200:
            raise AssertionError(f"{method} {path}: {status} {text}")
        return json.loads(text)
