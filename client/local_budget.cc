#include "client/local_budget.h"

#include <algorithm>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cmath>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/adaptive_rate.h"
#include "client/async_event.h"
#include "client/error.h"
#include "client/token_bucket.h"

namespace semaphore::client {

namespace asio = boost::asio;

namespace {

using Seconds = std::chrono::duration<double>;

// While the rate recovers, forecasts are looked at again this often.
constexpr MonotonicDuration kLookAgain = std::chrono::milliseconds(500);
constexpr double kRounding = 1e-6;  // of a token

struct Waiter {
  std::shared_ptr<AsyncEvent> event;
  std::shared_ptr<Budget::SharedTurn> shared;  // may be null
  FairQueue::Id id = 0;
  Turn turn;
  MonotonicTime latest;
  bool granted = false;
  bool late = false;
};

absl::Status Cancelled() { return MakeError(Reason::kCancelled, "the caller went away"); }

}  // namespace

asio::awaitable<bool> SleepUntil(MonotonicTime until) {
  co_await asio::this_coro::throw_if_cancelled(false);
  if ((co_await asio::this_coro::cancellation_state).cancelled() != asio::cancellation_type::none)
    co_return false;
  asio::steady_timer timer(co_await asio::this_coro::executor, until);
  const auto [error] = co_await timer.async_wait(asio::as_tuple(asio::use_awaitable));
  co_return !error;
}

// Everything below `mutex` is under it, and so are the functions but for the last two.
struct LocalBudget::State final : Budget::Places, std::enable_shared_from_this<State> {
  State(Options options_in, const Clock& clock_in, asio::any_io_executor executor_in,
        Sleeper sleeper_in)
      : options(std::move(options_in)),
        clock(clock_in),
        executor(std::move(executor_in)),
        sleeper(std::move(sleeper_in)),
        rate(options.requests_per_second),
        bucket(rate, options.burst) {}

  void Settle(MonotonicTime now);
  bool HasRoom(MonotonicTime now) const;
  double TokensFree(MonotonicTime now) const;
  // When a newcomer would have its turn, as far as tokens decide it.
  MonotonicTime Forecast(MonotonicTime now, const Turn& turn) const;
  void Dispatch(MonotonicTime now);
  void PlanWakeUp(MonotonicTime now);
  void GiveBack(bool charged) override;
  // Puts it into the queue, or takes it out.
  void Join(const std::shared_ptr<Waiter>& waiter);
  void Leave(const std::shared_ptr<Waiter>& waiter);
  absl::Status Refusal(MonotonicTime now, MonotonicTime come_back) const;

  static asio::awaitable<void> WakeUp(std::shared_ptr<State> state, MonotonicTime at);

  const Options options;
  const Clock& clock;
  const asio::any_io_executor executor;
  const Sleeper sleeper;

