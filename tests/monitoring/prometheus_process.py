"""A real Prometheus with a folder of its own, on a port that the system chooses."""

import json
import re
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request

LIMIT_SECONDS = 60


class Prometheus:
    def __init__(self, folder, config, data=None):
        """`config` is the text of its configuration, `data` a folder with blocks to begin with."""
        self._log = folder / "prometheus.log"
        config_file = folder / "prometheus.yml"
        config_file.write_text(config)
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                ["prometheus", f"--config.file={config_file}", f"--storage.tsdb.path={data or folder / 'data'}",
                 "--storage.tsdb.retention.time=100y", "--web.listen-address=127.0.0.1:0", "--log.level=info"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT)
        try:
            self.url = "http://" + self._wait(self._address, "listening")
            self._wait(self._is_ready, "ready")
        except BaseException:
            self.stop()
            raise

    def stop(self):
        self._process.terminate()
        try:
            self._process.wait(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def api(self, path, **parameters):
        """The `data` of an answer; parameters with several values are lists."""
        text = urllib.parse.urlencode(parameters, doseq=True)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(f"{self.url}/api/v1/{path}?{text}", timeout=LIMIT_SECONDS) as response:
                answer = json.load(response)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from None
        if answer["status"] != "success":
            raise AssertionError(f"{path} {parameters}: {answer}")
        return answer["data"]

    def query(self, expr, at):
        """Series of an instant query: pairs of labels and value."""
        data = self.api("query", query=expr, time=at)
        if data["resultType"] == "scalar":
            return [({}, float(data["result"][1]))]
        return [(one["metric"], float(one["value"][1])) for one in data["result"]]

    def query_range(self, expr, start, end, step):
        """Series of a range query: pairs of labels and list of values."""
        data = self.api("query_range", query=expr, start=start, end=end, step=step)
        return [(one["metric"], [float(value) for _, value in one["values"]]) for one in data["result"]]

    def label_values(self, label, selector, start, end):
        """As Grafana asks for the values of a variable."""
        return self.api(f"label/{label}/values", **{"match[]": selector, "start": start, "end": end})

    def _address(self):
        found = re.search(r'msg="Listening on" address=(\S+)', self._log.read_text(errors="replace"))
        return found and found.group(1)

    def _is_ready(self):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(self.url + "/-/ready", timeout=LIMIT_SECONDS) as response:
                return response.status == 200
        except OSError:
            return False

    def _wait(self, condition, what):
        end = time.monotonic() + LIMIT_SECONDS
        while time.monotonic() < end:
            answer = condition()
            if answer:
                return answer
            if self._process.poll() is not None:
                break
            time.sleep(0.02)
        raise AssertionError(f"Prometheus is not {what}:\n{self._log.read_text(errors='replace')}")
