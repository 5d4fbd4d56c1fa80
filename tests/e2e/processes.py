"""The simulator and the gateway as real processes, and a base class for tests of the two.

The paths of the programs come in the environment, from CMakeLists.txt or by hand:
  SEMAPHORE_GATEWAY=… SEMAPHORE_SIMULATOR=… /usr/bin/python3 -B errors_test.py Errors
Ports are always chosen by the system. What a test waits for is state that it can observe; every wait
has a limit, which is generous because sanitizers are slow.
"""

import http.client
import json
import os
import pathlib
import secrets
import shutil
import signal
import ssl
import subprocess
import tempfile
import time
import unittest
import urllib.parse
import urllib.request

from grpc_client import Client

SIMULATOR = os.environ["SEMAPHORE_SIMULATOR"]
GATEWAY = os.environ["SEMAPHORE_GATEWAY"]
LIMIT_SECONDS = 120


def wait_until(condition, what):
    """Asks until the answer is true, and returns it."""
    end = time.monotonic() + LIMIT_SECONDS
    while True:
        answer = condition()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"after {LIMIT_SECONDS} s still not: {what}")
        time.sleep(0.01)


def new_token():
    return "canary-" + secrets.token_hex(16)


def environment():
    """Ours without what would configure the programs or lead requests elsewhere."""
    return {name: value for name, value in os.environ.items()
            if not name.startswith("SEMAPHORE_") and not name.lower().endswith("_proxy")}


class Program:
    """A process whose output goes to files and that must end well when told to."""

    def __init__(self, folder, name, arguments):
        self.output = folder / f"{name}.out"
        self.errors = folder / f"{name}.err"
        with open(self.output, "wb") as output, open(self.errors, "wb") as errors:
            self.process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=output,
                                            stderr=errors, env=environment())

    def wait_for_output(self, ready, what):
        def look():
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode} instead of {what}:\n"
                                     + self.errors.read_text())
            return ready()
        return wait_until(look, what)

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError("did not end on SIGTERM") from None


class Simulator(Program):
    """A fake Semaphore, with its control API (tests/simulator/README.md)."""

    def __init__(self, folder, name="simulator", token=None, arguments=()):
        self.token = token or new_token()
        self.ca_file = folder / f"{name}-ca.pem"
        token_file = folder / f"{name}-token"
        token_file.write_text(self.token)
        super().__init__(folder, name, [SIMULATOR, "--token-file", token_file, "--ca-out",
                                        self.ca_file, *arguments])
        self.wait_for_output(lambda: "self_hosted_job_id=" in self.output.read_text(), "listening")
        lines = self.output.read_text().splitlines()
        self.base_url = lines[0]
        self.ids = dict(line.split("=", 1) for line in lines[1:])
        self.port = urllib.parse.urlsplit(self.base_url).port
        context = ssl.create_default_context(cafile=str(self.ca_file))
        # One connection for all, so that it counts as exactly one.
        self._control = http.client.HTTPSConnection("localhost", self.port, context=context,
                                                    timeout=LIMIT_SECONDS)

    def control(self, method, path, body=None):
        self._control.request(method, "/_simulator/" + path,
                              body=None if body is None else json.dumps(body),
                              headers={"authorization": "Token " + self.token})
        response = self._control.getresponse()
        text = response.read().decode()
        if response.status != 200:
            raise AssertionError(f"{method} {path}: {response.status} {text}")
        return json.loads(text)

    def get(self, path):
        """Headers, with lower-case names, and JSON of an answer of the simulated API itself."""
        self._control.request("GET", "/api/v1alpha/" + path,
                              headers={"authorization": "Token " + self.token})
        response = self._control.getresponse()
        text = response.read().decode()
        if response.status != 200:
            raise AssertionError(f"{path}: {response.status} {text}")
        return {name.lower(): value for name, value in response.getheaders()}, json.loads(text)

    def send(self, method, path, body):
        """Status and text of the simulated API's answer to a request with JSON."""
        self._control.request(method, "/api/v1alpha/" + path, body=json.dumps(body),
                              headers={"authorization": "Token " + self.token, "content-type": "application/json"})
        response = self._control.getresponse()
        return response.status, response.read().decode()

    def set_access(self, word):
        self.control("POST", "access", {"access": word})

    def add_fault(self, **fault):
        self.control("POST", "faults", fault)

    def reset(self):
        self.control("DELETE", "faults")
        self.control("POST", "release")
        self.control("DELETE", "requests")

    def state(self):
        return self.control("GET", "requests")

    def requests(self, method=None):
        return [request for request in self.state()["requests"]
                if method in (None, request["method"])]

    def open_connections(self):
        """Of the gateway: without the one that asks."""
        return self.state()["open_connections"] - 1

    def stop(self):
        self._control.close()
        return super().stop()


