// The methods that options cannot say (`function` in the proto), by name: a validation whose "no"
// is an answer, a list that must look at the pipeline first, a log that is streamed and may be
// handed over to another path, an
// update that must not empty what it does not name.
#ifndef SEMAPHORE_CLIENT_FUNCTIONS_H_
#define SEMAPHORE_CLIENT_FUNCTIONS_H_

#include <google/protobuf/message.h>

#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string_view>

#include "client/upstream.h"

namespace semaphore::client {

using Function = boost::asio::awaitable<CallResult> (*)(
    Upstream& upstream, const MethodSpec& spec,
    std::shared_ptr<const google::protobuf::Message> request, CallContext context);

// Null for "" and for names that do not exist.
Function FindFunction(std::string_view name);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_FUNCTIONS_H_
