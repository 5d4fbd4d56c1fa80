// What the simulator saw: every request, how many connections there are and were, how many replies
// are held. Tests read it to assert what a client sent, and wait on it instead of sleeping. It
// never holds the API token's text.
#ifndef SEMAPHORE_TESTS_SIMULATOR_LEDGER_H_
#define SEMAPHORE_TESTS_SIMULATOR_LEDGER_H_

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "tests/simulator/http_message.h"

namespace semaphore::simulator {

enum class Authorization { kNone, kRight, kWrong };

struct RecordedRequest {
  uint64_t number = 0;      // counted from 1
  uint64_t connection = 0;  // counted from 1
  bool tls_session_resumed = false;
  std::string method;
  std::string target;
  Headers headers;  // lower case names; the value of Authorization is "right" or "wrong"
  Authorization authorization = Authorization::kNone;
  std::string body;
  bool complete = true;  // false: a fault stopped the reading before the body
  std::string fault;     // the word of the fault that struck it; empty: none
};

// Thread-safe.
class Ledger {
 public:
  // The oldest requests are forgotten beyond either bound.
  static constexpr size_t kMaxRequests = 10'000;
  static constexpr size_t kMaxBytes = 64 << 20;

  // Numbers the request.
  void Record(RecordedRequest request);
  uint64_t ConnectionOpened();  // its number
  void ConnectionClosed();
  void HoldStarted();
  void HoldEnded();

  std::vector<RecordedRequest> Requests() const;
  uint64_t forgotten_requests() const;
  uint64_t last_request_number() const;  // 0: none since the last Clear
  uint64_t total_connections() const;
  uint64_t open_connections() const;
  uint64_t held() const;

  // Forgets the requests and starts their numbers again at 1; connections stay counted.
  void Clear();

  // Blocks until `condition` holds, asking again after everything that is noted here; false when it
  // does not within `limit` of real time. `condition` may call anything of this class.
  bool WaitUntil(const std::function<bool()>& condition, absl::Duration limit) const;

 private:
  void NoteChange();  // mutex_ is held

  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  // All under mutex_.
  std::deque<RecordedRequest> requests_;
  size_t bytes_ = 0;
  uint64_t last_number_ = 0;
  uint64_t forgotten_ = 0;
  uint64_t total_connections_ = 0;
  uint64_t open_connections_ = 0;
  uint64_t held_ = 0;
  uint64_t changes_ = 0;
};

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_LEDGER_H_
