// Reads, answered from what is kept or by one fetch for any number of callers who ask the same at
// the same time. A fetch belongs to none of them: each keeps its own deadline and may leave, and it
// ends when nobody waits. Changes make old what they may have touched; see Generations. Lifetimes
// are CachePolicy's, room is the store's.
#ifndef SEMAPHORE_GATEWAY_REPLY_CACHE_H_
#define SEMAPHORE_GATEWAY_REPLY_CACHE_H_

#include <google/protobuf/message.h>

#include <atomic>
#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "absl/time/time.h"
#include "client/clock.h"
#include "client/method_table.h"
#include "client/upstream.h"
#include "gateway/cache_policy.h"
#include "gateway/cache_store.h"
#include "gateway/generations.h"

namespace semaphore::gateway {

class ReplyCache {
 public:
  struct Options {
    Lifetimes lifetimes;
    absl::Duration refresh_deadline = absl::Seconds(30);  // of a fetch that no caller waits for
  };

  // The store and the clock outlive the cache, which outlives every Read and the executor's work.
  ReplyCache(Options options, CacheStore& store, const client::Clock& clock,
             boost::asio::any_io_executor executor);

  // Where a read is sent when it must be.
  struct Target {
    std::string_view organization;  // as configured; lives as long as the cache
    client::Upstream* upstream = nullptr;
  };

  // What two calls must have in common to share an answer: organization, method, canonical request.
  // `scope` is for credentials of callers' own.
  static void AppendKey(std::string_view organization, std::string_view scope,
                        const client::MethodSpec& method, const google::protobuf::Message& request,
                        std::string& key);

  struct Answer {
    absl::Status status;
    std::shared_ptr<const std::string> reply;  // when OK
    std::string_view cache;                    // hit, miss, coalesced, stale, bypass
    absl::Duration age;                        // since upstream said it
    absl::Duration fresh_for = {};             // from now; 0: not known, or past it
  };

  struct ReadCall {
    Target target;
    const client::MethodSpec* method = nullptr;
    std::shared_ptr<const google::protobuf::Message> request;
    std::string key;
    CacheDirectives directives;
    client::CallContext context;
    // Asked before a request of its own is made for this call; a failure is the call's answer
    // unless a stale reply can be.
    std::function<absl::Status()> charge = [] { return absl::OkStatus(); };
  };

  // What can be answered at once, fresh or stale but tolerated; nothing else. On the path of every
  // cached call: takes one lock of the store. `needs_refresh`: it is stale and nobody fetches yet.
  std::optional<Answer> Find(std::string_view key, const CacheDirectives& directives,
                             bool& needs_refresh);

  // Fetches in the background what Find said needs it.
  void Refresh(ReadCall call);

  // Joins the fetch under way or starts one. On the calling coroutine's strand; ends by the call's
  // deadline and honours cancellation.
  boost::asio::awaitable<Answer> Read(ReadCall call);

  // Gives up the fetches that no caller waits for, and waits at most so long until none is under
  // way. For the end of the program.
  void EndFetches(absl::Duration limit);

  // What the change may have touched is not answered from what was said before.
  void Invalidate(std::string_view organization, const client::MethodSpec& method,
                  const google::protobuf::Message& request);

  struct Stats {
    uint64_t fetches = 0;    // begun for callers
    uint64_t refreshes = 0;  // begun in the background
    uint64_t abandoned = 0;  // given up because nobody waited
    uint64_t fetching = 0;   // under way now
  };
  Stats GetStats() const;

 private:
  struct Waiter;
  struct Fetch;

  std::shared_ptr<Fetch> JoinOrStart(const ReadCall& call, const std::shared_ptr<Waiter>& waiter,
                                     bool& joined, absl::Status& refused);
  std::shared_ptr<Fetch> Begin(const ReadCall& call);
  boost::asio::awaitable<void> Run(std::shared_ptr<Fetch> fetch);
  bool Deliver(const std::shared_ptr<Fetch>& fetch, client::CallResult result);
  void Leave(const std::shared_ptr<Fetch>& fetch, const std::shared_ptr<Waiter>& waiter);
  void GiveUpUnlessAwaited(std::shared_ptr<Fetch> fetch);
  void FetchEnded();
  std::shared_ptr<CachedReply> Judge(const Fetch& fetch, const client::CallResult& result,
                                     std::shared_ptr<const std::string> reply) const;
  void Keep(const Fetch& fetch, std::shared_ptr<const CachedReply> reply);
  std::optional<Answer> StaleFor(const ReadCall& call, const absl::Status& failure);

  const Options options_;
  CacheStore& store_;
  const client::Clock& clock_;
  const boost::asio::any_io_executor executor_;
  Generations generations_;
  mutable std::mutex mutex_;  // of fetches_ and of what the fetches say is under it
  absl::flat_hash_map<std::string, std::shared_ptr<Fetch>> fetches_;  // those that may be joined
  std::atomic<uint64_t> fetches_begun_ = 0;
  std::atomic<uint64_t> refreshes_begun_ = 0;
  std::atomic<uint64_t> abandoned_ = 0;
  std::atomic<uint64_t> fetching_ = 0;
  std::condition_variable idle_;  // told under mutex_ when the last fetch has ended
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_REPLY_CACHE_H_
