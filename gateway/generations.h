// What changes make old: one counter for each resource, each list of a type and each live resource
// of a type, hashed into a table of fixed size. A reply is good while the counters that it depends
// on stand where they stood when its fetch began; two things that share a counter cost a fetch,
// never a stale answer. Lock-free.
#ifndef SEMAPHORE_GATEWAY_GENERATIONS_H_
#define SEMAPHORE_GATEWAY_GENERATIONS_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "gateway/cache_store.h"

namespace semaphore::gateway {

class Generations {
 public:
  Generations();

  // What a mark is of. `id` is empty but for kResource.
  enum class Kind : char {
    kResource,  // one resource
    kLists,     // the organization's lists of a type, and what was not found of it
    kLive,      // all resources of a type that may still change
  };

  // The mark as it stands now.
  GenerationMark Mark(Kind kind, std::string_view organization, std::string_view type,
                      std::string_view id = {}) const;

  // Every mark taken before is old from now on.
  void Advance(Kind kind, std::string_view organization, std::string_view type,
               std::string_view id = {});

  bool IsCurrent(const GenerationMark& mark) const;
  bool IsCurrent(const CachedReply& reply) const;

 private:
  static uint32_t SlotOf(Kind kind, std::string_view organization, std::string_view type,
                         std::string_view id);

  const std::unique_ptr<std::atomic<uint64_t>[]> counters_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_GENERATIONS_H_
