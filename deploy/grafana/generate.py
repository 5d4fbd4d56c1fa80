#!/usr/bin/python3
"""Writes the dashboards beside this file: generate.py [FOLDER]

A panel here is a title, what it means, queries and a unit; in Grafana's JSON it is eighty lines, most of
them the same in all panels. So change a dashboard here, run this, and commit both. A test holds the two
together, and runs every query.

Only core panels are used, and only what Prometheus itself knows: no recording rule is needed. Where events
are rare a panel has a least interval (`every`), or most points would be about nothing.
"""

import json
import pathlib
import sys

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
DASHBOARDS = {}

RESULT_COLORS = {"passed": "green", "failed": "red", "stopped": "orange", "canceled": "yellow", "unknown": "text"}
STATE_COLORS = {**RESULT_COLORS, "usable": "green", "unusable": "red", "syncing": "blue", "cordoned": "orange"}
GOOD_WHEN_HIGH = [(None, "red"), (0.7, "orange"), (0.9, "green")]
GOOD_WHEN_LOW = [(None, "green"), (0.01, "orange"), (0.05, "red")]
ZERO_IS_GOOD = [(None, "green"), (1, "red")]
NEUTRAL = [(None, "blue")]


def query(expr, legend="", exemplar=False):
    return {"expr": expr, "legend": legend, "exemplar": exemplar}


def thresholds(steps):
    return {"mode": "absolute", "steps": [{"color": color, "value": value} for value, color in steps]}


def color_override(word, color):
    """For the series whose legends end with this word."""
    return {"matcher": {"id": "byRegexp", "options": f"/\\b{word}$/"},
            "properties": [{"id": "color", "value": {"mode": "fixed", "fixedColor": color}}]}


def target(number, made, panel):
    instant = panel in ("stat", "table", "bargauge")
    out = {"datasource": DATASOURCE, "editorMode": "code", "expr": made["expr"], "instant": instant,
           "legendFormat": made["legend"] or "__auto", "range": not instant, "refId": chr(ord("A") + number)}
    if panel == "table":
        out["format"] = "table"
    if panel == "heatmap":
        out["format"] = "heatmap"
    if made["exemplar"]:
        out["exemplar"] = True
    return out


def panel(kind, title, description, queries, unit, steps, width, height, every):
    made = {"type": kind, "title": title, "description": description, "datasource": DATASOURCE,
            "gridPos": {"w": width, "h": height},
            "targets": [target(number, one, kind) for number, one in enumerate(queries)],
            "fieldConfig": {"defaults": {"unit": unit, "thresholds": thresholds(steps)}, "overrides": []}}
    if every:
        made["interval"] = every
    return made


def stat(title, description, expr, unit, steps=NEUTRAL, legend="{{organization}}", width=4, mappings=None,
         decimals=None):
    made = panel("stat", title, description, [query(expr, legend)], unit, steps, width, 4, None)
    made["options"] = {"colorMode": "value", "graphMode": "none", "justifyMode": "auto", "orientation": "auto",
                       "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
                       "textMode": "auto"}  # with the names when there are several
    defaults = made["fieldConfig"]["defaults"]
    defaults["noValue"] = "–"
    if mappings:
        defaults["mappings"] = value_mappings(mappings)
    if decimals is not None:
        defaults["decimals"] = decimals
    return made


def graph(title, description, queries, unit, width=12, stacked=False, every=None, steps=NEUTRAL, colors=None,
          least=0, most=None):
    made = panel("timeseries", title, description, queries, unit, steps, width, 8, every)
    made["options"] = {"legend": {"displayMode": "table", "placement": "bottom", "showLegend": True,
                                  "calcs": ["lastNotNull", "max"]},
                       "tooltip": {"mode": "multi", "sort": "desc"}}
    defaults = made["fieldConfig"]["defaults"]
    defaults["color"] = {"mode": "palette-classic"}
    defaults["custom"] = {"drawStyle": "line", "lineWidth": 1, "fillOpacity": 60 if stacked else 8,
                          "showPoints": "auto", "spanNulls": False,
                          "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
                          "thresholdsStyle": {"mode": "line" if steps is not NEUTRAL else "off"}}
    defaults["min"] = least
    if most is not None:
        defaults["max"] = most
    made["fieldConfig"]["overrides"] = [color_override(name, color) for name, color in (colors or {}).items()]
    return made


def heatmap(title, description, expr, unit, width=12, every=None):
    made = panel("heatmap", title, description, [query(expr, "{{le}}")], unit, NEUTRAL, width, 8, every)
    made["options"] = {"calculate": False, "cellGap": 1, "cellValues": {"unit": "short"},
                       "color": {"mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5,
                                 "fill": "dark-orange", "reverse": False},
                       "filterValues": {"le": 1e-9}, "legend": {"show": True}, "rowsFrame": {"layout": "auto"},
                       "tooltip": {"show": True, "yHistogram": False},
                       "yAxis": {"axisPlacement": "left", "unit": unit}}
    return made


def value_mappings(words):
    return [{"type": "value", "options": {str(value): {"text": text, "color": color, "index": index}
                                          for index, (value, (text, color)) in enumerate(words.items())}}]


def table(title, description, expr, unit, value=None, colored=None, width=12, height=8, steps=NEUTRAL, links=None):
    """`value` names the column of the samples; without it the labels say all. `colored` is a label whose words
    have colors. `links` maps a label to the uid of a dashboard that is about it; the organization of the row goes
    along, since two may have the same names."""
    made = panel("table", title, description, [query(expr)], unit, steps, width, height, None)
    made["options"] = {"showHeader": True, "cellHeight": "sm", "footer": {"show": False, "reducer": ["sum"],
                                                                           "countRows": False, "fields": ""}}
    hidden = {"Time": True} if value else {"Time": True, "Value": True}
    made["transformations"] = [{"id": "organize", "options": {
        "excludeByName": hidden, "indexByName": {}, "renameByName": {"Value": value} if value else {}}}]
    overrides = made["fieldConfig"]["overrides"]
    if value:
        made["options"]["sortBy"] = [{"displayName": value, "desc": True}]
        if steps is not NEUTRAL:
            overrides.append({"matcher": {"id": "byName", "options": value}, "properties": [
                {"id": "custom.cellOptions", "value": {"type": "color-text"}}]})
    if colored:
        words = {word: (word, color) for word, color in STATE_COLORS.items()}
        overrides.append({"matcher": {"id": "byName", "options": colored}, "properties": [
            {"id": "mappings", "value": value_mappings(words)},
            {"id": "custom.cellOptions", "value": {"type": "color-background", "mode": "basic"}}]})
    for label, uid in (links or {}).items():
        overrides.append({"matcher": {"id": "byName", "options": label}, "properties": [{"id": "links", "value": [
            {"title": f"More about this {label}",
             "url": f"/d/{uid}?var-organization=${{__data.fields.organization:percentencode}}"
                    f"&var-{label}=${{__value.raw:percentencode}}"
                    "&${datasource:queryparam}&${__url_time_range}"}]}]})
    return made