class Gateway(Program):
    """`organizations` are rows of the configuration, `settings` further lines of it. Without a word on the cache there
    is none, so that each call is seen upstream."""

    def __init__(self, folder, organizations, settings="", name="gateway"):
        rows = [json.dumps(row) for row in organizations]
        config = folder / f"{name}.yaml"
        config.write_text("organizations:\n" + "".join(f"  - {row}\n" for row in rows)
                          + "grpc: {address: '127.0.0.1:0'}\nadmin: {address: '127.0.0.1:0'}\n"
                          + ("" if "cache:" in settings else "cache: {max_bytes: 0}\n") + settings)
        self.config_file = config
        super().__init__(folder, name, [GATEWAY, "serve", "--config", config])
        self.wait_for_output(lambda: self.events("serving"), "serving")
        [serving] = self.events("serving")
        self.address = f"127.0.0.1:{serving['grpc_port']}"
        self.admin = f"http://127.0.0.1:{serving['admin_port']}"
        self.rest = f"http://127.0.0.1:{serving['rest_port']}"  # where it is configured

    def events(self, event):
        """The log's lines of that event so far."""
        whole_lines = self.errors.read_text().rpartition("\n")[0].splitlines()
        parsed = [json.loads(line) for line in whole_lines if line.startswith("{")]
        return [line for line in parsed if line.get("event") == event]

    def get(self, path):
        """Status and text of a page of the admin server, asked for as Prometheus does."""
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(self.admin + path, headers={"x-prometheus-scrape-timeout-seconds": "10"})
        try:
            with opener.open(request, timeout=LIMIT_SECONDS) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def metric(self, name, **labels):
        """The sum of the samples of that name that carry these labels."""
        total = 0.0
        for line in self.get("/metrics")[1].splitlines():
            sample, _, value = line.rpartition(" ")
            if sample.partition("{")[0] != name:
                continue
            if all(f'{label}="{text}"' in sample for label, text in labels.items()):
                total += float(value)
        return total


def row_of(simulator, name="acme", token_file=None):
    """The simulator as an organization of the gateway's configuration."""
    return {"name": name, "base_url": simulator.base_url, "ca_file": str(simulator.ca_file),
            "token_file": str(token_file or simulator.ca_file.parent / f"{simulator.errors.stem}-token")}


class GatewayTest(unittest.TestCase):
    """One simulator and one gateway for the tests of a class; whatever the gateway said in all of
    them is searched for `secrets`, the tokens among them, at the end."""

    simulator_arguments = ()
    settings = "upstream: {requests_per_second: 100000, burst: 100000}\n"

    credentials = None  # of the client; plaintext

    @classmethod
    def prepare(cls):
        """For files, and for settings that name them; the folder is there."""

    @classmethod
    def setUpClass(cls):
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="semaphore-e2e-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)
        cls.heard = []
        cls.secrets = []
        cls.gateways = []
        cls.simulators = []
        cls.addClassCleanup(cls._check_that_no_secret_was_told)
        cls.prepare()
        cls.simulator = cls.start_simulator(arguments=cls.simulator_arguments)
        cls.gateway, cls.client = cls.start_gateway([row_of(cls.simulator)], cls.settings,
                                                    credentials=cls.credentials)
        cls.ids = cls.simulator.ids

    def setUp(self):
        self.simulator.reset()

    @classmethod
    def start_simulator(cls, name="simulator", token=None, arguments=()):
        simulator = Simulator(cls.folder, name, token, arguments)
        cls.simulators.append(simulator)
        cls.secrets.append(simulator.token)
        cls.addClassCleanup(simulator.stop)
        return simulator

    @classmethod
    def start_gateway(cls, organizations, settings="", name="gateway", credentials=None):
        gateway = Gateway(cls.folder, organizations, settings, name)
        cls.gateways.append(gateway)
        cls.addClassCleanup(cls._stop_gateway, gateway)
        client = Client(gateway.address, cls.heard, credentials)
        cls.addClassCleanup(client.close)
        return gateway, client

    def assert_failed(self, reply, code, reason):
        self.assertEqual((reply.code, reply.reason), (code, reason), reply)
        self.assertEqual(reply.details["google.rpc.ErrorInfo"]["domain"], "semaphore-gateway")
        self.assertIn("x-request-id", reply.metadata)

    def assert_ok(self, reply):
        self.assertEqual(reply.code, "OK", reply)
        return reply.message

    def run_command(self, *arguments, standard_input="", tells_secrets=False):
        """Of semaphore-gateway. What it prints is searched for secrets unless it is known to tell one."""
        ended = subprocess.run([GATEWAY, *arguments], input=standard_input, capture_output=True, text=True,
                               env=environment(), timeout=LIMIT_SECONDS)
        self.heard.append(("" if tells_secrets else ended.stdout).encode() + ended.stderr.encode())
        return ended

    def run_call(self, method, request, *options, **arguments):
        return self.run_command("call", "--address", self.gateway.address, *options, method, request, **arguments)

    def assert_replied(self, ended):
        self.assertEqual(ended.returncode, 0, ended)
        self.assertEqual(ended.stderr, "")
        return json.loads(ended.stdout)

    @classmethod
    def _stop_gateway(cls, gateway):
        try:
            cls.heard.append(gateway.get("/metrics")[1].encode())
        except OSError:
            pass  # a test has stopped it
        status = gateway.stop()
        # A sanitizer that found something says so with its exit status.
        if status != 0:
            raise AssertionError(f"the gateway ended with {status}:\n" + gateway.errors.read_text())

    @classmethod
    def _check_that_no_secret_was_told(cls):
        for program in cls.gateways + cls.simulators:
            cls.heard += [program.output.read_bytes(), program.errors.read_bytes()]
        everything = b"\n".join(cls.heard)
        for secret in cls.secrets:
            at = everything.find(secret.encode())
            if at >= 0:
                raise AssertionError(f"a secret was told in the log, the metrics or a reply: "
                                     f"{everything[max(0, at - 200):at + 200]!r}")
