#include "client/dns_resolver.h"

#include <gtest/gtest.h>

#include <atomic>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/strand.hpp>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

namespace semaphore::client {
namespace {

namespace asio = boost::asio;
using std::chrono::seconds;
using Answer = absl::StatusOr<DnsResolver::Addresses>;

class ShiftedClock final : public Clock {
 public:
  MonotonicTime Now() const override { return std::chrono::steady_clock::now() + shift_.load(); }
  absl::Time WallNow() const override { return absl::Now(); }
  void Advance(MonotonicDuration by) { shift_ = shift_.load() + by; }

 private:
  std::atomic<MonotonicDuration> shift_ = MonotonicDuration::zero();
};

// A name service that answers when the test says so. Shared with lookup threads that may outlive
// the test.
struct NameService {
  Answer Lookup() {
    std::unique_lock lock(mutex);
    ++lookups;
    changed.notify_all();
    changed.wait(lock, [this] { return open; });
    if (answer.ok()) return *answer;
    return absl::Status(answer.status().code(),
                        answer.status().message());  // not shared by threads
  }
  void SetOpen(bool value) {
    const std::scoped_lock lock(mutex);
    open = value;
    changed.notify_all();
  }
  void AwaitLookups(int count) {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return lookups >= count; });
  }
  int Lookups() {
    const std::scoped_lock lock(mutex);
    return lookups;
  }
  void SetAnswer(Answer value) {
    const std::scoped_lock lock(mutex);
    answer = std::move(value);
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool open = true;
  int lookups = 0;
  Answer answer = absl::UnavailableError("no such name");
};

DnsResolver::Addresses One(const char* address) { return {asio::ip::make_address(address)}; }

class DnsResolverTest : public testing::Test {
 protected:
  ~DnsResolverTest() override { service->SetOpen(true); }

  void Start(const std::shared_ptr<std::optional<Answer>>& out,
             MonotonicDuration patience = seconds(60),
             asio::cancellation_signal* signal = nullptr) {
    auto done = [out](const std::exception_ptr& error, Answer answer) {
      ASSERT_FALSE(error);
      *out = std::move(answer);
    };
    auto call = resolver.Resolve("upstream.test", std::chrono::steady_clock::now() + patience);
    if (signal != nullptr) {
      asio::co_spawn(asio::make_strand(io), std::move(call),
                     asio::bind_cancellation_slot(signal->slot(), done));
    } else {
      asio::co_spawn(asio::make_strand(io), std::move(call), done);
    }
  }

  Answer Resolve(MonotonicDuration patience = seconds(60)) {
    auto out = std::make_shared<std::optional<Answer>>();
    Start(out, patience);
    io.restart();
    io.run();
    return **out;
  }

