// When the collector does what: the intervals of its parts and the span of each walk, in one place
// that the estimate shares. Pure.
#ifndef SEMAPHORE_GATEWAY_COLLECTION_PLAN_H_
#define SEMAPHORE_GATEWAY_COLLECTION_PLAN_H_

#include <optional>

#include "absl/time/time.h"

namespace semaphore::gateway {

// Semaphore's clock and ours, and its machines' among themselves, may differ by minutes.
inline constexpr absl::Duration kWalkOverlap = absl::Minutes(2);
// A done pipeline is at times dated back; what is within this of the watermark is found hourly.
inline constexpr absl::Duration kReconcileSpan = absl::Hours(24);
inline constexpr absl::Duration kReconcileInterval = absl::Hours(1);
// A look at the list by creation shows what finished; without a sign of that the walk is only made
// this often.
inline constexpr absl::Duration kWalkAtLeast = absl::Minutes(5);
inline constexpr absl::Duration kProjectsInterval = absl::Hours(1);

// How far beyond our clock a walk asks: more than any clock is wrong.
inline constexpr absl::Duration kClockSlack = absl::Hours(1);

struct WalkPlan {
  absl::Time from;
  absl::Time to;
  // The first walk only makes known what finished before counting began.
  bool count = true;
  // The least watermark after it, if no pipeline says a later one.
  absl::Time least_watermark = absl::InfinitePast();
};

// `watermark` is nothing before the first complete walk; `backfill` is how far back counting begins
// then. `now` is our clock's, which decides nothing that minutes of skew could spoil.
WalkPlan PlanWalk(std::optional<absl::Time> watermark, bool reconcile, absl::Duration backfill,
                  absl::Time now);

// Deployment targets are asked for with every fifth poll, at most once a minute.
absl::Duration TargetsInterval(absl::Duration poll_interval);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_COLLECTION_PLAN_H_
