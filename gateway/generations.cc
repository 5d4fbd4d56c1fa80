#include "gateway/generations.h"

#include <algorithm>

#include "absl/hash/hash.h"
#include "client/string_view.h"

namespace semaphore::gateway {
namespace {

constexpr uint32_t kCounters = 1 << 16;  // 512 KiB

}  // namespace

Generations::Generations() : counters_(std::make_unique<std::atomic<uint64_t>[]>(kCounters)) {}

uint32_t Generations::SlotOf(Kind kind, std::string_view organization, std::string_view type,
                             std::string_view id) {
  return absl::HashOf(static_cast<char>(kind), client::ToAbsl(organization), client::ToAbsl(type),
                      client::ToAbsl(id)) %
         kCounters;
}

GenerationMark Generations::Mark(Kind kind, std::string_view organization, std::string_view type,
                                 std::string_view id) const {
  const uint32_t slot = SlotOf(kind, organization, type, id);
  return {.slot = slot, .value = counters_[slot].load()};
}

void Generations::Advance(Kind kind, std::string_view organization, std::string_view type,
                          std::string_view id) {
  counters_[SlotOf(kind, organization, type, id)].fetch_add(1);
}

bool Generations::IsCurrent(const GenerationMark& mark) const {
  return counters_[mark.slot].load() == mark.value;
}

bool Generations::IsCurrent(const CachedReply& reply) const {
  return std::all_of(reply.marks.begin(), reply.marks.begin() + reply.mark_count,
                     [this](const GenerationMark& mark) { return IsCurrent(mark); });
}

}  // namespace semaphore::gateway
