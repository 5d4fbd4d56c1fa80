"""Who may call, with real processes: the callers file as an operator keeps it, tokens that come and go under load,
refusals, the audit line, and that a caller's own credential goes nowhere."""

import hashlib
import os
import threading
import unittest

from permissions_test import METHODS, PermissionsTest
from processes import GatewayTest, new_token, row_of, wait_until

OPERATOR = {"WorkflowService.RunWorkflow", "WorkflowService.RerunWorkflow", "WorkflowService.StopWorkflow",
            "PipelineService.StopPipeline", "JobService.StopJob", "PromotionService.TriggerPromotion"}
VIEWER = {method for method in METHODS if method.partition(".")[2].startswith(("Get", "List", "Lookup"))} \
    | {"PipelineService.ValidatePipelineYaml"}
UNAUTHENTICATED = ("UNAUTHENTICATED", "CALLER_UNAUTHENTICATED")
FORBIDDEN = ("PERMISSION_DENIED", "CALLER_FORBIDDEN")


def bearer(token):
    return [("authorization", "Bearer " + token)]


def entry(name, role, *tokens, **more):
    hashes = ", ".join(hashlib.sha256(token.encode()).hexdigest() for token in tokens)
    extra = "".join(f", {key}: [{', '.join(values)}]" for key, values in more.items())
    return f"  - {{name: {name}, role: {role}, token_sha256: [{hashes}]{extra}}}\n"


class IdentityTest(PermissionsTest):
    """A gateway that knows a viewer, an operator and an admin, and one caller of the organization beta alone."""

    names = ("viewer", "operator", "admin")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.tokens = {name: new_token() for name in (*cls.names, "beta-bot")}
        cls.secrets += cls.tokens.values()
        cls.callers = cls.folder / "callers.yaml"
        cls.write_callers(cls.default_entries())
        settings = cls.settings + "auth: {callers_file: callers.yaml}\n"
        cls.gateway, cls.client = cls.start_gateway(
            [row_of(cls.simulator), row_of(cls.simulator, "beta")], settings, "guarded")

    def tearDown(self):
        """No caller's token was sent on: each request bore the gateway's own, or, at the log's address, none."""
        seen = repr(self.simulator.state())
        for name, token in self.tokens.items():
            self.assertNotIn(token, seen, f"the token of {name} was sent on")
        self.assertNotIn("wrong", {request["authorization"] for request in self.simulator.requests()})

    @classmethod
    def default_entries(cls):
        return "".join(entry(name, name, cls.tokens[name]) for name in cls.names) \
            + entry("beta-bot", "admin", cls.tokens["beta-bot"], organizations=["beta"])

    @classmethod
    def write_callers(cls, entries, mode=0o600):
        fresh = cls.callers.with_suffix(".new")
        fresh.write_text("callers:\n" + entries)
        fresh.chmod(mode)
        os.rename(fresh, cls.callers)

    @classmethod
    def load_callers(cls, entries):
        """Replaces the file and waits until it is in force."""
        before = len(cls.gateway.events("callers_loaded"))
        cls.write_callers(entries)
        wait_until(lambda: len(cls.gateway.events("callers_loaded")) > before, "the callers file loaded")

    def as_(self, name):
        return bearer(self.tokens[name])

    def read(self, metadata):
        return self.client.call("PipelineService.GetPipeline", {"pipelineId": self.ids["done_pipeline_id"]}, metadata)


