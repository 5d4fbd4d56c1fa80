#include "gateway/project_collector.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <chrono>
#include <iterator>
#include <utility>

#include "gateway/ledger_thread.h"
#include "gateway/run_counter.h"

namespace semaphore::gateway {
namespace {

namespace asio = boost::asio;
using client::MonotonicTime;

// The ledger's mark of a project.
constexpr char kPipelinesMark[] = "pipelines";

// Pipelines whose details are held at a time.
constexpr size_t kDetailedAtOnce = 20;
// Finished ones seen outside a walk that are held; the walk finds all but those dated back far.
constexpr size_t kMaxSeen = 2000;
constexpr size_t kSeenAtOnce = 200;
// A pipeline that cannot be described is counted without details: after few polls when others can,
// after many when nothing else says whether upstream is in trouble.
constexpr int kDescribeTries = 3;
constexpr int kLonelyDescribeTries = 20;
constexpr size_t kMaxUndescribed = 1000;
constexpr size_t kMaxUnreadable = 1000;
constexpr absl::Duration kPromotionsOfOld = absl::Hours(1);
constexpr size_t kMaxDiscovered = 5000;  // files on refs

absl::Time DoneTime(const v1::Pipeline& pipeline) {
  if (pipeline.has_done_time()) return ToTime(pipeline.done_time());
  return pipeline.has_create_time() ? ToTime(pipeline.create_time()) : absl::InfinitePast();
}

Walk::Answer ToAnswer(const v1::ListPipelinesResponse& reply) {
  Walk::Answer answer;
  answer.items.reserve(static_cast<size_t>(reply.pipelines_size()));
  for (const v1::Pipeline& pipeline : reply.pipelines()) {
    answer.items.push_back({PipelineKey(pipeline), DoneTime(pipeline)});
  }
  if (reply.has_total_size()) answer.total = reply.total_size();
  answer.next_page_token = reply.next_page_token();
  return answer;
}

}  // namespace

bool IsAbsence(const absl::Status& status) {
  return absl::IsNotFound(status) || absl::IsPermissionDenied(status) ||
         absl::IsUnimplemented(status) || absl::IsInvalidArgument(status);
}

ProjectCollector::ProjectCollector(const CollectingFor& collecting, std::string project_id,
                                   std::string name, absl::Duration backfill)
    : collecting_(collecting),
      project_id_(std::move(project_id)),
      backfill_(backfill),
      promotions_(collecting, state_),
      deployments_(collecting, state_) {
  state_.organization = collecting.organization;
  state_.project_id = project_id_;
  state_.name = std::move(name);
}

// The series of the new name are to exist at 0, too.
void ProjectCollector::Rename(const std::string& name) {
  state_.name = name;
  discovered_.clear();
}

asio::awaitable<absl::Status> ProjectCollector::Poll() {
  co_await asio::this_coro::throw_if_cancelled(false);
  described_before_poll_ = described_;
  absl::Status status = co_await LoadLastRuns();
  if (status.ok()) status = co_await Look();
  if (status.ok()) status = co_await ReadOldOnes();
  if (status.ok() && WalkIsDue()) status = co_await WalkFinished();
  if (status.ok()) status = co_await CommitSeen();
  state_.SetActive(active_);
  if (!status.ok()) co_return status;
  status = co_await promotions_.Poll();
  const absl::Status deployments = co_await deployments_.Poll();
  if (status.ok()) co_return deployments;
  co_return status;
}

// Of refs that are listed still.
ProjectCollector::Doing ProjectCollector::LoadLastRuns() {
  co_await asio::this_coro::throw_if_cancelled(false);
  state_.ForgetRuns(collecting_.clock.WallNow() - kLastRunMemory);
  if (last_runs_loaded_) co_return absl::OkStatus();
  auto work = [&ledger = collecting_.ledger, organization = collecting_.organization,
               project = project_id_] { return ledger.LastRuns(organization, project); };
  const absl::StatusOr<std::vector<LastRunOf>> runs =
      co_await OnThread(collecting_.ledger_thread, std::move(work));
  if (!runs.ok()) co_return runs.status();
  for (const LastRunOf& each : *runs) {
    v1::Pipeline of_ref;
    of_ref.set_branch_name(each.ref);
    if (collecting_.listed_ref(of_ref).has_value()) state_.AddRun(each.file, each.ref, each.run);
  }
  last_runs_loaded_ = true;
  co_return absl::OkStatus();
}

void ProjectCollector::AddRun(const v1::Pipeline& pipeline) {
  if (!pipeline.has_done_time()) return;
  const std::optional<std::string> ref = collecting_.listed_ref(pipeline);
  if (!ref.has_value()) return;
  const LastRun run = LastRun::Of(pipeline);
  if (run.done < collecting_.clock.WallNow() - kLastRunMemory) return;
  const std::string file = PipelineFile(pipeline);
  if (state_.AddRun(file, *ref, run)) unsaved_runs_.emplace(file, *ref);
}

// What finished is in the walk as a rule; one that upstream dated back is not.
ProjectCollector::Doing ProjectCollector::CommitSeen() {
  co_await asio::this_coro::throw_if_cancelled(false);
  while (!finished_.empty()) {
    const size_t rest = finished_.size() - std::min(finished_.size(), kSeenAtOnce);
    std::vector<v1::Pipeline> some(finished_.begin() + static_cast<ptrdiff_t>(rest),
                                   finished_.end());
    const absl::Status status = co_await CommitPage(std::move(some), true, std::nullopt);
    if (!status.ok()) co_return status;
    finished_.resize(rest);
  }
  co_return absl::OkStatus();
}

// The youngest pipelines, back to the oldest one that is known to be active.
ProjectCollector::Doing ProjectCollector::Look() {
  co_await asio::this_coro::throw_if_cancelled(false);
  std::vector<v1::Pipeline> pipelines;
  std::string token;
  const absl::Time from = active_.ListFrom();
  for (int page = 0; page < ActivePipelines::kMaxPages; ++page) {
    absl::StatusOr<v1::ListPipelinesResponse> reply =
        co_await collecting_.reads.NewestPipelines(project_id_, from, token);
    if (!reply.ok()) co_return reply.status();
    std::move(reply->mutable_pipelines()->begin(), reply->mutable_pipelines()->end(),
              std::back_inserter(pipelines));
    token = reply->next_page_token();
    if (token.empty()) break;
  }
  for (const v1::Pipeline& pipeline : pipelines) {
    if (pipeline.has_create_time()) newest_ = std::max(newest_, ToTime(pipeline.create_time()));
    if (pipeline.has_done_time()) newest_ = std::max(newest_, ToTime(pipeline.done_time()));
    if (pipeline.state() == v1::PIPELINE_STATE_DONE) AddRun(pipeline);
  }
  for (v1::Pipeline& pipeline : active_.Listed(pipelines, token.empty())) {
    if (finished_.size() < kMaxSeen) finished_.push_back(std::move(pipeline));
  }
  walk_wanted_ |= !finished_.empty() || active_.cut_off();
  co_return co_await Discover(std::move(pipelines));
}

// One that cannot be read must not stop the others.
ProjectCollector::Doing ProjectCollector::ReadOldOnes() {
  co_await asio::this_coro::throw_if_cancelled(false);
  for (const std::string& id : active_.ToRead()) {
    absl::StatusOr<v1::Pipeline> pipeline =
        co_await collecting_.reads.Pipeline(id, v1::PIPELINE_VIEW_BASIC);
    if (absl::IsCancelled(pipeline.status())) co_return pipeline.status();
    if (IsAbsence(pipeline.status())) {
      active_.Forget(id);
    } else if (!pipeline.ok()) {
      if (unreadable_.size() >= kMaxUnreadable || !unreadable_.insert(id).second) continue;
      collecting_.log.Warning("pipeline_unreadable",
                              {{"organization", collecting_.organization},
                               {"project", state_.name},
                               {"pipeline_id", id},
                               {"message", std::string(pipeline.status().message())}});
    } else if (active_.Read(*pipeline)) {
      if (finished_.size() < kMaxSeen) finished_.push_back(*std::move(pipeline));
      walk_wanted_ = true;
    }
  }
  co_return absl::OkStatus();
}

bool ProjectCollector::WalkIsDue() const {
  const MonotonicTime now = collecting_.clock.Now();
  return walk_wanted_ || !next_reconcile_.has_value() || now >= *next_reconcile_ ||
         now - last_walk_ >= absl::ToChronoNanoseconds(kWalkAtLeast);
}

// The watermark moves with each complete slice, oldest first, so that a long way is not walked
// twice. The first walk of all has none until its end: counting begins there.
ProjectCollector::Doing ProjectCollector::WalkFinished() {
  co_await asio::this_coro::throw_if_cancelled(false);
  walk_wanted_ = true;  // until it is through
  const absl::StatusOr<std::optional<absl::Time>> watermark = co_await Mark(kPipelinesMark);
  if (!watermark.ok()) co_return watermark.status();
  const MonotonicTime now = collecting_.clock.Now();
  const bool reconcile = !next_reconcile_.has_value() || now >= *next_reconcile_;
  const WalkPlan plan = PlanWalk(*watermark, reconcile, backfill_, collecting_.clock.WallNow());
  Walk walk(plan.from, plan.to);
  absl::Time newest = std::max(watermark->value_or(absl::InfinitePast()), plan.least_watermark);
  while (std::optional<Walk::Query> query = walk.Next()) {
    absl::StatusOr<v1::ListPipelinesResponse> reply =
        co_await collecting_.reads.FinishedPipelines(project_id_, *std::move(query));
    if (!reply.ok()) co_return reply.status();
    const absl::StatusOr<Walk::Verdict> verdict = walk.OnAnswer(ToAnswer(*reply));
    if (!verdict.ok()) co_return verdict.status();
    if (*verdict == Walk::Verdict::kDiscard) continue;
    std::vector<v1::Pipeline> pipelines(
        std::make_move_iterator(reply->mutable_pipelines()->begin()),
        std::make_move_iterator(reply->mutable_pipelines()->end()));
    std::optional<absl::Time> mark;
    if (*verdict == Walk::Verdict::kSliceDone) {
      const absl::Time before = newest;
      newest = std::max(newest, walk.newest_done());
      if (plan.count ? newest > before : walk.complete()) mark = newest;
    }
    const absl::Status status = co_await CommitPage(std::move(pipelines), plan.count, mark);
    if (!status.ok()) co_return status;
  }
  watermark_ = newest;
  last_walk_ = now;
  if (reconcile) next_reconcile_ = now + absl::ToChronoNanoseconds(kReconcileInterval);
  walk_wanted_ = !plan.count && backfill_ > absl::ZeroDuration();  // to count at once
  co_return absl::OkStatus();
}

// Details are asked for before the ledger is told, and only for what it does not know.
ProjectCollector::Doing ProjectCollector::CommitPage(std::vector<v1::Pipeline> pipelines,
                                                     bool count,
                                                     std::optional<absl::Time> watermark) {
  co_await asio::this_coro::throw_if_cancelled(false);
  std::erase_if(pipelines, [](const v1::Pipeline& pipeline) {
    return pipeline.state() != v1::PIPELINE_STATE_DONE;
  });
  std::vector<std::string> ids;
  for (v1::Pipeline& pipeline : pipelines) {
    pipeline.set_pipeline_id(PipelineKey(pipeline));
    ids.push_back(pipeline.pipeline_id());
    active_.Forget(pipeline.pipeline_id());
    AddRun(pipeline);
  }
  if (!ids.empty()) {
    const absl::StatusOr<std::set<std::string>> unknown = co_await Unknown(std::move(ids));
    if (!unknown.ok()) co_return unknown.status();
    const std::set<std::string>& fresh = *unknown;
    const uint64_t known = std::erase_if(pipelines, [&fresh](const v1::Pipeline& pipeline) {
      return fresh.count(pipeline.pipeline_id()) == 0;
    });
    if (count) collecting_.committed({.counted = 0, .duplicates = known}, {});
  }
  // In the order in which they were done, which is that of recoveries: a page may become several
  // commits.
  std::sort(pipelines.begin(), pipelines.end(), [](const v1::Pipeline& a, const v1::Pipeline& b) {
    return std::pair(DoneTime(a), std::string_view(a.pipeline_id())) <
           std::pair(DoneTime(b), std::string_view(b.pipeline_id()));
  });
  if (pipelines.empty() && !watermark.has_value() && unsaved_runs_.empty()) {
    co_return absl::OkStatus();
  }
  co_return co_await CommitNew(std::move(pipelines), count, watermark);
}

// The watermark waits for those whose details are still to come.
ProjectCollector::Doing ProjectCollector::CommitNew(std::vector<v1::Pipeline> pipelines, bool count,
                                                    std::optional<absl::Time> watermark) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const bool detailed = count && collecting_.level >= CiLevel::kBlock;
  CollectedBatch batch = NewBatch();
  batch.count = count;
  absl::Status postponed;
  for (v1::Pipeline& pipeline : pipelines) {
    // What ended just before counting began may be promoted just after.
    const bool recent = DoneTime(pipeline) > collecting_.clock.WallNow() - kPromotionsOfOld;
    if (count || recent) promotions_.Await(pipeline, batch);
    if (!detailed) {
      batch.pipelines.push_back({std::move(pipeline), {}});
      continue;
    }
    absl::StatusOr<CollectedPipeline> collected = co_await WithDetails(std::move(pipeline));
    if (absl::IsInternal(collected.status())) {
      postponed = collected.status();
      continue;
    }
    if (!collected.ok()) co_return collected.status();
    batch.pipelines.push_back(*std::move(collected));
    if (batch.pipelines.size() < kDetailedAtOnce) continue;
    CollectedBatch full = NewBatch();
    std::swap(full, batch);
    const absl::Status status = co_await Commit(std::move(full));
    if (!status.ok()) co_return status;
  }
  if (postponed.ok()) batch.watermark = watermark;
  if (!count && watermark.has_value()) {
    const bool looks_back = backfill_ > absl::ZeroDuration();
    batch.marks.emplace_back(PromotionCollector::kMark,
                             looks_back ? collecting_.clock.WallNow() - backfill_ : newest_);
  }
  const absl::Status status = co_await Commit(std::move(batch));
  co_return status.ok() ? postponed : status;
}

