#include "gateway/call_command.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>
#include <google/protobuf/descriptor_database.h>
#include <google/protobuf/dynamic_message.h>
#include <google/protobuf/reflection.h>
#include <google/protobuf/util/json_util.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <boost/asio/ip/address.hpp>
#include <chrono>
#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/time/clock.h"
#include "gateway/tls_files.h"
#include "gateway/token_source.h"

namespace semaphore::gateway {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr char kReflectionMethod[] =
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo";
constexpr int kMaxReplyBytes = 64 << 20;

grpc::ByteBuffer ToBuffer(const std::string& bytes) {
  const grpc::Slice slice(bytes);
  return {&slice, 1};
}

std::string ToString(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string bytes;
  if (!buffer.Dump(&slices).ok()) return bytes;
  for (const grpc::Slice& slice : slices)
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

// Whether what is sent to "127.0.0.1:50051", "[::1]:50051" or "localhost:50051" stays on this
// machine. Any other name may lead anywhere.
bool IsOnThisMachine(const std::string& address) {
  std::string host = address.substr(0, address.rfind(':'));
  if (host.size() > 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  boost::system::error_code error;
  const boost::asio::ip::address literal = boost::asio::ip::make_address(host, error);
  return host == "localhost" || (!error && literal.is_loopback());
}

// What the caller shows of itself, and whom it trusts.
absl::StatusOr<grpc::SslCredentialsOptions> TlsOptions(const CallOptions& options) {
  grpc::SslCredentialsOptions tls;
  absl::StatusOr<std::string> authorities = ReadCertificateFile(options.tls_ca_file);
  if (!authorities.ok()) return authorities.status();
  absl::Status usable = CheckCertificates(*authorities, options.tls_ca_file);
  if (!usable.ok()) return usable;
  tls.pem_root_certs = *std::move(authorities);
  if (options.tls_certificate_file.empty()) return tls;
  absl::StatusOr<std::string> certificate = ReadCertificateFile(options.tls_certificate_file);
  if (!certificate.ok()) return certificate.status();
  tls.pem_cert_chain = *std::move(certificate);
  const std::string& key_file =
      options.tls_key_file.empty() ? options.tls_certificate_file : options.tls_key_file;
  absl::StatusOr<std::string> key = ReadKeyFile(key_file);
  if (!key.ok()) return key.status();
  tls.pem_private_key = *std::move(key);
  const absl::StatusOr<absl::Time> pair =
      CheckPair({.certificate = tls.pem_cert_chain,
                 .certificate_file = options.tls_certificate_file,
                 .key = tls.pem_private_key,
                 .key_file = key_file},
                absl::Now());
  if (!pair.ok()) return pair.status();
  return tls;
}

// A way to the gateway, connected when it is used, and the token to show there.
struct Link {
  std::shared_ptr<grpc::Channel> channel;
  std::string token;  // empty: none. Secret.
};

absl::StatusOr<Link> Open(const CallOptions& options) {
  Link link;
  const bool here = IsOnThisMachine(options.address);
  const bool plaintext = options.tls_ca_file.empty();
  if (!options.token_file.empty()) {
    if (plaintext && !here) {
      return absl::FailedPreconditionError(
          absl::StrCat("--token-file: the token would travel in plaintext to ", options.address,
                       "; give --tls-ca FILE to use TLS"));
    }
    absl::StatusOr<std::string> token = ReadSecretFile(options.token_file, false);
    if (!token.ok()) return token.status();
    link.token = *std::move(token);
  }
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMaxReplyBytes);
  // A proxy would be another machine.
  if (here) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  std::shared_ptr<grpc::ChannelCredentials> credentials = grpc::InsecureChannelCredentials();
  if (!plaintext) {
    const absl::StatusOr<grpc::SslCredentialsOptions> tls = TlsOptions(options);
    if (!tls.ok()) return tls.status();
    credentials = grpc::SslCredentials(*tls);
    if (!options.tls_server_name.empty()) {
      arguments.SetSslTargetNameOverride(options.tls_server_name);
    }
  }
  link.channel = grpc::CreateCustomChannel(options.address, credentials, arguments);
  return link;
}

// gRPC tells that no connection came about, but not what to do about it.
std::string WithAdvice(const CallOptions& options, const std::string& message) {
  const std::string said = absl::StrReplaceAll(absl::AsciiStrToLower(message), {{"_", " "}});
  const char* advice = "";
  if (absl::StrContains(said, "connection refused")) return message;
  if (options.tls_ca_file.empty()) {
    advice = " (if it speaks TLS there, give --tls-ca FILE)";
  } else if (absl::StrContains(said, "wrong version")) {
    advice = " (it speaks no TLS there: leave out the options of TLS)";
  } else if (absl::StrContains(said, "verify")) {
    advice = " (its certificate is not one that --tls-ca vouches for, or has expired)";
  } else if (absl::StrContains(said, "peer name")) {
    advice = " (give a name that its certificate has with --tls-server-name)";
  } else if (options.tls_certificate_file.empty()) {
    advice = " (if it demands a client certificate, give --tls-cert FILE)";
  } else {
    advice = " (it may not know the authority of the certificate in --tls-cert)";
  }
  return message + advice;
}

void Prepare(const CallOptions& options, const std::string& token, grpc::ClientContext& context) {
  context.set_deadline(std::chrono::system_clock::now() +
                       absl::ToChronoMilliseconds(options.timeout));
  if (!options.organization.empty())
    context.AddMetadata("x-semaphore-organization", options.organization);
  if (!token.empty()) context.AddMetadata("authorization", absl::StrCat("Bearer ", token));
}

// The conversation with the server's reflection service. Its messages are in this program because
// the server library brings them along; their headers are not packaged, so they are used through
// descriptors.
class Reflection {
 public:
  Reflection(const std::shared_ptr<grpc::Channel>& channel, const CallOptions& options,
             const std::string& token)
      : stub_(channel) {
    Prepare(options, token, context_);
    stream_ = stub_.PrepareCall(&context_, kReflectionMethod, &queue_);
    stream_->StartCall(&tag_);
    Next();
  }

  ~Reflection() {
    if (!finished_) {
      stream_->WritesDone(&tag_);
      Next();
      End();
    }
    queue_.Shutdown();
  }

  // Names of all services, or why there are none.
  absl::StatusOr<std::vector<std::string>> Services() {
    absl::StatusOr<std::unique_ptr<Message>> reply = Ask("list_services", "*");
    if (!reply.ok()) return reply.status();
    std::vector<std::string> names;
    const Message& list = SubMessage(**reply, "list_services_response");
    const FieldDescriptor* service = list.GetDescriptor()->FindFieldByName("service");
    for (int i = 0; i < list.GetReflection()->FieldSize(list, service); ++i) {
      const Message& entry = list.GetReflection()->GetRepeatedMessage(list, service, i);
      names.push_back(
          entry.GetReflection()->GetString(entry, entry.GetDescriptor()->FindFieldByName("name")));
    }
    return names;
  }

  // The file that declares a symbol and all that it imports.
  absl::Status Load(const std::string& symbol,
                    google::protobuf::SimpleDescriptorDatabase& database) {
    absl::StatusOr<std::unique_ptr<Message>> reply = Ask("file_containing_symbol", symbol);
    return reply.ok() ? AddFiles(**reply, database) : reply.status();
  }

 private:
  bool Next() {
    void* tag = nullptr;
    bool ok = false;
    return queue_.Next(&tag, &ok) && ok;
  }

  grpc::Status End() {
    finished_ = true;
    grpc::Status status;
    stream_->Finish(&status, &tag_);
    Next();
    return status;
  }

  static const Message& SubMessage(const Message& message, const char* field) {
    return message.GetReflection()->GetMessage(message,
                                               message.GetDescriptor()->FindFieldByName(field));
  }

  static std::unique_ptr<Message> New(const char* type) {
    const Descriptor* descriptor =
        google::protobuf::DescriptorPool::generated_pool()->FindMessageTypeByName(type);
    return std::unique_ptr<Message>(
        google::protobuf::MessageFactory::generated_factory()->GetPrototype(descriptor)->New());
  }

  absl::StatusOr<std::unique_ptr<Message>> Ask(const char* field, const std::string& value) {
    const std::unique_ptr<Message> request = New("grpc.reflection.v1alpha.ServerReflectionRequest");
    request->GetReflection()->SetString(request.get(),
                                        request->GetDescriptor()->FindFieldByName(field), value);
    stream_->Write(ToBuffer(request->SerializeAsString()), &tag_);
    grpc::ByteBuffer answer;
    bool ok = Next();
    if (ok) {
      stream_->Read(&answer, &tag_);
      ok = Next();
    }
    std::unique_ptr<Message> reply = New("grpc.reflection.v1alpha.ServerReflectionResponse");
    if (!ok) {
      return absl::UnavailableError(
          absl::StrCat("no answer; is a gateway running there? ", End().error_message()));
    }
    if (!reply->ParseFromString(ToString(answer))) {
      return absl::UnavailableError("the answer is none of a reflection service");
    }
    const FieldDescriptor* error = reply->GetDescriptor()->FindFieldByName("error_response");
    if (reply->GetReflection()->HasField(*reply, error))
      return absl::NotFoundError(absl::StrCat("no symbol ", value));
    return reply;
  }

  absl::Status AddFiles(const Message& reply,
                        google::protobuf::SimpleDescriptorDatabase& database) {
    const Message& files = SubMessage(reply, "file_descriptor_response");
    const FieldDescriptor* field = files.GetDescriptor()->FindFieldByName("file_descriptor_proto");
    for (int i = 0; i < files.GetReflection()->FieldSize(files, field); ++i) {
      google::protobuf::FileDescriptorProto file;
      if (!file.ParseFromString(files.GetReflection()->GetRepeatedString(files, field, i))) {
        return absl::InternalError("the server sent an unreadable file descriptor");
      }
      if (!loaded_.insert(file.name()).second) continue;
      database.Add(file);
      for (const std::string& dependency : file.dependency()) {
        if (loaded_.count(dependency) > 0) continue;
        absl::StatusOr<std::unique_ptr<Message>> imported = Ask("file_by_filename", dependency);
        if (!imported.ok()) return imported.status();
        const absl::Status added = AddFiles(**imported, database);
        if (!added.ok()) return added;
      }
    }
    return absl::OkStatus();
  }

  grpc::GenericStub stub_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> stream_;
  int tag_ = 0;
  bool finished_ = false;
  std::set<std::string> loaded_;
};

// "PipelineService.GetPipeline" or ".../GetPipeline" as a full method name, given what the server
// offers.
absl::StatusOr<std::string> FullName(const std::string& method,
                                     const std::vector<std::string>& services) {
  const size_t split = method.find_last_of("./");
  if (split == std::string::npos) return absl::InvalidArgumentError("expected Service.Method");
  const std::string service = method.substr(0, split);
  for (const std::string& name : services) {
    if (name == service || absl::EndsWith(name, absl::StrCat(".", service))) {
      return absl::StrCat(name, ".", method.substr(split + 1));
    }
  }
  return absl::NotFoundError(absl::StrCat("no service ", service, "; there are: ", [&services] {
    std::string list;
    for (const std::string& name : services) absl::StrAppend(&list, list.empty() ? "" : ", ", name);
    return list;
  }()));
}

void PrintError(const grpc::Status& status, std::ostream& err) {
  constexpr const char* kCodes[] = {"OK",
                                    "CANCELLED",
                                    "UNKNOWN",
                                    "INVALID_ARGUMENT",
                                    "DEADLINE_EXCEEDED",
                                    "NOT_FOUND",
                                    "ALREADY_EXISTS",
                                    "PERMISSION_DENIED",
                                    "RESOURCE_EXHAUSTED",
                                    "FAILED_PRECONDITION",
                                    "ABORTED",
                                    "OUT_OF_RANGE",
                                    "UNIMPLEMENTED",
                                    "INTERNAL",
                                    "UNAVAILABLE",
                                    "DATA_LOSS",
                                    "UNAUTHENTICATED"};
  err << kCodes[static_cast<int>(status.error_code())] << ": " << status.error_message() << '\n';
  google::rpc::Status details;
  if (!details.ParseFromString(status.error_details())) return;
  for (const google::protobuf::Any& any : details.details()) {
    google::rpc::ErrorInfo info;
    google::rpc::RetryInfo retry;
    google::rpc::BadRequest bad;
    if (any.UnpackTo(&info)) {
      err << "  reason: " << info.reason() << '\n';
      for (const auto& [key, value] : info.metadata()) err << "  " << key << ": " << value << '\n';
    } else if (any.UnpackTo(&retry)) {
      err << "  retry after: "
          << static_cast<double>(retry.retry_delay().seconds()) + retry.retry_delay().nanos() / 1e9
          << " s\n";
    } else if (any.UnpackTo(&bad)) {
      for (const auto& violation : bad.field_violations()) {
        err << "  " << violation.field() << ": " << violation.description() << '\n';
      }
    }
  }
}

// Everything that is needed to make the call, in one pool.
struct Resolved {
  google::protobuf::SimpleDescriptorDatabase database;
  std::unique_ptr<google::protobuf::DescriptorPool> pool;
  google::protobuf::DynamicMessageFactory factory;
  const google::protobuf::MethodDescriptor* method = nullptr;
};

absl::Status Resolve(const std::string& method, Reflection& reflection, Resolved& resolved) {
  const absl::StatusOr<std::vector<std::string>> services = reflection.Services();
  if (!services.ok()) return services.status();
  const absl::StatusOr<std::string> name = FullName(method, *services);
  if (!name.ok()) return name.status();
  const absl::Status loaded = reflection.Load(*name, resolved.database);
  if (absl::IsNotFound(loaded)) return absl::NotFoundError(absl::StrCat("no method ", *name));
  if (!loaded.ok()) return loaded;
  resolved.pool = std::make_unique<google::protobuf::DescriptorPool>(&resolved.database);
  resolved.method = resolved.pool->FindMethodByName(*name);
  if (resolved.method == nullptr) return absl::NotFoundError(absl::StrCat("no method ", *name));
  return absl::OkStatus();
}

// One unary call with bytes in and out.
grpc::Status Unary(const std::shared_ptr<grpc::Channel>& channel, const std::string& path,
                   const CallOptions& options, const std::string& token, const std::string& request,
                   std::string& reply) {
  grpc::GenericStub stub(channel);
  grpc::ClientContext context;
  Prepare(options, token, context);
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareUnaryCall(&context, path, ToBuffer(request), &queue);
  call->StartCall();
  grpc::ByteBuffer answer;
  grpc::Status status;
  int tag = 0;
  call->Finish(&answer, &status, &tag);
  void* got = nullptr;
  bool ok = false;
  queue.Next(&got, &ok);
  reply = ToString(answer);
  return status;
}

// Protobuf's words without what they quote of the request: that may be a secret, and standard error
// ends up in logs. `x: invalid value "hunter2" for type T` is `x: invalid value for type T`; what
// is wrong with the syntax is followed by the text around it on further lines.
std::string WithoutQuotations(std::string message) {
  constexpr std::string_view kBefore = "invalid value";
  const size_t before = message.find(std::string(kBefore) + " \"");
  const size_t after = message.rfind("\" for type ");
  if (before != std::string::npos && after != std::string::npos && before < after) {
    const size_t begin = before + kBefore.size();
    message.erase(begin, after + 1 - begin);
  }
  return message.substr(0, message.find('\n'));
}

}  // namespace

int RunCall(const CallOptions& options, const std::string& method, const std::string& request,
            std::ostream& out, std::ostream& err) {
  const absl::StatusOr<Link> link = Open(options);
  if (!link.ok()) {
    err << link.status().message() << '\n';
    return 2;
  }
  Resolved resolved;
  absl::Status found;
  {
    Reflection reflection(link->channel, options, link->token);
    found = Resolve(method, reflection, resolved);
  }
  if (!found.ok()) {
    const bool unreachable = absl::IsUnavailable(found);
    const std::string message(found.message());
    err << options.address << ": " << (unreachable ? WithAdvice(options, message) : message)
        << '\n';
    return unreachable ? 1 : 2;
  }
  const std::unique_ptr<Message> message(
      resolved.factory.GetPrototype(resolved.method->input_type())->New());
  const auto parsed =
      google::protobuf::util::JsonStringToMessage(request.empty() ? "{}" : request, message.get());
  if (!parsed.ok()) {
    err << "the request is no " << resolved.method->input_type()->name() << ": "
        << WithoutQuotations(parsed.message().ToString()) << '\n';
    return 2;
  }
  const std::string path =
      absl::StrCat("/", resolved.method->service()->full_name(), "/", resolved.method->name());
  std::string bytes;
  const grpc::Status status =
      Unary(link->channel, path, options, link->token, message->SerializeAsString(), bytes);
  if (!status.ok()) {
    PrintError(status, err);
    return 1;
  }
  const std::unique_ptr<Message> reply(
      resolved.factory.GetPrototype(resolved.method->output_type())->New());
  std::string json;
  google::protobuf::util::JsonPrintOptions print;
  print.add_whitespace = true;
  if (!reply->ParseFromString(bytes) ||
      !google::protobuf::util::MessageToJsonString(*reply, &json, print).ok()) {
    err << "the reply cannot be read\n";
    return 1;
  }
  out << json;
  return 0;
}

int RunHealth(const CallOptions& options, std::ostream& out, std::ostream& err) {
  const absl::StatusOr<Link> link = Open(options);
  if (!link.ok()) {
    err << link.status().message() << '\n';
    return 2;
  }
  std::string reply;
  const grpc::Status status =
      Unary(link->channel, "/grpc.health.v1.Health/Check", options, link->token, "", reply);
  // HealthCheckResponse{status: SERVING} is field 1, varint 1.
  if (status.ok() && reply == "\x08\x01") {
    out << "serving\n";
    return 0;
  }
  const std::string why = status.ok() ? "not serving" : WithAdvice(options, status.error_message());
  err << options.address << ": " << why << '\n';
  return 1;
}

}  // namespace semaphore::gateway
