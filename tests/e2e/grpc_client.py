"""A gRPC client that knows nothing of the gateway but its address: the descriptors of services and
messages come from the server's reflection, requests and replies are dicts in protobuf's JSON form.

Built on Debian's python3-grpcio and python3-protobuf alone, without generated code.
"""

import dataclasses

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory

_FIELD = descriptor_pb2.FieldDescriptorProto


def _declare(pool, package, messages):
    """Adds a proto file: {message: {field: (number, type or message name, repeated)}}."""
    file = descriptor_pb2.FileDescriptorProto(name=package + ".proto", package=package, syntax="proto3")
    for name, fields in messages.items():
        message = file.message_type.add(name=name)
        for field, (number, kind, repeated) in fields.items():
            label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            declared = message.field.add(name=field, number=number, label=label)
            if isinstance(kind, str):
                declared.type, declared.type_name = _FIELD.TYPE_MESSAGE, f".{package}.{kind}"
            else:
                declared.type = kind
    pool.Add(file)


def _own_messages():
    """The few messages that one must know before the server can be asked for others."""
    pool = descriptor_pool.DescriptorPool()
    text, data, number = _FIELD.TYPE_STRING, _FIELD.TYPE_BYTES, _FIELD.TYPE_INT32
    _declare(pool, "grpc.reflection.v1alpha", {
        "ServerReflectionRequest": {"file_by_filename": (3, text, False),
                                    "file_containing_symbol": (4, text, False),
                                    "list_services": (7, text, False)},
        "FileDescriptorResponse": {"file_descriptor_proto": (1, data, True)},
        "ServiceResponse": {"name": (1, text, False)},
        "ListServiceResponse": {"service": (1, "ServiceResponse", True)},
        "ErrorResponse": {"error_code": (1, number, False), "error_message": (2, text, False)},
        "ServerReflectionResponse": {"file_descriptor_response": (4, "FileDescriptorResponse", False),
                                     "list_services_response": (6, "ListServiceResponse", False),
                                     "error_response": (7, "ErrorResponse", False)},
    })
    _declare(pool, "grpc.health.v1", {"HealthCheckRequest": {"service": (1, text, False)},
                                      "HealthCheckResponse": {"status": (1, number, False)}})
    return pool


_OWN = _own_messages()


def _class_of(pool, name):
    return message_factory.MessageFactory(pool).GetPrototype(pool.FindMessageTypeByName(name))


class Reflection:
    """What the server says about itself; fetched once."""

    def __init__(self, channel):
        self._request = _class_of(_OWN, "grpc.reflection.v1alpha.ServerReflectionRequest")
        response = _class_of(_OWN, "grpc.reflection.v1alpha.ServerReflectionResponse")
        self._ask_all = channel.stream_stream(
            "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
            request_serializer=self._request.SerializeToString,
            response_deserializer=response.FromString)
        self.pool = descriptor_pool.DescriptorPool()
        self._files = {}
        listed = self._ask(list_services="*").list_services_response
        self.services = sorted(service.name for service in listed.service)
        for service in self.services:
            if service.startswith("semaphore."):
                self._load(self._ask(file_containing_symbol=service))
        # The details of errors travel as Any, so no method mentions them.
        self._load(self._ask(file_by_filename="google/rpc/status.proto"))
        self._load(self._ask(file_by_filename="google/rpc/error_details.proto"))
        self._factory = message_factory.MessageFactory(self.pool)

    def methods(self):
        """Of the gateway's own services, as Client.call takes them."""
        own = [self.pool.FindServiceByName(name) for name in self.services if name.startswith("semaphore.v1.")]
        return {f"{service.name}.{method.name}" for service in own for method in service.methods}

    def message_class(self, name):
        return self._factory.GetPrototype(self.pool.FindMessageTypeByName(name))

    def _ask(self, **question):
        reply = next(self._ask_all(iter([self._request(**question)]), timeout=60))
        if reply.error_response.error_code:
            raise AssertionError(f"reflection of {question}: {reply.error_response.error_message}")
        return reply

    def _load(self, reply):
        files = [descriptor_pb2.FileDescriptorProto.FromString(data)
                 for data in reply.file_descriptor_response.file_descriptor_proto]
        for file in files:
            self._files.setdefault(file.name, file)
        for file in files:
            self._add(file)

    def _add(self, file):
        """Adds a file to the pool, after all that it imports."""
        try:
            self.pool.FindFileByName(file.name)
            return
        except KeyError:
            pass
        for name in file.dependency:
            if name not in self._files:
                self._load(self._ask(file_by_filename=name))
            else:
                self._add(self._files[name])
        self.pool.Add(file)


