"""TLS towards callers: who is served, what is refused, and certificates that change under load."""

import hashlib
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import unittest
import warnings

import grpc

from certificates import Authority
from grpc_client import Client
from processes import GATEWAY, LIMIT_SECONDS, GatewayTest, environment, row_of, wait_until

GATEWAY_NAMES = "DNS:localhost,IP:127.0.0.1"
UNLIMITED = "upstream: {requests_per_second: 100000, burst: 100000}\ncache: {max_bytes: 16MiB}\n"


def tls_section(pair, **more):
    return "tls: " + json.dumps({"certificate_file": str(pair.certificate), "key_file": str(pair.key),
                                 **{key: str(value) if key.endswith("_file") else value
                                    for key, value in more.items()}}) + "\n"


def open_tls(address, authority, configure=None):
    """A finished handshake by a client that is not gRPC's."""
    context = ssl.create_default_context(cafile=str(authority.certificate))
    context.set_alpn_protocols(["h2"])
    if configure:
        configure(context)
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=LIMIT_SECONDS) as plain:
        with context.wrap_socket(plain, server_hostname=host) as secure:
            return secure.version(), secure.getpeercert(binary_form=True)


class TlsTest(GatewayTest):
    """A gateway with TLS, `authority` for it and for client certificates."""

    @classmethod
    def prepare(cls):
        cls.authority = Authority(cls.folder, "authority")
        cls.other_authority = Authority(cls.folder, "other")
        cls.pair = cls.authority.issue("gateway", GATEWAY_NAMES)
        cls.settings = UNLIMITED + cls.tls_settings()
        cls.keep_secret(cls.pair)
        cls.credentials = cls.trusting()

    @classmethod
    def tls_settings(cls):
        return tls_section(cls.pair)

    @classmethod
    def keep_secret(cls, pair):
        cls.secrets.append(pair.key.read_text().splitlines()[1])

    @classmethod
    def trusting(cls, shown=None):
        authorities = cls.authority.certificate.read_bytes()
        if shown is None:
            return grpc.ssl_channel_credentials(authorities)
        certificate, key = shown.read()
        return grpc.ssl_channel_credentials(authorities, key, certificate)

    def health_of(self, credentials):
        """The status code of a health check on a connection of its own."""
        with grpc.secure_channel(self.gateway.address, credentials,
                                 options=[("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0)]) as link:
            try:
                link.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=LIMIT_SECONDS)
                return "OK"
            except grpc.RpcError as error:
                return error.code().name

    def get_done_pipeline(self, client=None):
        return (client or self.client).call("PipelineService.GetPipeline",
                                            {"pipelineId": self.ids["done_pipeline_id"]})

    def tls_words(self, *more):
        return "--tls-ca", str(self.authority.certificate), *more


class Serving(TlsTest):

    def test_calls_and_health_are_served(self):
        self.assert_ok(self.get_done_pipeline())
        self.assertEqual(self.client.health(), 1)
        [loaded] = self.gateway.events("tls_certificate_loaded")
        self.assertIn("expiry", loaded)
        self.assertGreater(self.gateway.metric("semaphoreci_gateway_tls_certificate_expiry_timestamp_seconds"), 1e9)

    def test_call_and_health_speak_tls(self):
        request = json.dumps({"pipelineId": self.ids["done_pipeline_id"]})
        self.assert_replied(self.run_call("PipelineService.GetPipeline", request, *self.tls_words()))
        ended = self.run_command("health", "--address", self.gateway.address, *self.tls_words())
        self.assertEqual((ended.returncode, ended.stdout), (0, "serving\n"), ended)

    def test_a_plaintext_client_is_told_to_speak_tls(self):
        for word in (["health"], ["call", "PipelineService.GetPipeline", "{}"]):
            ended = self.run_command(word[0], "--address", self.gateway.address, *word[1:])
            self.assertEqual(ended.returncode, 1, ended)
            self.assertIn("give --tls-ca", ended.stderr)

    def test_a_gateway_that_nobody_vouches_for_is_not_called(self):
        ended = self.run_command("health", "--address", self.gateway.address, "--tls-ca",
                                 str(self.other_authority.certificate))
        self.assertEqual(ended.returncode, 1, ended)
        self.assertIn("not one that --tls-ca vouches for", ended.stderr)
        self.assertEqual(self.health_of(grpc.ssl_channel_credentials(self.other_authority.certificate.read_bytes())),
                         "UNAVAILABLE")

    def test_the_name_to_expect_may_be_another_than_the_address(self):
        def check(name):
            return self.run_command("health", "--address", self.gateway.address,
                                    *self.tls_words("--tls-server-name", name))
        self.assertEqual(check("localhost").returncode, 0)
        self.assertIn("--tls-server-name", check("elsewhere.test").stderr)

    def test_old_versions_and_weak_suites_are_refused(self):
        def only(version, suites="ALL:@SECLEVEL=0"):
            def configure(context):
                context.set_ciphers(suites)
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", DeprecationWarning)  # that they are old is the point
                    context.minimum_version = context.maximum_version = version
            return open_tls(self.gateway.address, self.authority, configure)[0]
        self.assertEqual(only(ssl.TLSVersion.TLSv1_2), "TLSv1.2")
        self.assertEqual(only(ssl.TLSVersion.TLSv1_3), "TLSv1.3")
        for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
            with self.subTest(version=version), self.assertRaises(ssl.SSLError):
                only(version)
        for suite in ("ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-SHA", "AES128-GCM-SHA256"):
            with self.subTest(suite=suite), self.assertRaises(ssl.SSLError):
                only(ssl.TLSVersion.TLSv1_2, suite)
        only(ssl.TLSVersion.TLSv1_2, "ECDHE-ECDSA-AES128-GCM-SHA256")

    def test_a_token_does_not_travel_in_plaintext(self):
        token = self.folder / "caller-token"
        token.write_text("caller-secret")
        token.chmod(0o600)
        self.secrets.append("caller-secret")
        # Of TEST-NET-1: nothing is there, and nothing is tried.
        for address in ("192.0.2.1:50051", "gateway.test:50051", "127.0.0.1.gateway.test:50051"):
            for word in (["health"], ["call", "PipelineService.GetPipeline", "{}"]):
                ended = self.run_command(word[0], "--address", address, "--token-file", str(token), *word[1:])
                self.assertEqual(ended.returncode, 2, ended)
                self.assertIn("would travel in plaintext", ended.stderr)

    def test_files_that_cannot_be_used_are_named(self):
        missing = str(self.folder / "missing.pem")
        client = self.authority.issue("client", "DNS:client.test")
        open_key = shutil.copy(client.key, self.folder / "open.key")
        os.chmod(open_key, 0o644)
        certificate = str(client.certificate)
        rows = [(["--tls-ca", missing], "missing.pem: cannot be read"),
                (["--tls-ca", str(client.key)], "has no certificate"),
                (self.tls_words("--tls-cert", missing), "missing.pem: cannot be read"),
                (self.tls_words("--tls-cert", certificate, "--tls-key", missing), "missing.pem: cannot be read"),
                (self.tls_words("--tls-cert", certificate, "--tls-key", str(open_key)), "others may read"),
                (self.tls_words("--tls-cert", certificate, "--tls-key", str(self.pair.key)), "does not belong to"),
                (self.tls_words("--token-file", missing), "missing.pem: cannot be read")]
        for words, said in rows:
            with self.subTest(words=words):
                ended = self.run_command("health", "--address", self.gateway.address, *words)
                self.assertEqual(ended.returncode, 2, ended)
                self.assertIn(said, ended.stderr)


class PlaintextServing(GatewayTest):

    def test_a_tls_client_is_told_that_there_is_none(self):
        authority = Authority(self.folder, "authority")
        ended = self.run_command("health", "--address", self.gateway.address, "--tls-ca", str(authority.certificate))
        self.assertEqual(ended.returncode, 1, ended)
        self.assertIn("speaks no TLS", ended.stderr)

    def test_a_token_may_be_shown_to_this_machine(self):
        token = self.folder / "caller-token"
        token.write_text("caller-secret")
        token.chmod(0o600)
        self.secrets.append("caller-secret")
        ended = self.run_command("health", "--address", self.gateway.address, "--token-file", str(token))
        self.assertEqual(ended.returncode, 0, ended)


class ClientCertificates(TlsTest):

    @classmethod
    def tls_settings(cls):
        return tls_section(cls.pair, client_ca_file=cls.authority.certificate)

    def test_a_certificate_of_our_authority_is_taken(self):
        self.assertEqual(self.health_of(self.trusting(self.authority.issue("web", "DNS:web.internal"))), "OK")

    def test_no_certificate_need_be_shown(self):
        self.assertEqual(self.health_of(self.trusting()), "OK")

    def test_a_certificate_of_another_authority_is_refused(self):
        stranger = self.other_authority.issue("stranger", "DNS:web.internal")
        self.assertEqual(self.health_of(self.trusting(stranger)), "UNAVAILABLE")

    def test_an_expired_certificate_is_refused(self):
        expired = self.authority.issue("expired", "DNS:web.internal", days=-1)
        self.assertEqual(self.health_of(self.trusting(expired)), "UNAVAILABLE")

    def test_a_certificate_without_names_makes_a_connection(self):
        self.assertEqual(self.health_of(self.trusting(self.authority.issue("nameless"))), "OK")


class RequiredClientCertificates(TlsTest):

    @classmethod
    def tls_settings(cls):
        return tls_section(cls.pair, client_ca_file=cls.authority.certificate, require_client_certificate=True)

    @classmethod
    def trusting(cls, shown=None):
        return super().trusting(shown or cls.authority.issue("web", "DNS:web.internal"))

    def test_who_shows_one_is_served(self):
        self.assert_ok(self.get_done_pipeline())
        pair = self.authority.issue("tool", "DNS:tool.internal")
        words = self.tls_words("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
        ended = self.run_command("health", "--address", self.gateway.address, *words)
        self.assertEqual(ended.returncode, 0, ended)
        both = self.folder / "both.pem"
        both.touch(0o600)
        both.write_bytes(pair.key.read_bytes() + pair.certificate.read_bytes())
        ended = self.run_command("health", "--address", self.gateway.address,
                                 *self.tls_words("--tls-cert", str(both)))
        self.assertEqual(ended.returncode, 0, ended)

    def test_who_shows_none_is_refused_and_told_why(self):
        without = grpc.ssl_channel_credentials(self.authority.certificate.read_bytes())
        self.assertEqual(self.health_of(without), "UNAVAILABLE")
        ended = self.run_command("health", "--address", self.gateway.address, *self.tls_words())
        self.assertEqual(ended.returncode, 1, ended)
        self.assertIn("give --tls-cert", ended.stderr)


class CallersByCertificate(TlsTest):
    """Whom a certificate names, and what a token and a certificate say together."""

    @classmethod
    def tls_settings(cls):
        cls.token = "canary-token-of-a-caller-0123456789"
        cls.secrets.append(cls.token)
        cls.token_file = cls.folder / "caller-token"
        cls.token_file.write_text(cls.token)
        cls.token_file.chmod(0o600)
        callers = cls.folder / "callers.yaml"
        callers.touch(0o600)
        callers.write_text(
            "callers:\n"
            "  - {name: web, role: viewer, certificate_names: ['dns:web.internal']}\n"
            "  - {name: bot, role: operator, certificate_names: ['spiffe://example.org/ci/bot']}\n"
            f"  - {{name: script, role: viewer, token_sha256: [{hashlib.sha256(cls.token.encode()).hexdigest()}]}}\n")
        return (tls_section(cls.pair, client_ca_file=cls.authority.certificate)
                + f"auth: {{callers_file: '{callers}'}}\n")

    def client_with(self, name, alternative_names=None):
        client = Client(self.gateway.address, self.heard,
                        self.trusting(self.authority.issue(name, alternative_names)))
        self.addCleanup(client.close)
        return client

    def assert_unknown(self, reply):
        self.assert_failed(reply, "UNAUTHENTICATED", "CALLER_UNAUTHENTICATED")

    def stop(self, client):
        return client.call("PipelineService.StopPipeline", {"pipelineId": self.ids["running_pipeline_id"]})

    def test_a_dns_name_names_its_caller_in_whatever_case(self):
        for number, names in enumerate(("DNS:web.internal", "DNS:WEB.Internal,DNS:other.internal")):
            client = self.client_with(f"web-{number}", names)
            self.assert_ok(self.get_done_pipeline(client))
            self.assert_failed(self.stop(client), "PERMISSION_DENIED", "CALLER_FORBIDDEN")

    def test_a_spiffe_id_names_its_caller(self):
        client = self.client_with("bot", "URI:spiffe://example.org/ci/bot")
        self.assert_ok(self.get_done_pipeline(client))
        self.assert_ok(self.stop(client))
        [audited] = [line for line in self.gateway.events("audit") if line["method"].endswith("StopPipeline")
                     and line["caller"] == "bot"]
        self.assertEqual(audited["code"], "OK")

    def test_whoever_shows_no_name_that_is_known_is_nobody(self):
        rows = {"web.internal": None,  # only as the common name
                "stranger": "DNS:stranger.internal",
                "wildcard": "DNS:*.internal",
                "suffix": "DNS:web.internal.example",
                "uri": "URI:https://web.internal/",
                "spiffe": "URI:spiffe://example.org/ci/bot/more",
                "email": "email:bot@web.internal",
                "address": "IP:127.0.0.1"}
        for name, alternative_names in rows.items():
            with self.subTest(name=name):
                self.assert_unknown(self.get_done_pipeline(self.client_with(name, alternative_names)))

    def test_without_certificate_and_token_a_caller_is_nobody(self):
        self.assert_unknown(self.get_done_pipeline())

    def test_two_callers_in_one_certificate_are_nobody(self):
        client = self.client_with("both", "DNS:web.internal,URI:spiffe://example.org/ci/bot")
        self.assert_unknown(self.get_done_pipeline(client))

    def test_a_bad_token_is_not_saved_by_a_good_certificate(self):
        client = self.client_with("web-and-token", "DNS:web.internal")
        reply = client.call("PipelineService.GetPipeline", {"pipelineId": self.ids["done_pipeline_id"]},
                            [("authorization", "Bearer wrong")])
        self.assert_unknown(reply)

    def test_a_name_sent_as_metadata_is_nobodys(self):
        for key in ("peer_dns", "x509_subject_alternative_name", "x-forwarded-client-cert"):
            reply = self.client.call("PipelineService.GetPipeline", {"pipelineId": self.ids["done_pipeline_id"]},
                                     [(key, "web.internal")])
            self.assert_unknown(reply)

    def test_call_shows_a_token_or_a_certificate(self):
        request = json.dumps({"pipelineId": self.ids["done_pipeline_id"]})
        words = self.tls_words("--token-file", str(self.token_file))
        self.assert_replied(self.run_call("PipelineService.GetPipeline", request, *words))
        pair = self.authority.issue("web-command", "DNS:web.internal")
        words = self.tls_words("--tls-cert", str(pair.certificate), "--tls-key", str(pair.key))
        self.assert_replied(self.run_call("PipelineService.GetPipeline", request, *words))
        ended = self.run_call("PipelineService.GetPipeline", request, *self.tls_words())
        self.assertEqual(ended.returncode, 1)
        self.assertIn("CALLER_UNAUTHENTICATED", ended.stderr)

    def test_an_address_for_all_may_be_served(self):
        config = self.folder / "open.yaml"
        config.write_text(self.gateway.config_file.read_text().replace("grpc: {address: '127.0.0.1:0'}",
                                                                       "grpc: {address: '0.0.0.0:0'}"))
        ended = self.run_command("check-config", "--config", str(config))
        self.assertEqual((ended.returncode, ended.stderr), (0, ""))


class Rotation(TlsTest):
    """The files are links into a folder that is swapped, as Kubernetes mounts secrets."""

    versions = 0

    @classmethod
    def tls_settings(cls):
        cls.mount = cls.folder / "mount"
        cls.mount.mkdir()
        for name in ("tls.crt", "tls.key"):
            (cls.mount / name).symlink_to(f"..data/{name}")
        cls.swap(cls.pair)
        return f"tls: {{certificate_file: '{cls.mount}/tls.crt', key_file: '{cls.mount}/tls.key'}}\n"

    @classmethod
    def swap(cls, pair):
        """Puts the pair in place of the one before, at one stroke."""
        cls.versions += 1
        version = cls.mount / f"..{cls.versions}"
        version.mkdir()
        shutil.copy(pair.certificate, version / "tls.crt")
        shutil.copy(pair.key, version / "tls.key")
        (cls.mount / "..tmp").symlink_to(version.name)
        (cls.mount / "..tmp").rename(cls.mount / "..data")

    def shown(self):
        return open_tls(self.gateway.address, self.authority)[1]

    @staticmethod
    def der_of(pair):
        return ssl.PEM_cert_to_DER_cert(pair.certificate.read_text())

    def next_pair(self):
        pair = self.authority.issue(f"gateway-{self.versions}", GATEWAY_NAMES)
        self.keep_secret(pair)
        return pair

    def test_no_call_fails_while_the_certificate_changes(self):
        request = self.client.reflection.message_class("semaphore.v1.GetPipelineRequest")(
            pipeline_id=self.ids["done_pipeline_id"]).SerializeToString()
        path = "/semaphore.v1.PipelineService/GetPipeline"
        ended, failures, calls = threading.Event(), [], {}

        def make_calls(name, new_connections):
            link = None
            while not ended.is_set():
                if link is None or new_connections:
                    if link is not None:
                        link.close()
                    link = grpc.secure_channel(self.gateway.address, self.trusting(),
                                               options=[("grpc.use_local_subchannel_pool", 1),
                                                        ("grpc.enable_http_proxy", 0)])
                try:
                    link.unary_unary(path)(request, timeout=LIMIT_SECONDS)
                    calls[name] = calls.get(name, 0) + 1
                except grpc.RpcError as error:
                    failures.append((name, error.code().name, error.details()))
            link.close()

        threads = [threading.Thread(target=make_calls, args=(f"{kind}-{i}", kind == "new"))
                   for kind in ("old", "new") for i in range(2)]
        reloads = self.gateway.metric("semaphoreci_gateway_tls_reloads_total", result="success")
        troubles = self.gateway.events("tls_certificate_unusable")
        for thread in threads:
            thread.start()
        try:
            for _ in range(4):
                before = dict(calls)
                pair = self.next_pair()
                self.swap(pair)
                wait_until(lambda: self.shown() == self.der_of(pair), "the new certificate is shown")
                wait_until(lambda: all(calls.get(name, 0) > count for name, count in before.items()), "calls go on")
        finally:
            ended.set()
            for thread in threads:
                thread.join()
        self.assertEqual(failures, [])
        self.assertEqual(len(calls), 4, calls)
        self.assertEqual(self.gateway.metric("semaphoreci_gateway_tls_reloads_total", result="success"), reloads + 4)
        self.assertEqual(self.gateway.events("tls_certificate_unusable"), troubles)

    def test_sessions_end_with_the_certificate_that_they_began_with(self):
        context = ssl.create_default_context(cafile=str(self.authority.certificate))
        context.set_alpn_protocols(["h2"])
        host, _, port = self.gateway.address.rpartition(":")

        def connect(session=None):
            """Whether the session was resumed, and the one that came of it."""
            with socket.create_connection((host, int(port)), timeout=LIMIT_SECONDS) as plain:
                with context.wrap_socket(plain, server_hostname=host, session=session) as secure:
                    secure.recv(1)  # the server's first words bring its tickets along
                    return secure.session_reused, secure.session
        _, session = connect()
        resumed, session = connect(session)
        self.assertTrue(resumed)
        pair = self.next_pair()
        self.swap(pair)
        wait_until(lambda: self.shown() == self.der_of(pair), "the new certificate is shown")
        resumed, _ = connect(session)
        self.assertFalse(resumed)

    def test_half_a_pair_changes_nothing_and_is_told_once(self):
        before = self.shown()
        pair = self.next_pair()
        current = (self.mount / "..data").resolve()
        shutil.copy(pair.certificate, current / "tls.crt")
        wait_until(lambda: self.gateway.events("tls_certificate_unusable"), "the trouble is told")
        self.assertEqual(self.shown(), before)
        self.assert_ok(self.get_done_pipeline())
        shutil.copy(pair.key, current / "tls.key")
        wait_until(lambda: self.shown() == self.der_of(pair), "the whole pair is shown")
        told = self.gateway.events("tls_certificate_unusable")
        self.assertEqual(len(told), 1, told)
        self.assertIn("does not belong to", told[0]["message"])
        self.assertEqual(self.gateway.metric("semaphoreci_gateway_tls_reloads_total", result="failure"), 1)


class Starting(GatewayTest):
    """What the program says when it should not start."""

    def start(self, settings, *words):
        config = self.folder / "start.yaml"
        rows = [json.dumps(row_of(self.simulator))]
        config.write_text("organizations:\n" + "".join(f"  - {row}\n" for row in rows) + settings)
        ended = subprocess.run([GATEWAY, "serve", "--config", config], capture_output=True, text=True,
                               env=environment(), timeout=LIMIT_SECONDS, check=False)
        self.heard.append(ended.stderr.encode())
        return ended

    def test_a_pair_that_cannot_be_used_is_refused_with_the_reason(self):
        authority = Authority(self.folder, "authority")
        good, other = authority.issue("good", GATEWAY_NAMES), authority.issue("other", GATEWAY_NAMES)
        expired = authority.issue("expired", GATEWAY_NAMES, days=-1)
        for pair in (good, other, expired):
            self.secrets.append(pair.key.read_text().splitlines()[1])
        open_key = shutil.copy(good.key, self.folder / "open.key")
        os.chmod(open_key, 0o644)
        settings = "admin: {address: '127.0.0.1:0'}\ngrpc: {address: '127.0.0.1:0'}\n"

        def section(certificate, key, **more):
            return settings + "tls: " + json.dumps({"certificate_file": str(certificate), "key_file": str(key),
                                                    **more}) + "\n"
        rows = [(section(good.certificate, other.key), "does not belong to the first certificate of"),
                (section(expired.certificate, expired.key), "expired at"),
                (section(good.certificate, open_key), "others may read this private key"),
                (section(good.certificate, self.folder / "none"), "none: cannot be read: No such file"),
                (section(good.certificate, good.key, client_ca_file=str(good.key)), "has no certificate"),
                (settings + f"tls: {{certificate_file: {good.certificate}}}\n", "expected both")]
        for text, said in rows:
            with self.subTest(said=said):
                ended = self.start(text)
                self.assertNotEqual(ended.returncode, 0)
                self.assertIn(said, ended.stderr)

    def test_an_open_address_needs_tls_and_identity(self):
        authority = Authority(self.folder, "open")
        pair = authority.issue("gateway", GATEWAY_NAMES)
        for settings, missing in (("", "missing: tls and auth"), (tls_section(pair), "missing: auth")):
            ended = self.start("grpc: {address: '0.0.0.0:0'}\n" + settings)
            self.assertEqual(ended.returncode, 2)
            self.assertIn(missing, ended.stderr)

    def test_insecure_warns_of_what_is_open(self):
        gateway, _ = self.start_gateway([row_of(self.simulator)], "insecure: true\n", name="closed")
        self.assertEqual(gateway.events("configuration"), [])
        config = self.folder / "open.yaml"
        config.write_text("organizations:\n  - " + json.dumps(row_of(self.simulator))
                          + "\ngrpc: {address: '0.0.0.0:0'}\ninsecure: true\n")
        ended = self.run_command("check-config", "--config", str(config))
        self.assertEqual(ended.returncode, 0)
        self.assertIn("grpc.address 0.0.0.0:0 is open without tls and auth", ended.stderr)


if __name__ == "__main__":
    unittest.main()
