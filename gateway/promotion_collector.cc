#include "gateway/promotion_collector.h"

#include <algorithm>
#include <boost/asio/this_coro.hpp>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gateway/failed_reads.h"
#include "gateway/ledger_thread.h"
#include "gateway/project_collector.h"

namespace semaphore::gateway {
namespace {

namespace asio = boost::asio;

// Upstream's word for who triggered a promotion by itself.
constexpr char kAutomaticPromotion[] = "Pipeline Done request";
// Automatic promotions are triggered and decided within this after the pipeline's end.
constexpr absl::Duration kPromotionDelay = absl::Minutes(1);
// Of those by hand that never get a pipeline, which would tell of them, the most come within this.
constexpr absl::Duration kSecondLook = absl::Hours(1);
// One that is not decided after so many reads is counted as it is.
constexpr int kUndecidedReads = 5;
constexpr int kPages = 5;
// A promoted pipeline is created this soon after its promotion.
constexpr absl::Duration kPromotingTime = absl::Minutes(10);

}  // namespace

void PromotionCollector::Await(const v1::Pipeline& pipeline, CollectedBatch& batch) const {
  if (collecting_.level < CiLevel::kPipeline) return;
  const absl::Time now = collecting_.clock.WallNow();
  if (!pipeline.switch_id().empty()) {
    const absl::Time done = pipeline.has_done_time() ? ToTime(pipeline.done_time()) : now;
    batch.promotions_to_read.push_back({.pipeline_id = pipeline.pipeline_id(),
                                        .since = absl::InfinitePast(),
                                        .due = now + kPromotionDelay,
                                        .until = std::min(done, now) + kSecondLook});
  }
  if (!pipeline.promotion_of_pipeline_id().empty() && pipeline.has_create_time()) {
    batch.promotions_to_read.push_back({.pipeline_id = pipeline.promotion_of_pipeline_id(),
                                        .since = ToTime(pipeline.create_time()) - kPromotingTime,
                                        .due = now,
                                        .until = now});
  }
}

PromotionCollector::Doing PromotionCollector::ReadMark() {
  co_await asio::this_coro::throw_if_cancelled(false);
  if (begun_.has_value()) co_return absl::OkStatus();
  auto ask = [&ledger = collecting_.ledger, organization = collecting_.organization,
              project = project_.project_id] {
    return ledger.Watermark(organization, project, kMark);
  };
  const absl::StatusOr<std::optional<absl::Time>> mark =
      co_await OnThread(collecting_.ledger_thread, std::move(ask));
  if (mark.ok()) begun_ = *mark;
  co_return mark.status();
}

asio::awaitable<absl::Status> PromotionCollector::Poll() {
  co_await asio::this_coro::throw_if_cancelled(false);
  if (collecting_.level < CiLevel::kPipeline) co_return absl::OkStatus();
  const absl::Status marked = co_await ReadMark();
  if (!marked.ok()) co_return marked;
  CollectedBatch batch;
  batch.organization = collecting_.organization;
  batch.project_id = project_.project_id;
  batch.project = project_.name;
  auto ask = [&ledger = collecting_.ledger, organization = batch.organization,
              project = batch.project_id, now = collecting_.clock.WallNow()] {
    return ledger.DuePromotions(organization, project, now);
  };
  const absl::StatusOr<std::vector<WaitingPromotion>> due =
      co_await OnThread(collecting_.ledger_thread, std::move(ask));
  if (!due.ok()) co_return due.status();
  if (due->empty()) co_return absl::OkStatus();
  Failures failures;
  for (const WaitingPromotion& waiting : *due) {
    const absl::Status status = co_await Read(waiting, batch);
    if (absl::IsCancelled(status)) co_return status;
    if (status.ok()) continue;
    Postpone(waiting, status, batch);
    failures.Add(status);
    if (failures.Enough()) break;
  }
  auto commit = [&ledger = collecting_.ledger, batch = std::move(batch)] {
    return ledger.Commit(batch).status();
  };
  const absl::Status committed = co_await OnThread(collecting_.ledger_thread, std::move(commit));
  if (!committed.ok()) co_return committed;
  co_return failures.trouble();
}

// `batch` is the caller's. It gets all that the pipeline says, or nothing after an error.
PromotionCollector::Doing PromotionCollector::Read(WaitingPromotion waiting,
                                                   CollectedBatch& batch) const {
  co_await asio::this_coro::throw_if_cancelled(false);
  const absl::Time since = std::max(waiting.since, begun_.value_or(absl::InfinitePast()));
  std::vector<CollectedPromotion> found;
  bool undecided = false;
  std::string token;
  for (int page = 0; page < kPages; ++page) {
    const absl::StatusOr<v1::ListPromotionsResponse> reply =
        co_await collecting_.reads.Promotions(waiting.pipeline_id, token);
    if (!reply.ok()) co_return reply.status();
    for (const v1::Promotion& promotion : reply->promotions()) {
      if (promotion.has_trigger_time() && ToTime(promotion.trigger_time()) < since) {
        continue;
      }
      const bool decided = promotion.state() != v1::PROMOTION_STATE_PROCESSING;
      undecided |= !decided;
      if (!decided && waiting.tries + 1 < kUndecidedReads) continue;
      found.push_back(
          {waiting.pipeline_id, promotion, promotion.triggered_by() == kAutomaticPromotion});
    }
    token = reply->next_page_token();
    if (token.empty()) break;
  }
  if (!token.empty())
    Told("promotions_cut_off", waiting.pipeline_id, "it has more promotions than are read");
  std::move(found.begin(), found.end(), std::back_inserter(batch.promotions));
  const absl::Time now = collecting_.clock.WallNow();
  if (undecided && waiting.tries + 1 < kUndecidedReads) {
    ++waiting.tries;
    waiting.due = now + kPromotionDelay;
    batch.promotions_postponed.push_back(std::move(waiting));
  } else if (now < waiting.until) {
    waiting.tries = 0;
    waiting.due = waiting.until;
    batch.promotions_postponed.push_back(std::move(waiting));
  } else {
    batch.promotions_read.push_back(std::move(waiting.pipeline_id));
  }
  co_return absl::OkStatus();
}

void PromotionCollector::Postpone(WaitingPromotion waiting, const absl::Status& status,
                                  CollectedBatch& batch) const {
  const std::optional<absl::Duration> delay = ReadAgainAfter(status, ++waiting.tries);
  if (!delay.has_value()) {
    Told("promotions_given_up", waiting.pipeline_id, status.message());
    batch.promotions_read.push_back(std::move(waiting.pipeline_id));
    return;
  }
  waiting.due = collecting_.clock.WallNow() + *delay;
  batch.promotions_postponed.push_back(std::move(waiting));
}

void PromotionCollector::Dropped(uint64_t count) const {
  Told("promotions_dropped", "",
       absl::StrCat("those of ", count, " pipelines are not counted: too many wait"));
}

void PromotionCollector::Told(const char* event, const std::string& pipeline_id,
                              absl::string_view message) const {
  collecting_.log.Warning(event, {{"organization", collecting_.organization},
                                  {"project", project_.name},
                                  {"pipeline_id", pipeline_id},
                                  {"message", std::string(message)}});
}

}  // namespace semaphore::gateway
