// The only code that knows how upstream writes time. Upstream has seven spellings (facts §5, F1 to
// F7) and several ways to say "not yet"; callers get google.protobuf.Timestamp or nothing.
#ifndef SEMAPHORE_CLIENT_TIMESTAMP_H_
#define SEMAPHORE_CLIENT_TIMESTAMP_H_

#include <google/protobuf/timestamp.pb.h>

#include <boost/json/value.hpp>
#include <cstdint>
#include <string_view>

#include "absl/status/statusor.h"

namespace semaphore::client {

// An instant as protobuf keeps it: seconds since 1970, 0 ≤ nanos < 1e9. `present` is false for
// every spelling of "not set": 0, "0", "", null, {"seconds":0,"nanos":0} and 1970-01-01 00:00:00 in
// any form.
struct Instant {
  bool present = false;
  int64_t seconds = 0;
  int32_t nanos = 0;
};

// Reads an instant from any form that upstream uses:
//   {"seconds": 1571063401, "nanos": 559492000}      workflows, list pipelines, promotions
//   "2019-10-14 12:11:47.824128Z"                    describe pipeline
//   "2023-06-01T10:07:36.000000Z"                    deployment targets
//   "1571083003"                                     jobs
//   1668626650                                       agents, logs
// Fractions beyond nanoseconds are cut; offsets like +02:00 are honoured. INVALID_ARGUMENT for
// anything else, dates that do not exist, and years outside 1 to 9999.
absl::StatusOr<Instant> ParseInstant(const boost::json::value& value);
absl::StatusOr<Instant> ParseInstantText(std::string_view text);

// Whole seconds since 1970 at or before (floor) or at or after (ceiling) the instant; what filters
// are sent as.
int64_t FloorSeconds(const google::protobuf::Timestamp& time);
int64_t CeilingSeconds(const google::protobuf::Timestamp& time);

// Whether the message is a valid Timestamp: years 1 to 9999, nanos in range.
bool IsValid(const google::protobuf::Timestamp& time);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_TIMESTAMP_H_
