// UpdateDeploymentTarget, whose secrets need a step of their own: upstream replaces environment
// variables and files together, so that sending one list alone would empty the other. It knows the
// digests by which upstream lets a client send back what it cannot read.
#ifndef SEMAPHORE_CLIENT_DEPLOYMENT_SECRETS_H_
#define SEMAPHORE_CLIENT_DEPLOYMENT_SECRETS_H_

#include <google/protobuf/message.h>

#include <boost/asio/awaitable.hpp>
#include <memory>

#include "client/upstream.h"

namespace semaphore::client {

// One request, unless the change is about exactly one of the two lists: then the target is read
// with `include_secrets` first and the digests of the other list are sent along, which keeps it
// (facts §5.7). Such changes of one target are made one at a time.
boost::asio::awaitable<CallResult> UpdateDeploymentTarget(
    Upstream& upstream, const MethodSpec& spec,
    std::shared_ptr<const google::protobuf::Message> request, CallContext context);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_DEPLOYMENT_SECRETS_H_