def timeline(title, description, expr, legend, unit="short", width=12, words=None):
    made = panel("state-timeline", title, description, [query(expr, legend)], unit, NEUTRAL, width, 6, None)
    made["options"] = {"mergeValues": True, "rowHeight": 0.8, "showValue": "auto",
                       "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
                       "tooltip": {"mode": "single", "sort": "none"}}
    made["fieldConfig"]["defaults"]["mappings"] = value_mappings(words or {})
    made["fieldConfig"]["defaults"]["custom"] = {"fillOpacity": 70, "lineWidth": 0}
    return made


def row(title):
    return {"type": "row", "title": title, "collapsed": False, "panels": [], "gridPos": {"w": 24, "h": 1}}


def variable(name, label, selector):
    values = f"label_values({selector}, {name})"
    return {"type": "query", "name": name, "label": label, "datasource": DATASOURCE, "definition": values,
            "query": {"query": values, "refId": "PrometheusVariableQueryEditor-VariableQuery"},
            "multi": True, "includeAll": True, "allValue": ".*", "current": {"selected": True, "text": ["All"],
                                                                              "value": ["$__all"]},
            "refresh": 2, "regex": "", "sort": 1, "hide": 0, "options": [], "skipUrlSync": False}


def place(panels):
    """Left to right, then down; a row takes the whole width."""
    x = y = line = 0
    for number, one in enumerate(panels, 1):
        size = one["gridPos"]
        if x + size["w"] > 24:
            x, y, line = 0, y + line, 0
        one["gridPos"] = {"x": x, "y": y, "w": size["w"], "h": size["h"]}
        one["id"] = number
        x, line = x + size["w"], max(line, size["h"])
    return panels


def dashboard(name, title, description, variables, panels, since="now-24h", refresh="1m"):
    choose = {"type": "datasource", "name": "datasource", "label": "Data source", "query": "prometheus", "regex": "",
              "current": {}, "hide": 0, "includeAll": False, "multi": False, "options": [], "refresh": 1,
              "skipUrlSync": False}
    DASHBOARDS[name] = {
        "uid": f"semaphore-{name}", "title": f"Semaphore CI / {title}", "description": description,
        "tags": ["semaphore-ci"], "schemaVersion": 38, "version": 1, "editable": True, "graphTooltip": 1,
        "timezone": "browser", "refresh": refresh, "time": {"from": since, "to": "now"}, "fiscalYearStartMonth": 0,
        "timepicker": {}, "annotations": {"list": []}, "templating": {"list": [choose, *variables]},
        "links": [{"type": "dashboards", "title": "Semaphore CI", "tags": ["semaphore-ci"], "asDropdown": False,
                   "includeVars": True, "keepTime": True, "targetBlank": False, "icon": "external link",
                   "tooltip": "", "url": ""}],
        "panels": place(panels)}


# The labels that the variables choose. A label that is always there, so ".*" is all.
ORGANIZATION = 'organization=~"$organization"'
PROJECT = f'{ORGANIZATION}, project=~"$project"'
PIPELINE = f'{PROJECT}, pipeline=~"$pipeline"'
ORGANIZATION_VARIABLE = variable("organization", "Organization", "semaphoreci_up")
PROJECT_VARIABLE = variable("project", "Project", f"semaphoreci_project_info{{{ORGANIZATION}}}")
PIPELINE_VARIABLE = variable("pipeline", "Pipeline", f"semaphoreci_pipeline_runs_total{{{PROJECT}}}")


def ratio(part, whole):
    """Nothing, rather than a division by zero, where there is no whole."""
    return f"{part} / ({whole} > 0)"


# Two organizations may have the same names, so nothing that has an organization is put together without it.
BY = "organization"
BY_PROJECT = "organization, project"


def quantile(share, name, matchers, window, by=BY):
    return f"histogram_quantile({share}, sum by ({by}, le) (rate({name}_bucket{{{matchers}}}[{window}])))"


def mean(name, matchers, window, by):
    total = f"sum by ({by}) (rate({name}_sum{{{matchers}}}[{window}]))"
    return ratio(total, f"sum by ({by}) (rate({name}_count{{{matchers}}}[{window}]))")


def increase(name, matchers, window, by=BY):
    return f"sum by ({by}) (increase({name}{{{matchers}}}[{window}]))"


def per_hour(name, matchers, by):
    return f"3600 * sum by ({by}) (rate({name}{{{matchers}}}[$__rate_interval]))"


def pass_ratio(name, matchers, window, by=BY):
    return ratio(increase(name, f'{matchers}, result="passed"', window, by),
                 increase(name, f'{matchers}, result=~"passed|failed"', window, by))


def fail_ratio(name, matchers, window, by=BY):
    """Not one less the pass ratio: what has never passed has no series of passes."""
    return ratio(increase(name, f'{matchers}, result="failed"', window, by),
                 increase(name, f'{matchers}, result=~"passed|failed"', window, by))


def data_age(matchers):
    """Since the last successful collection, of the project of each organization that waits longest."""
    return f"max by (organization) (time() - max by (organization, project) ({COLLECTED}{{{matchers}}}))"


COLLECTED = "semaphoreci_gateway_collector_last_success_timestamp_seconds"
RUNS = "semaphoreci_pipeline_runs_total"
RUN_SECONDS = "semaphoreci_pipeline_run_duration_seconds"


