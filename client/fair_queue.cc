#include "client/fair_queue.h"

#include <algorithm>
#include <cmath>

namespace semaphore::client {

void FairQueue::Push(Id id, const Turn& turn) {
  const auto priority = static_cast<size_t>(turn.priority);
  Class& row = classes_[priority];
  // Having been idle earns nothing.
  if (row.waiting == 0) row.served_until = std::max(row.served_until, now_);
  auto known = row.by_name.find(turn.caller);
  if (known == row.by_name.end()) {
    row.rotation.push_back({.name = turn.caller, .calls = {}});
    known = row.by_name.emplace(turn.caller, std::prev(row.rotation.end())).first;
  }
  known->second->calls.emplace(id, true);
  ++row.waiting;
  places_.emplace(id, Place{priority, known->second});
}

std::optional<FairQueue::Id> FairQueue::Pop() {
  Class* next = nullptr;
  for (Class& row : classes_) {
    // Of equals the more urgent, which stands first.
    if (row.waiting > 0 && (next == nullptr || row.served_until < next->served_until)) next = &row;
  }
  if (next == nullptr) return std::nullopt;
  const auto priority = static_cast<size_t>(next - classes_.data());
  now_ = next->served_until;
  next->served_until += 1.0 / kShares[priority];
  const auto caller = next->rotation.begin();
  next->rotation.splice(next->rotation.end(), next->rotation, caller);
  const Id id = caller->calls.begin()->first;
  Take(id, places_.at(id));
  return id;
}

bool FairQueue::Remove(Id id) {
  const auto found = places_.find(id);
  if (found == places_.end()) return false;
  Take(id, found->second);
  return true;
}

void FairQueue::Take(Id id, const Place& place) {
  Class& row = classes_[place.priority];
  const auto caller = place.caller;
  caller->calls.erase(id);
  --row.waiting;
  if (caller->calls.empty()) {
    row.by_name.erase(caller->name);
    row.rotation.erase(caller);
  }
  places_.erase(id);
}

size_t FairQueue::TurnsBefore(const Turn& turn) const {
  const auto priority = static_cast<size_t>(turn.priority);
  const Class& own = classes_[priority];
  const auto known = own.by_name.find(turn.caller);
  const size_t rounds = known == own.by_name.end() ? 0 : known->second->calls.size();
  size_t turns = 0;
  size_t more = 1;  // those who stand before the caller are served once more; a new one stands last
  for (const Caller& caller : own.rotation) {
    if (known != own.by_name.end() && &caller == &*known->second) more = 0;
    turns += std::min(caller.calls.size(), rounds + more);
  }
  const double served_by_then =
      (own.waiting == 0 ? std::max(own.served_until, now_) : own.served_until) +
      static_cast<double>(turns) / kShares[priority];
  size_t all = turns;
  for (size_t other = 0; other < kPriorities; ++other) {
    const Class& row = classes_[other];
    if (other == priority || row.waiting == 0) continue;
    const double due = (served_by_then - row.served_until) * kShares[other];
    const double rounded = other < priority ? std::floor(due) + 1 : std::ceil(due);
    all += std::min(row.waiting, static_cast<size_t>(std::max(0.0, rounded)));
  }
  return all;
}

size_t FairQueue::waiting(Priority priority) const {
  return classes_[static_cast<size_t>(priority)].waiting;
}

}  // namespace semaphore::client
