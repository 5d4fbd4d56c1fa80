"""What really happened in a simulated Semaphore: every event that its own listing shows, as the label set and the value that the
catalogue promises for it. Nothing here comes from the gateway.

  before = events(read(simulator), refs)
  …
  happened = since(before, events(read(simulator), refs))
  growth(happened, {"semaphoreci_pipeline_runs_total": (), …})
"""

import collections
import math
import re

ORGANIZATION = "acme"

# Of a counter the value is 1, of a histogram the seconds observed.
Event = collections.namedtuple("Event", "family labels value")


def read(simulator):
    """Project by name to all its facts: pipelines as listed, blocks and promotions by pipeline, jobs by id."""
    jobs = {job["metadata"]["id"]: job for job in finished_jobs(simulator)}
    facts = {}
    for project in simulator.get("projects")[1]:
        pipelines = listed(simulator, f"pipelines?project_id={project['metadata']['id']}")
        done = [one["ppl_id"] for one in pipelines if one["state"] == "DONE"]
        facts[project["metadata"]["name"]] = {
            "pipelines": pipelines,
            "blocks": {one: simulator.get(f"pipelines/{one}?detailed=true")[1]["blocks"] for one in done},
            "promotions": {one["ppl_id"]: listed(simulator, f"promotions?pipeline_id={one['ppl_id']}")
                           for one in pipelines if one["switch_id"]},
            "deployments": {target["name"]: history(simulator, target["id"])
                            for target in simulator.get(f"deployment_targets?project_id={project['metadata']['id']}")[1]},
            "workflows": {one["wf_id"]: one for one in
                          listed(simulator, f"plumber-workflows?project_id={project['metadata']['id']}")},
            "jobs": jobs}
    return facts


def history(simulator, target_id):
    """Of a deployment target, all of it."""
    found, cursor = [], ""
    while True:
        page = simulator.get(f"deployment_targets/{target_id}/history{cursor}")[1]
        found += page["deployments"]
        if not page["cursor_before"]:
            return found
        cursor = f"?cursor_type=BEFORE&cursor_value={page['cursor_before']}"


def listed(simulator, path):
    """All pages of it."""
    headers, found = simulator.get(f"{path}&page_size=99")
    for page in range(2, int(headers["total-pages"]) + 1):
        found += simulator.get(f"{path}&page_size=99&page={page}")[1]
    return found


def finished_jobs(simulator):
    found, token = [], ""
    while True:
        page = simulator.get(f"jobs?states=FINISHED&page_size=30&page_token={token}")[1]
        found += page["jobs"]
        token = page["next_page_token"]
        if not token:
            return found


def since(before, after):
    """What happened between two looks. An event is known by what it happened to, so what had happened is left out by the facts."""
    return [event for key, event in after.items() if key not in before]


def events(facts, refs):
    """Each event of these facts under a key of its own; `refs` are the patterns of the refs with a label of their own."""
    found = {}
    for project, of_project in facts.items():
        done = sorted((one for one in of_project["pipelines"] if one["state"] == "DONE"),
                      key=lambda one: (moment(one["done_at"]), one["ppl_id"]))

        def add(family, key, value=1, project=project, **labels):
            labels = {"organization": ORGANIZATION, "project": project, **labels}
            # The first one counts: a workflow may have several first pipelines, a commit be flaky again and again.
            found.setdefault((family, project, *key), Event("semaphoreci_" + family, frozenset(labels.items()), value))

        for pipeline in done:
            add_pipeline(pipeline, refs, add)
            add_blocks(pipeline, of_project["blocks"][pipeline["ppl_id"]], of_project["jobs"], refs, add)
        add_recoveries(done, refs, add)
        add_flaky_commits(done, add)
        for pipeline, promotions in of_project["promotions"].items():
            add_promotions(pipeline, promotions, add)
        for target, deployments in of_project["deployments"].items():
            add_deployments(target, deployments, {one["ppl_id"]: one for one in done}, of_project["workflows"], add)
    return found


def add_pipeline(pipeline, refs, add):
    key, file, result = [pipeline["ppl_id"]], file_of(pipeline), pipeline["result"].lower()
    ref, ref_type = ref_of(pipeline, refs)
    add("pipeline_runs_total", key, pipeline=file, ref=ref, ref_type=ref_type, result=result)
    if result == "failed":
        add("pipeline_failures_total", key, pipeline=file, reason=pipeline["result_reason"].lower())

    created, running, stopping, done = (moment(pipeline[name]) for name in ("created_at", "running_at", "stopping_at", "done_at"))
    add("pipeline_run_duration_seconds", key, seconds(created, done), pipeline=file, result=result)
    phases = {"pending": (created, running or stopping or done), "executing": (running, stopping or done), "finalizing": (stopping, done)}
    for phase, (begin, end) in phases.items():
        if begin and end:
            add("pipeline_phase_duration_seconds", [*key, phase], seconds(begin, end), pipeline=file, phase=phase)

    triggerer = pipeline["triggerer"]
    first = (triggerer["ppl_triggered_by"] == "WORKFLOW" and not pipeline["promotion_of"] and not pipeline["partial_rerun_of"])
    if first:
        add("workflow_runs_total", [pipeline["wf_id"]], ref_type=ref_type, trigger=triggerer["wf_triggered_by"].lower())
    if pipeline["partial_rerun_of"]:
        add("pipeline_reruns_total", key, pipeline=file, kind="partial")
    elif first and triggerer["workflow_rerun_of"]:
        add("pipeline_reruns_total", key, pipeline=file, kind="full")