def overview():
    listed = f'{PROJECT}, ref!="other"'
    dashboard("overview", "Overview", "Is everything all right, in all projects? From here to the others.",
              [ORGANIZATION_VARIABLE, PROJECT_VARIABLE], [
        stat("Broken branches", "Pipelines on listed refs (main branches) whose last verdict is failed. Stopped and "
             "canceled runs are no verdict.",
             f'sum by (organization) (max by (organization, project, pipeline, ref) '
             f'(semaphoreci_pipeline_last_result{{{PROJECT}, result="failed"}}))',
             "short", ZERO_IS_GOOD),
        stat("Pass rate", "Of the runs on listed refs that passed or failed in the chosen time, the share that passed. "
             "Stopped and canceled runs do not count.", pass_ratio(RUNS, listed, "$__range"), "percentunit",
             GOOD_WHEN_HIGH),
        stat("Runs", "Pipelines that finished in the chosen time, whatever the result.",
             increase(RUNS, PROJECT, "$__range"), "short", width=3, decimals=0),
        stat("Median duration", "From creation to end, of passed pipelines that finished in the chosen time.",
             quantile(0.5, RUN_SECONDS, f'{PROJECT}, result="passed"', "$__range"), "s"),
        stat("Active now", "Pipelines that are not done.",
             f"sum by (organization) (semaphoreci_pipelines_active{{{PROJECT}}})", "short", width=3),
        stat("Age of the data", "Since the last successful collection of the project that waits longest.",
             data_age(PROJECT), "s", [(None, "green"), (300, "orange"), (900, "red")], width=3),
        stat("Never collected", "Projects that are known, but that have not been collected since the gateway started. "
             "They are missing from all other panels.",
             f"sum by (organization) (max by (organization, project) (semaphoreci_project_info{{{PROJECT}}}) "
             f"unless on (organization, project) {COLLECTED}{{{PROJECT}}}) "
             f"or 0 * max by (organization) (semaphoreci_project_info{{{PROJECT}}})", "short", ZERO_IS_GOOD, width=3),
        table("Last result on listed refs", "The last verdict (passed or failed) of each pipeline on each listed ref; "
              "another result only where there has been no verdict. Gone after 30 days without a run.",
              f"max by (organization, project, pipeline, ref, result) "
              f"(semaphoreci_pipeline_last_result{{{PROJECT}}}) == 1", "short", colored="result",
              links={"project": "semaphore-pipelines"}, height=9),
        graph("Runs by result", "Pipelines that finished, per hour.",
              [query(per_hour(RUNS, PROJECT, f"{BY}, result"), "{{organization}} {{result}}")], "short", stacked=True,
              every="10m",
              colors=RESULT_COLORS),
        graph("Pass rate by project", "Of the runs on listed refs that passed or failed in the 24 hours before.",
              [query(pass_ratio(RUNS, listed, "1d", BY_PROJECT), "{{organization}} {{project}}")], "percentunit",
              every="10m", most=1, steps=GOOD_WHEN_HIGH),
        graph("Active pipelines", "Pipelines that are not done, by state. A growing queue wants agents or patience.",
              [query(f"sum by (organization, state) (semaphoreci_pipelines_active{{{PROJECT}}})",
                     "{{organization}} {{state}}")], "short", stacked=True),
        graph("Duration", "From creation to end, of passed pipelines, by project.",
              [query(quantile(0.5, RUN_SECONDS, f'{PROJECT}, result="passed"', "$__rate_interval", BY_PROJECT),
                     "{{organization}} {{project}} median", True),
               query(quantile(0.9, RUN_SECONDS, f'{PROJECT}, result="passed"', "$__rate_interval", BY_PROJECT),
                     "{{organization}} {{project}} 90 %")], "s", every="1h"),
        table("Deployment targets", "The state of each deployment target at the last collection.",
              f"max by (organization, project, target, state) "
              f"(semaphoreci_deployment_target_state{{{PROJECT}}}) == 1", "short", colored="state",
              links={"project": "semaphore-dora"}),
    ])


