#include "gateway/reply_cache.h"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <list>
#include <utility>

#include "absl/strings/str_cat.h"
#include "client/async_event.h"
#include "client/error.h"
#include "client/string_view.h"

namespace semaphore::gateway {

namespace asio = boost::asio;
using client::MakeError;
using client::MethodSpec;
using client::MonotonicTime;
using client::Reason;
using google::protobuf::Message;

namespace {

// The text at a path of fields; empty when it is not set.
std::string TextAt(const Message& message,
                   const std::vector<const google::protobuf::FieldDescriptor*>& path) {
  if (path.empty()) return "";
  const Message* here = &message;
  for (size_t i = 0; i + 1 < path.size(); ++i) {
    here = &here->GetReflection()->GetMessage(*here, path[i]);
  }
  return here->GetReflection()->GetString(*here, path.back());
}

// The marks that a fetch takes when it begins; which of them its reply depends on is decided when
// the reply is known.
struct Marks {
  GenerationMark resource;
  GenerationMark lists;
  GenerationMark live;
  bool named = false;
};

Marks MarksOf(const Generations& generations, std::string_view organization,
              const MethodSpec& method, const Message& request) {
  using Kind = Generations::Kind;
  const client::ResourceReference& read = method.resources.front();
  const std::string name = TextAt(request, read.name);
  return {.resource = generations.Mark(Kind::kResource, organization, read.type, name),
          .lists = generations.Mark(Kind::kLists, organization, read.type),
          .live = generations.Mark(Kind::kLive, organization, read.type),
          .named = !name.empty()};
}

absl::Duration FreshFor(MonotonicTime fresh_until, MonotonicTime now) {
  return std::max(absl::FromChrono(fresh_until - now), absl::ZeroDuration());
}

}  // namespace

// A call that waits for a fetch. Everything but the event is under the cache's mutex.
struct ReplyCache::Waiter {
  std::shared_ptr<client::AsyncEvent> event;
  MonotonicTime deadline;
  client::Turn turn;
  bool done = false;
  absl::Status status;
  std::shared_ptr<const std::string> reply;
  MonotonicTime said_at;
  MonotonicTime fresh_until;
  bool kept = false;  // upstream was not asked: a log that was downloaded before
};

struct ReplyCache::Fetch {
  explicit Fetch(const asio::any_io_executor& base) : strand(asio::make_strand(base)) {}

  std::string key;
  Target target;
  const MethodSpec* method = nullptr;
  std::shared_ptr<const Message> request;
  std::string traceparent;
  Marks marks;
  MonotonicTime began_at;
  bool background = false;  // nobody need wait for it

  asio::strand<asio::any_io_executor> strand;
  asio::cancellation_signal signal;  // used on the strand only