def add_blocks(pipeline, blocks, jobs, refs, add):
    file = file_of(pipeline)
    ref, ref_type = ref_of(pipeline, refs)
    for block in blocks:
        key = [pipeline["ppl_id"], block["name"]]
        add("block_runs_total", key, pipeline=file, ref=ref, ref_type=ref_type, result=block["result"], block=block["name"])
        for entry in block["jobs"]:
            job = jobs[entry["job_id"]]
            name = re.sub(r" - \d+/\d+$", "", entry["name"])
            add("job_runs_total", [entry["job_id"]], pipeline=file, ref=ref, ref_type=ref_type, block=block["name"], job=name,
                result=job["status"]["result"].lower())
            created, started, finished = (int(job["metadata"][name]) for name in ("create_time", "start_time", "finish_time"))
            if started:
                add("job_queue_duration_seconds", [entry["job_id"]], started - created, pipeline=file)
                add("job_run_duration_seconds", [entry["job_id"]], finished - started, pipeline=file)


def add_recoveries(done, refs, add):
    """From the end of the first failed run since the last passed one to the end of the next passed one."""
    failed_since = {}
    for pipeline in done:
        file, (ref, _) = file_of(pipeline), ref_of(pipeline, refs)
        if ref == "other":
            continue
        if pipeline["result"] == "FAILED":
            failed_since.setdefault((file, ref), moment(pipeline["done_at"]))
        elif pipeline["result"] == "PASSED" and (file, ref) in failed_since:
            begin = failed_since.pop((file, ref))
            add("pipeline_recovery_duration_seconds", [pipeline["ppl_id"]], seconds(begin, moment(pipeline["done_at"])),
                pipeline=file, ref=ref)


def add_flaky_commits(done, add):
    results = collections.defaultdict(set)
    for pipeline in done:
        of_commit = results[file_of(pipeline), pipeline["commit_sha"]]
        of_commit.add(pipeline["result"])
        if {"FAILED", "PASSED"} <= of_commit:
            add("pipeline_flaky_commits_total", [file_of(pipeline), pipeline["commit_sha"]], pipeline=file_of(pipeline))


def add_promotions(pipeline_id, promotions, add):
    for one in promotions:
        add("promotions_total", [pipeline_id, one["name"], moment(one["triggered_at"])], promotion=one["name"], status=one["status"],
            trigger=trigger_of(one))


def add_deployments(target, deployments, done, workflows, add):
    """One whose pipeline is not done, or is none that there is, has not ended."""
    for one in deployments:
        pipeline = done.get(one["pipeline_id"])
        if pipeline is None and one["state"] != "FAILED":
            continue
        result = pipeline["result"].lower() if pipeline else "failed"
        add("deployments_total", [one["id"]], target=target, result=result, trigger=trigger_of(one))
        if result == "passed":
            began = moment(workflows[pipeline["wf_id"]]["created_at"])
            add("deployment_lead_time_seconds", [one["id"]], seconds(began, moment(pipeline["done_at"])), target=target)


def trigger_of(one):
    return "auto" if one["triggered_by"] == "Pipeline Done request" else "manual"


def file_of(pipeline):
    return f"{pipeline['working_directory'].rstrip('/')}/{pipeline['yaml_file_name']}"


def ref_of(pipeline, refs):
    """The labels ref and ref_type."""
    name = pipeline["branch_name"].removeprefix("refs/heads/")
    kind = ("unknown" if not name else "tag" if name.startswith("refs/tags/")
            else "pull_request" if re.fullmatch(r"refs/pull/.*|pull-request-\d+", name) else "branch")
    return name if any(re.fullmatch(pattern, name) for pattern in refs) else "other", kind


def moment(time):
    """In microseconds; 0 for what has not been."""
    return time["seconds"] * 1_000_000 + time["nanos"] // 1000


def seconds(begin, end):
    return (end - begin) / 1e6


def growth(happened, buckets):
    """By how much each series of Prometheus, a name and its labels, must have grown. `buckets` has the families and their bounds;
    a counter has none."""
    grown = collections.Counter()
    for family, labels, value in happened:
        if not buckets[family]:
            grown[family, labels] += value
            continue
        grown[family + "_count", labels] += 1
        grown[family + "_sum", labels] += value
        for bound in (*buckets[family], math.inf):
            if value <= bound:
                grown[family + "_bucket", labels | {("le", bound)}] += 1
    return {series: value for series, value in grown.items() if value}