def pipelines():
    listed = f'{PIPELINE}, ref=~"$ref"'
    recovery = "semaphoreci_pipeline_recovery_duration_seconds"
    last = f"semaphoreci_pipeline_last_run_timestamp_seconds{{{listed}}}"
    dashboard("pipelines", "Pipelines", "How often pipelines run, how they end, why they fail, how long they take.",
              [ORGANIZATION_VARIABLE, PROJECT_VARIABLE, PIPELINE_VARIABLE,
               variable("ref", "Ref", f"semaphoreci_pipeline_runs_total{{{PIPELINE}}}")], [
        stat("Pass rate", "Of the runs that passed or failed in the chosen time, the share that passed.",
             pass_ratio(RUNS, listed, "$__range"), "percentunit", GOOD_WHEN_HIGH),
        stat("Runs", "Pipelines that finished in the chosen time.", increase(RUNS, listed, "$__range"), "short",
             decimals=0),
        stat("90 % take at most", "From creation to end, of passed pipelines, all refs.",
             quantile(0.9, RUN_SECONDS, f'{PIPELINE}, result="passed"', "$__range"), "s"),
        stat("Flaky commits", "Commits on which one pipeline both failed and passed, in the chosen time.",
             increase("semaphoreci_pipeline_flaky_commits_total", PIPELINE, "$__range"), "short", ZERO_IS_GOOD,
             decimals=0),
        stat("Reruns", "Finished pipelines that repeated an earlier one, whole or in part, in the chosen time.",
             increase("semaphoreci_pipeline_reruns_total", PIPELINE, "$__range"), "short", decimals=0),
        stat("Median recovery", "From the first failed run to the next passed one on a listed ref.",
             quantile(0.5, recovery, listed, "$__range"), "s"),
        graph("Runs by result", "Pipelines that finished, per hour.",
              [query(per_hour(RUNS, listed, f"{BY}, result"), "{{organization}} {{result}}")], "short", stacked=True,
              every="10m", colors=RESULT_COLORS),
        graph("Failures by reason", "Pipelines that failed, per hour, all refs, by Semaphore's reason. `test`: a job "
              "failed; `malformed`: the YAML; `stuck`, `internal`: Semaphore's own trouble.",
              [query(per_hour("semaphoreci_pipeline_failures_total", PIPELINE, f"{BY}, reason"),
                     "{{organization}} {{reason}}")], "short", stacked=True, every="10m"),
        graph("Duration", "From creation to end, of passed pipelines, all refs. Points are exemplars: single pipelines.",
              [query(quantile(0.5, RUN_SECONDS, f'{PIPELINE}, result="passed"', "$__rate_interval",
                              f"{BY_PROJECT}, pipeline"), "{{organization}} {{project}} {{pipeline}} median", True),
               query(quantile(0.9, RUN_SECONDS, f'{PIPELINE}, result="passed"', "$__rate_interval",
                              f"{BY_PROJECT}, pipeline"), "{{organization}} {{project}} {{pipeline}} 90 %")], "s",
              every="1h"),
        graph("Where the time goes", "The mean time that a pipeline spends in each phase: pending (waits for its turn), "
              "executing, finalizing.",
              [query(mean("semaphoreci_pipeline_phase_duration_seconds", PIPELINE, "$__rate_interval", f"{BY}, phase"),
                     "{{organization}} {{phase}}")], "s", every="1h"),
        heatmap("Distribution of durations", "How many of all chosen pipelines took how long, whatever the result.",
                f"sum by (le) (increase({RUN_SECONDS}_bucket{{{PIPELINE}}}[$__rate_interval]))", "s", every="1h"),
        graph("Runs by kind of ref", "Pipelines that finished, per hour: branches, tags, pull requests.",
              [query(per_hour(RUNS, listed, f"{BY}, ref_type"), "{{organization}} {{ref_type}}")], "short",
              stacked=True, every="10m"),
        graph("Oldest active pipeline", "The age of the oldest pipeline in each state; one that only grows is stuck.",
              [query(f"time() - min by (organization, project, state) "
                     f"(semaphoreci_pipeline_oldest_active_timestamp_seconds{{{PROJECT}}})",
                     "{{organization}} {{project}} {{state}}")], "s"),
        graph("Active pipelines", "Pipelines that are not done, by state.",
              [query(f"sum by (organization, state) (semaphoreci_pipelines_active{{{PIPELINE}}})",
                     "{{organization}} {{state}}")], "short", stacked=True),
        graph("Workflows by trigger", "Workflows whose first pipeline finished, per hour: hook (a push), schedule, api, "
              "manual_run.", [query(per_hour("semaphoreci_workflow_runs_total", PROJECT, f"{BY}, trigger"),
                                    "{{organization}} {{trigger}}")], "short", stacked=True, every="10m"),
        graph("Reruns by kind", "Finished pipelines that repeated an earlier one, per hour: whole (full) or only what had failed.",
              [query(per_hour("semaphoreci_pipeline_reruns_total", PIPELINE, f"{BY}, kind"), "{{organization}} {{kind}}")],
              "short", stacked=True, every="10m"),
        table("Last result", "The last verdict (passed or failed) on each listed ref; another result only where there "
              "has been no verdict. Gone after 30 days without a run.",
              f"max by (organization, project, pipeline, ref, result) "
              f"(semaphoreci_pipeline_last_result{{{listed}}}) == 1", "short", colored="result"),
        table("Last run", "How long ago the last run on each listed ref ended. Gone after 30 days without a run.",
              f"time() - max by (organization, project, pipeline, ref) ({last})", "s", value="ended ago"),
        table("Duration of the last run", "From creation to end, of the last finished run on each listed ref.",
              f"max by (organization, project, pipeline, ref) "
              f"(semaphoreci_pipeline_last_run_duration_seconds{{{listed}}})", "s", value="took"),
    ])


def jobs():
    runs, blocks = "semaphoreci_job_runs_total", "semaphoreci_block_runs_total"
    queued, ran = "semaphoreci_job_queue_duration_seconds", "semaphoreci_job_run_duration_seconds"
    block = f'{PIPELINE}, block=~"$block"'
    failed = block + ', result="failed"'
    need = " Needs metrics.level: job."
    dashboard("jobs", "Jobs and blocks", "Which jobs and blocks fail, and how long jobs wait and run. Filled when "
              "metrics.level of the gateway is block or job.",
              [ORGANIZATION_VARIABLE, PROJECT_VARIABLE, PIPELINE_VARIABLE,
               variable("block", "Block", f"{blocks}{{{PIPELINE}}}")], [
        stat("Job pass rate", "Of the jobs that passed or failed in the chosen time, the share that passed." + need,
             pass_ratio(runs, block, "$__range"), "percentunit", GOOD_WHEN_HIGH),
        stat("Jobs", "Jobs that finished in the chosen time." + need, increase(runs, block, "$__range"), "short",
             decimals=0),
        stat("Failed jobs", "Jobs that failed in the chosen time." + need,
             increase(runs, failed, "$__range"), "short", ZERO_IS_GOOD, decimals=0),
        stat("Failed blocks", "Blocks that failed in the chosen time. Needs metrics.level: block or job.",
             increase(blocks, failed, "$__range"), "short", ZERO_IS_GOOD, decimals=0),
        stat("90 % wait at most", "From a job's creation to its start on an agent." + need,
             quantile(0.9, queued, PIPELINE, "$__range"), "s", [(None, "green"), (60, "orange"), (300, "red")]),
        stat("90 % run at most", "From a job's start on an agent to its end." + need,
             quantile(0.9, ran, PIPELINE, "$__range"), "s"),
        graph("Jobs by result", "Jobs that finished, per hour." + need,
              [query(per_hour(runs, block, f"{BY}, result"), "{{organization}} {{result}}")], "short", stacked=True,
              every="10m", colors=RESULT_COLORS),
        graph("Failed blocks by name", "Blocks that failed, per hour. Needs metrics.level: block or job.",
              [query(per_hour(blocks, failed, f"{BY_PROJECT}, block"), "{{organization}} {{project}} {{block}}")],
              "short", stacked=True, every="10m"),
        graph("Waiting for an agent", "From a job's creation to its start on an agent." + need,
              [query(quantile(share, queued, PIPELINE, "$__rate_interval"), "{{organization}} " + name)
               for share, name in ((0.5, "median"), (0.9, "90 %"), (0.99, "99 %"))], "s", every="1h"),
        graph("Running", "From a job's start on an agent to its end." + need,
              [query(quantile(share, ran, PIPELINE, "$__rate_interval"), "{{organization}} " + name)
               for share, name in ((0.5, "median"), (0.9, "90 %"), (0.99, "99 %"))], "s", every="1h"),
        table("Jobs that fail most", "The 20 jobs with the most failures in the chosen time." + need,
              f"topk(20, {increase(runs, failed, '$__range', f'{BY_PROJECT}, pipeline, block, job')} > 0)",
              "short", value="failures"),
        table("Jobs that fail most often", "The 20 jobs of which the largest share failed in the chosen time." + need,
              f"topk(20, {fail_ratio(runs, block, '$__range', f'{BY_PROJECT}, pipeline, block, job')} > 0)",
              "percentunit", value="fail", steps=[(None, "green"), (0.05, "orange"), (0.2, "red")]),
        table("Blocks that fail most often", "The 20 blocks of which the largest share failed in the chosen time. Needs "
              "metrics.level: block or job.",
              f"topk(20, {fail_ratio(blocks, block, '$__range', f'{BY_PROJECT}, pipeline, block')} > 0)",
              "percentunit", value="fail", steps=[(None, "green"), (0.05, "orange"), (0.2, "red")]),
        heatmap("Distribution of waiting", "How many of all chosen jobs waited how long for an agent." + need,
                f"sum by (le) (increase({queued}_bucket{{{PIPELINE}}}[$__rate_interval]))", "s", every="1h"),
    ])