class Identity(IdentityTest):

    def test_no_wrong_truncated_and_twofold_credentials_get_the_same_words(self):
        token = self.tokens["admin"]
        unknown = new_token()
        self.secrets.append(unknown)
        rows = {"none": [], "wrong": bearer(unknown), "truncated": bearer(token[:-1]), "longer": bearer(token + "x"),
                "sent twice": bearer(token) * 2, "the scheme missing": [("authorization", token)],
                "another scheme": [("authorization", "Token " + token)],
                "another key": [("x-authorization", "Bearer " + token)],
                "the hash": bearer(hashlib.sha256(token.encode()).hexdigest())}
        said = set()
        for name, metadata in rows.items():
            with self.subTest(name):
                reply = self.read(metadata)
                self.assert_failed(reply, *UNAUTHENTICATED)
                said.add((reply.text, repr(reply.details)))
        self.assertEqual(len(said), 1)
        self.assertEqual(self.simulator.requests(), [])
        self.assert_ok(self.read(bearer(token)))
        self.assert_ok(self.read([("authorization", "bEARER   " + token)]))

    def test_every_method_answers_the_roles_that_may_call_it_and_no_other(self):
        rank = {"viewer": VIEWER, "operator": VIEWER | OPERATOR, "admin": set(METHODS)}
        for role, allowed in rank.items():
            for method in METHODS:
                with self.subTest(role=role, method=method):
                    self.simulator.reset()
                    reply = self.client.call(method, self.filled(METHODS[method]), self.as_(role))
                    if method in allowed:
                        # What one role has changed, another may find changed already.
                        self.assertNotIn(reply.code, ("PERMISSION_DENIED", "UNAUTHENTICATED"), reply)
                    else:
                        self.assert_failed(reply, *FORBIDDEN)
                        self.assertEqual(self.simulator.requests(), [])

    def test_credentials_of_another_organization_are_refused_like_one_that_does_not_exist(self):
        def ask(*organization):
            metadata = self.as_("beta-bot") + [("x-semaphore-organization", name) for name in organization]
            return self.read(metadata)
        self.assert_ok(ask("beta"))
        self.simulator.reset()
        other = ask("acme")
        self.assert_failed(other, *FORBIDDEN)
        self.assertEqual((ask("nobody").text, ask().text, ask("beta", "acme").text), (other.text,) * 3)
        self.assertEqual(self.simulator.requests(), [])

    def test_a_method_that_does_not_exist_and_health_differ(self):
        reply = self.client.call_unknown("/semaphore.v1.PipelineService/Nope")
        self.assertEqual((reply.code, reply.reason), UNAUTHENTICATED)
        self.assertEqual(self.client.health(), 1)

    def test_every_change_leaves_one_audit_line(self):
        self.assert_ok(self.client.call("PipelineService.StopPipeline",
                                        {"pipelineId": self.ids["running_pipeline_id"]},
                                        self.as_("operator") + [("x-request-id", "stop-1")]))
        self.client.call("PipelineService.StopPipeline", {"pipelineId": "p"},
                         self.as_("viewer") + [("x-request-id", "stop-2")])

        def lines(request_id):
            return [line for line in self.gateway.events("audit") if line["request_id"] == request_id]
        wait_until(lambda: lines("stop-1") and lines("stop-2"), "the audit lines")
        [allowed], [refused] = lines("stop-1"), lines("stop-2")
        self.assertEqual((allowed["caller"], allowed["code"], allowed["organization"],
                          allowed["request.pipeline_id"]),
                         ("operator", "OK", "acme", self.ids["running_pipeline_id"]))
        self.assertEqual((refused["caller"], refused["code"], refused["reason"]), ("viewer", *FORBIDDEN))
        self.assertRegex(allowed["peer"], r"^ipv4:127\.0\.0\.1:\d+$")

    def test_calls_are_counted_by_name(self):
        before = self.gateway.metric("semaphoreci_gateway_caller_requests_total", caller="viewer")
        self.assert_ok(self.read(self.as_("viewer")))
        self.assertEqual(self.gateway.metric("semaphoreci_gateway_caller_requests_total", caller="viewer"), before + 1)
        self.assertEqual(self.gateway.metric("semaphoreci_gateway_callers"), 4)


class Rotation(IdentityTest):

    def setUp(self):
        super().setUp()
        self.addCleanup(self.load_callers, self.default_entries() + entry("last", "viewer"))

    def test_the_file_is_replaced_under_load_without_a_failed_call(self):
        tokens = [new_token() for _ in range(5)]
        self.secrets += tokens
        self.load_callers(entry("bot", "viewer", tokens[0], tokens[1]))
        current, done, calls, failures = [0], threading.Event(), [0] * 4, []

        def keep_calling(thread):
            while not done.is_set():
                reply = self.read(bearer(tokens[current[0]]))
                if reply.code != "OK":
                    failures.append(reply)
                calls[thread] += 1

        def everybody_called_twice():
            start = list(calls)
            wait_until(lambda: all(now >= then + 2 for now, then in zip(calls, start)), "calls by everybody")
        threads = [threading.Thread(target=keep_calling, args=(i,)) for i in range(len(calls))]
        for thread in threads:
            thread.start()
        try:
            for generation in range(1, 4):
                current[0] = generation  # the new token is used before the old one goes
                everybody_called_twice()
                for other in range(20):  # and the file is replaced many times in between
                    self.write_callers(entry("bot", "viewer", tokens[generation - 1], tokens[generation],
                                             tokens[generation + 1]) + entry(f"other-{other}", "viewer"))
                self.load_callers(entry("bot", "viewer", tokens[generation], tokens[generation + 1]))
                everybody_called_twice()
        finally:
            done.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])
        self.assert_failed(self.read(bearer(tokens[0])), *UNAUTHENTICATED)
        self.assert_ok(self.read(bearer(tokens[4])))

    def test_a_broken_file_takes_nobodys_access_and_is_told_once(self):
        told = len(self.gateway.events("callers_unusable"))
        self.write_callers("  - {name: broken}\n")
        wait_until(lambda: len(self.gateway.events("callers_unusable")) > told, "the trouble told")
        said = self.gateway.events("callers_unusable")[-1]["message"]
        self.assertIn("callers.yaml:2:5: callers[0].role", said)
        self.assert_ok(self.read(self.as_("viewer")))
        self.assertEqual(self.gateway.metric("semaphoreci_gateway_callers_file_usable"), 0)
        self.load_callers(self.default_entries())
        self.assertEqual(len(self.gateway.events("callers_unusable")), told + 1)
        self.assertEqual(self.gateway.metric("semaphoreci_gateway_callers_file_usable"), 1)


