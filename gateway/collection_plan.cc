#include "gateway/collection_plan.h"

#include <algorithm>

namespace semaphore::gateway {

// The first walk reaches further back than any reconcile will, or that would count what finished
// before: its watermark is at least a day old even in an idle project, and a reconcile begins a day
// before that.
WalkPlan PlanWalk(std::optional<absl::Time> watermark, bool reconcile, absl::Duration backfill,
                  absl::Time now) {
  WalkPlan plan;
  plan.to = now + kClockSlack;
  if (watermark.has_value()) {
    plan.from = *watermark - (reconcile ? kReconcileSpan : kWalkOverlap);
    plan.to = std::max(plan.to, *watermark + kClockSlack);
    return plan;
  }
  plan.count = false;
  if (backfill > absl::ZeroDuration()) {
    plan.to = now - backfill;
    plan.least_watermark = plan.to;
  } else {
    plan.least_watermark = now - kReconcileSpan;
  }
  plan.from = plan.least_watermark - kReconcileSpan - kClockSlack;
  return plan;
}

absl::Duration TargetsInterval(absl::Duration poll_interval) {
  return std::max(5 * poll_interval, absl::Minutes(1));
}

}  // namespace semaphore::gateway