def dora():
    deployments, lead = "semaphoreci_deployments_total", "semaphoreci_deployment_lead_time_seconds"
    recovery = "semaphoreci_pipeline_recovery_duration_seconds"
    of_target = f'{PROJECT}, target=~"$target"'
    passed = of_target + ', result="passed"'
    by_target = f"{BY_PROJECT}, target"
    target_legend = "{{organization}} {{project}} {{target}}"
    # Prometheus may not have the whole of the chosen time, so it is asked since when it knows the organization.
    times = f"timestamp(semaphoreci_up{{{ORGANIZATION}}})"
    seconds = f"(time() - min by (organization) (min_over_time({times}[$__range:5m])))"
    per_day = f"86400 * {ratio(increase(deployments, passed, '$__range'), seconds)}"
    dashboard("dora", "DORA", "The four figures of software delivery, from deployments and main branches. A deployment "
              "counts when its pipeline has finished.",
              [ORGANIZATION_VARIABLE, PROJECT_VARIABLE,
               variable("target", "Deployment target", f"{deployments}{{{PROJECT}}}")], [
        stat("Deployments a day", "Deployment frequency: passed deployments per day of the chosen time, or of that part "
             "of it that Prometheus has data of.",
             per_day, "short", width=6, decimals=2),
        stat("Lead time", "Median time from a workflow's creation to the end of its passed deployment. The API has no "
             "commit time, so the wait between commit and push is not in it.",
             quantile(0.5, lead, of_target, "$__range"), "s", width=6,
             steps=[(None, "green"), (86400, "orange"), (604800, "red")]),
        stat("Change failure rate", "Of the deployments that passed or failed in the chosen time, the share that failed.",
             fail_ratio(deployments, of_target, "$__range"), "percentunit",
             [(None, "green"), (0.15, "orange"), (0.3, "red")], width=6),
        stat("Time to restore", "Median time from the first failed run to the next passed one of a pipeline on a listed "
             "ref.", quantile(0.5, recovery, PROJECT, "$__range"), "s", width=6,
             steps=[(None, "green"), (3600, "orange"), (86400, "red")]),
        graph("Deployments", "Passed deployments per day, by target.",
              [query(f"86400 * sum by ({by_target}) (rate({deployments}{{{passed}}}[$__rate_interval]))", target_legend)],
              "short", stacked=True, every="1h"),
        graph("Deployments by result", "Finished deployments per day, by the result of their pipeline.",
              [query(f"86400 * sum by ({BY}, result) (rate({deployments}{{{of_target}}}[$__rate_interval]))",
                     "{{organization}} {{result}}")], "short", stacked=True, every="1h", colors=RESULT_COLORS),
        graph("Lead time by target", "From a workflow's creation to the end of its passed deployment.",
              [query(quantile(0.5, lead, of_target, "$__rate_interval", by_target), target_legend + " median"),
               query(quantile(0.9, lead, of_target, "$__rate_interval", by_target), target_legend + " 90 %")], "s",
              every="6h"),
        graph("Change failure rate by target", "Of the deployments that passed or failed in the seven days before, the share that "
              "failed, by target.", [query(fail_ratio(deployments, of_target, "7d", by_target), target_legend)],
              "percentunit", every="1h", most=1),
        graph("Time to restore by project", "From the first failed run to the next passed one on a listed ref, by project.",
              [query(quantile(share, recovery, PROJECT, "$__rate_interval", BY_PROJECT),
                     "{{organization}} {{project}} " + name) for share, name in ((0.5, "median"), (0.9, "90 %"))], "s",
              every="6h"),
        graph("Deployments by trigger", "Finished deployments per day: by rule (auto) or by a person (manual).",
              [query(f"86400 * sum by ({BY}, trigger) (rate({deployments}{{{of_target}}}[$__rate_interval]))",
                     "{{organization}} {{trigger}}")], "short", stacked=True, every="1h"),
        table("Last deployment", "How long ago the last passed deployment to each target ended.",
              f"time() - max by (organization, project, target) "
              f"(semaphoreci_deployment_last_timestamp_seconds{{{of_target}}})", "s", value="ended ago"),
        table("Deployment targets", "The state of each target at the last collection.",
              f"max by (organization, project, target, state) "
              f"(semaphoreci_deployment_target_state{{{of_target}}}) == 1", "short", colored="state"),
        table("Promotions", "Promotions in the chosen time, by name and status. The status says whether the promotion "
              "could be carried out, not how its pipeline ended.",
              f"{increase('semaphoreci_promotions_total', PROJECT, '$__range', f'{BY_PROJECT}, promotion, status')} > 0",
              "short", value="promotions", width=24),
    ], since="now-14d", refresh="5m")  # Prometheus keeps 15 days unless told otherwise


