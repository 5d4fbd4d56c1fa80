// `semaphore-gateway hash-token`: makes the entry of the callers file for a token, and the token
// itself when asked to. A token never comes from the command line, where every user of the machine
// could read it.
#ifndef SEMAPHORE_GATEWAY_HASH_TOKEN_COMMAND_H_
#define SEMAPHORE_GATEWAY_HASH_TOKEN_COMMAND_H_

#include <iosfwd>

namespace semaphore::gateway {

// With `make_new`, writes a new token and its entry to `out`, a line each; else reads the token
// from the first line of `in` and writes the entry alone. Returns the exit status: 0, or 2 when the
// token cannot be used, which `errors` explains without showing it.
int RunHashToken(bool make_new, std::istream& in, std::ostream& out, std::ostream& errors);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_HASH_TOKEN_COMMAND_H_
