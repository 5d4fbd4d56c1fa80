"""Cached GetPipeline through the gateway against what gRPC alone costs, in turn in one run.

(a) a typed callback service with a prefilled reply, (b) a raw one with the same bytes and no metadata, (c) the gateway
in its default configuration, (d) the same with a thousand callers, called with the token of one. h2load makes the
calls; a server's processor time comes from /proc. Rounds in which (a) strays from its median are repeated. Started by
run.sh.

usage: cached_reads.py BUILD_DIRECTORY [ROUNDS]
"""

import hashlib
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile

BUILD = sys.argv[1]
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 7
CONNECTIONS, STREAMS, REQUESTS, WARM_UP = 4, 32, 200_000, 20_000
STRAY = 0.15
PATH = "/semaphore.v1.PipelineService/GetPipeline"
TICKS = os.sysconf("SC_CLK_TCK")


class Server:
    def __init__(self, name, arguments, environment=None, port_of=None, headers=()):
        self.name = name
        self.headers = [word for header in headers for word in ("-H", header)]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                        env={**os.environ, **(environment or {})})
        self.port = port_of(self.process)
        self.rates, self.costs = [], []

    def ticks(self):
        with open(f"/proc/{self.process.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        return int(fields[11]) + int(fields[12])

    def load(self, body, requests):
        """Requests per second, and microseconds of this server's processor time for each."""
        before = self.ticks()
        ended = subprocess.run(
            ["h2load", "-n", str(requests), "-c", str(CONNECTIONS), "-m", str(STREAMS), "-t", "1", "-d", body,
             "-H", "content-type: application/grpc", "-H", "te: trailers", *self.headers, f"http://127.0.0.1:{self.port}{PATH}"],
            capture_output=True, text=True, check=True)
        spent = self.ticks() - before
        if f"{requests} succeeded" not in ended.stdout:
            sys.exit(f"{self.name}: not every request succeeded\n{ended.stdout}")
        rate = float(re.search(r"([0-9.]+) req/s", ended.stdout).group(1))
        return rate, spent / TICKS / requests * 1e6


def first_line(process):
    return int(process.stdout.readline())


def grpc_port_of(process):
    ports = {}
    for line in process.stderr:
        for key in ("grpc_port", "admin_port"):
            found = re.search(f'"{key}":([0-9]+)', line)
            if found:
                ports[key] = int(found.group(1))
        if '"serving"' in line:
            admin_ports[process.pid] = ports["admin_port"]
            return ports["grpc_port"]
    sys.exit("the gateway did not start")


def metric(server, name, method="GetPipeline"):
    connection = http.client.HTTPConnection("127.0.0.1", admin_ports[server.process.pid])
    connection.request("GET", "/metrics")
    page = connection.getresponse().read().decode()
    return sum(float(line.rsplit(" ", 1)[1]) for line in page.splitlines()
               if line.startswith(name + "{") and method in line)


def main():
    work = tempfile.mkdtemp()
    with open(os.path.join(work, "token"), "w") as token:
        token.write("bench-token")
    simulator = subprocess.Popen(
        [f"{BUILD}/tests/simulator/semaphore-simulator", "--token-file", f"{work}/token", "--port", "0",
         "--ca-out", f"{work}/ca.pem"], stdout=subprocess.PIPE, text=True)
    base_url = simulator.stdout.readline().strip()
    ids = {}
    while "done_pipeline_id" not in ids or "failed_pipeline_id" not in ids:
        key, _, value = simulator.stdout.readline().strip().partition("=")
        ids[key] = value
    pipeline = ids["failed_pipeline_id"]
    # The default configuration but for the ports.
    settings = 'grpc: {address: "127.0.0.1:0"}\nadmin: {address: "127.0.0.1:0"}\n'
    environment = {"SEMAPHORE_ORGANIZATION": "bench", "SEMAPHORE_API_TOKEN": "bench-token",
                   "SEMAPHORE_BASE_URL": base_url, "SEMAPHORE_CA_FILE": f"{work}/ca.pem"}
    with open(f"{work}/gateway.yaml", "w") as config:
        config.write(settings)
    gateway = Server("gateway", [f"{BUILD}/gateway/semaphore-gateway", "--config", f"{work}/gateway.yaml"],
                     environment, grpc_port_of)
    token = "sgw_bench-token-of-the-caller-that-calls-012345"
    with open(f"{work}/callers.yaml", "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as callers:
        callers.write("callers:\n")
        for number in range(1000):
            text = token if number == 500 else f"sgw_bench-token-of-another-caller-{number:013}"
            callers.write(f"  - {{name: caller-{number}, role: viewer, "
                          f"token_sha256: [{hashlib.sha256(text.encode()).hexdigest()}]}}\n")
    with open(f"{work}/guarded.yaml", "w") as config:
        config.write(settings + "auth: {callers_file: callers.yaml}\n")
    guarded = Server("gateway with tokens",
                     [f"{BUILD}/gateway/semaphore-gateway", "--config", f"{work}/guarded.yaml"], environment,
                     grpc_port_of, [f"authorization: Bearer {token}"])
    # Whoever writes a log must be read.
    logs = [subprocess.Popen(["cat"], stdin=server.process.stderr, stdout=subprocess.DEVNULL)
            for server in (gateway, guarded)]

    request = b"\x0a" + bytes([len(pipeline)]) + pipeline.encode()
    with open(f"{work}/body", "wb") as body:
        body.write(b"\0" + len(request).to_bytes(4, "big") + request)
    import grpc
    channel = grpc.insecure_channel(f"127.0.0.1:{gateway.port}")
    reply = channel.unary_unary(PATH)(request)
    # h2load takes a refusal for a success, so that the token's being good is seen here, and by the hits below.
    with grpc.insecure_channel(f"127.0.0.1:{guarded.port}") as checked:
        checked.unary_unary(PATH)(request, metadata=[("authorization", f"Bearer {token}")])
    with open(f"{work}/reply", "wb") as file:
        file.write(reply)
    typed = Server("typed echo", [f"{BUILD}/tests/bench/echo_server", "typed", f"{work}/reply"], port_of=first_line)
    raw = Server("raw echo", [f"{BUILD}/tests/bench/echo_server", "raw", f"{work}/reply"], port_of=first_line)
    raw_with_token = Server("raw echo, sent the token", [f"{BUILD}/tests/bench/echo_server", "raw", f"{work}/reply"],
                            port_of=first_line, headers=[f"authorization: Bearer {token}"])
    servers = [typed, raw, gateway, guarded, raw_with_token]
    for server in servers:
        server.load(f"{work}/body", WARM_UP)

    ok = 'grpc_code="OK",grpc_method="GetPipeline"'
    both = (gateway, guarded)
    handled_before = [metric(server, "grpc_server_handled_total", ok) for server in both]
    hits_before = [metric(server, "semaphoreci_gateway_cache_hits_total") for server in both]
    sent = 0
    rounds = []
    for _ in range(3 * ROUNDS):
        rounds.append([server.load(f"{work}/body", REQUESTS) for server in servers])
        sent += REQUESTS
        middle = statistics.median(row[0][0] for row in rounds)
        kept = [row for row in rounds if abs(row[0][0] - middle) <= STRAY * middle]
        if len(kept) >= ROUNDS:
            break
    for server, before in zip(both, hits_before):
        hits = metric(server, "semaphoreci_gateway_cache_hits_total") - before
        if hits != sent:
            sys.exit(f"{server.name}: {hits:.0f} of {sent} answers came from the cache")
    handled = sum(metric(server, "grpc_server_handled_total", ok) - before
                  for server, before in zip(both, handled_before))

    rate = [statistics.median(row[i][0] for row in kept) for i in range(len(servers))]
    cost = [statistics.median(row[i][1] for row in kept) for i in range(len(servers))]
    print(f"{len(kept)} of {len(rounds)} rounds kept, {REQUESTS} requests each, {CONNECTIONS} connections with {STREAMS} "
          f"streams, reply of {len(reply)} bytes; {handled:.0f} answered OK")
    print()
    print("| cached GetPipeline | requests/s | server's processor time per request |")
    print("|---|---|---|")
    for name, i in (("(a) typed echo", 0), ("(b) raw echo", 1), ("(c) gateway, cached", 2),
                    ("(d) cached read with token authentication", 3), ("(e) raw echo that is sent the token, too", 4)):
        print(f"| {name} | {rate[i]:.0f} | {cost[i]:.1f} µs |")
    print(f"| (c) / (a) | {rate[2] / rate[0]:.2f} | {cost[2] / cost[0]:.2f} |")
    print(f"| (c) / (b) | {rate[2] / rate[1]:.2f} | {cost[2] / cost[1]:.2f} |")
    print(f"| (d) / (a) | {rate[3] / rate[0]:.2f} | {cost[3] / cost[0]:.2f} |")
    print(f"| (d) / (b) | {rate[3] / rate[1]:.2f} | {cost[3] / cost[1]:.2f} |")
    print(f"| (d) / (e) | {rate[3] / rate[4]:.2f} | {cost[3] / cost[4]:.2f} |")
    print(f"| (d) / (c) | {rate[3] / rate[2]:.2f} | {cost[3] / cost[2]:.2f} |")
    for process in (*(server.process for server in servers), simulator, *logs):
        process.kill()


admin_ports = {}  # by process
main()