def agents():
    of_type = f'{ORGANIZATION}, agent_type=~"$agent_type"'
    busy = f'sum by (%s) (semaphoreci_agents{{{of_type}, state="running_job"}})'
    total = f"sum by (%s) (semaphoreci_agents{{{of_type}}})"
    by_type = "organization, agent_type"
    waiting = f'semaphoreci_pipelines_active{{{ORGANIZATION}, state=~"pending|queuing"}}'
    queued = "semaphoreci_job_queue_duration_seconds"
    dashboard("agents", "Agents", "Self-hosted agents: how many, how busy, which versions, and who waits for them.",
              [ORGANIZATION_VARIABLE, variable("agent_type", "Agent type", f"semaphoreci_agents{{{ORGANIZATION}}}")], [
        stat("Agents", "Self-hosted agents that are connected.", total % BY, "short", width=5),
        stat("Busy", "Agents that run a job.", busy % BY, "short", width=5),
        stat("Utilisation", "The share of the agents that run a job. Near 1 jobs wait.",
             ratio(busy % BY, total % BY), "percentunit", [(None, "green"), (0.8, "orange"), (0.95, "red")], width=5),
        stat("Waiting pipelines", "Pipelines that are pending or queuing, whatever agents they need.",
             f"sum by (organization) ({waiting})", "short", width=5),
        stat("Versions in use", "Different versions of the agent in use; more than one while an update rolls out.",
             f"count by (organization) (sum by (organization, version) (semaphoreci_agent_versions{{{of_type}}}) > 0)",
             "short", width=4),
        graph("Agents by state", "Agents that wait for a job and that run one.",
              [query(f"sum by ({by_type}, state) (semaphoreci_agents{{{of_type}}})",
                     "{{organization}} {{agent_type}} {{state}}")], "short", stacked=True),
        graph("Utilisation by type", "The share of each type's agents that run a job.",
              [query(ratio(busy % by_type, total % by_type), "{{organization}} {{agent_type}}")], "percentunit", most=1,
              steps=[(None, "green"), (0.8, "orange"), (0.95, "red")]),
        graph("Pipelines that wait", "Pipelines that are pending or queuing, by project.",
              [query(f"sum by (organization, project) ({waiting})", "{{organization}} {{project}}")], "short",
              stacked=True),
        graph("Waiting for an agent", "From a job's creation to its start on an agent. Needs metrics.level: job.",
              [query(quantile(share, queued, ORGANIZATION, "$__rate_interval"), "{{organization}} " + name)
               for share, name in ((0.5, "median"), (0.9, "90 %"))], "s", every="1h"),
        table("Types", "Agents of each type by state; a type without agents has zeros.",
              f"sum by (organization, agent_type, state) (semaphoreci_agents{{{of_type}}})", "short", value="agents"),
        table("Versions", "Agents of each type by version.",
              f"sum by (organization, agent_type, version) (semaphoreci_agent_versions{{{of_type}}}) > 0", "short",
              value="agents"),
    ], since="now-6h")


