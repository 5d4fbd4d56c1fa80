#include "gateway/deployment_collector.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "gateway/collection_plan.h"
#include "gateway/ledger_thread.h"
#include "gateway/project_collector.h"

namespace semaphore::gateway {
namespace {

namespace asio = boost::asio;
using client::MonotonicTime;

// Upstream's word for who triggered a deployment by itself.
constexpr char kAutomaticPromotion[] = "Pipeline Done request";
// The ledger's marks: of the project, and of a target by its id.
constexpr char kBegunMark[] = "deployments";
constexpr char kTargetMark[] = "deployments/";
constexpr char kPassedMark[] = "passed/";

// Deployments may turn up dated back before a mark by this, if they are no older than that.
constexpr absl::Duration kOverlap = absl::Hours(1);
constexpr absl::Duration kRecent = absl::Hours(24 * 7);
constexpr int kMaxPages = 100;
constexpr size_t kTargetsAtOnce = 10;
// At first sight so many are looked at for one that is under way, if they are no older than that.
constexpr int kFirstPages = 3;
constexpr int kFirstLooks = 30;
constexpr absl::Duration kLongestRun = absl::Hours(72);
// And at so many older ones for when the last one passed.
constexpr int kOldLooks = 3;
// Semaphore's clock and ours are not further apart.
constexpr absl::Duration kClocksApart = absl::Minutes(10);
// Where the edition or the token does not give deployments.
constexpr std::chrono::hours kForbiddenWait{1};

bool IsPending(const v1::Deployment& deployment) {
  return deployment.pipeline_id().empty() && deployment.state() != v1::DEPLOYMENT_STATE_FAILED;
}

absl::Time TriggerTime(const v1::Deployment& deployment, absl::Time otherwise) {
  return deployment.has_trigger_time() ? ToTime(deployment.trigger_time()) : otherwise;
}

absl::Time DoneTime(const v1::Pipeline& pipeline, absl::Time otherwise) {
  if (pipeline.has_done_time()) return ToTime(pipeline.done_time());
  return pipeline.has_create_time() ? ToTime(pipeline.create_time()) : otherwise;
}

CollectedDeployment Collected(v1::Deployment deployment, absl::Time done) {
  CollectedDeployment out;
  out.target = deployment.target_name();
  out.automatic = deployment.triggered_by() == kAutomaticPromotion;
  out.done = done;
  out.deployment = std::move(deployment);
  return out;
}

}  // namespace

asio::awaitable<absl::Status> DeploymentCollector::Poll() {
  co_await asio::this_coro::throw_if_cancelled(false);
  const MonotonicTime now = collecting_.clock.Now();
  if (now < next_) co_return absl::OkStatus();
  next_ = now + absl::ToChronoNanoseconds(TargetsInterval(collecting_.interval)) * 9 / 10;
  const absl::StatusOr<std::vector<v1::DeploymentTarget>> targets =
      co_await collecting_.reads.Targets(project_.project_id);
  if (!targets.ok() && !IsAbsence(targets.status())) co_return targets.status();
  absl::Status status;
  Failures failures;
  if (targets.ok()) {
    status = co_await ReadTargets(*targets, failures);
  } else {
    next_ = now + kForbiddenWait;
  }
  if (status.ok() && !failures.Enough()) status = co_await Settle(failures);
  if (targets.ok()) Show(*targets);
  if (!status.ok()) co_return status;
  co_return failures.trouble();
}

// The histories of targets to which something has happened. `targets` and `failures` are Poll's.
DeploymentCollector::Doing DeploymentCollector::ReadTargets(
    const std::vector<v1::DeploymentTarget>& targets, Failures& failures) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const absl::Status loaded = co_await LoadTargets(targets);
  if (!loaded.ok()) co_return loaded;
  auto ask = [&ledger = collecting_.ledger, organization = collecting_.organization,
              project = project_.project_id, now = collecting_.clock.WallNow()] {
    return ledger.PendingDeployments(organization, project, now);
  };
  const absl::StatusOr<std::vector<WaitingDeployment>> waiting =
      co_await OnThread(collecting_.ledger_thread, std::move(ask));
  if (!waiting.ok()) co_return waiting.status();
  std::map<std::string, Pending> pending;
  for (const WaitingDeployment& each : *waiting) {
    const v1::Deployment& deployment = each.deployment;
    pending[deployment.deployment_target_id()].emplace(deployment.deployment_id(), each);
  }
  const MonotonicTime now = collecting_.clock.Now();
  std::vector<const v1::DeploymentTarget*> changed;
  for (const v1::DeploymentTarget& target : targets) {
    const Target& entry = targets_.at(target.deployment_target_id());
    const bool moved = !entry.mark.has_value() ||
                       entry.last_deployment_id != target.last_deployment().deployment_id() ||
                       pending.count(target.deployment_target_id()) > 0;
    if (moved && now >= entry.not_before) changed.push_back(&target);
  }
  std::stable_sort(changed.begin(), changed.end(), [this](const auto* a, const auto* b) {
    return targets_.at(a->deployment_target_id()).last_read <
           targets_.at(b->deployment_target_id()).last_read;
  });
  // When counting begins all of them are read, so that each is seen as it is then.
  if (begun_.has_value() && changed.size() > kTargetsAtOnce) changed.resize(kTargetsAtOnce);
  for (const v1::DeploymentTarget* target : changed) {
    Pending its_own = pending[target->deployment_target_id()];
    const absl::Status status = co_await ReadTarget(*target, std::move(its_own), failures);
    if (!status.ok()) co_return status;
    if (failures.Enough()) co_return absl::OkStatus();
  }
  CollectedBatch batch = NewBatch();
  for (const auto& [id, each] : pending) {
    if (targets_.count(id) > 0) continue;
    for (const auto& [deployment_id, deployment] : each) {
      StillPending(deployment, absl::NotFoundError("its deployment target is gone"), batch);
    }
  }
  if (!begun_.has_value()) batch.marks.emplace_back(kBegunMark, collecting_.clock.WallNow());
  const std::optional<absl::Time> begun =
      begun_.has_value() ? begun_ : std::optional(collecting_.clock.WallNow());
  const absl::Status status = co_await Commit(std::move(batch));
  if (status.ok()) begun_ = begun;
  co_return status;
}

