// Job logs: upstream's {"events": […]} decoded by SAX straight into the wire bytes of
// semaphore.v1.JobLogEvent, chunk by chunk as it arrives. A DOM of a 50 MB log would cost six times
// its size; this costs the events and an index.
#ifndef SEMAPHORE_CLIENT_JOB_LOG_H_
#define SEMAPHORE_CLIENT_JOB_LOG_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/decoder.h"

namespace semaphore::client {

// The events of one log, each kept as an encoded `events` field of semaphore.v1.JobLog. Immutable
// once it is shared.
class JobLogEvents {
 public:
  // `record` is one encoded field.
  void Append(std::string_view record);

  size_t size() const { return index_.size(); }
  size_t bytes() const;  // held in memory, index included

  // Encoded events from `first`, at most `max_events` and `max_bytes` (but always one if there is
  // one), as they stand in an encoded JobLog. Sets `end` to the index behind the last.
  std::string Page(size_t first, size_t max_events, size_t max_bytes, size_t& end) const;

  // Whether nothing more will come: the job is finished, or upstream said so.
  bool complete() const { return complete_; }
  void set_complete() { complete_ = true; }

 private:
  struct Place {
    uint32_t block;
    uint32_t offset;
    uint32_t size;
  };

  // Blocks of about 1 MiB, so that growing never copies what is there.
  std::vector<std::string> blocks_;
  std::vector<Place> index_;
  size_t block_bytes_ = 0;
  bool complete_ = false;
};

// Reads the JSON document in pieces of any size.
class JobLogParser {
 public:
  JobLogParser();
  ~JobLogParser();
  JobLogParser(const JobLogParser&) = delete;
  JobLogParser& operator=(const JobLogParser&) = delete;

  // UPSTREAM_MALFORMED_RESPONSE as soon as the text cannot be a log.
  absl::Status Write(std::string_view chunk);

  // Ends the document; UPSTREAM_MALFORMED_RESPONSE if it is not whole.
  absl::StatusOr<std::shared_ptr<const JobLogEvents>> Finish();

  const Drift& drift() const;

 private:
  class Handler;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_JOB_LOG_H_