  std::list<std::shared_ptr<Waiter>> waiters;  // under the cache's mutex, as all below
  client::CallContext context;                 // of the attempt under way
  bool ended = false;
  bool abandoned = false;
};

ReplyCache::ReplyCache(Options options, CacheStore& store, const client::Clock& clock,
                       asio::any_io_executor executor)
    : options_(std::move(options)), store_(store), clock_(clock), executor_(std::move(executor)) {}

void ReplyCache::AppendKey(std::string_view organization, std::string_view scope,
                           const MethodSpec& method, const Message& request, std::string& key) {
  absl::StrAppend(&key, client::ToAbsl(organization), "\n", client::ToAbsl(scope), "\n",
                  method.index, "\n");
  request.AppendPartialToString(&key);
}

std::optional<ReplyCache::Answer> ReplyCache::Find(std::string_view key,
                                                   const CacheDirectives& directives,
                                                   bool& needs_refresh) {
  needs_refresh = false;
  if (directives.no_cache) return std::nullopt;
  const std::shared_ptr<const CachedReply> kept = store_.Get(key);
  if (kept == nullptr || !generations_.IsCurrent(*kept)) return std::nullopt;
  const MonotonicTime now = clock_.Now();
  const Usability usability = UsabilityOf(*kept, directives, options_.lifetimes, now);
  if (usability != Usability::kFresh && usability != Usability::kRevalidate) return std::nullopt;
  needs_refresh = usability == Usability::kRevalidate;
  return Answer{.status = kept->status,
                .reply = kept->reply,
                .cache = needs_refresh ? "stale" : "hit",
                .age = absl::FromChrono(now - kept->said_at),
                .fresh_for = FreshFor(kept->fresh_until, now)};
}

void ReplyCache::Refresh(ReadCall call) {
  if (!call.charge().ok()) return;
  const std::lock_guard lock(mutex_);
  const auto running = fetches_.find(call.key);
  if (running != fetches_.end()) return;
  call.context.deadline = clock_.Now() + absl::ToChronoNanoseconds(options_.refresh_deadline);
  ++refreshes_begun_;
  Begin(call)->background = true;
}

asio::awaitable<ReplyCache::Answer> ReplyCache::Read(ReadCall call) {
  co_await asio::this_coro::throw_if_cancelled(false);
  const asio::any_io_executor strand = co_await asio::this_coro::executor;
  const auto waiter = std::make_shared<Waiter>();
  waiter->event = client::AsyncEvent::Create(strand);
  waiter->deadline = call.context.deadline;
  waiter->turn = call.context.turn;
  bool joined = false;
  absl::Status failure;
  const std::shared_ptr<Fetch> fetch = JoinOrStart(call, waiter, joined, failure);
  const std::string_view how = call.directives.no_cache ? "bypass" : joined ? "coalesced" : "miss";
  if (fetch != nullptr) {
    const bool told = co_await waiter->event->WaitUntil(call.context.deadline);
    Leave(fetch, waiter);
    if (waiter->done && waiter->status.ok()) {
      co_return Answer{.status = absl::OkStatus(),
                       .reply = waiter->reply,
                       .cache = waiter->kept ? "hit" : how,
                       .age = absl::FromChrono(clock_.Now() - waiter->said_at),
                       .fresh_for = FreshFor(waiter->fresh_until, clock_.Now())};
    }
    const asio::cancellation_state cancellation = co_await asio::this_coro::cancellation_state;
    if (waiter->done) {
      failure = waiter->status;
    } else if (!told && cancellation.cancelled() != asio::cancellation_type::none) {
      co_return Answer{.status = MakeError(Reason::kCancelled, "the caller went away"),
                       .reply = nullptr,
                       .cache = "",
                       .age = {},
                       .fresh_for = {}};
    } else {
      failure = MakeError(Reason::kDeadline, "out of time while Semaphore was asked");
    }
  }
  if (std::optional<Answer> stale = StaleFor(call, failure)) co_return *std::move(stale);
  co_return Answer{
      .status = std::move(failure), .reply = nullptr, .cache = how, .age = {}, .fresh_for = {}};
}

// Null when the caller's quota does not allow a fetch; `refused` says why.
std::shared_ptr<ReplyCache::Fetch> ReplyCache::JoinOrStart(const ReadCall& call,
                                                           const std::shared_ptr<Waiter>& waiter,
                                                           bool& joined, absl::Status& refused) {
  const std::lock_guard lock(mutex_);
  const auto running = fetches_.find(call.key);
  if (running != fetches_.end() && !call.directives.no_cache) {
    const std::shared_ptr<Fetch>& fetch = running->second;
    // What it brings was said when it began, or later; a change since then makes it too old, and so
    // may the caller's own wish.
    const Marks now = MarksOf(generations_, call.target.organization, *call.method, *call.request);
    const bool current = now.resource.value == fetch->marks.resource.value &&
                         now.lists.value == fetch->marks.lists.value &&
                         now.live.value == fetch->marks.live.value;
    const absl::Duration age = absl::FromChrono(clock_.Now() - fetch->began_at);
    const bool young = !call.directives.max_age || age <= *call.directives.max_age;
    if (current && young) {
      joined = true;
      fetch->waiters.push_back(waiter);
      if (waiter->turn.priority < fetch->context.turn.priority) {
        fetch->context.turn = waiter->turn;
        fetch->target.upstream->Raise(fetch->context.shared_turn, waiter->turn.priority);
      }
      return fetch;
    }
  }
  refused = call.charge();
  if (!refused.ok()) return nullptr;
  ++fetches_begun_;
  const std::shared_ptr<Fetch> fetch = Begin(call);
  fetch->waiters.push_back(waiter);
  return fetch;
}

// Under the mutex. The one that was there before goes on for those who wait for it, and is joined
// by nobody any more.
std::shared_ptr<ReplyCache::Fetch> ReplyCache::Begin(const ReadCall& call) {
  auto fetch = std::make_shared<Fetch>(executor_);
  fetch->key = call.key;
  fetch->target = call.target;
  fetch->method = call.method;
  fetch->request = call.request;
  fetch->marks = MarksOf(generations_, call.target.organization, *call.method, *call.request);
  fetch->began_at = clock_.Now();
  fetch->context = call.context;
  fetch->context.fresh = call.directives.no_cache;
  fetch->context.shared_turn = std::make_shared<client::Budget::SharedTurn>();
  fetches_[call.key] = fetch;
  ++fetching_;
  // Posted, for a coroutine may begin at once, and the mutex is held.
  asio::post(fetch->strand, [this, fetch] {
    {
      const std::lock_guard lock(mutex_);
      if (fetch->abandoned) return FetchEnded();
    }
    // The handler keeps the signal alive as long as the coroutine may look at its slot.
    asio::co_spawn(fetch->strand, Run(fetch),
                   asio::bind_cancellation_slot(fetch->signal.slot(),
                                                [this, fetch](const std::exception_ptr&) {
                                                  const std::lock_guard lock(mutex_);
                                                  FetchEnded();
                                                }));
  });
  return fetch;
}

asio::awaitable<void> ReplyCache::Run(std::shared_ptr<Fetch> fetch) {
  co_await asio::this_coro::throw_if_cancelled(false);
  for (;;) {
    client::CallResult result =
        co_await fetch->target.upstream->Call(*fetch->method, fetch->request, fetch->context);
    const bool again = Deliver(fetch, std::move(result));
    if (!again) co_return;
  }
}

// Tells everybody who waits. True when some of them have time left that the attempt did not have:
// then it is made again for them.
bool ReplyCache::Deliver(const std::shared_ptr<Fetch>& fetch, client::CallResult result) {
  std::shared_ptr<const std::string> reply;
  if (result.status.ok()) reply = std::make_shared<const std::string>(std::move(result.reply));
  std::shared_ptr<CachedReply> kept = Judge(*fetch, result, reply);
  const std::lock_guard lock(mutex_);
  if (fetch->abandoned) return false;
  std::list<std::shared_ptr<Waiter>> more_time;
  const bool ran_out = client::HasReason(result.status, Reason::kDeadline) ||
                       client::HasReason(result.status, Reason::kUpstreamBudgetExhausted);
  for (auto waiter = fetch->waiters.begin(); waiter != fetch->waiters.end();) {
    const auto next = std::next(waiter);
    if (ran_out && (*waiter)->deadline > fetch->context.deadline) {
      more_time.splice(more_time.end(), fetch->waiters, waiter);
    }
    waiter = next;
  }
  for (const std::shared_ptr<Waiter>& waiter : fetch->waiters) {
    waiter->done = true;
    waiter->status = result.status;
    waiter->reply = reply;
    waiter->said_at = fetch->began_at - absl::ToChronoNanoseconds(result.age);
    waiter->fresh_until = kept == nullptr ? waiter->said_at : kept->fresh_until;
    waiter->kept = result.kept;
    waiter->event->Set();  // posts; nothing runs under the mutex
  }
  fetch->waiters = std::move(more_time);
  if (!fetch->waiters.empty()) {
    for (const std::shared_ptr<Waiter>& waiter : fetch->waiters) {
      fetch->context.deadline = std::max(fetch->context.deadline, waiter->deadline);
      fetch->context.turn = waiter->turn;
    }
    return true;
  }
  fetch->ended = true;
  if (kept != nullptr) Keep(*fetch, std::move(kept));
  const auto current = fetches_.find(fetch->key);
  if (current != fetches_.end() && current->second == fetch) fetches_.erase(current);
  return false;
}

void ReplyCache::Leave(const std::shared_ptr<Fetch>& fetch, const std::shared_ptr<Waiter>& waiter) {
  const std::lock_guard lock(mutex_);
  if (waiter->done) return;
  fetch->waiters.remove(waiter);
  GiveUpUnlessAwaited(fetch);
}

// Under the mutex.
void ReplyCache::FetchEnded() {
  if (--fetching_ == 0) idle_.notify_all();
}

// Under the mutex.
void ReplyCache::GiveUpUnlessAwaited(std::shared_ptr<Fetch> fetch) {
  if (!fetch->waiters.empty() || fetch->background || fetch->ended || fetch->abandoned) return;
  fetch->abandoned = true;
  ++abandoned_;
  const auto current = fetches_.find(fetch->key);
  if (current != fetches_.end() && current->second == fetch) fetches_.erase(current);
  asio::post(fetch->strand, [fetch] { fetch->signal.emit(asio::cancellation_type::terminal); });
}

void ReplyCache::EndFetches(absl::Duration limit) {
  std::unique_lock lock(mutex_);
  std::vector<std::shared_ptr<Fetch>> running;
  for (const auto& [key, fetch] : fetches_) running.push_back(fetch);
  for (const std::shared_ptr<Fetch>& fetch : running) {
    fetch->background = false;
    GiveUpUnlessAwaited(fetch);
  }
  idle_.wait_for(lock, absl::ToChronoNanoseconds(limit), [this] { return fetching_ == 0; });
}

// The reply as it is to be kept; null if it is not. A refusal is kept as long as nothing.
std::shared_ptr<CachedReply> ReplyCache::Judge(const Fetch& fetch, const client::CallResult& result,
                                               std::shared_ptr<const std::string> reply) const {
  auto kept = std::make_shared<CachedReply>();
  kept->status = result.status;
  kept->said_at = fetch.began_at - absl::ToChronoNanoseconds(result.age);
  Lifetime lifetime;
  if (result.status.ok()) {
    const std::unique_ptr<Message> message(fetch.method->reply_prototype->New());
    if (!message->ParseFromString(*reply)) return nullptr;
    lifetime =
        LifetimeOf(*fetch.method, *fetch.request, *message, options_.lifetimes, clock_.WallNow());
    if (lifetime.fresh <= absl::ZeroDuration()) return nullptr;
  } else {
    if (StaleMayCover(result.status)) return nullptr;
    lifetime.fresh = LifetimeOfFailure(result.status, options_.lifetimes);
  }
  kept->reply = std::move(reply);
  const bool list = fetch.method->IsPaged() || !fetch.marks.named;
  if (fetch.marks.named) kept->marks[kept->mark_count++] = fetch.marks.resource;
  if (list || !result.status.ok()) kept->marks[kept->mark_count++] = fetch.marks.lists;
  if (!fetch.method->IsPaged() && !lifetime.settled) {
    kept->marks[kept->mark_count++] = fetch.marks.live;
  }
  kept->fresh_until = kept->said_at + absl::ToChronoNanoseconds(lifetime.fresh);
  kept->stale_until = kept->fresh_until;
  if (result.status.ok()) {
    kept->stale_until += absl::ToChronoNanoseconds(
        std::max(options_.lifetimes.stale_if_error, options_.lifetimes.stale_while_revalidate));
  }
  return kept;
}

// Under the mutex, so that of two fetches the one that began later stays.
void ReplyCache::Keep(const Fetch& fetch, std::shared_ptr<const CachedReply> reply) {
  if (!generations_.IsCurrent(*reply)) return;
  const std::shared_ptr<const CachedReply> before = store_.Get(fetch.key);
  if (before != nullptr && before->said_at > reply->said_at) return;
  // What upstream refuses must not be answered from what it once said.
  const bool useless = reply->fresh_until <= reply->said_at;
  if (useless) return store_.Remove(fetch.key);
  store_.Put(fetch.key, std::move(reply));
}

std::optional<ReplyCache::Answer> ReplyCache::StaleFor(const ReadCall& call,
                                                       const absl::Status& failure) {
  if (call.directives.no_cache || !StaleMayCover(failure)) return std::nullopt;
  const std::shared_ptr<const CachedReply> kept = store_.Get(call.key);
  if (kept == nullptr || !kept->status.ok() || !generations_.IsCurrent(*kept)) return std::nullopt;
  const MonotonicTime now = clock_.Now();
  if (UsabilityOf(*kept, call.directives, options_.lifetimes, now) == Usability::kNo) {
    return std::nullopt;
  }
  return Answer{.status = absl::OkStatus(),
                .reply = kept->reply,
                .cache = now < kept->fresh_until ? "hit" : "stale",
                .age = absl::FromChrono(now - kept->said_at),
                .fresh_for = FreshFor(kept->fresh_until, now)};
}

void ReplyCache::Invalidate(std::string_view organization, const MethodSpec& method,
                            const Message& request) {
  using Kind = Generations::Kind;
  const bool names_one = std::any_of(method.resources.begin(), method.resources.end(),
                                     [&request](const client::ResourceReference& touched) {
                                       return !TextAt(request, touched.name).empty();
                                     });
  for (const client::ResourceReference& touched : method.resources) {
    const std::string name = TextAt(request, touched.name);
    if (!name.empty()) {
      generations_.Advance(Kind::kResource, organization, touched.type, name);
    } else if (names_one) {
      // Which of them belong to the named one is not known here.
      generations_.Advance(Kind::kLive, organization, touched.type);
    }
    generations_.Advance(Kind::kLists, organization, touched.type);
  }
}

ReplyCache::Stats ReplyCache::GetStats() const {
  return {.fetches = fetches_begun_,
          .refreshes = refreshes_begun_,
          .abandoned = abandoned_,
          .fetching = fetching_};
}

}  // namespace semaphore::gateway