// What the ledger knows of targets that were not seen since the start. `targets` are Poll's.
DeploymentCollector::Doing DeploymentCollector::LoadTargets(
    const std::vector<v1::DeploymentTarget>& targets) {
  co_await asio::this_coro::throw_if_cancelled(false);
  std::map<std::string, Target> kept;
  std::vector<std::string> unknown;
  for (const v1::DeploymentTarget& target : targets) {
    const auto found = targets_.find(target.deployment_target_id());
    if (found != targets_.end()) {
      kept.insert(*found);
    } else {
      unknown.push_back(target.deployment_target_id());
    }
  }
  targets_ = std::move(kept);
  if (unknown.empty() && begun_.has_value()) co_return absl::OkStatus();
  using Marks = std::vector<std::optional<absl::Time>>;
  auto ask = [&ledger = collecting_.ledger, organization = collecting_.organization,
              project = project_.project_id, unknown]() -> absl::StatusOr<Marks> {
    std::vector<std::string> names = {kBegunMark};
    for (const std::string& id : unknown) {
      names.push_back(absl::StrCat(kTargetMark, id));
      names.push_back(absl::StrCat(kPassedMark, id));
    }
    Marks marks;
    for (const std::string& name : names) {
      const absl::StatusOr<std::optional<absl::Time>> mark =
          ledger.Watermark(organization, project, name);
      if (!mark.ok()) return mark.status();
      marks.push_back(*mark);
    }
    return marks;
  };
  const absl::StatusOr<Marks> marks = co_await OnThread(collecting_.ledger_thread, std::move(ask));
  if (!marks.ok()) co_return marks.status();
  begun_ = marks->front();
  for (size_t i = 0; i < unknown.size(); ++i) {
    Target target;
    target.mark = (*marks)[2 * i + 1];
    target.last_passed = (*marks)[2 * i + 2];
    targets_.emplace(unknown[i], std::move(target));
  }
  co_return absl::OkStatus();
}

// What was read and what it means is committed at once, or nothing of it. `failures` are Poll's;
// fails itself where the ledger does.
DeploymentCollector::Doing DeploymentCollector::ReadTarget(v1::DeploymentTarget target,
                                                           Pending pending, Failures& failures) {
  co_await asio::this_coro::throw_if_cancelled(false);
  Target& entry = targets_.at(target.deployment_target_id());
  entry.last_read = collecting_.clock.Now();
  News news{.batch = NewBatch()};
  const absl::Status status = co_await ReadNews(target, pending, news);
  if (absl::IsCancelled(status)) co_return status;
  if (!status.ok()) {
    const std::optional<absl::Duration> again = ReadAgainAfter(status, ++entry.tries);
    entry.not_before =
        collecting_.clock.Now() + absl::ToChronoNanoseconds(again.value_or(absl::Hours(1)));
    Told("deployments_not_read", target.name(), "", status.message());
    failures.Add(status);
    co_return absl::OkStatus();
  }
  news.batch.marks.emplace_back(absl::StrCat(kTargetMark, target.deployment_target_id()),
                                news.mark);
  if (news.last_passed.has_value()) {
    news.batch.marks.emplace_back(absl::StrCat(kPassedMark, target.deployment_target_id()),
                                  *news.last_passed);
  }
  const absl::Status committed = co_await Commit(std::move(news.batch));
  if (!committed.ok()) co_return committed;
  entry.mark = news.mark;
  if (news.last_passed.has_value()) entry.last_passed = news.last_passed;
  entry.last_deployment_id = target.last_deployment().deployment_id();
  entry.tries = 0;
  co_return absl::OkStatus();
}