def gateway():
    here = 'instance=~"$instance"'
    there = f"{here}, {ORGANIZATION}"
    calls = f'{here}, grpc_service=~"semaphore\\\\.v1\\\\..+"'
    faults = 'grpc_code=~"Unknown|DeadlineExceeded|Internal|Unavailable|DataLoss"'
    gateways = f'up{{job="semaphore-gateway", {here}}}'
    own = "semaphoreci_gateway_"
    up = own + "upstream_"
    collected = own + "collector_"

    def rate(name, matchers, by):
        return f"sum by ({by}) (rate({name}{{{matchers}}}[$__rate_interval]))"

    def total_rate(name, matchers):
        return f"sum(rate({name}{{{matchers}}}[$__rate_interval]))"

    def call_quantile(share, window, by=""):
        rates = f"rate(grpc_server_handling_seconds_bucket{{{calls}}}[{window}])"
        return f"histogram_quantile({share}, sum by ({by}le) ({rates}))"

    unhit = " - ".join(total_rate(f"{own}cache_{what}_total", here) for what in ("requests", "hits", "stale", "coalesced"))
    dashboard("gateway", "Gateway", "The gateway itself: calls, cache, requests to Semaphore and their budget, "
              "collection, callers, process.",
              [variable("instance", "Instance", own + "build_info"),
               variable("organization", "Organization", up + "budget_capacity")], [
        stat("Up", "The share of the gateways that answer Prometheus.",
             f"sum({gateways}) / count({gateways})", "percentunit",
             [(None, "red"), (0.01, "orange"), (1, "green")], legend=""),
        stat("Calls", "Calls per second.", total_rate("grpc_server_handled_total", calls), "reqps", legend=""),
        stat("Errors", "The share of calls that failed through no fault of their callers, in the chosen time.",
             ratio(f"sum(increase(grpc_server_handled_total{{{calls}, {faults}}}[$__range]))",
                   f"sum(increase(grpc_server_handled_total{{{calls}}}[$__range]))"), "percentunit", GOOD_WHEN_LOW,
             legend=""),
        stat("99 % take at most", "Time from a call's start to its answer, in the chosen time.",
             call_quantile(0.99, "$__range"), "s", [(None, "green"), (1, "orange"), (5, "red")], legend=""),
        stat("Answered from the cache", "The share of the reads that needed no request to Semaphore, in the chosen time.",
             ratio("(" + " + ".join(f"sum(increase({own}cache_{what}_total{{{here}}}[$__range]))"
                                    for what in ("hits", "stale", "coalesced")) + ")",
                   f"sum(increase({own}cache_requests_total{{{here}}}[$__range]))"), "percentunit", legend=""),
        stat("Breakers open", "Circuit breakers that keep requests from Semaphore now.",
             f'sum by (organization) (max by (organization, instance) ({up}circuit_state{{{there}, state="open"}}))',
             "short", ZERO_IS_GOOD),
        row("Calls"),
        graph("Calls by code", "Answers per second by gRPC code.",
              [query(rate("grpc_server_handled_total", calls, "grpc_code"), "{{grpc_code}}")], "reqps", stacked=True),
        graph("Time to answer", "From a call's start to its answer, waiting for Semaphore included.",
              [query(call_quantile(share, "$__rate_interval"), name)
               for share, name in ((0.5, "median"), (0.9, "90 %"), (0.99, "99 %"))], "s"),
        table("Methods", "Calls in the chosen time, by method.",
              f"sum by (grpc_service, grpc_method) (increase(grpc_server_started_total{{{calls}}}[$__range])) > 0",
              "short", value="calls"),
        table("Slow methods", "What the slowest tenth of the calls of each method takes, in the chosen time.",
              call_quantile(0.9, "$__range", "grpc_service, grpc_method, ") + " >= 0",
              "s", value="90 % take at most"),
        graph("REST requests", "HTTP requests per second that the REST listener read, and that it refused as no HTTP, too "
              "large or too slow.",
              [query(rate(own + "rest_requests_total", here, "instance"), "{{instance}}"),
               query(rate(own + "rest_requests_refused_total", here, "instance"), "{{instance}} refused")], "reqps"),
        graph("REST connections", "Open connections of the REST listener; refused: closed at once, per second, because "
              "there were too many.",
              [query(f"sum by (instance) ({own}rest_connections{{{here}}})", "{{instance}}"),
               query(rate(own + "rest_connections_refused_total", here, "instance"), "{{instance}} refused")], "short"),
        row("Cache"),
        graph("How reads were answered", "Reads per second: fresh from the cache (hit), stale, by another caller's fetch "
              "(coalesced), or by a request to Semaphore (miss).",
              [query(total_rate(f"{own}cache_{what}_total", here), name)
               for what, name in (("hits", "hit"), ("stale", "stale"), ("coalesced", "coalesced"))]
              + [query(f"clamp_min({unhit}, 0)", "miss")], "reqps", stacked=True),
        graph("Hit rate by method", "The share of the reads of each method that a fresh reply in the cache answered.",
              [query(ratio(rate(own + "cache_hits_total", here, "method"),
                           rate(own + "cache_requests_total", here, "method")), "{{method}}")], "percentunit", most=1),
        graph("Memory of the cache", "Keys, replies and overhead.",
              [query(f"sum by (instance) ({own}cache_bytes{{{here}}})", "{{instance}}")], "bytes", width=8),
        graph("Replies in the cache", "How many replies are kept.",
              [query(f"sum by (instance) ({own}cache_entries{{{here}}})", "{{instance}}")], "short", width=8),
        graph("Cache at work", "Per second: replies dropped (room) or never kept (too_large), refreshed in the "
              "background, and fetches given up because nobody waited any more.",
              [query(rate(own + "cache_evictions_total", here, "reason"), "dropped: {{reason}}"),
               query(total_rate(own + "cache_refreshes_total", here), "refreshed"),
               query(total_rate(own + "cache_abandoned_fetches_total", here), "given up")], "ops", width=8),
        row("Requests to Semaphore"),
        graph("Replies by status", "Replies of Semaphore per second, each attempt counted.",
              [query(rate(up + "requests_total", there, f"{BY}, code"), "{{organization}} {{code}}")], "reqps",
              stacked=True),
        graph("Requests without a reply", "Per second, by cause.",
              [query(rate(up + "failures_total", there, f"{BY}, cause"), "{{organization}} {{cause}}")], "reqps",
              stacked=True),
        graph("Time that Semaphore takes", "From sending a request to the end of its reply: the slowest tenth, by route.",
              [query(quantile(0.9, up + "request_duration_seconds", there, "$__rate_interval", f"{BY}, method, route")
                     + " >= 0", "{{organization}} {{method}} {{route}}")], "s"),
        graph("Retries", "Attempts repeated per second, by reason, and retries that the retry budget did not allow.",
              [query(rate(up + "retries_total", there, f"{BY}, reason"), "{{organization}} {{reason}}"),
               query(rate(up + "retry_budget_refusals_total", there, BY), "{{organization}} not allowed")], "reqps"),
        graph("Connections", "Connections to Semaphore by state, and requests under way.",
              [query(f"sum by (organization, state) ({up}connections{{{there}}})", "{{organization}} {{state}}"),
               query(f"sum by (organization) ({up}requests_in_flight{{{there}}})", "{{organization}} requests under way")],
              "short"),
        graph("TLS handshakes", "Handshakes with Semaphore per second; most should resume a session.",
              [query(rate(up + "tls_handshakes_total", there, f"{BY}, resumed"), "{{organization}} resumed: {{resumed}}")],
              "ops"),
        timeline("Circuit breakers", "Open: Semaphore failed most requests and is left alone for seconds. Half open, "
                 "when the next requests will try, is not open: without requests it stays so.",
                 f'max by (organization, instance) ({up}circuit_state{{{there}, state="open"}})',
                 "{{organization}} {{instance}}", words={0: ("not open", "green"), 1: ("open", "red")}),
        graph("Kept back by breakers", "Times that a breaker opened, and requests not made because it was open, per second.",
              [query(rate(up + "circuit_openings_total", there, "organization"), "{{organization}} opened"),
               query(rate(up + "circuit_rejections_total", there, "organization"), "{{organization}} not made")],
              "ops"),
        row("Budget"),
        graph("Tokens", "Requests that the budget would let through at once, and the most that it ever lets.",
              [query(f"min by (organization) ({up}budget_tokens{{{there}}})", "{{organization}} left"),
               query(f"min by (organization) ({up}budget_capacity{{{there}}})", "{{organization}} capacity")], "short",
              width=8),
        graph("Rate in force", "Requests per second that the budget allows; less than configured while Semaphore "
              "throttles. Throttled: replies that asked for fewer.",
              [query(f"sum by (organization) ({up}budget_rate{{{there}}})", "{{organization}} allowed"),
               query(rate(up + "throttled_total", there, "organization"), "{{organization}} throttled")], "reqps",
              width=8),
        graph("Retry budget", "Retries that would be allowed at once.",
              [query(f"min by (organization) ({up}retry_budget_tokens{{{there}}})", "{{organization}}")], "short",
              width=8),
        graph("Waiting", "Requests that wait for their turn, by class of caller.",
              [query(f"sum by (organization, class) ({up}budget_waiting{{{there}}})", "{{organization}} {{class}}")],
              "short", width=8, stacked=True),
        graph("Time to wait", "What the slowest tenth waits for its turn, by class of caller.",
              [query(quantile(0.9, up + "budget_wait_seconds", there, "$__rate_interval", f"{BY}, class"),
                     "{{organization}} {{class}}")], "s", width=8),
        graph("Refused", "Requests per second refused because the budget, or a caller's quota, was spent.",
              [query(rate(up + "budget_rejections_total", there, f"{BY}, class"), "{{organization}} budget: {{class}}"),
               query(total_rate(own + "caller_quota_rejections_total", here), "quota")], "reqps", width=8),
        row("Collection of CI facts"),
        graph("Collections", "Polls of projects, agents and lists of projects per hour, by result.",
              [query(per_hour(collected + "polls_total", there, "organization, result"), "{{organization}} {{result}}")],
              "short"),
        graph("From done to counted", "How long after its end a pipeline is counted, and the time between two polls of a "
              "project.",
              [query(quantile(0.5, collected + "lag_seconds", there, "$__rate_interval"), "{{organization}} median"),
               query(quantile(0.9, collected + "lag_seconds", there, "$__rate_interval"), "{{organization}} 90 %"),
               query(f"max by (organization) ({collected}interval_seconds{{{there}}})", "{{organization}} between polls")],
              "s", every="10m"),
        graph("Age of the data", "Since the last successful collection of the project that waits longest.",
              [query(data_age(there), "{{organization}}")], "s", steps=[(None, "green"), (900, "red")]),
        graph("Age of the watermarks", "Up to where each project is counted. A quiet project's is old by right.",
              [query(f"time() - max by (organization, project) ({collected}watermark_timestamp_seconds{{{there}}})",
                     "{{organization}} {{project}}")], "s"),
        graph("Counted and refused", "Finished pipelines per hour that were counted, and that were met again and so not "
              "counted: walks overlap, so there are always some.",
              [query(per_hour(collected + "pipelines_counted_total", there, "organization"), "{{organization}} counted"),
               query(per_hour(collected + "duplicates_total", there, "organization"), "{{organization}} met again")],
              "short"),
        table("Series", "Series of each family of CI facts; each has a cap.",
              f"max by (family) ({own}ci_series{{{here}}})", "short", value="series"),
        graph("Overflow and expiry", "Per hour: events counted under `other` because their family is full, series left "
              "out of the page, and series dropped because nothing had happened to them for long.",
              [query(f"3600 * {total_rate(own + 'ci_series_overflow_total', here)}", "events under other"),
               query(f"3600 * {total_rate(own + 'ci_series_dropped_total', here)}", "series left out"),
               query(f"3600 * {total_rate(own + 'ci_series_expired_total', here)}", "series expired")], "short"),
        table("Collected organizations", "1: polls succeed; 0: none has for one poll interval, or none yet.",
              f"max by (organization) (semaphoreci_up{{{ORGANIZATION}}})", "short", value="up",
              steps=[(None, "red"), (1, "green")]),
        table("Collected projects", "Since the last successful collection of each project.",
              f"time() - max by (organization, project) ({COLLECTED}{{{there}}})", "s", value="age",
              steps=[(None, "green"), (300, "orange"), (900, "red")]),
        table("Projects never collected", "Projects that are known, but that have not been collected since the gateway "
              "started.", f"max by (organization, project) (semaphoreci_project_info{{{ORGANIZATION}}}) "
              f"unless on (organization, project) {COLLECTED}{{{ORGANIZATION}}}", "short"),
        row("Callers and schema"),
        graph("Calls by caller", "Calls per second; anonymous: nobody known.",
              [query(f"topk(20, {rate(own + 'caller_requests_total', here, 'caller')})", "{{caller}}")], "reqps",
              stacked=True),
        graph("Callers refused", "Calls per second refused because of who made them, changes refused because no audit "
              "line had room, and audit lines that standard error did not take.",
              [query(rate(own + "caller_refusals_total", here, "reason"), "{{reason}}"),
               query(total_rate(own + "audit_refusals_total", here), "no room for an audit line"),
               query(total_rate(own + "audit_write_failures_total", here), "audit line not written")], "reqps"),
        graph("What this release does not know", "Fields and enum words of Semaphore's replies that are new to it, per "
              "hour, by method. Harmless, but a newer release may say more.",
              [query(per_hour(own + "unknown_fields_total", here, "method") + " > 0", "{{method}} fields"),
               query(per_hour(own + "unknown_enum_words_total", here, "method") + " > 0", "{{method}} words")],
              "short"),
        table("Certificates", "Time left of the certificate that callers are shown.",
              f"{own}tls_certificate_expiry_timestamp_seconds{{{here}}} - time()", "s", value="time left",
              steps=[(None, "red"), (604800, "orange"), (1209600, "green")]),
        row("Process"),
        graph("CPU", "Processors in use.", [query(rate("process_cpu_seconds_total", f'job="semaphore-gateway", {here}',
                                                       "instance"), "{{instance}}")], "short", width=8),
        graph("Memory", "Resident memory.",
              [query(f'process_resident_memory_bytes{{job="semaphore-gateway", {here}}}', "{{instance}}")], "bytes",
              width=8),
        graph("Open files", "File descriptors in use, and how many there may be.",
              [query(f'process_open_fds{{job="semaphore-gateway", {here}}}', "{{instance}}"),
               query(f'process_max_fds{{job="semaphore-gateway", {here}}}', "{{instance}} limit")], "short", width=8),
        graph("Log lines lost", "Lines per second that standard error did not take fast enough. Audit lines are never "
              "lost.", [query(rate(own + "log_lines_dropped_total", here, "instance"), "{{instance}}")], "ops"),
        table("Running since", "The version of each gateway and how long it has been running.",
              f'(time() - process_start_time_seconds{{job="semaphore-gateway", {here}}}) * on (instance) '
              f"group_left (version) {own}build_info{{{here}}}", "s", value="running for"),
    ], since="now-6h", refresh="30s")


def main():
    folder = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "dashboards"
    for make in (overview, pipelines, jobs, dora, agents, gateway):
        make()
    for name, made in DASHBOARDS.items():
        text = json.dumps(made, indent=1, ensure_ascii=False) + "\n"
        (folder / f"{name}.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
