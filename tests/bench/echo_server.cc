// What cached reads are measured against: the least that gRPC itself costs for a reply of the same
// type and size. Typed, as a generated callback service is written by anybody, or raw, bytes in and
// bytes out.
//   echo_server typed|raw REPLY_FILE    prints its port
#include <grpcpp/grpcpp.h>

#include <fstream>
#include <iostream>
#include <iterator>
#include <memory>
#include <string>

#include "semaphore/v1/pipeline.grpc.pb.h"

namespace semaphore {
namespace {

class TypedService final : public v1::PipelineService::CallbackService {
 public:
  explicit TypedService(v1::Pipeline reply) : reply_(std::move(reply)) {}

  grpc::ServerUnaryReactor* GetPipeline(grpc::CallbackServerContext* context,
                                        const v1::GetPipelineRequest*,
                                        v1::Pipeline* reply) override {
    *reply = reply_;
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  const v1::Pipeline reply_;
};

class RawService final
    : public v1::PipelineService::WithRawCallbackMethod_GetPipeline<v1::PipelineService::Service> {
 public:
  explicit RawService(const std::string& bytes) : slice_(bytes) {}

  grpc::ServerUnaryReactor* GetPipeline(grpc::CallbackServerContext* context,
                                        const grpc::ByteBuffer*, grpc::ByteBuffer* reply) override {
    *reply = grpc::ByteBuffer(&slice_, 1);
    grpc::ServerUnaryReactor* const reactor = context->DefaultReactor();
    reactor->Finish(grpc::Status::OK);
    return reactor;
  }

 private:
  const grpc::Slice slice_;
};

int Serve(const std::string& mode, const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  v1::Pipeline reply;
  if (bytes.empty() || !reply.ParseFromString(bytes)) {
    std::cerr << file << " holds no pipeline\n";
    return 2;
  }
  std::unique_ptr<grpc::Service> service;
  if (mode == "typed") service = std::make_unique<TypedService>(std::move(reply));
  if (mode == "raw") service = std::make_unique<RawService>(bytes);
  if (service == nullptr) {
    std::cerr << "typed or raw?\n";
    return 2;
  }
  grpc::ServerBuilder builder;
  int port = 0;
  builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
  builder.RegisterService(service.get());
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  std::cout << port << std::endl;
  server->Wait();
  return 0;
}

}  // namespace
}  // namespace semaphore

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: echo_server typed|raw REPLY_FILE\n";
    return 2;
  }
  return semaphore::Serve(argv[1], argv[2]);
}