// What is younger than that is counted at first sight. When counting begins that is nothing, and
// everything of a target that was made later. One that was there but could not be read counts from
// then on all the same.
absl::Time DeploymentCollector::FirstMark(const v1::DeploymentTarget& target) const {
  if (!begun_.has_value()) return absl::InfiniteFuture();
  const bool made_later =
      target.has_create_time() && ToTime(target.create_time()) >= *begun_ - kClocksApart;
  return made_later ? absl::UnixEpoch() : *begun_;
}

// `target`, `pending` and `news` are ReadTarget's.
DeploymentCollector::Doing DeploymentCollector::ReadNews(const v1::DeploymentTarget& target,
                                                         const Pending& pending, News& news) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const std::optional<absl::Time> mark = targets_.at(target.deployment_target_id()).mark;
  const bool first = !mark.has_value();
  const absl::Time counted_to = mark.value_or(FirstMark(target));
  absl::Time back_to = counted_to - kOverlap;
  for (const auto& [id, waiting] : pending) {
    back_to = std::min(back_to, TriggerTime(waiting.deployment, back_to));
  }
  const absl::StatusOr<History> history =
      co_await ReadHistory(target.deployment_target_id(), back_to, first);
  if (!history.ok()) co_return history.status();
  if (history->cut_off) {
    Told("deployments_cut_off", target.name(), "",
         "so many were triggered since the last look that the oldest are not counted");
  }
  const absl::Time now = collecting_.clock.WallNow();
  news.batch.count = !first;
  news.mark = counted_to == absl::InfiniteFuture() ? absl::UnixEpoch() : counted_to;
  int looks = 0;
  int old_looks = 0;
  std::set<std::string> listed;
  for (v1::Deployment deployment : history->deployments) {
    const absl::Time at = TriggerTime(deployment, now);
    if (deployment.has_trigger_time()) {
      news.mark = std::max(news.mark, std::min(at, now + kClockSlack));
    }
    deployment.set_deployment_target_id(target.deployment_target_id());
    deployment.set_target_name(target.name());
    listed.insert(deployment.deployment_id());
    bool waits = at > counted_to || pending.count(deployment.deployment_id()) > 0;
    if (!first && at >= counted_to - kOverlap && at >= now - kRecent) waits = true;
    const bool looked_at = at >= now - kLongestRun
                               ? ++looks <= kFirstLooks
                               : !news.last_passed.has_value() && ++old_looks <= kOldLooks;
    if (!waits && first && looked_at) {
      const absl::StatusOr<bool> under_way = co_await IsUnderWay(deployment, news);
      if (!under_way.ok()) co_return under_way.status();
      waits = *under_way;
    }
    if (waits) {
      news.batch.deployments_found.push_back({.deployment = std::move(deployment), .due = now});
    } else if (first) {
      news.batch.deployments.push_back(Collected(std::move(deployment), now));
    }
  }
  for (const auto& [id, waiting] : pending) {
    const bool gone = listed.count(id) == 0 && !history->cut_off;
    StillPending(waiting,
                 gone ? absl::NotFoundError("its target's history does not hold it")
                      : absl::UnavailableError("its pipeline was never started"),
                 news.batch);
  }
  co_return absl::OkStatus();
}