class Start(GatewayTest):

    def config(self, callers, mode=0o600):
        path = self.folder / "these-callers.yaml"
        path.write_text(callers)
        path.chmod(mode)
        config = self.folder / "these.yaml"
        config.write_text(f"organizations: [{{name: acme, token_file: {self.folder}/simulator-token}}]\n"
                          f"grpc: {{address: '127.0.0.1:0'}}\nadmin: {{address: '127.0.0.1:0'}}\n"
                          f"auth: {{callers_file: {path.name}}}\n")
        return config

    def test_a_callers_file_that_others_may_write_is_refused(self):
        for word in ("serve", "check-config"):
            for mode in (0o620, 0o602):
                with self.subTest(word=word, mode=oct(mode)):
                    ended = self.run_command(word, "--config", str(self.config("callers: []\n", mode)))
                    self.assertNotEqual(ended.returncode, 0)
                    self.assertIn("may be written by its group or by others", ended.stderr)

    def test_a_mistake_is_told_with_its_place(self):
        token = new_token()
        self.secrets.append(token)
        config = self.config(f"callers:\n  - {{name: a, role: viewer, token_sha256: [{token}]}}\n")
        ended = self.run_command("check-config", "--config", str(config))
        self.assertEqual(ended.returncode, 2)
        self.assertIn("these-callers.yaml:2:44: callers[0].token_sha256[0]: expected 64 hexadecimal", ended.stderr)

    def test_a_good_file_is_named_by_check_config(self):
        ended = self.run_command("check-config", "--config", str(self.config("callers: []\n")))
        self.assertEqual(ended.returncode, 0, ended)
        self.assertIn("callers_file: ", ended.stdout)


class HashToken(GatewayTest):

    def test_a_new_token_and_its_entry_let_a_caller_in(self):
        made = self.run_command("hash-token", "--new", tells_secrets=True)
        self.assertEqual((made.returncode, made.stderr), (0, ""))
        token, entry_line = made.stdout.splitlines()
        self.secrets.append(token)
        self.assertRegex(token, r"^sgw_[A-Za-z0-9_-]{43}$")
        callers = self.folder / "made-callers.yaml"
        callers.write_text(f"callers:\n  - name: made\n    role: viewer\n    {entry_line}\n")
        callers.chmod(0o600)
        settings = self.settings + "auth: {callers_file: made-callers.yaml}\n"
        _, client = self.start_gateway([row_of(self.simulator)], settings, "made")
        self.assert_ok(client.call("ProjectService.ListProjects", {}, bearer(token)))

    def test_a_token_of_ones_own_is_read_from_standard_input(self):
        token = new_token()
        self.secrets.append(token)
        ended = self.run_command("hash-token", standard_input=token + "\n")
        self.assertEqual(ended.returncode, 0)
        self.assertIn(hashlib.sha256(token.encode()).hexdigest(), ended.stdout)

    def test_a_weak_token_or_one_on_the_command_line_is_refused(self):
        token = new_token()
        self.secrets += [token, "short-canary"]
        for arguments, given in (((), "short-canary"), ((), token[:16] + " " + token[16:]), ((token,), "")):
            ended = self.run_command("hash-token", *arguments, standard_input=given)
            self.assertEqual((ended.returncode, ended.stdout), (2, ""))


if __name__ == "__main__":
    unittest.main()
