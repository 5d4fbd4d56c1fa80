// The store of one process: sharded by key, each shard evicting by S3-FIFO (a small queue for what
// is new, a main queue for what was asked for repeatedly, a memory of what the small one let go),
// so that a walk through a hundred thousand pipelines does not flush the ones that people look at.
// What malloc takes for an entry is counted; what callers still hold of evicted ones is not.
#ifndef SEMAPHORE_GATEWAY_MEMORY_STORE_H_
#define SEMAPHORE_GATEWAY_MEMORY_STORE_H_

#include <cstddef>
#include <memory>
#include <vector>

#include "gateway/cache_store.h"

namespace semaphore::gateway {

class MemoryStore final : public CacheStore {
 public:
  struct Options {
    size_t max_bytes = 256 << 20;  // of all shards together, each a like share; 0 keeps nothing
    size_t shards = 16;            // a power of two; a reply must fit in the share of one
  };

  explicit MemoryStore(const Options& options);
  ~MemoryStore() override;

  std::shared_ptr<const CachedReply> Get(std::string_view key) override;
  void Put(std::string_view key, std::shared_ptr<const CachedReply> reply) override;
  void Remove(std::string_view key) override;
  Stats GetStats() const override;

 private:
  class Shard;

  Shard& ShardOf(size_t hash) const;

  const bool enabled_;
  std::vector<std::unique_ptr<Shard>> shards_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_MEMORY_STORE_H_