// Whether the details of one that upstream stumbles over are not worth waiting for any more.
bool ProjectCollector::GiveUpDetails(const std::string& pipeline_id) {
  const auto found = undescribed_.find(pipeline_id);
  if (found == undescribed_.end() && undescribed_.size() >= kMaxUndescribed) return true;
  Undescribed& entry =
      undescribed_.try_emplace(pipeline_id, Undescribed{0, described_before_poll_}).first->second;
  const int most = described_ > entry.described_before ? kDescribeTries : kLonelyDescribeTries;
  if (++entry.tries < most) return false;
  undescribed_.erase(pipeline_id);
  return true;
}

// One that is gone is counted without details; so is in the end one that upstream stumbles over
// each time: a single one must not stop all others. INTERNAL: it stumbled, and is to be asked
// again.
ProjectCollector::Reading<CollectedPipeline> ProjectCollector::WithDetails(v1::Pipeline pipeline) {
  co_await asio::this_coro::throw_if_cancelled(false);
  CollectedPipeline out;
  absl::StatusOr<v1::Pipeline> full =
      co_await collecting_.reads.Pipeline(pipeline.pipeline_id(), v1::PIPELINE_VIEW_FULL);
  absl::Status missing = full.status();
  out.pipeline = std::move(pipeline);
  if (full.ok()) out.pipeline.mutable_blocks()->Swap(full->mutable_blocks());
  for (const v1::Block& block : out.pipeline.blocks()) {
    if (collecting_.level < CiLevel::kJob) break;
    for (const v1::BlockJob& entry : block.jobs()) {
      if (entry.job_id().empty()) continue;
      absl::StatusOr<v1::Job> job = co_await collecting_.reads.Job(entry.job_id());
      if (job.ok()) {
        out.jobs.push_back(*std::move(job));
      } else if (absl::IsInternal(job.status())) {
        missing.Update(job.status());
      } else if (!IsAbsence(job.status())) {
        co_return job.status();
      }
    }
  }
  if (missing.ok()) {
    ++described_;
    undescribed_.erase(out.pipeline.pipeline_id());
    co_return out;
  }
  const bool stumbles = absl::IsInternal(missing);
  if (!stumbles && !IsAbsence(missing)) co_return missing;
  if (stumbles && !GiveUpDetails(out.pipeline.pipeline_id())) co_return missing;
  collecting_.log.Warning("pipeline_without_details",
                          {{"organization", collecting_.organization},
                           {"project", state_.name},
                           {"pipeline_id", out.pipeline.pipeline_id()},
                           {"message", std::string(missing.message())}});
  co_return out;
}

