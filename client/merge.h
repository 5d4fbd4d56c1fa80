// The read-merge-write step for resources that upstream only replaces whole (`merge_from` in the
// proto): the masked fields of a change go into a fresh reading, one change at a time.
#ifndef SEMAPHORE_CLIENT_MERGE_H_
#define SEMAPHORE_CLIENT_MERGE_H_

#include <google/protobuf/message.h>

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "client/upstream.h"

namespace semaphore::client {

// INVALID_FIELD when the change would leave nothing, which upstream cannot express.
boost::asio::awaitable<CallResult> CallMerged(
    Upstream& upstream, const MethodSpec& spec,
    std::shared_ptr<const google::protobuf::Message> request, CallContext context);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_MERGE_H_