  std::mutex mutex;
  AdaptiveRate adaptive;
  double rate;  // in force
  TokenBucket bucket;
  bool paused = false;
  bool closed = false;
  size_t in_flight = 0;
  size_t set_aside = 0;  // tokens of passes that are not charged yet
  FairQueue queue;
  std::unordered_map<FairQueue::Id, std::shared_ptr<Waiter>> waiters;
  std::set<std::pair<MonotonicTime, FairQueue::Id>> by_latest;
  FairQueue::Id last_id = 0;
  std::optional<MonotonicTime> next_wake_up;
  std::array<uint64_t, kPriorities> rejections{};
  uint64_t throttled = 0;
};

// Brings rate and pause up to now. What gathered during a pause is not spent in one burst.
void LocalBudget::State::Settle(MonotonicTime now) {
  const bool pauses = adaptive.PausedUntil(now).has_value();
  const double due = options.requests_per_second * adaptive.Share(now);
  if (std::abs(due - rate) > 1e-3 * rate) {
    rate = due;
    bucket.SetRate(now, rate);
  }
  if (paused && !pauses) bucket.Drain(now);
  paused = pauses;
}

double LocalBudget::State::TokensFree(MonotonicTime now) const {
  return bucket.Available(now) - static_cast<double>(set_aside);
}

bool LocalBudget::State::HasRoom(MonotonicTime now) const {
  return !paused && in_flight < options.max_in_flight && TokensFree(now) >= 1 - kRounding;
}

MonotonicTime LocalBudget::State::Forecast(MonotonicTime now, const Turn& turn) const {
  const std::optional<MonotonicTime> pause = adaptive.PausedUntil(now);
  const double free = pause ? -static_cast<double>(set_aside) : TokensFree(now);
  const double missing = static_cast<double>(queue.TurnsBefore(turn)) + 1 - free;
  const MonotonicTime base = pause.value_or(now);
  if (missing <= kRounding) return base;
  return base + std::chrono::ceil<MonotonicDuration>(Seconds(missing / rate));
}

// Gives places to whoever has the turn, and word to whoever is out of time.
void LocalBudget::State::Dispatch(MonotonicTime now) {
  Settle(now);
  const auto tell = [this](FairQueue::Id id) {
    std::shared_ptr<Waiter> waiter = waiters.at(id);
    Leave(waiter);
    waiter->event->Set();  // posts; nothing runs under the mutex
    return waiter;
  };
  while (!by_latest.empty() && by_latest.begin()->first < now) {
    tell(by_latest.begin()->second)->late = true;
  }
  while (queue.size() > 0 && HasRoom(now)) {
    tell(*queue.Pop())->granted = true;
    ++in_flight;
    ++set_aside;
  }
}

void LocalBudget::State::Join(const std::shared_ptr<Waiter>& waiter) {
  waiter->id = ++last_id;
  if (waiter->shared != nullptr) waiter->shared->waiting_as = waiter->id;
  queue.Push(waiter->id, waiter->turn);
  waiters.emplace(waiter->id, waiter);
  by_latest.emplace(waiter->latest, waiter->id);
}

void LocalBudget::State::Leave(const std::shared_ptr<Waiter>& waiter) {
  if (waiter->shared != nullptr) waiter->shared->waiting_as = 0;
  queue.Remove(waiter->id);  // unless its turn has just come
  by_latest.erase({waiter->latest, waiter->id});
  waiters.erase(waiter->id);
}

// Somebody must look again when the next token is free and when the first waiter runs out of time.
void LocalBudget::State::PlanWakeUp(MonotonicTime now) {
  if (queue.size() == 0 || closed) return;
  MonotonicTime at = by_latest.begin()->first + std::chrono::nanoseconds(1);
  if (paused) {
    at = std::min(at, *adaptive.PausedUntil(now));
  } else if (in_flight < options.max_in_flight) {
    const double missing = std::max(1 - TokensFree(now), 0.0);
    at = std::min(at, now + std::chrono::ceil<MonotonicDuration>(Seconds(missing / rate)));
  }
  if (rate < options.requests_per_second) at = std::min(at, now + kLookAgain);
  at = std::max(at, now + std::chrono::nanoseconds(1));
  if (next_wake_up && *next_wake_up <= at) return;
  next_wake_up = at;
  // Posted, for a coroutine may begin at once, and the mutex is held.
  asio::post(executor, [self = shared_from_this(), at] {
    asio::co_spawn(self->executor, WakeUp(self, at), asio::detached);
  });
}

asio::awaitable<void> LocalBudget::State::WakeUp(std::shared_ptr<State> state, MonotonicTime at) {
  const bool slept = co_await state->sleeper(at);
  if (!slept) co_return;
  const std::lock_guard lock(state->mutex);
  if (state->closed) co_return;
  if (state->next_wake_up == at) state->next_wake_up.reset();
  const MonotonicTime now = state->clock.Now();
  state->Dispatch(now);
  state->PlanWakeUp(now);
}

void LocalBudget::State::GiveBack(bool charged) {
  const std::lock_guard lock(mutex);
  --in_flight;
  if (!charged) --set_aside;
  if (closed) return;
  const MonotonicTime now = clock.Now();
  Dispatch(now);
  PlanWakeUp(now);
}

absl::Status LocalBudget::State::Refusal(MonotonicTime now, MonotonicTime come_back) const {
  ErrorDetails details;
  const MonotonicDuration least =
      std::chrono::ceil<MonotonicDuration>(Seconds(1 / options.requests_per_second));
  details.retry_after = absl::FromChrono(std::max(come_back - now, least));
  return MakeError(
      Reason::kUpstreamBudgetExhausted,
      paused ? absl::StrCat("Semaphore asked the gateway to pause, longer than this call can wait")
             : absl::StrCat("the gateway's budget for Semaphore (", options.requests_per_second,
                            " requests/s) has no room within the deadline; come back later"),
      details);
}

LocalBudget::LocalBudget(Options options, const Clock& clock, asio::any_io_executor executor,
                         Sleeper sleeper)
    : state_(std::make_shared<State>(std::move(options), clock, std::move(executor),
                                     std::move(sleeper))) {}

LocalBudget::~LocalBudget() {
  const std::lock_guard lock(state_->mutex);
  state_->closed = true;
}

asio::awaitable<absl::StatusOr<Budget::Pass>> LocalBudget::Enter(
    Turn turn, MonotonicTime deadline, std::shared_ptr<SharedTurn> shared) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const asio::any_io_executor strand = co_await asio::this_coro::executor;
  State& state = *state_;
  const MonotonicTime start = state.clock.Now();
  const MonotonicTime latest =
      std::min(deadline, start + absl::ToChronoNanoseconds(state.options.max_wait));
  const auto waiter = std::make_shared<Waiter>();
  {
    const std::lock_guard lock(state.mutex);
    if (shared != nullptr && shared->raised_to) {
      turn.priority = std::min(turn.priority, *shared->raised_to);
    }
    state.Dispatch(start);
    const MonotonicTime forecast = state.Forecast(start, turn);
    const bool full = state.queue.size() >= state.options.max_waiting;
    if (forecast > latest || full) {
      ++state.rejections[static_cast<size_t>(turn.priority)];
      if (forecast > latest) co_return state.Refusal(start, forecast);
      ErrorDetails details;
      details.retry_after = absl::Seconds(1);
      co_return MakeError(Reason::kGatewayOverloaded, "too many calls wait for Semaphore already",
                          details);
    }
    waiter->latest = latest;
    waiter->event = AsyncEvent::Create(strand);
    waiter->turn = turn;
    waiter->shared = std::move(shared);
    state.Join(waiter);
    state.Dispatch(start);
    state.PlanWakeUp(start);
  }
  const bool told = co_await waiter->event->WaitUntil(MonotonicTime::max());
  const MonotonicTime now = state.clock.Now();
  {
    const std::lock_guard lock(state.mutex);
    if (waiter->late) {
      ++state.rejections[static_cast<size_t>(waiter->turn.priority)];
      co_return state.Refusal(now, state.Forecast(now, waiter->turn));
    }
    if (!waiter->granted) {  // cancelled while waiting
      state.Leave(waiter);
      co_return Cancelled();
    }
  }
  Pass pass(state_);
  if (!told) co_return Cancelled();  // and had its turn in the same moment
  state.options.waited(waiter->turn.priority, absl::FromChrono(now - start));
  co_return std::move(pass);
}