// What follows names its work before it awaits it: g++ 12 destroys a temporary lambda twice.
ProjectCollector::Reading<std::optional<absl::Time>> ProjectCollector::Mark(const char* name) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto work = [&ledger = collecting_.ledger, organization = collecting_.organization,
               project = project_id_,
               name] { return ledger.Watermark(organization, project, name); };
  co_return co_await OnThread(collecting_.ledger_thread, std::move(work));
}

ProjectCollector::Reading<std::set<std::string>> ProjectCollector::Unknown(
    std::vector<std::string> ids) {
  co_await asio::this_coro::throw_if_cancelled(false);
  auto work = [&ledger = collecting_.ledger, organization = collecting_.organization,
               project = project_id_,
               ids = std::move(ids)] { return ledger.Unknown(organization, project, ids); };
  const absl::StatusOr<std::vector<std::string>> unknown =
      co_await OnThread(collecting_.ledger_thread, std::move(work));
  if (!unknown.ok()) co_return unknown.status();
  co_return std::set<std::string>(unknown->begin(), unknown->end());
}

// Series of a pipeline on a listed ref exist before anything is counted in them.
ProjectCollector::Doing ProjectCollector::Discover(std::vector<v1::Pipeline> pipelines) {
  co_await asio::this_coro::throw_if_cancelled(false);
  std::vector<std::pair<std::string, std::string>> fresh;
  for (const v1::Pipeline& pipeline : pipelines) {
    std::pair<std::string, std::string> key(PipelineFile(pipeline), pipeline.branch_name());
    if (discovered_.size() >= kMaxDiscovered || discovered_.count(key) > 0) continue;
    if (!collecting_.listed_ref(pipeline).has_value()) continue;
    discovered_.insert(key);
    fresh.push_back(std::move(key));
  }
  if (fresh.empty()) co_return absl::OkStatus();
  auto work = [discover = collecting_.discover, batch = NewBatch(), fresh = std::move(fresh)] {
    return discover(batch, fresh);
  };
  const absl::Status status = co_await OnThread(collecting_.ledger_thread, std::move(work));
  if (!status.ok()) discovered_.clear();
  co_return status;
}

