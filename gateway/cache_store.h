// Where replies are kept: by key, bounded in bytes, with an eviction policy of the store's own. It
// knows nothing of what a reply means or how long it is good for. MemoryStore keeps them in this
// process; one shared by several replicas would be the other implementation.
#ifndef SEMAPHORE_GATEWAY_CACHE_STORE_H_
#define SEMAPHORE_GATEWAY_CACHE_STORE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "client/clock.h"

namespace semaphore::gateway {

// A generation of something, as it was when a fetch began; see Generations.
struct GenerationMark {
  uint32_t slot = 0;
  uint64_t value = 0;
};

// An answer of upstream's. Never changed once it is stored.
struct CachedReply {
  absl::Status status;                       // OK, or NOT_FOUND
  std::shared_ptr<const std::string> reply;  // the encoded message when OK
  client::MonotonicTime said_at;             // when the fetch that brought it began
  client::MonotonicTime fresh_until;
  client::MonotonicTime stale_until;  // never used after it; at least fresh_until
  std::array<GenerationMark, 3> marks{};
  size_t mark_count = 0;  // how many of `marks` are used; all must still be current
};

class CacheStore {
 public:
  virtual ~CacheStore() = default;

  // Null when there is none. All functions are thread-safe and quick; Get is on the path of every
  // cached call.
  virtual std::shared_ptr<const CachedReply> Get(std::string_view key) = 0;

  // Replaces what is there. A reply that does not fit is not kept.
  virtual void Put(std::string_view key, std::shared_ptr<const CachedReply> reply) = 0;

  virtual void Remove(std::string_view key) = 0;

  struct Stats {
    uint64_t entries = 0;
    uint64_t bytes = 0;      // keys, replies and overhead
    uint64_t evictions = 0;  // for room
    uint64_t too_large = 0;  // not kept for their size
  };
  virtual Stats GetStats() const = 0;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_CACHE_STORE_H_