  ShiftedClock clock;
  std::shared_ptr<NameService> service = std::make_shared<NameService>();
  asio::io_context io{1};
  DnsResolver resolver{clock, DnsResolver::Options{},
                       [service = service](const std::string&) { return service->Lookup(); }};
};

TEST_F(DnsResolverTest, AnswersWithTheAddressesFound) {
  service->SetAnswer(One("192.0.2.1"));
  EXPECT_EQ(Resolve().value(), One("192.0.2.1"));
}

TEST_F(DnsResolverTest, AnswersAnAddressLiteralWithoutALookup) {
  auto answer = std::make_shared<std::optional<Answer>>();
  asio::co_spawn(asio::make_strand(io), resolver.Resolve("2001:db8::1", clock.Now()),
                 [answer](const std::exception_ptr&, const Answer& value) { *answer = value; });
  io.run();
  EXPECT_EQ(answer->value().value(), One("2001:db8::1"));
  EXPECT_EQ(service->Lookups(), 0);
}

TEST_F(DnsResolverTest, SharesOneLookupAmongAllWhoWait) {
  service->SetOpen(false);
  service->SetAnswer(One("192.0.2.1"));
  std::vector<std::shared_ptr<std::optional<Answer>>> answers;
  for (int i = 0; i < 5; ++i) {
    answers.push_back(std::make_shared<std::optional<Answer>>());
    Start(answers.back());
  }
  io.poll();
  service->SetOpen(true);
  io.run();
  for (const auto& answer : answers) EXPECT_EQ(answer->value().value(), One("192.0.2.1"));
  EXPECT_EQ(service->Lookups(), 1);
}

TEST_F(DnsResolverTest, UsesAFreshAnswerWithoutALookup) {
  service->SetAnswer(One("192.0.2.1"));
  Resolve().IgnoreError();
  clock.Advance(seconds(29));
  EXPECT_TRUE(Resolve().ok());
  EXPECT_EQ(service->Lookups(), 1);
}

TEST_F(DnsResolverTest, LooksUpAgainWhenTheAnswerIsNoLongerFresh) {
  service->SetAnswer(One("192.0.2.1"));
  Resolve().IgnoreError();
  clock.Advance(seconds(31));
  service->SetAnswer(One("192.0.2.2"));
  EXPECT_EQ(Resolve().value(), One("192.0.2.2"));
}

TEST_F(DnsResolverTest, SaysWhyALookupFailed) {
  const Answer answer = Resolve();
  EXPECT_EQ(answer.status().code(), absl::StatusCode::kUnavailable);
  EXPECT_EQ(answer.status().message(), "no such name");
}

TEST_F(DnsResolverTest, DoesNotTakeAnEmptyAnswerForAnAnswer) {
  service->SetAnswer(DnsResolver::Addresses());
  EXPECT_EQ(Resolve().status().code(), absl::StatusCode::kUnavailable);
}

TEST_F(DnsResolverTest, FallsBackOnTheLastGoodAddressesWhenALookupFails) {
  service->SetAnswer(One("192.0.2.1"));
  Resolve().IgnoreError();
  clock.Advance(seconds(31));
  service->SetAnswer(absl::UnavailableError("name service down"));
  EXPECT_EQ(Resolve().value(), One("192.0.2.1"));
  EXPECT_EQ(service->Lookups(), 2);
}

TEST_F(DnsResolverTest, DoesNotRepeatAFailedLookupAtOnceWhileItHasAddresses) {
  service->SetAnswer(One("192.0.2.1"));
  Resolve().IgnoreError();
  clock.Advance(seconds(31));
  service->SetAnswer(absl::UnavailableError("name service down"));
  Resolve().IgnoreError();
  EXPECT_TRUE(Resolve().ok());
  EXPECT_EQ(service->Lookups(), 2);
  clock.Advance(seconds(2));
  EXPECT_TRUE(Resolve().ok());
  EXPECT_EQ(service->Lookups(), 3);
}

TEST_F(DnsResolverTest, FallsBackOnTheLastGoodAddressesWhenALookupIsSlow) {
  service->SetAnswer(One("192.0.2.1"));
  Resolve().IgnoreError();
  clock.Advance(seconds(31));
  service->SetOpen(false);
  auto first = std::make_shared<std::optional<Answer>>();
  Start(first);
  io.restart();
  io.poll();
  service->AwaitLookups(2);
  clock.Advance(seconds(2));
  auto second = std::make_shared<std::optional<Answer>>();
  Start(second);
  while (!second->has_value()) io.run_one();
  EXPECT_EQ(second->value().value(), One("192.0.2.1"));
  EXPECT_EQ(service->Lookups(), 2);
  service->SetOpen(true);
  io.run();
  EXPECT_TRUE(first->value().ok());
}

TEST_F(DnsResolverTest, GivesUpAtTheDeadlineOfTheOneWhoWaits) {
  service->SetOpen(false);
  service->SetAnswer(One("192.0.2.1"));
  auto patient = std::make_shared<std::optional<Answer>>();
  auto hasty = std::make_shared<std::optional<Answer>>();
  Start(patient);
  Start(hasty, MonotonicDuration::zero());
  while (!hasty->has_value()) io.run_one();
  EXPECT_EQ(hasty->value().status().code(), absl::StatusCode::kDeadlineExceeded);
  EXPECT_FALSE(patient->has_value());
  service->SetOpen(true);
  io.run();
  EXPECT_TRUE(patient->value().ok());
}

TEST_F(DnsResolverTest, LetsOneWaiterGoWithoutDisturbingTheOthers) {
  service->SetOpen(false);
  service->SetAnswer(One("192.0.2.1"));
  asio::cancellation_signal signal;
  auto staying = std::make_shared<std::optional<Answer>>();
  auto leaving = std::make_shared<std::optional<Answer>>();
  Start(staying);
  Start(leaving, seconds(60), &signal);
  io.poll();
  signal.emit(asio::cancellation_type::terminal);
  io.poll();
  ASSERT_TRUE(leaving->has_value());
  EXPECT_EQ(leaving->value().status().code(), absl::StatusCode::kCancelled);
  service->SetOpen(true);
  io.run();
  EXPECT_TRUE(staying->value().ok());
}

TEST(DnsResolverLifeTest, MayBeDestroyedWhileALookupRuns) {
  auto service = std::make_shared<NameService>();
  service->SetOpen(false);
  SystemClock clock;
  {
    asio::io_context io(1);
    DnsResolver resolver(clock, DnsResolver::Options{},
                         [service](const std::string&) { return service->Lookup(); });
    asio::co_spawn(asio::make_strand(io),
                   resolver.Resolve("upstream.test", clock.Now() + seconds(60)),
                   [](const std::exception_ptr&, const Answer&) {});
    io.poll();
    service->AwaitLookups(1);
  }
  service->SetOpen(true);
}

TEST(DnsResolverLifeTest, BoundsTheNamesItRemembers) {
  SystemClock clock;
  asio::io_context io(1);
  auto service = std::make_shared<NameService>();
  service->SetOpen(false);
  DnsResolver resolver(clock, {.max_hosts = 1},
                       [service](const std::string&) { return service->Lookup(); });
  const auto ignore = [](const std::exception_ptr&, const Answer&) {};
  asio::co_spawn(asio::make_strand(io), resolver.Resolve("a.test", clock.Now() + seconds(60)),
                 ignore);
  auto second = std::make_shared<std::optional<Answer>>();
  asio::co_spawn(asio::make_strand(io), resolver.Resolve("b.test", clock.Now() + seconds(60)),
                 [second](const std::exception_ptr&, const Answer& value) { *second = value; });
  io.poll();
  EXPECT_EQ(second->value().status().code(), absl::StatusCode::kResourceExhausted);
  service->SetOpen(true);
  io.run();
}

TEST(DnsResolverLookupTest, FindsLocalhostInTheSystem) {
  const Answer answer = DnsResolver::SystemLookup("localhost");
  ASSERT_TRUE(answer.ok()) << answer.status();
  for (const auto& address : *answer) EXPECT_TRUE(address.is_loopback());
}

TEST(DnsResolverLookupTest, NamesTheHostThatTheSystemDoesNotKnow) {
  const Answer answer = DnsResolver::SystemLookup("no such host!");
  EXPECT_NE(answer.status().message().find("no such host!"), absl::string_view::npos);
}

}  // namespace
}  // namespace semaphore::client
