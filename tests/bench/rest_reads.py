"""A cached GET over REST against nginx's proxy_cache in front of the same JSON body, in turn in one run.

Both have two workers and keep connections alive; nginx is tuned as its own guides say: cached bytes in memory, no access
log, sendfile. wrk measures requests per second with as many connections as it likes; h2load the latency at a fixed rate. A
server's processor time comes from /proc, of all its processes. Then idle connections are opened to the gateway. Started by
run.sh.

usage: rest_reads.py BUILD_DIRECTORY [ROUNDS [SECONDS [IDLE_CONNECTIONS]]]
"""

import http.client
import http.server
import os
import pathlib
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time

BUILD = sys.argv[1]
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5
SECONDS = int(sys.argv[3]) if len(sys.argv) > 3 else 8
IDLE = int(sys.argv[4]) if len(sys.argv) > 4 else 10_000
CONNECTIONS = 64
RATE, RATE_CONNECTIONS = 10_000, 50
TICKS = os.sysconf("SC_CLK_TCK")

NGINX = """
daemon off; worker_processes 2; pid {work}/nginx.pid; error_log {work}/nginx.err;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on; server_tokens off;
  keepalive_timeout 75; keepalive_requests 1000000000; open_file_cache max=1000 inactive=60s; etag on;
  client_body_temp_path {work}/body; proxy_temp_path {work}/proxy;
  fastcgi_temp_path {work}/fastcgi; uwsgi_temp_path {work}/uwsgi; scgi_temp_path {work}/scgi;
  proxy_cache_path {cache} levels=1:2 keys_zone=replies:16m inactive=1h use_temp_path=off;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 16; }}
  server {{
    listen 127.0.0.1:{port} reuseport backlog=4096;
    location / {{
      proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_cache replies; proxy_cache_valid 200 1h; proxy_cache_lock on; add_header X-Cache $upstream_cache_status;
    }}
  }}
}}
"""


class Server:
    def __init__(self, name, processes, url):
        self.name, self.processes, self.url = name, processes, url
        self.rates, self.costs, self.latencies = [], [], []

    def ticks(self):
        total = 0
        for process in self.processes:
            fields = pathlib.Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        return total

    def throughput(self):
        """Requests per second, and microseconds of this server's processor time for each."""
        before = self.ticks()
        ended = subprocess.run(["wrk", "-t", "1", "-c", str(CONNECTIONS), "-d", f"{SECONDS}s", self.url],
                               capture_output=True, text=True, check=True)
        spent = self.ticks() - before
        if "Non-2xx" in ended.stdout or "Socket errors" in ended.stdout:
            sys.exit(f"{self.name}: not every request succeeded\n{ended.stdout}")
        requests = int(re.search(r"([0-9]+) requests in", ended.stdout).group(1))
        rate = float(re.search(r"Requests/sec:\s+([0-9.]+)", ended.stdout).group(1))
        return rate, spent / TICKS / requests * 1e6

    def latency(self, log):
        """The 99th percentile in microseconds at RATE requests a second."""
        log.unlink(missing_ok=True)
        requests = RATE * SECONDS
        ended = subprocess.run(
            ["h2load", "--h1", "-n", str(requests), "-c", str(RATE_CONNECTIONS), "-t", "1",
             "--rps", str(RATE / RATE_CONNECTIONS), f"--log-file={log}", self.url],
            capture_output=True, text=True, check=True)
        if f"{requests} succeeded" not in ended.stdout:
            sys.exit(f"{self.name}: not every request succeeded\n{ended.stdout}")
        # Each line: start, status, microseconds.
        times = sorted(int(line.split("\t")[2]) for line in log.read_text().splitlines())
        return times[int(len(times) * 0.99)]


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", path)
    reply = connection.getresponse()
    body = reply.read()
    if reply.status != 200:
        sys.exit(f"{reply.status} {body[:500]}")
    return reply, body


def wait_until(condition, what):
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"still not: {what}")
        time.sleep(0.02)


def start_simulator(work, started):
    (work / "token").write_text("bench-token")
    simulator = subprocess.Popen(
        [f"{BUILD}/tests/simulator/semaphore-simulator", "--token-file", work / "token", "--port", "0",
         "--ca-out", work / "ca.pem"], stdout=subprocess.PIPE, text=True)
    started.append(simulator)
    base_url = simulator.stdout.readline().strip()
    ids = {}
    while "done_pipeline_id" not in ids or "failed_pipeline_id" not in ids:
        key, _, value = simulator.stdout.readline().strip().partition("=")
        ids[key] = value
    return base_url, ids["failed_pipeline_id"]


def start_gateway(work, started, base_url):
    config = work / "gateway.yaml"
    # The default configuration but for the ports.
    config.write_text("\n".join(f'{listener}: {{address: "127.0.0.1:0"}}' for listener in ("grpc", "rest", "admin")))
    log = work / "gateway.log"
    with open(log, "wb") as errors:
        gateway = subprocess.Popen(
            [f"{BUILD}/gateway/semaphore-gateway", "--config", config], stderr=errors,
            env={**os.environ, "SEMAPHORE_ORGANIZATION": "bench", "SEMAPHORE_API_TOKEN": "bench-token",
                 "SEMAPHORE_BASE_URL": base_url, "SEMAPHORE_CA_FILE": str(work / "ca.pem")})
    started.append(gateway)
    wait_until(lambda: '"serving"' in log.read_text() or gateway.poll() is not None, "the gateway serves")
    if gateway.poll() is not None:
        sys.exit("the gateway did not start\n" + log.read_text())
    return gateway, int(re.search(r'"rest_port":([0-9]+)', log.read_text()).group(1))