@dataclasses.dataclass
class Reply:
    code: str  # "OK", "NOT_FOUND"
    message: dict  # of the reply; empty for an error
    text: str  # of the error
    metadata: dict  # initial
    details: dict  # {"google.rpc.ErrorInfo": {…}}

    @property
    def reason(self):
        return self.details.get("google.rpc.ErrorInfo", {}).get("reason")

    @property
    def info(self):
        return self.details.get("google.rpc.ErrorInfo", {}).get("metadata", {})

    @property
    def retry_seconds(self):
        """The delay of RetryInfo; None without one."""
        delay = self.details.get("google.rpc.RetryInfo", {}).get("retryDelay")
        return None if delay is None else float(delay.rstrip("s"))


class Client:
    """`heard` collects every byte that the server sent, to be searched for secrets. Plaintext without `credentials`."""

    def __init__(self, address, heard, credentials=None):
        options = [("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]
        self.channel = (grpc.insecure_channel(address, options=options) if credentials is None
                        else grpc.secure_channel(address, credentials, options=options))
        grpc.channel_ready_future(self.channel).result(timeout=60)
        self.reflection = Reflection(self.channel)
        self._heard = heard

    def close(self):
        self.channel.close()

    def start(self, method, request=None, metadata=(), timeout=60):
        """Begins a call such as "PipelineService.GetPipeline"; Finish takes what this returns."""
        described = self.reflection.pool.FindMethodByName("semaphore.v1." + method)
        request_class = self.reflection.message_class(described.input_type.full_name)
        path = f"/{described.containing_service.full_name}/{described.name}"
        stub = self.channel.unary_unary(path, request_serializer=request_class.SerializeToString)
        message = json_format.ParseDict(request or {}, request_class())
        future = stub.future(message, timeout=timeout, metadata=metadata)
        future.reply_class = self.reflection.message_class(described.output_type.full_name)
        return future

    def finish(self, future):
        """Waits for the end of a call; its own time limit bounds that."""
        try:
            data = future.result()
        except (grpc.RpcError, grpc.FutureCancelledError):
            return self._failure(future)
        self._heard.append(data)
        return Reply("OK", json_format.MessageToDict(future.reply_class.FromString(data)), "",
                     self._metadata(future.initial_metadata()), {})

    def call(self, method, request=None, metadata=(), timeout=60):
        return self.finish(self.start(method, request, metadata, timeout))

    def call_unknown(self, path):
        """Calls what reflection does not know. Such a call must fail."""
        return self._failure(self.channel.unary_unary(path).future(b"", timeout=60))

    def walk(self, method, request, items):
        """All items of a paged list, and the pages."""
        pages, found = [], []
        while True:
            reply = self.call(method, request)
            if reply.code != "OK" or len(pages) > 1000:
                raise AssertionError(f"page {len(pages) + 1} of {method}: {reply}")
            pages.append(reply)
            found.extend(reply.message.get(items, []))
            token = reply.message.get("nextPageToken")
            if not token:
                return found, pages
            request = {**request, "pageToken": token}

    def health(self, service=""):
        """The number of the serving status: 1 is SERVING, 2 NOT_SERVING."""
        request = _class_of(_OWN, "grpc.health.v1.HealthCheckRequest")
        response = _class_of(_OWN, "grpc.health.v1.HealthCheckResponse")
        check = self.channel.unary_unary("/grpc.health.v1.Health/Check",
                                         request_serializer=request.SerializeToString,
                                         response_deserializer=response.FromString)
        return check(request(service=service), timeout=60).status

    def watch_health(self):
        """An iterator over the serving status as it changes."""
        request = _class_of(_OWN, "grpc.health.v1.HealthCheckRequest")
        response = _class_of(_OWN, "grpc.health.v1.HealthCheckResponse")
        watch = self.channel.unary_stream("/grpc.health.v1.Health/Watch",
                                          request_serializer=request.SerializeToString,
                                          response_deserializer=response.FromString)
        return (reply.status for reply in watch(request(), timeout=120))

    def _metadata(self, pairs):
        self._heard.append(repr(pairs).encode())
        return {key: value for key, value in pairs or ()}

    def _failure(self, future):
        trailing = {key: value for key, value in future.trailing_metadata() or ()}
        self._heard.append(repr(trailing).encode() + (future.details() or "").encode())
        details = {}
        encoded = trailing.get("grpc-status-details-bin")
        if encoded:
            status = self.reflection.message_class("google.rpc.Status").FromString(encoded)
            self._heard.append(encoded)
            for any_message in status.details:
                name = any_message.type_url.rpartition("/")[2]
                detail = self.reflection.message_class(name).FromString(any_message.value)
                details[name] = json_format.MessageToDict(detail)
        return Reply(future.code().name, {}, future.details() or "",
                     self._metadata(future.initial_metadata()), details)
