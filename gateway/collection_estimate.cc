#include "gateway/collection_estimate.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "gateway/active_pipelines.h"
#include "gateway/collection_plan.h"
#include "gateway/poll_schedule.h"
#include "gateway/walk.h"

namespace semaphore::gateway {
namespace {

constexpr double kDaySeconds = 86400;

// Requests of a walk that finds so many pipelines: one page, or the page that was too much and
// slices that fill two thirds of one.
double WalkRequests(double pipelines) {
  if (pipelines <= Walk::kPageSize) return 1;
  return 2 + pipelines / (0.66 * Walk::kPageSize);
}

// Walks a day, of a project polled so often: in each poll with something finished, and when nothing
// was for a while.
double WalksPerDay(double rounds, double interval, double pipelines_per_day) {
  const double finished = 1 - std::exp(-pipelines_per_day / rounds);
  const double most = std::max(1.0, std::ceil(absl::ToDoubleSeconds(kWalkAtLeast) / interval));
  const double polls = finished < 1e-9 ? most : (1 - std::pow(1 - finished, most)) / finished;
  return rounds / polls;
}

// How many values a label takes, for each value of those before it.
double ValuesOf(std::string_view family, std::string_view label, const CollectionAssumptions& a) {
  const bool by_ref = family == "semaphoreci_pipeline_runs_total" ||
                      family.find("block_runs") != family.npos ||
                      family.find("job_runs") != family.npos;
  if (label == "project") return a.projects;
  if (label == "organization" || label == "project_id") return 1;
  if (label == "pipeline") return a.files;
  // The others share a value, which comes with each type of ref.
  if (label == "ref") return by_ref ? a.refs + 4 : a.refs;
  if (label == "ref_type") return by_ref ? 1 : 4;
  if (label == "reason") return 10;
  if (label == "phase") return 3;
  if (label == "kind") return 2;
  if (label == "block") return a.blocks_per_pipeline;
  if (label == "job")
    return std::max(1.0, a.jobs_per_pipeline / std::max(1.0, a.blocks_per_pipeline));
  if (label == "promotion") return a.files;
  if (label == "status") return 4;
  if (label == "trigger") return family == "semaphoreci_workflow_runs_total" ? 5 : 2;
  if (label == "target") return a.targets;
  if (label == "agent_type") return a.agents > 0 ? 2 : 0;
  if (label == "version") return 2;
  if (label == "state" && family == "semaphoreci_agents") return 2;
  return 5;  // result, state
}

CollectionCost::Series SeriesOf(const CiFamilySpec& spec, const CollectionAssumptions& a,
                                size_t max_series) {
  // Each organization has agents of its own; the projects are those of all together.
  const bool by_project =
      std::find(spec.labels.begin(), spec.labels.end(), "project") != spec.labels.end();
  double series = by_project ? 1 : a.organizations;
  for (const std::string_view label : spec.labels) series *= ValuesOf(spec.name, label, a);
  CollectionCost::Series out{.family = spec.name};
  const auto most = static_cast<double>(SeriesCap(spec, max_series));
  out.capped = series > most;
  out.event = spec.event;
  series = std::min(series, most);
  if (spec.type == CiType::kHistogram) series *= static_cast<double>(spec.buckets.size()) + 3;
  out.series = series;
  return out;
}

std::vector<CollectionCost::Requests> RequestsOf(const MetricsConfig& metrics, double interval,
                                                 const CollectionAssumptions& a) {
  const double rounds = kDaySeconds / interval;
  const double finished = a.projects * a.pipelines_per_day;
  const double reconciles = kDaySeconds / absl::ToDoubleSeconds(kReconcileInterval);
  const double targets =
      kDaySeconds / absl::ToDoubleSeconds(TargetsInterval(absl::Seconds(interval)));
  std::vector<CollectionCost::Requests> out;
  out.push_back({"active and new pipelines", a.projects * rounds});
  const double walks = WalksPerDay(rounds, interval, a.pipelines_per_day);
  out.push_back({"finished pipelines", a.projects * std::max(0.0, walks - reconciles)});
  out.push_back(
      {"the last day again, hourly", a.projects * reconciles * WalkRequests(a.pipelines_per_day)});
  if (metrics.level == "block") out.push_back({"blocks", finished});
  if (metrics.level == "job") out.push_back({"jobs", finished * (1 + a.jobs_per_pipeline)});
  // A pipeline's are read a minute and an hour after its end, and when the one that it was promoted
  // to is done; each time it is looked at first.
  out.push_back({"promotions", metrics.level == "project" ? 0 : 6 * finished * a.promoting_share});
  out.push_back({"deployment targets", a.projects * targets});
  // Its target's history, its pipeline until that is done, its workflow.
  out.push_back({"deployments", a.projects * a.deployments_per_day * 4});
  out.push_back({"agents and their types",
                 a.organizations * rounds * (1 + std::max(1.0, std::ceil(a.agents / 200)))});
  out.push_back({"projects", a.organizations * reconciles *
                                 std::max(1.0, std::ceil(a.projects / a.organizations / 500))});
  return out;
}

// "1 project", "2 projects".
std::string Counted(double count, std::string_view what) {
  return absl::StrFormat("%g %s%s", count, what, count == 1 ? "" : "s");
}

}  // namespace

double CollectionCost::RequestsPerDay() const {
  return std::accumulate(requests.begin(), requests.end(), 0.0,
                         [](double sum, const Requests& part) { return sum + part.per_day; });
}

double CollectionCost::TotalSeries() const {
  return std::accumulate(series.begin(), series.end(), 0.0,
                         [](double sum, const Series& part) { return sum + part.series; });
}

CollectionCost EstimateCollection(const MetricsConfig& metrics, double requests_per_second,
                                  const CollectionAssumptions& assumptions) {
  CollectionCost cost;
  const double per_organization = assumptions.projects / std::max(1.0, assumptions.organizations);
  cost.interval_seconds =
      std::chrono::duration<double>(
          PollInterval(metrics.poll_interval, RoundRequests(per_organization), requests_per_second))
          .count();
  cost.requests = RequestsOf(metrics, cost.interval_seconds, assumptions);
  const CiLevel level = ParseCiLevel(metrics.level);
  for (const CiFamilySpec& spec : CiCatalog()) {
    if (spec.level <= level) {
      cost.series.push_back(SeriesOf(spec, assumptions, static_cast<size_t>(metrics.max_series)));
    }
  }
  return cost;
}

CollectionAssumptions AssumptionsOf(const Config& config) {
  CollectionAssumptions assumptions;
  assumptions.organizations = static_cast<double>(config.organizations.size());
  if (!config.metrics.has_value()) return assumptions;
  if (!config.metrics->discover) {
    assumptions.projects = static_cast<double>(config.metrics->projects.size());
  }
  assumptions.refs = static_cast<double>(config.metrics->refs.size());
  return assumptions;
}

std::string DescribeCost(const CollectionCost& cost, double requests_per_second,
                         const CollectionAssumptions& a) {
  std::string out = absl::StrFormat(
      "Assumed: %s in %s; in each project %s a day from %s on %s,\n%s and %s in a pipeline, %g%% "
      "of "
      "the pipelines promotable, %s, %s a day;\n%s.\n\nPolled every %gs.\n\n",
      Counted(a.projects, "project"), Counted(a.organizations, "organization"),
      Counted(a.pipelines_per_day, "pipeline"), Counted(a.files, "file"),
      Counted(a.refs, "listed ref"), Counted(a.blocks_per_pipeline, "block"),
      Counted(a.jobs_per_pipeline, "job"), 100 * a.promoting_share,
      Counted(a.targets, "deployment target"), Counted(a.deployments_per_day, "deployment"),
      Counted(a.agents, "agent"), cost.interval_seconds);
  absl::StrAppendFormat(&out, "%-52s %12s %12s\n", "requests to Semaphore for", "per hour",
                        "per day");
  for (const CollectionCost::Requests& part : cost.requests) {
    absl::StrAppendFormat(&out, "%-52s %12.0f %12.0f\n", part.what, part.per_day / 24,
                          part.per_day);
  }
  const double total = cost.RequestsPerDay();
  absl::StrAppendFormat(&out, "%-52s %12.0f %12.0f\n", "all", total / 24, total);
  absl::StrAppendFormat(
      &out, "%.1f%% of the budget of %g requests per second and organization\n\n",
      100 * total / kDaySeconds / requests_per_second / std::max(1.0, a.organizations),
      requests_per_second);
  absl::StrAppendFormat(&out, "%-52s %12s\n", "series of", "at most");
  for (const CollectionCost::Series& family : cost.series) {
    absl::StrAppendFormat(&out, "%-52s %12.0f%s\n", std::string(family.family), family.series,
                          !family.capped ? ""
                          : family.event ? " (full: the rest is counted as other)"
                                         : " (full: the rest is left out)");
  }
  absl::StrAppendFormat(&out, "%-52s %12.0f\n", "all", cost.TotalSeries());
  const bool capped = std::any_of(cost.series.begin(), cost.series.end(),
                                  [](const auto& family) { return family.capped; });
  if (capped) {
    out +=
        "\nFull families hide projects from dashboards and alerts: raise metrics.max_series, or "
        "collect fewer\nprojects, refs or levels.\n";
  }
  return out;
}

CiLevel ParseCiLevel(std::string_view word) {
  if (word == "project") return CiLevel::kProject;
  if (word == "block") return CiLevel::kBlock;
  if (word == "job") return CiLevel::kJob;
  return CiLevel::kPipeline;
}

}  // namespace semaphore::gateway