def start_origin(path, body):
    """What nginx asks once: the gateway's own body at the same path."""
    class Origin(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            self.send_response(200 if self.path == path else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("ETag", '"0123456789abcdef0123456789abcdef"')
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=origin.serve_forever, daemon=True).start()
    return origin.server_address[1]


def start_nginx(work, cache, started, origin):
    port = free_port()
    config = work / "nginx.conf"
    config.write_text(NGINX.format(work=work, cache=cache, origin=origin, port=port))
    nginx = subprocess.Popen(["nginx", "-c", config, "-e", work / "nginx.err"])
    started.append(nginx)

    def workers():
        children = pathlib.Path(f"/proc/{nginx.pid}/task/{nginx.pid}/children").read_text().split()
        return [child for child in children
                if b"worker process" in pathlib.Path(f"/proc/{child}/cmdline").read_bytes()]
    wait_until(lambda: len(workers()) == 2, "nginx has its workers")
    return port, workers()


def memory(process):
    text = pathlib.Path(f"/proc/{process}/status").read_text()
    return int(re.search(r"VmRSS:\s+([0-9]+)", text).group(1)) * 1024


def hold_idle(gateway, port, path):
    """The gateway's memory for each of many idle connections that have had one reply, while it still answers others."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    before = memory(gateway.pid)
    request = f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode()
    held = []
    try:
        for i in range(IDLE):
            # Addresses of their own, because one has 28 000 ports only.
            one = socket.create_connection(("127.0.0.1", port), source_address=(f"127.0.0.{2 + i // 20000}", 0))
            held.append(one)
            one.sendall(request)
            if not one.recv(65536).startswith(b"HTTP/1.1 200 "):
                sys.exit(f"connection {i} got no reply")
        grown = memory(gateway.pid) - before
        began = time.monotonic()
        get(port, path)
        return grown / max(1, len(held)), time.monotonic() - began
    finally:
        for one in held:
            one.close()


def measure(work, cache, started):
    base_url, pipeline = start_simulator(work, started)
    gateway, port = start_gateway(work, started, base_url)
    path = f"/v1/pipelines/{pipeline}"
    _, body = get(port, path)
    nginx_port, workers = start_nginx(work, cache, started, start_origin(path, body))
    if get(nginx_port, path)[1] != body:
        sys.exit("nginx serves another body")
    for server_port, header, word in ((port, "x-cache", "hit"), (nginx_port, "X-Cache", "HIT")):
        reply, _ = get(server_port, path)
        if reply.getheader(header) != word:
            sys.exit(f"{header} is {reply.getheader(header)}, not {word}")
    nginx = Server("nginx", workers, f"http://127.0.0.1:{nginx_port}{path}")
    ours = Server("gateway", [gateway.pid], f"http://127.0.0.1:{port}{path}")
    log = work / "h2load.log"
    for turn in range(ROUNDS + 1):
        for server in (nginx, ours) if turn % 2 == 0 else (ours, nginx):
            rate, cost = server.throughput()
            latency = server.latency(log)
            if turn == 0:
                continue  # warm-up
            server.rates.append(rate)
            server.costs.append(cost)
            server.latencies.append(latency)
    report(nginx, ours, len(body))
    each, answer = hold_idle(gateway, port, path)
    print(f"\n{IDLE} idle connections: {each / 1024:.1f} KiB each; meanwhile another got its answer in {answer * 1000:.1f} ms")


def report(nginx, ours, size):
    print(f"{ROUNDS} rounds of {SECONDS} s, {CONNECTIONS} connections of wrk; {RATE} requests/s over {RATE_CONNECTIONS} of "
          f"h2load; body of {size} bytes\n")
    print("| cached GET over REST | requests/s | server's processor time per request | p99 at 10 000 requests/s |")
    print("|---|---|---|---|")
    middle = {server.name: [statistics.median(row) for row in (server.rates, server.costs, server.latencies)]
              for server in (nginx, ours)}
    for name, label in (("nginx", "nginx proxy_cache, 2 workers"), ("gateway", "gateway, cached")):
        rate, cost, latency = middle[name]
        print(f"| {label} | {rate:.0f} | {cost:.1f} µs | {latency / 1000:.2f} ms |")
    ratios = [ours / theirs for ours, theirs in zip(middle["gateway"], middle["nginx"])]
    print("| gateway / nginx | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")


def main():
    work = pathlib.Path(tempfile.mkdtemp())
    cache = pathlib.Path(tempfile.mkdtemp(dir="/dev/shm"))
    # nginx's workers may be another user than its master.
    for folder in (work, cache):
        folder.chmod(0o777)
    started = []
    try:
        measure(work, cache, started)
    finally:
        for process in reversed(started):
            process.terminate()
        for process in started:
            process.wait()
        shutil.rmtree(work)
        shutil.rmtree(cache)


main()