asio::awaitable<absl::Status> LocalBudget::Charge(Pass& pass, MonotonicTime deadline) {
  co_await asio::this_coro::throw_if_cancelled(false);
  State& state = *state_;
  const MonotonicTime latest =
      std::min(deadline, state.clock.Now() + absl::ToChronoNanoseconds(state.options.max_wait));
  for (;;) {
    MonotonicTime again;
    {
      const std::lock_guard lock(state.mutex);
      const MonotonicTime now = state.clock.Now();
      state.Settle(now);
      if (!pass.SetCharged()) --state.set_aside;
      const std::optional<MonotonicTime> pause = state.adaptive.PausedUntil(now);
      if (pause) {
        again = *pause;
      } else {
        const std::optional<MonotonicDuration> wait = state.bucket.Take(now);
        if (!wait) co_return absl::OkStatus();
        again = now + *wait;
      }
      if (again > latest) co_return state.Refusal(now, again);
    }
    const bool slept = co_await state.sleeper(again);
    if (!slept) co_return Cancelled();
  }
}

void LocalBudget::Raise(const std::shared_ptr<SharedTurn>& shared, Priority priority) {
  const std::lock_guard lock(state_->mutex);
  shared->raised_to = std::min(priority, shared->raised_to.value_or(priority));
  const auto waiting = state_->waiters.find(shared->waiting_as);
  if (waiting == state_->waiters.end() || waiting->second->turn.priority <= priority) return;
  // To the end of the more urgent class.
  const std::shared_ptr<Waiter> waiter = waiting->second;
  state_->Leave(waiter);
  waiter->turn.priority = priority;
  state_->Join(waiter);
}

void LocalBudget::OnThrottled(std::optional<absl::Duration> retry_after) {
  const std::lock_guard lock(state_->mutex);
  const MonotonicTime now = state_->clock.Now();
  std::optional<MonotonicDuration> pause;
  if (retry_after) {
    pause = absl::ToChronoNanoseconds(std::min(*retry_after, absl::Hours(1)));
  }
  ++state_->throttled;
  state_->adaptive.OnThrottled(now, pause);
  state_->bucket.Drain(now);
  state_->Settle(now);
}

LocalBudget::Stats LocalBudget::GetStats() const {
  const std::lock_guard lock(state_->mutex);
  const MonotonicTime now = state_->clock.Now();
  state_->Settle(now);
  Stats stats{.tokens = std::max(0.0, state_->TokensFree(now)),
              .burst = state_->options.burst,
              .rate = state_->paused ? 0 : state_->rate,
              .in_flight = state_->in_flight,
              .waiting = {},
              .rejections = state_->rejections,
              .throttled = state_->throttled};
  for (size_t i = 0; i < kPriorities; ++i) {
    stats.waiting[i] = state_->queue.waiting(static_cast<Priority>(i));
  }
  return stats;
}

}  // namespace semaphore::client
