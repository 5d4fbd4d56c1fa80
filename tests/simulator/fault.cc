#include "tests/simulator/fault.h"

#include <algorithm>
#include <array>
#include <utility>

namespace semaphore::simulator {
namespace {

constexpr std::array<std::string_view, 12> kActionWords = {
    "answer", "delay",     "hold",      "silence",   "close",        "tls_close",
    "reset",  "slow_body", "huge_body", "deep_body", "chunked_body", "truncated_chunks"};
constexpr std::array<std::string_view, 8> kStageWords = {
    "accept", "handshake", "request", "before_reply", "status_line", "head", "body", "after_reply"};

template <typename Enum, size_t size>
std::optional<Enum> FromWord(const std::array<std::string_view, size>& words,
                             std::string_view word) {
  const auto found = std::find(words.begin(), words.end(), word);
  if (found == words.end()) return std::nullopt;
  return static_cast<Enum>(found - words.begin());
}

}  // namespace

std::string_view FaultActionWord(FaultAction action) {
  return kActionWords[static_cast<size_t>(action)];
}

std::string_view FaultStageWord(FaultStage stage) {
  return kStageWords[static_cast<size_t>(stage)];
}

std::optional<FaultAction> FaultActionFromWord(std::string_view word) {
  return FromWord<FaultAction>(kActionWords, word);
}

std::optional<FaultStage> FaultStageFromWord(std::string_view word) {
  return FromWord<FaultStage>(kStageWords, word);
}

bool IsConnectionStage(FaultStage stage) {
  return stage == FaultStage::kAccept || stage == FaultStage::kHandshake;
}

bool StrikesAtStage(FaultAction action) {
  switch (action) {
    case FaultAction::kDelay:
    case FaultAction::kHold:
    case FaultAction::kSilence:
    case FaultAction::kClose:
    case FaultAction::kTlsClose:
    case FaultAction::kReset:
      return true;
    default:
      return false;
  }
}

bool FaultScript::Add(Fault fault) {
  if (!StrikesAtStage(fault.action)) fault.stage = FaultStage::kBeforeReply;
  fault.every = std::max(fault.every, 1);
  fault.delay = std::clamp(fault.delay, absl::ZeroDuration(), absl::Hours(1));
  fault.piece_delay = std::clamp(fault.piece_delay, absl::ZeroDuration(), absl::Minutes(1));
  fault.piece_bytes = std::max<size_t>(fault.piece_bytes, 1);
  fault.megabytes = std::min<size_t>(fault.megabytes, 512);
  fault.depth = std::min<size_t>(fault.depth, 1'000'000);
  const std::lock_guard<std::mutex> lock(mutex_);
  if (entries_.size() >= kMaxFaults) return false;
  entries_.push_back({.fault = std::move(fault)});
  return true;
}

void FaultScript::Clear() {
  const std::lock_guard<std::mutex> lock(mutex_);
  entries_.clear();
}

bool FaultScript::Strikes(Entry& entry) {
  entry.seen++;
  return entry.seen > entry.fault.skip &&
         (entry.seen - entry.fault.skip) % entry.fault.every == 0 &&
         (entry.fault.times == 0 || entry.struck < entry.fault.times);
}

std::optional<Fault> FaultScript::TakeForConnection(uint64_t connection, FaultStage stage) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Entry* taken = nullptr;
  for (Entry& entry : entries_) {
    if (entry.fault.stage != stage) continue;
    if (entry.fault.connection != 0 && entry.fault.connection != connection) continue;
    if (Strikes(entry) && taken == nullptr) taken = &entry;
  }
  if (taken == nullptr) return std::nullopt;
  taken->struck++;
  return taken->fault;
}

std::optional<Fault> FaultScript::TakeForRequest(std::string_view method, std::string_view target,
                                                 uint64_t connection) {
  const std::lock_guard<std::mutex> lock(mutex_);
  Entry* taken = nullptr;
  for (Entry& entry : entries_) {
    const Fault& fault = entry.fault;
    if (IsConnectionStage(fault.stage)) continue;
    if (fault.connection != 0 && fault.connection != connection) continue;
    if (!fault.method.empty() && fault.method != method) continue;
    if (!target.starts_with(fault.target_prefix)) continue;
    if (Strikes(entry) && taken == nullptr) taken = &entry;
  }
  if (taken == nullptr) return std::nullopt;
  taken->struck++;
  return taken->fault;
}

}  // namespace semaphore::simulator