CollectedBatch ProjectCollector::NewBatch() const {
  CollectedBatch batch;
  batch.organization = collecting_.organization;
  batch.project_id = project_id_;
  batch.project = state_.name;
  return batch;
}

ProjectCollector::Doing ProjectCollector::Commit(CollectedBatch batch) {
  co_await asio::this_coro::throw_if_cancelled(false);
  std::vector<absl::Time> done;
  if (batch.count) {
    for (const CollectedPipeline& each : batch.pipelines) done.push_back(DoneTime(each.pipeline));
  }
  for (const auto& key : unsaved_runs_) {
    const auto run = state_.last_runs.find(key);
    if (run != state_.last_runs.end()) {
      batch.last_runs.push_back({key.first, key.second, run->second});
    }
  }
  auto work = [&ledger = collecting_.ledger, batch = std::move(batch)] {
    return ledger.Commit(batch);
  };
  const absl::StatusOr<CommitOutcome> outcome =
      co_await OnThread(collecting_.ledger_thread, std::move(work));
  if (!outcome.ok()) co_return outcome.status();
  unsaved_runs_.clear();
  if (outcome->dropped > 0) promotions_.Dropped(outcome->dropped);
  const absl::Time now = collecting_.clock.WallNow();
  std::vector<absl::Duration> lags;
  for (const absl::Time time : done) lags.push_back(std::max(now - time, absl::ZeroDuration()));
  collecting_.committed(*outcome, lags);
  co_return absl::OkStatus();
}

}  // namespace semaphore::gateway
