// How often upstream may be asked: a token bucket in the form of GCRA (one stored time, no
// background refill). Pure; the waiting is in budget.cc.
#ifndef SEMAPHORE_CLIENT_TOKEN_BUCKET_H_
#define SEMAPHORE_CLIENT_TOKEN_BUCKET_H_

#include <optional>

#include "client/clock.h"

namespace semaphore::client {

class TokenBucket {
 public:
  // `rate` tokens a second (above 0), at most `burst` (at least 1) at once.
  TokenBucket(double rate, int burst);

  struct Verdict {
    bool admitted = false;
    MonotonicTime at;               // admitted: go at this time, which may be now
    MonotonicDuration retry_after;  // refused: a token would be free after this long
  };

  // Takes a token that is free at `latest` at the latest, or none.
  Verdict Reserve(MonotonicTime now, MonotonicTime latest);

  // Gives back a reservation whose time has not come. Only the newest can be given back without
  // letting two others collide; an older one is lost to its time, which errs on upstream's side.
  void Cancel(const Verdict& reservation);

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
