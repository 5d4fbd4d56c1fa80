// The real method table and requests written as text, for tests of what is driven by the table.
#ifndef SEMAPHORE_TESTS_CLIENT_METHOD_FIXTURE_H_
#define SEMAPHORE_TESTS_CLIENT_METHOD_FIXTURE_H_

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "client/method_table.h"

namespace semaphore::client {

inline const MethodTable& Table() {
  static const MethodTable* const table = [] {
    auto built = MethodTable::Build();
    if (!built.ok()) ADD_FAILURE() << built.status();
    return built->release();
  }();
  return *table;
}

// Method("PipelineService/GetPipeline")
inline const MethodSpec& Method(std::string_view name) {
  const MethodSpec* spec = Table().Find("semaphore.v1." + std::string(name));
  if (spec == nullptr) {
    ADD_FAILURE() << "no method " << name;
    spec = Table().methods().front().get();
  }
  return *spec;
}

template <typename Message>
Message FromText(const std::string& text) {
  Message message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return message;
}

inline std::shared_ptr<const google::protobuf::Message> RequestOf(const MethodSpec& spec,
                                                                  const std::string& text) {
  std::shared_ptr<google::protobuf::Message> message(spec.request_prototype->New());
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, message.get())) << text;
  return message;
}

}  // namespace semaphore::client

#endif  // SEMAPHORE_TESTS_CLIENT_METHOD_FIXTURE_H_
