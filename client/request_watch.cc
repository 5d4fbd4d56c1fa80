#include "client/request_watch.h"

#include <algorithm>
#include <utility>

namespace semaphore::client {

namespace asio = boost::asio;

std::shared_ptr<RequestWatch> RequestWatch::Create(const asio::any_io_executor& strand,
                                                   asio::cancellation_state cancellation,
                                                   const Clock& clock, MonotonicTime deadline) {
  return std::shared_ptr<RequestWatch>(new RequestWatch(strand, cancellation, clock, deadline));
}

RequestWatch::RequestWatch(const asio::any_io_executor& strand,
                           asio::cancellation_state cancellation, const Clock& clock,
                           MonotonicTime deadline)
    : clock_(clock), deadline_(deadline), cancellation_(cancellation), timer_(strand) {}

RequestWatch::Stage::Stage(RequestWatch& watch, MonotonicTime limit,
                           std::function<void()> interrupt)
    : watch_(watch) {
  const bool whole = limit >= watch.deadline_;
  watch.interrupt_ = std::move(interrupt);
  if (watch.verdict_ == Verdict::kStageTimeout) watch.verdict_ = Verdict::kGoOn;
  watch.timer_.expires_at(std::min(limit, watch.deadline_));
  watch.timer_.async_wait([weak = watch.weak_from_this(), stage = watch.stage_,
                           whole](const boost::system::error_code& error) {
    const std::shared_ptr<RequestWatch> self = weak.lock();
    if (error || self == nullptr || self->stage_ != stage) return;
    self->Interrupt(whole ? Verdict::kDeadline : Verdict::kStageTimeout);
  });
}

// NOLINTNEXTLINE(bugprone-exception-escape): cancelling a steady_timer cannot fail
RequestWatch::Stage::~Stage() {
  ++watch_.stage_;
  watch_.interrupt_ = nullptr;
  watch_.timer_.cancel();
}

RequestWatch::Verdict RequestWatch::Check() const {
  if (verdict_ == Verdict::kCancelled ||
      cancellation_.cancelled() != asio::cancellation_type::none) {
    return Verdict::kCancelled;
  }
  if (verdict_ == Verdict::kGoOn && clock_.Now() >= deadline_) return Verdict::kDeadline;
  return verdict_;
}

void RequestWatch::TakeSlot() {
  asio::cancellation_slot slot = cancellation_.slot();
  if (!slot.is_connected()) return;
  slot.assign([weak = weak_from_this()](asio::cancellation_type) {
    if (const std::shared_ptr<RequestWatch> self = weak.lock()) {
      self->Interrupt(Verdict::kCancelled);
    }
  });
}

void RequestWatch::Interrupt(Verdict verdict) {
  if (verdict_ == Verdict::kGoOn) verdict_ = verdict;
  if (interrupt_) std::exchange(interrupt_, nullptr)();
}

}  // namespace semaphore::client