// From its newest end to what was triggered before `back_to`; at first sight to what is surely done
// as well.
DeploymentCollector::Reading<DeploymentCollector::History> DeploymentCollector::ReadHistory(
    std::string target_id, absl::Time back_to, bool first) {
  co_await asio::this_coro::throw_if_cancelled(false);
  History history;
  std::string token;
  const absl::Time surely_done = collecting_.clock.WallNow() - kLongestRun;
  absl::Time newest = absl::InfinitePast();
  absl::Time oldest = absl::InfiniteFuture();
  for (int page = 1; page <= kMaxPages; ++page) {
    absl::StatusOr<v1::ListDeploymentsResponse> reply =
        co_await collecting_.reads.Deployments(target_id, token);
    if (!reply.ok()) co_return reply.status();
    for (v1::Deployment& deployment : *reply->mutable_deployments()) {
      newest = std::max(newest, TriggerTime(deployment, newest));
      oldest = std::min(oldest, TriggerTime(deployment, oldest));
      history.deployments.push_back(std::move(deployment));
    }
    token = reply->next_page_token();
    bool reached = oldest < back_to;
    if (first) {
      reached &= oldest < newest - kOverlap && (page >= kFirstPages || oldest < surely_done);
    }
    if (reached || token.empty()) co_return history;
  }
  history.cut_off = true;
  co_return history;
}

// Of one that is older than counting. `news` is ReadTarget's.
DeploymentCollector::Reading<bool> DeploymentCollector::IsUnderWay(v1::Deployment deployment,
                                                                   News& news) {
  co_await asio::this_coro::throw_if_cancelled(false);
  if (IsPending(deployment)) co_return true;
  if (deployment.pipeline_id().empty()) co_return false;
  const absl::StatusOr<v1::Pipeline> pipeline =
      co_await collecting_.reads.Pipeline(deployment.pipeline_id(), v1::PIPELINE_VIEW_BASIC);
  if (!pipeline.ok() && IsTrouble(pipeline.status())) co_return pipeline.status();
  if (!pipeline.ok()) co_return false;
  if (pipeline->state() != v1::PIPELINE_STATE_DONE) co_return true;
  if (pipeline->result() == v1::PIPELINE_RESULT_PASSED) {
    const absl::Time done = DoneTime(*pipeline, absl::InfinitePast());
    news.last_passed = std::max(news.last_passed.value_or(done), done);
  }
  co_return false;
}

// One that got its pipeline meanwhile is in the batch already, and not held up by this.
void DeploymentCollector::StillPending(WaitingDeployment waiting, const absl::Status& status,
                                       CollectedBatch& batch) const {
  for (const WaitingDeployment& found : batch.deployments_found) {
    if (found.deployment.deployment_id() == waiting.deployment.deployment_id() &&
        !IsPending(found.deployment)) {
      return;
    }
  }
  const absl::Time now = collecting_.clock.WallNow();
  const std::optional<absl::Duration> again = ReadAgainAfter(status, ++waiting.tries);
  if (again.has_value()) {
    waiting.due = now + *again;
    batch.deployments_postponed.push_back(std::move(waiting));
    return;
  }
  Told("deployment_given_up", waiting.deployment.target_name(), waiting.deployment.deployment_id(),
       status.message());
  batch.deployments.push_back(Collected(std::move(waiting.deployment), now));
}

// Counts those whose pipeline is done. `failures` are Poll's.
DeploymentCollector::Doing DeploymentCollector::Settle(Failures& failures) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto ask = [&ledger = collecting_.ledger, organization = collecting_.organization,
              project = project_.project_id, now = collecting_.clock.WallNow(),
              after = settled_to_] {
    return ledger.DueDeployments(organization, project, now, after);
  };
  const absl::StatusOr<std::vector<WaitingDeployment>> due =
      co_await OnThread(collecting_.ledger_thread, std::move(ask));
  if (!due.ok()) co_return due.status();
  CollectedBatch batch = NewBatch();
  settled_to_.clear();
  size_t asked = 0;
  for (WaitingDeployment waiting : *due) {
    const std::string id = waiting.deployment.deployment_id();
    absl::StatusOr<std::optional<CollectedDeployment>> settled = co_await SettleOne(waiting);
    const absl::Status status = settled.status();
    if (absl::IsCancelled(status)) co_return status;
    if (++asked == static_cast<size_t>(CollectorLedger::kDueAtOnce)) settled_to_ = id;
    failures.Add(status);
    if (status.ok() && settled->has_value()) {
      batch.deployments.push_back(**std::move(settled));
    } else if (!status.ok() || waiting.tries > 0) {
      waiting.tries = status.ok() ? 0 : waiting.tries + 1;
      waiting.due = collecting_.clock.WallNow();
      if (!status.ok()) {
        waiting.due += ReadAgainAfter(status, waiting.tries).value_or(absl::Hours(1));
      }
      batch.deployments_postponed.push_back(std::move(waiting));
    }
    if (!failures.Enough()) continue;
    settled_to_ = id;
    break;
  }
  std::map<std::string, absl::Time> passed;  // by target
  for (const CollectedDeployment& each : batch.deployments) {
    if (each.result != v1::PIPELINE_RESULT_PASSED) continue;
    absl::Time& last =
        passed.emplace(each.deployment.deployment_target_id(), each.done).first->second;
    last = std::max(last, each.done);
  }
  for (const auto& [id, at] : passed) batch.marks.emplace_back(absl::StrCat(kPassedMark, id), at);
  const absl::Status committed = co_await Commit(std::move(batch));
  if (!committed.ok()) co_return committed;
  for (const auto& [id, at] : passed) {
    const auto target = targets_.find(id);
    if (target == targets_.end()) continue;
    target->second.last_passed = std::max(target->second.last_passed.value_or(at), at);
  }
  co_return absl::OkStatus();
}

