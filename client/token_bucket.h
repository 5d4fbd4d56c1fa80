// How often upstream may be asked: a token bucket in the form of GCRA (one stored time, no
// background refill). Pure; the waiting is in local_budget.cc.
#ifndef SEMAPHORE_CLIENT_TOKEN_BUCKET_H_
#define SEMAPHORE_CLIENT_TOKEN_BUCKET_H_

#include <optional>

#include "client/clock.h"

namespace semaphore::client {

class TokenBucket {
 public:
  // `rate` tokens a second (above 0), at most `burst` (at least 1) at once.
  TokenBucket(double rate, int burst);

  // Takes a token, or tells in how long one will be free. In any window of time at most the highest
  // rate times its length plus burst are taken.
  std::optional<MonotonicDuration> Take(MonotonicTime now);

  // From now on `rate` tokens a second. Tokens held and tokens owed keep their number.
  void SetRate(MonotonicTime now, double rate);

  // Throws the tokens held away: the next one is free after one token's time.
  void Drain(MonotonicTime now);

  // Tokens free now, at most burst.
  double Available(MonotonicTime now) const;

 private:
  MonotonicDuration interval_;         // one token's worth of time
  MonotonicDuration tolerance_;        // how far `next_` may lie ahead: (burst - 1) intervals
  std::optional<MonotonicTime> next_;  // theoretical arrival time of the next token
  int burst_;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_TOKEN_BUCKET_H_
