"""Four hours of everything that the gateway exports, small and the same each time.

Counters grow evenly, gauges stand still, so that what a query must answer can be told by hand: whatever the
window, an increase is the growth per minute times its minutes. There is one sample a minute of each series,
the first at START and the last at END.
"""

START = 1_767_225_600  # 2026-01-01 00:00 UTC
MINUTES = 240
END = START + 60 * MINUTES

CI = {"job": "semaphore-ci", "instance": "g1:9464"}
OWN = {"job": "semaphore-gateway", "instance": "g1:9464"}

PIPELINE_SECONDS = (15, 30, 60, 120, 240, 420, 600, 900, 1800, 3600, 7200, 14400)
PHASE_SECONDS = (1, 5, 15, 30, 60, 120, 240, 420, 600, 900, 1800, 3600, 7200)
QUEUE_SECONDS = (1, 2, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
JOB_SECONDS = (5, 15, 30, 60, 120, 240, 420, 600, 900, 1800, 3600, 7200)
RECOVERY_SECONDS = (300, 900, 1800, 3600, 7200, 14400, 28800, 86400, 172800, 604800)
CALL_SECONDS = (0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
UPSTREAM_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

SEMAPHORE_YML = ".semaphore/semaphore.yml"
DEPLOY_YML = ".semaphore/deploy.yml"


class Series:
    def __init__(self, name, labels, first, per_minute):
        self.name, self.labels, self.first, self.per_minute = name, labels, first, per_minute

    def matches(self, name, labels):
        return self.name == name and all(self.labels.get(label) == value for label, value in labels.items())

    def text(self):
        labels = ",".join(f'{label}="{value}"' for label, value in self.labels.items())
        return "".join(f"{self.name}{{{labels}}} {self.first + minute * self.per_minute} {START + 60 * minute}\n"
                       for minute in range(MINUTES + 1))


class Fixture:
    def __init__(self):
        self.series = []
        self.families = {}  # name to the sets of labels that were used
        add_pipelines(self)
        add_blocks_and_jobs(self)
        add_deployments(self)
        add_states(self)
        add_calls_and_cache(self)
        add_upstream(self)
        add_collector(self)
        add_callers_and_process(self)

    def gauge(self, base, name, value, **labels):
        self._add(base, name, value, 0, labels)

    def counter(self, base, name, per_minute, first=0, **labels):
        self._add(base, name, first, per_minute, labels)

    def histogram(self, base, name, bounds, per_minute, seconds_per_minute, **labels):
        """`per_minute`: by upper bound, how many observations fall between it and the one below."""
        self.families.setdefault(name, set()).add(frozenset(labels))
        count = 0
        for bound in bounds:
            count += per_minute.get(bound, 0)
            self.series.append(Series(name + "_bucket", {**base, **labels, "le": str(bound)}, 0, count))
        self.series.append(Series(name + "_bucket", {**base, **labels, "le": "+Inf"}, 0, count))
        self.series.append(Series(name + "_count", {**base, **labels}, 0, count))
        self.series.append(Series(name + "_sum", {**base, **labels}, 0, seconds_per_minute))

    def growth(self, name, minutes, **labels):
        """Of all series with these labels together, within so many minutes."""
        return minutes * sum(one.per_minute for one in self.series if one.matches(name, labels))

    def value(self, name, **labels):
        """The sum of the gauges with these labels."""
        return sum(one.first for one in self.series if one.matches(name, labels))

    def open_metrics(self):
        return "".join(one.text() for one in self.series) + "# EOF\n"

    def _add(self, base, name, first, per_minute, labels):
        self.families.setdefault(name, set()).add(frozenset(labels))
        self.series.append(Series(name, {**base, **labels}, first, per_minute))


# (organization, project), and how many runs pass and fail per minute on main.
PROJECTS = {("acme", "api"): (2, 2), ("acme", "web"): (3, 1), ("globex", "web"): (1, 0)}


def add_pipelines(fixture):
    for (organization, project), (passed, failed) in PROJECTS.items():
        where = {"organization": organization, "project": project}
        of = {**where, "pipeline": SEMAPHORE_YML}
        for ref, results in (("main", {"passed": passed, "failed": failed, "stopped": 0, "canceled": 0, "unknown": 0}),
                             ("other", {"passed": 1, "failed": 1, "stopped": 1})):
            for result, count in results.items():
                fixture.counter(CI, "semaphoreci_pipeline_runs_total", count, 7, **of, ref=ref, ref_type="branch",
                                result=result)
        fixture.counter(CI, "semaphoreci_pipeline_runs_total", 1, **where, pipeline=DEPLOY_YML, ref="main",
                        ref_type="branch", result="passed")
        fixture.counter(CI, "semaphoreci_pipeline_failures_total", failed + 1, **of, reason="test")
        fixture.counter(CI, "semaphoreci_pipeline_failures_total", 0, **of, reason="malformed")
        # Half take one to two minutes, half two to four: the median is 120 s.
        fixture.histogram(CI, "semaphoreci_pipeline_run_duration_seconds", PIPELINE_SECONDS, {120: 2, 240: 2}, 500,
                          **of, result="passed")
        fixture.histogram(CI, "semaphoreci_pipeline_run_duration_seconds", PIPELINE_SECONDS, {60: 1}, 50, **of,
                          result="failed")
        for phase, seconds in (("pending", 10), ("executing", 100), ("finalizing", 2)):
            fixture.histogram(CI, "semaphoreci_pipeline_phase_duration_seconds", PHASE_SECONDS, {120: 4}, 4 * seconds,
                              **of, phase=phase)
        # All between half an hour and an hour: the median is 2700 s.
        fixture.histogram(CI, "semaphoreci_pipeline_recovery_duration_seconds", RECOVERY_SECONDS, {3600: 1}, 2700,
                          **of, ref="main")
        for kind, count in (("full", 1), ("partial", 2)):
            fixture.counter(CI, "semaphoreci_pipeline_reruns_total", count, **of, kind=kind)
        fixture.counter(CI, "semaphoreci_pipeline_flaky_commits_total", 1, **of)
        for trigger, count in (("hook", 4), ("schedule", 1), ("api", 0)):
            fixture.counter(CI, "semaphoreci_workflow_runs_total", count, **where, ref_type="branch", trigger=trigger)


def add_blocks_and_jobs(fixture):
    for organization, project in PROJECTS:
        of = {"organization": organization, "project": project, "pipeline": SEMAPHORE_YML}
        on = {**of, "ref": "main", "ref_type": "branch"}
        for block, (passed, failed) in {"Build": (4, 1), "Test": (3, 1)}.items():
            for result, count in (("passed", passed), ("failed", failed)):
                fixture.counter(CI, "semaphoreci_block_runs_total", count, **on, result=result, block=block)
                for job in ("unit", "lint"):
                    broken = job == "unit"
                    fixture.counter(CI, "semaphoreci_job_runs_total",
                                    count if broken or result == "passed" else 0, **on, result=result, block=block,
                                    job=job)
        # It has never passed, so nothing ever counted a pass.
        fixture.counter(CI, "semaphoreci_job_runs_total", 1, **on, result="failed", block="Test", job="e2e")
        # Nine of ten wait up to a second, one up to a minute.
        fixture.histogram(CI, "semaphoreci_job_queue_duration_seconds", QUEUE_SECONDS, {1: 9, 60: 1}, 50, **of)
        fixture.histogram(CI, "semaphoreci_job_run_duration_seconds", JOB_SECONDS, {60: 5, 120: 5}, 800, **of)


def add_deployments(fixture):
    for organization, project in PROJECTS:
        where = {"organization": organization, "project": project}
        for target, (passed, failed) in {"production": (2, 1), "staging": (4, 0)}.items():
            for trigger in ("auto", "manual"):
                for result, count in (("passed", passed), ("failed", failed), ("stopped", 0)):
                    fixture.counter(CI, "semaphoreci_deployments_total", count, **where, target=target, result=result,
                                    trigger=trigger)
            # All between one and two hours: the median is 5400 s.
            fixture.histogram(CI, "semaphoreci_deployment_lead_time_seconds", RECOVERY_SECONDS, {7200: passed},
                              5400 * passed, **where, target=target)
            fixture.gauge(CI, "semaphoreci_deployment_last_timestamp_seconds", END - 600, **where, target=target)
            for state in ("syncing", "usable", "unusable", "cordoned", "unknown"):
                fixture.gauge(CI, "semaphoreci_deployment_target_state", int(state == "usable"), **where,
                              target=target, state=state)
        for status, count in (("passed", 3), ("failed", 1)):
            fixture.counter(CI, "semaphoreci_promotions_total", count, **where, promotion="Production", status=status,
                            trigger="manual")


def add_states(fixture):
    for (organization, project), (_, failed) in PROJECTS.items():
        where = {"organization": organization, "project": project}
        of = {**where, "pipeline": SEMAPHORE_YML}
        for state, count in (("pending", 1), ("queuing", 2), ("running", 3), ("stopping", 0), ("initializing", 0)):
            fixture.gauge(CI, "semaphoreci_pipelines_active", count, **of, state=state)
        fixture.gauge(CI, "semaphoreci_pipeline_oldest_active_timestamp_seconds", END - 900, **where, state="running")
        for result in ("passed", "failed", "stopped", "canceled", "unknown"):
            last = "failed" if failed > 1 else "passed"
            fixture.gauge(CI, "semaphoreci_pipeline_last_result", int(result == last), **of, ref="main", result=result)
        fixture.gauge(CI, "semaphoreci_pipeline_last_run_timestamp_seconds", END - 300, **of, ref="main")
        fixture.gauge(CI, "semaphoreci_pipeline_last_run_duration_seconds", 130, **of, ref="main")
        fixture.gauge(CI, "semaphoreci_project_info", 1, **where, project_id=f"id-of-{organization}-{project}")
    # Known, and never collected.
    fixture.gauge(CI, "semaphoreci_project_info", 1, organization="acme", project="new", project_id="id-of-acme-new")
    for organization in ("acme", "globex"):
        fixture.gauge(CI, "semaphoreci_up", 1, organization=organization)
        for agent_type, (waiting, running) in {"s1-linux": (1, 3), "s1-mac": (2, 0)}.items():
            where = {"organization": organization, "agent_type": agent_type}
            fixture.gauge(CI, "semaphoreci_agents", waiting, **where, state="waiting_for_job")
            fixture.gauge(CI, "semaphoreci_agents", running, **where, state="running_job")
            fixture.gauge(CI, "semaphoreci_agent_versions", waiting + running, **where,
                          version="v2.2.0" if agent_type == "s1-linux" else "v2.1.9")


def add_calls_and_cache(fixture):
    for method, (fine, not_found, unavailable) in {"GetPipeline": (60, 6, 3), "ListPipelines": (30, 0, 0)}.items():
        of = {"grpc_type": "unary", "grpc_service": "semaphore.v1.PipelineService", "grpc_method": method}
        fixture.counter(OWN, "grpc_server_started_total", fine + not_found + unavailable, **of)
        for code, count in (("OK", fine), ("NotFound", not_found), ("Unavailable", unavailable)):
            fixture.counter(OWN, "grpc_server_handled_total", count, **of, grpc_code=code)
        fixture.histogram(OWN, "grpc_server_handling_seconds", CALL_SECONDS, {0.001: fine, 0.25: not_found + unavailable},
                          6, **of)
        short = {"method": f"PipelineService.{method}"}
        for what, count in (("requests", 60), ("hits", 30), ("stale", 6), ("coalesced", 12)):
            fixture.counter(OWN, f"semaphoreci_gateway_cache_{what}_total", count, **short)
        fixture.counter(OWN, "semaphoreci_gateway_unknown_fields_total", 1, **short)
        fixture.counter(OWN, "semaphoreci_gateway_unknown_enum_words_total", 1, **short)
    fixture.gauge(OWN, "semaphoreci_gateway_cache_entries", 900)
    fixture.gauge(OWN, "semaphoreci_gateway_cache_bytes", 5_000_000)
    for reason in ("room", "too_large"):
        fixture.counter(OWN, "semaphoreci_gateway_cache_evictions_total", 2, reason=reason)
    fixture.counter(OWN, "semaphoreci_gateway_cache_abandoned_fetches_total", 1)
    fixture.counter(OWN, "semaphoreci_gateway_cache_refreshes_total", 3)


def add_upstream(fixture):
    up = "semaphoreci_gateway_upstream_"
    for organization in ("acme", "globex"):
        at = {"organization": organization}
        to = {**at, "route": "pipelines/:id"}
        for code, count in (("200", 30), ("401", 0), ("404", 6), ("503", 3)):
            fixture.counter(OWN, up + "requests_total", count, **to, method="GET", code=code)
        for cause, count in (("reset", 2), ("cancelled", 1)):
            fixture.counter(OWN, up + "failures_total", count, **to, cause=cause)
        fixture.histogram(OWN, up + "request_duration_seconds", UPSTREAM_SECONDS, {0.1: 40, 0.25: 2}, 3, **to, method="GET")
        for reason in ("connection", "unavailable", "rate_limited", "error"):
            fixture.counter(OWN, up + "retries_total", 1, **at, reason=reason)
        fixture.gauge(OWN, up + "requests_in_flight", 2, **at)
        for state, count in (("idle", 3), ("active", 2), ("dialing", 0)):
            fixture.gauge(OWN, up + "connections", count, **at, state=state)
        for resumed, count in (("true", 5), ("false", 1)):
            fixture.counter(OWN, up + "tls_handshakes_total", count, **at, resumed=resumed)
        fixture.gauge(OWN, up + "budget_tokens", 15, **at)
        fixture.gauge(OWN, up + "budget_capacity", 20, **at)
        fixture.gauge(OWN, up + "budget_rate", 10, **at)
        for caller_class, waits in (("interactive", {0.05: 9, 0.1: 1}), ("batch", {1: 5}), ("collector", {2.5: 5})):
            fixture.histogram(OWN, up + "budget_wait_seconds", CALL_SECONDS, waits, 4, **at, **{"class": caller_class})
            fixture.gauge(OWN, up + "budget_waiting", 1, **at, **{"class": caller_class})
            fixture.counter(OWN, up + "budget_rejections_total", 1, **at, **{"class": caller_class})
        fixture.counter(OWN, up + "throttled_total", 1, **at)
        for state in ("closed", "open", "half_open"):
            fixture.gauge(OWN, up + "circuit_state", int(state == ("open" if organization == "globex" else "half_open")),
                          **at, state=state)
        fixture.counter(OWN, up + "circuit_rejections_total", 2, **at)
        fixture.counter(OWN, up + "circuit_openings_total", 1, **at)
        fixture.gauge(OWN, up + "retry_budget_tokens", 8, **at)
        fixture.counter(OWN, up + "retry_budget_refusals_total", 1, **at)


def add_collector(fixture):
    collector = "semaphoreci_gateway_collector_"
    for organization in ("acme", "globex"):
        at = {"organization": organization}
        for result, count in (("ok", 2), ("failed", 1)):
            fixture.counter(OWN, collector + "polls_total", count, **at, result=result)
        fixture.counter(OWN, collector + "pipelines_counted_total", 5, **at)
        fixture.gauge(OWN, collector + "interval_seconds", 30, **at)
        fixture.histogram(OWN, collector + "lag_seconds", (5, 10, 30, 60, 120, 300, 900, 3600), {30: 2}, 40, **at)
        fixture.counter(OWN, collector + "duplicates_total", 3, **at)
    for organization, project in PROJECTS:
        where = {"organization": organization, "project": project}
        fixture.gauge(OWN, collector + "watermark_timestamp_seconds", END - 120, **where)
        # One project of acme waits longer than the other.
        age = 90 if (organization, project) == ("acme", "web") else 45
        fixture.gauge(OWN, collector + "last_success_timestamp_seconds", END - age, **where)
    for family in ("semaphoreci_pipeline_runs_total", "semaphoreci_job_runs_total"):
        fixture.gauge(OWN, "semaphoreci_gateway_ci_series", 40, family=family)
    fixture.counter(OWN, "semaphoreci_gateway_ci_series_overflow_total", 1)
    fixture.counter(OWN, "semaphoreci_gateway_ci_series_expired_total", 1)
    fixture.counter(OWN, "semaphoreci_gateway_ci_series_dropped_total", 1)


def add_callers_and_process(fixture):
    own = "semaphoreci_gateway_"
    for caller in ("anonymous", "deployer", "other"):
        fixture.counter(OWN, own + "caller_requests_total", 10, caller=caller)
    fixture.counter(OWN, own + "caller_refusals_total", 1, reason="unknown_token")
    fixture.counter(OWN, own + "caller_quota_rejections_total", 1)
    fixture.gauge(OWN, own + "rest_connections", 4)
    fixture.counter(OWN, own + "rest_connections_refused_total", 0)
    fixture.counter(OWN, own + "rest_requests_total", 60)
    fixture.counter(OWN, own + "rest_requests_refused_total", 1)
    fixture.gauge(OWN, own + "callers", 2)
    fixture.gauge(OWN, own + "callers_file_usable", 1)
    fixture.counter(OWN, own + "audit_lines_total", 1)
    fixture.gauge(OWN, own + "audit_lines_waiting", 0)
    fixture.counter(OWN, own + "audit_refusals_total", 1)
    fixture.counter(OWN, own + "audit_write_failures_total", 0)
    fixture.gauge(OWN, own + "tls_certificate_expiry_timestamp_seconds", END + 30 * 86400)
    fixture.counter(OWN, own + "tls_reloads_total", 0, 1, result="success")
    fixture.counter(OWN, own + "log_lines_dropped_total", 1)
    fixture.gauge(OWN, own + "build_info", 1, version="0.1.0")
    fixture.counter(OWN, "process_cpu_seconds_total", 30)
    fixture.gauge(OWN, "process_resident_memory_bytes", 80_000_000)
    fixture.gauge(OWN, "process_virtual_memory_bytes", 900_000_000)
    fixture.gauge(OWN, "process_open_fds", 40)
    fixture.gauge(OWN, "process_max_fds", 1024)
    fixture.gauge(OWN, "process_start_time_seconds", START - 86400)
    for job in (OWN, CI):
        fixture.gauge(job, "up", 1)
    fixture.gauge({**OWN, "instance": "g2:9464"}, "up", 0)
