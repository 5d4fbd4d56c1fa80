"""Scrapes of /metrics/ci: of a page of 50 000 series, beside cached calls, and while Semaphore is away.

The ledger is filled before the gateway starts: pipelines by the thousand would take hours. h2load makes the calls over REST
at a fixed rate, in turn without and with scrapes one after the other.

usage: scrapes.py BUILD_DIRECTORY [ROUNDS]
"""

import gzip
import json
import os
import pathlib
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

BUILD = pathlib.Path(sys.argv[1]).resolve()
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
RATE, CONNECTIONS, SECONDS = 1000, 4, 5

os.environ["SEMAPHORE_GATEWAY"] = str(BUILD / "gateway/semaphore-gateway")
os.environ["SEMAPHORE_SIMULATOR"] = str(BUILD / "tests/simulator/semaphore-simulator")
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))
import processes  # noqa: E402

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
OPEN_METRICS = "application/openmetrics-text;version=1.0.0"


def fill(ledger):
    """1 999 label sets in each of two counters and two histograms, of 1 and of 15 series each: 64 000."""
    catalog = {family["name"]: family for family in json.loads(
        subprocess.run([os.environ["SEMAPHORE_GATEWAY"], "metrics-catalog"], check=True, capture_output=True).stdout)}
    now = int(time.time() * 1e6)
    with sqlite3.connect(ledger) as connection:
        for name in ("semaphoreci_pipeline_runs_total", "semaphoreci_pipeline_failures_total",
                     "semaphoreci_pipeline_run_duration_seconds", "semaphoreci_pipeline_phase_duration_seconds"):
            family = catalog[name]
            bounds = [f"{bound:g}" for bound in family.get("buckets", [])]
            buckets = ",".join("1" for _ in range(len(bounds) + 1)) if bounds else ""
            words = {"organization": "acme", "ref": "master", "ref_type": "branch", "result": "passed", "reason": "test",
                     "phase": "executing"}
            for number in range(1999):
                values = {**words, "project": f"project-{number % 100}", "pipeline": f".semaphore/{number}.yml"}
                labels = "\x1f".join(values[label] for label in family["labels"])
                connection.execute("INSERT INTO totals VALUES (?, ?, ?, ?, ?, ?, '', ?, 1)",
                                   (name, labels, 0 if bounds else 1, ",".join(bounds), buckets, 1, now))


def scrape(gateway):
    """The seconds until the page was there, compressed as Prometheus asks for it, and the page."""
    request = urllib.request.Request(gateway.admin + "/metrics/ci",
                                     headers={"accept": OPEN_METRICS, "accept-encoding": "gzip"})
    start = time.perf_counter()
    with OPENER.open(request, timeout=60) as reply:
        page = reply.read()
    return time.perf_counter() - start, page


def series(page):
    return sum(not line.startswith(b"#") for line in gzip.decompress(page).splitlines())


def p99(url, log):
    """Of cached calls, in microseconds."""
    log.unlink(missing_ok=True)
    requests = RATE * SECONDS
    ended = subprocess.run(["h2load", "--h1", "-n", str(requests), "-c", str(CONNECTIONS), "-t", "1", "--rps",
                            str(RATE / CONNECTIONS), f"--log-file={log}", url], capture_output=True, text=True, check=True)
    if f"{requests} succeeded" not in ended.stdout:
        sys.exit(f"not every call succeeded\n{ended.stdout}")
    times = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
    return times[int(len(times) * 0.99)]


def median_scrape(gateway, count=30):
    times = [scrape(gateway)[0] for _ in range(count)]
    return statistics.median(times) * 1000, max(times) * 1000


def calls_beside_scrapes(gateway, url, log):
    """The p99 of calls without scrapes and with one each second, which is more often than anybody scrapes."""
    alone = p99(url, log)
    ended = threading.Event()

    def keep_scraping():
        while not ended.wait(1):
            scrape(gateway)
    scraper = threading.Thread(target=keep_scraping)
    scraper.start()
    try:
        return alone, p99(url, log)
    finally:
        ended.set()
        scraper.join()


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        simulator = processes.Simulator(folder)
        state = folder / "state"
        metrics = {"discover": True, "refs": ["master"], "poll_interval": "5s", "state_dir": str(state)}
        settings = ("rest: {address: '127.0.0.1:0'}\ncache: {max_bytes: 1048576}\n"
                    "upstream: {requests_per_second: 1000, burst: 1000}\n" f"metrics: {json.dumps(metrics)}\n")
        rows = [processes.row_of(simulator)]
        processes.Gateway(folder, rows, settings, name="first").stop()
        [ledger] = [file for file in state.iterdir() if file.read_bytes().startswith(b"SQLite format 3")]
        fill(ledger)
        gateway = processes.Gateway(folder, rows, settings)
        url = f"{gateway.rest}/v1/pipelines/{simulator.ids['done_pipeline_id']}"
        log = folder / "h2load.log"
        processes.wait_until(lambda: 'semaphoreci_up{organization="acme"} 1' in gateway.get("/metrics/ci")[1], "collection")

        lines = series(scrape(gateway)[1])
        well = median_scrape(gateway)
        p99(url, log)
        pairs = [calls_beside_scrapes(gateway, url, log) for _ in range(ROUNDS)]
        simulator.process.send_signal(processes.signal.SIGSTOP)
        processes.wait_until(lambda: 'semaphoreci_up{organization="acme"} 0' in gateway.get("/metrics/ci")[1], "outage")
        away = median_scrape(gateway)
        simulator.process.send_signal(processes.signal.SIGCONT)
        gateway.stop()
        simulator.stop()

        print("| scrapes of /metrics/ci | |")
        print("|---|---|")
        print(f"| series on the page | {lines} |")
        print(f"| a scrape, median and longest of 30 | {well[0]:.0f} ms, {well[1]:.0f} ms |")
        print(f"| while Semaphore does not answer | {away[0]:.0f} ms, {away[1]:.0f} ms |")
        alone, beside = (statistics.median(pair[i] for pair in pairs) for i in (0, 1))
        print(f"| p99 of cached calls at {RATE} a second, alone | {alone:.0f} µs |")
        print(f"| beside a scrape each second | {beside:.0f} µs |")
        print(f"| ratio, median of {ROUNDS} pairs | {statistics.median(b / a for a, b in pairs):.2f} |")


if __name__ == "__main__":
    main()