// Nothing while it is under way. One whose pipeline cannot be read in the end is counted without
// its result, one whose workflow cannot without its lead time.
DeploymentCollector::Reading<std::optional<CollectedDeployment>> DeploymentCollector::SettleOne(
    WaitingDeployment waiting) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const absl::Time now = collecting_.clock.WallNow();
  const int tries = waiting.tries + 1;
  CollectedDeployment out = Collected(std::move(waiting.deployment), now);
  if (out.deployment.state() == v1::DEPLOYMENT_STATE_FAILED) {
    out.result = v1::PIPELINE_RESULT_FAILED;  // its pipeline could not be started
    out.done = TriggerTime(out.deployment, now);
    co_return std::optional<CollectedDeployment>(std::move(out));
  }
  const absl::StatusOr<v1::Pipeline> pipeline =
      co_await collecting_.reads.Pipeline(out.deployment.pipeline_id(), v1::PIPELINE_VIEW_BASIC);
  if (!pipeline.ok()) {
    if (ReadAgainAfter(pipeline.status(), tries).has_value()) co_return pipeline.status();
    Told("deployment_given_up", out.target, out.deployment.deployment_id(),
         pipeline.status().message());
    co_return std::optional<CollectedDeployment>(std::move(out));
  }
  if (pipeline->state() != v1::PIPELINE_STATE_DONE) co_return std::optional<CollectedDeployment>();
  out.result = pipeline->result();
  out.done = DoneTime(*pipeline, now);
  if (out.result == v1::PIPELINE_RESULT_PASSED) {
    const absl::StatusOr<v1::Workflow> workflow =
        co_await collecting_.reads.Workflow(pipeline->workflow_id());
    if (!workflow.ok() && ReadAgainAfter(workflow.status(), tries).has_value()) {
      co_return workflow.status();
    }
    if (!workflow.ok()) {
      Told("deployment_without_lead_time", out.target, out.deployment.deployment_id(),
           workflow.status().message());
    } else if (workflow->has_create_time()) {
      out.workflow_created = ToTime(workflow->create_time());
    }
  }
  co_return std::optional<CollectedDeployment>(std::move(out));
}

DeploymentCollector::Doing DeploymentCollector::Commit(CollectedBatch batch) {
  co_await asio::this_coro::throw_if_cancelled(false);
  if (batch.deployments.empty() && batch.deployments_found.empty() &&
      batch.deployments_postponed.empty() && batch.marks.empty()) {
    co_return absl::OkStatus();
  }
  auto work = [&ledger = collecting_.ledger, batch = std::move(batch)] {
    return ledger.Commit(batch);
  };
  const absl::StatusOr<CommitOutcome> outcome =
      co_await OnThread(collecting_.ledger_thread, std::move(work));
  if (!outcome.ok()) co_return outcome.status();
  if (outcome->dropped > 0) {
    Told("deployments_dropped", "", "",
         absl::StrCat(outcome->dropped, " are not counted: too many wait"));
  }
  co_return absl::OkStatus();
}

void DeploymentCollector::Show(const std::vector<v1::DeploymentTarget>& targets) {
  project_.targets.clear();
  for (const v1::DeploymentTarget& target : targets) {
    const auto found = targets_.find(target.deployment_target_id());
    project_.targets.push_back(
        {target.name(), target.state(),
         found == targets_.end() ? std::nullopt : found->second.last_passed});
  }
}

CollectedBatch DeploymentCollector::NewBatch() const {
  CollectedBatch batch;
  batch.organization = collecting_.organization;
  batch.project_id = project_.project_id;
  batch.project = project_.name;
  return batch;
}

void DeploymentCollector::Told(const char* event, const std::string& target,
                               const std::string& deployment_id, absl::string_view message) const {
  collecting_.log.Warning(event, {{"organization", collecting_.organization},
                                  {"project", project_.name},
                                  {"target", target},
                                  {"deployment_id", deployment_id},
                                  {"message", std::string(message)}});
}

}  // namespace semaphore::gateway
