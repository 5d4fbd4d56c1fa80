// What a REST request means: routing and transcoding around the engine, and the reply made of its
// answer. Knows no sockets and no time; the connection asks it request by request. Requests that
// come again byte for byte are remembered per thread (RestMemory), so that a read answered from the
// cache costs neither parsing nor JSON.
#ifndef SEMAPHORE_GATEWAY_REST_HANDLER_H_
#define SEMAPHORE_GATEWAY_REST_HANDLER_H_

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gateway/caller.h"
#include "gateway/engine.h"
#include "gateway/http_request_reader.h"
#include "gateway/rest_reply.h"
#include "gateway/rest_transcoder.h"

namespace semaphore::gateway {

// A request to the API, read but not yet answered.
struct RestCall {
  IncomingCall call;
  bool head_only = false;  // HEAD: the reply without its body
  bool gzip = false;
  bool keep_alive = true;
  std::string if_none_match;
  std::string cors;  // fields that let a page of another origin read the reply
};

// The last requests of one thread, by all bytes of their heads, with the reply that was last made
// of them. A place is given to the latest, and the bodies have a bound of their own. Not
// thread-safe.
class RestMemory {
 public:
  struct Entry {
    std::string head;
    RestCall call;                             // its fields are copied for each request
    std::shared_ptr<const std::string> reply;  // of which `body` was made
    std::shared_ptr<const RestBody> body;
  };

  RestMemory() : entries_(kPlaces) {}

  // The entry of exactly this head, or null.
  Entry* Find(std::string_view head);
  // The place for it, emptied; null when it is too long to be remembered.
  Entry* Place(std::string_view head);
  // Remembers what was made of a reply, unless it is too large for that; others may be forgotten.
  void Keep(Entry& entry, std::shared_ptr<const std::string> reply,
            std::shared_ptr<const RestBody> body);

  size_t body_bytes() const { return body_bytes_; }

  static constexpr size_t kPlaces = 1024;
  static constexpr size_t kMaxHeadBytes = 2048;
  static constexpr size_t kMaxBodyBytes = 32 << 20;  // of all replies and bodies

 private:
  void Forget(Entry& entry);

  std::vector<Entry> entries_;
  size_t body_bytes_ = 0;
  size_t hand_ = 0;  // where forgetting goes on
};

class RestHandler {
 public:
  struct File {
    std::string path;  // "/openapi.json"
    std::string content_type;
    std::string bytes;
  };
  struct Options {
    std::vector<File> files;  // served as they are, to everybody
    std::vector<std::string> cors_allowed_origins;
    // Whether only names of this machine are taken as `host`: where everybody who can connect may
    // do everything, a page on the web could otherwise give its own name this machine's address
    // and so be of the same origin.
    bool local_hosts_only = false;
  };

  // Both outlive it.
  RestHandler(Options options, const RestTranscoder& transcoder, Engine& engine);

  // A call for the engine, or the reply when there is none to make.
  struct Read {
    std::optional<RestCall> call;
    RestReply reply;
  };
  Read ReadRequest(const HttpRequest& request,
                   const std::vector<std::string>& certificate_names) const;

  // The reply to an answered call. `entry`, if any, is where `memory` has the call.
  RestReply Reply(const RestCall& call, const Answer& answer, RestMemory& memory,
                  RestMemory::Entry* entry) const;

 private:
  std::optional<RestReply> FileReply(const HttpRequest& request, std::string_view path) const;
  RestReply OptionsReply(const HttpRequest& request) const;
  RestReply UnroutedReply(const HttpRequest& request, const Credentials& credentials,
                          const absl::Status& why) const;
  // What browsers do for pages that they should not have to trust.
  absl::Status CheckPage(const HttpRequest& request, bool changes) const;
  // The fields for a page of that origin; empty when it is not allowed or there is none.
  std::string CorsFields(const HttpRequest& request) const;

  struct MadeFile {
    std::string path;
    std::shared_ptr<const RestBody> plain;
    std::shared_ptr<const RestBody> compressed;
  };

  const std::vector<std::string> cors_allowed_origins_;
  const bool local_hosts_only_;
  const RestTranscoder& transcoder_;
  Engine& engine_;
  std::vector<MadeFile> files_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_REST_HANDLER_H_
