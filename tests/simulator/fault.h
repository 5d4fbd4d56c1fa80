// What can be made to go wrong, and the script that decides when: each fault says which connections
// or requests it is for, how many of them it lets pass first and how often it strikes. The script
// only decides; connection.cc carries out.
#ifndef SEMAPHORE_TESTS_SIMULATOR_FAULT_H_
#define SEMAPHORE_TESTS_SIMULATOR_FAULT_H_

#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "absl/time/time.h"
#include "tests/simulator/http_message.h"

namespace semaphore::simulator {

enum class FaultAction {
  kAnswer,           // `status`, `headers` and `body` instead of the true reply
  kDelay,            // `delay`, then go on as if nothing was
  kHold,             // wait for Simulator::ReleaseHeld(), then go on as if nothing was
  kSilence,          // say nothing more, keep the connection open until the client goes away
  kClose,            // end of the TCP stream, without TLS's close_notify
  kTlsClose,         // close_notify, then end of the stream: the orderly way
  kReset,            // TCP reset
  kSlowBody,         // the true reply, its body `piece_bytes` at a time with `piece_delay` between
  kHugeBody,         // a JSON body of `megabytes` MiB
  kDeepBody,         // a JSON body of `depth` nested arrays
  kChunkedBody,      // the true reply, its body chunked
  kTruncatedChunks,  // the true reply chunked, cut off before the last chunk
};

// Where kDelay, kHold, kSilence, kClose, kTlsClose and kReset strike. Each earlier stage has not
// been done yet. The request is carried out from kBeforeReply on, and only then.
enum class FaultStage {
  kAccept,       // TCP is up, not a byte of TLS was read
  kHandshake,    // after the ClientHello
  kRequest,      // after the request's header, before its body
  kBeforeReply,  // the whole request was carried out, nothing was answered
  kStatusLine,   // half of the status line was sent
  kHead,         // half of the status line and headers was sent
  kBody,         // all headers and half of the body were sent, Content-Length as for the whole
  kAfterReply,   // the whole reply was sent, without `connection: close`
};

struct Fault {
  // Which requests it is for. At the stages kAccept and kHandshake nothing is known but the
  // connection.
  std::string method = {};         // empty: any
  std::string target_prefix = {};  // of path and query: "/api/v1alpha/pipelines?"; empty: any
  uint64_t connection = 0;         // only on this connection, counted from 1; 0: any
  int skip = 0;                    // the first that many matching ones pass
  int times = 0;                   // strikes that often; 0: for ever
  int every = 1;                   // 10: of those not skipped the tenth, the twentieth, …

  FaultAction action = FaultAction::kAnswer;
  FaultStage stage = FaultStage::kBeforeReply;
  absl::Duration delay = absl::ZeroDuration();  // before any action; at most an hour

  int status = 500;
  Headers headers = {};
  std::string body = {};
  bool carry_out = false;  // kAnswer, kHugeBody, kDeepBody: carry out the request all the same

  size_t piece_bytes = 1;
  absl::Duration piece_delay = absl::Milliseconds(1);  // at most a minute
  size_t megabytes = 1;                                // at most 512
  size_t depth = 1;                                    // at most 1000000
};

// The words used in JSON and in the ledger: "answer", "before_reply".
std::string_view FaultActionWord(FaultAction action);
std::string_view FaultStageWord(FaultStage stage);
std::optional<FaultAction> FaultActionFromWord(std::string_view word);
std::optional<FaultStage> FaultStageFromWord(std::string_view word);

bool IsConnectionStage(FaultStage stage);
// False for the actions that change the reply itself, for which `stage` means nothing.
bool StrikesAtStage(FaultAction action);

// Thread-safe.
class FaultScript {
 public:
  static constexpr size_t kMaxFaults = 1000;

  // Later faults strike only where no earlier one does. Amounts beyond their bounds are cut to
  // them, and a stage where the action has none is forgotten. False when the script is full.
  bool Add(Fault fault);
  void Clear();

  // The fault that strikes now, if any. Every fault for it counts it, whichever strikes.
  std::optional<Fault> TakeForConnection(uint64_t connection, FaultStage stage);
  std::optional<Fault> TakeForRequest(std::string_view method, std::string_view target,
                                      uint64_t connection);

 private:
  struct Entry {
    Fault fault;
    int64_t seen = 0;
    int64_t struck = 0;
  };
  // True when the fault counted this one and has its turn. `mutex_` is held.
  static bool Strikes(Entry& entry);

  std::mutex mutex_;
  std::vector<Entry> entries_;  // under mutex_
};

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_FAULT_H_
