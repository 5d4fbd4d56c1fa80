// Whose turn it is among those who wait for upstream: classes by weight, callers within a class in
// rotation, calls of one caller in order of arrival. So people are served while batch work waits,
// every class keeps its share, and one greedy caller delays itself. Pure bookkeeping.
#ifndef SEMAPHORE_CLIENT_FAIR_QUEUE_H_
#define SEMAPHORE_CLIENT_FAIR_QUEUE_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <list>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

namespace semaphore::client {

enum class Priority { kInteractive, kBatch, kCollector };
constexpr size_t kPriorities = 3;

// What each class gets of a hundred turns while all of them wait; what one leaves goes to the
// others by the same measure.
constexpr std::array<int, kPriorities> kShares = {70, 20, 10};

// Who asks.
struct Turn {
  Priority priority = Priority::kInteractive;
  std::string caller = {};  // name or address; the one that callers of a class take turns by
};

class FairQueue {
 public:
  using Id = uint64_t;

  // `id` must be larger than any before.
  void Push(Id id, const Turn& turn);

  // The next one; nothing when nobody waits.
  std::optional<Id> Pop();

  // False when it does not wait (any more).
  bool Remove(Id id);

  // Turns that would be taken before a newcomer's, if nobody else came.
  size_t TurnsBefore(const Turn& turn) const;

  size_t size() const { return places_.size(); }
  size_t waiting(Priority priority) const;

 private:
  struct Caller {
    std::string name;
    std::map<Id, bool> calls;  // ids grow, so the first came first
  };
  struct Class {
    std::list<Caller> rotation;  // the front one is next
    std::unordered_map<std::string, std::list<Caller>::iterator> by_name;
    size_t waiting = 0;
    double served_until = 0;  // virtual time: its turns so far, divided by its share
  };
  struct Place {
    size_t priority;
    std::list<Caller>::iterator caller;
  };

  // Takes the call out, and its caller when that was the last one.
  void Take(Id id, const Place& place);

  std::array<Class, kPriorities> classes_;
  std::unordered_map<Id, Place> places_;
  double now_ = 0;  // virtual time of the last turn
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_FAIR_QUEUE_H_
