"""Every method as people with curl call it: the tests of methods_test.py again, with requests made from the gateway's
own OpenAPI document and every reply held to the schemas in it."""

import json
import subprocess
import types
import unittest
import urllib.parse

import jsonschema
import methods_test
from processes import LIMIT_SECONDS, environment

CODES = ("OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED "
         "RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS "
         "UNAUTHENTICATED").split()
HTTP_OF_CODE = {"INVALID_ARGUMENT": 400, "NOT_FOUND": 404, "ALREADY_EXISTS": 409, "PERMISSION_DENIED": 403,
                "FAILED_PRECONDITION": 400}


def curl(*arguments, data=None):
    """Status, headers with lower-case names, and body, by the real curl."""
    words = ["curl", "--silent", "--show-error", "--include", "--noproxy", "*", *arguments]
    if data is not None:
        words += ["--header", "content-type: application/json", "--data-binary", "@-"]
    ended = subprocess.run(words, input=data, capture_output=True, text=True, env=environment(),
                           timeout=LIMIT_SECONDS, check=True)
    head, _, body = ended.stdout.partition("\n\n")
    if head.startswith("HTTP/1.1 100 "):  # curl asks first before it sends much
        head, _, body = body.partition("\n\n")
    lines = head.splitlines()
    headers = dict(line.lower().split(": ", 1) for line in lines[1:])
    return int(lines[0].split()[1]), headers, body


class Document:
    """The gateway's description of itself, and requests made by it."""

    def __init__(self, base):
        self.base = base
        status, headers, body = curl(base + "/openapi.json")
        assert status == 200 and headers["content-type"].startswith("application/json"), (status, headers)
        self.root = json.loads(body)
        self.operations = {operation["operationId"].replace("_", "."): (path, verb, operation)
                           for path, verbs in self.root["paths"].items() for verb, operation in verbs.items()}

    def arguments(self, method, request):
        """Of curl, and the body."""
        path, verb, operation = self.operations[method]
        left, query = dict(request), []
        for parameter in operation["parameters"]:
            if "name" not in parameter:
                continue  # shared headers
            name = parameter["name"]
            if parameter["in"] == "path":
                path = path.replace("{" + name + "}", urllib.parse.quote(self.identity(name, left), safe=""))
            elif name in left:
                value = left.pop(name)
                query.append((name, json.dumps(value) if isinstance(value, bool) else value))
        data = None
        if "requestBody" in operation:
            schema = operation["requestBody"]["content"]["application/json"]["schema"]
            data = json.dumps(left if "properties" in schema else next(iter(left.values())))
        else:
            assert not left, f"{method} has no place for {left}"
        url = self.base + path + ("?" + urllib.parse.urlencode(query) if query else "")
        return ["--request", verb.upper(), url], data

    @staticmethod
    def identity(name, request):
        """A field of the request, or of the resource in it, where it may have a shorter name."""
        if name in request:
            return request.pop(name)
        [value] = [value for resource in request.values() if isinstance(resource, dict)
                   for key, value in resource.items() if name.lower().endswith(key.lower()) and isinstance(value, str)]
        return value

    def check_reply(self, method, reply):
        _, _, operation = self.operations[method]
        schema = {**operation["responses"]["200"]["content"]["application/json"]["schema"],
                  "components": self.root["components"]}
        jsonschema.Draft202012Validator(schema).validate(reply)

    def check_error(self, reply):
        jsonschema.Draft202012Validator({**self.root["components"]["schemas"]["Status"],
                                         "components": self.root["components"]}).validate(reply)


class Curl:
    """Instead of `semaphore-gateway call`."""

    @classmethod
    def setUpClass(cls):
        cls.settings += "rest: {address: '127.0.0.1:0'}\n"
        super().setUpClass()
        cls.document = Document(cls.gateway.rest)

    # Of `call` alone: what it refuses by itself, and its own exit status for that.
    test_a_request_that_is_not_well_formed_is_refused_without_being_repeated = None

    def run_call(self, method, request, *options, tells_secrets=False, standard_input=""):
        self.assertFalse(options)
        request = standard_input if request == "-" else request
        arguments, data = self.document.arguments(method, json.loads(request))
        status, headers, body = curl(*arguments, data=data)
        if not tells_secrets:
            self.heard.append(body.encode())
        self.assertIn("x-request-id", headers)
        reply = json.loads(body)
        if status == 200:
            self.document.check_reply(method, reply)
            return types.SimpleNamespace(returncode=0, stdout=body, stderr="")
        self.document.check_error(reply)
        code = CODES[reply["code"]]
        self.assertEqual(status, HTTP_OF_CODE[code], reply)
        lines = [f"{code}: {reply['message']}"]
        for detail in reply["details"]:
            lines += [f"{key}: {value}" for key, value in detail.items()]
        return types.SimpleNamespace(returncode=1, stdout="", stderr="\n".join(lines))


class MethodsInTheRealDialect(Curl, methods_test.MethodsInTheRealDialect):
    pass


class MethodsInTheDialectOfTheReference(Curl, methods_test.MethodsInTheDialectOfTheReference):
    pass


if __name__ == "__main__":
    unittest.main()
