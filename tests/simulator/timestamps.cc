#include "tests/simulator/timestamps.h"

#include <boost/json/object.hpp>
#include <string>

namespace semaphore::simulator {

boost::json::value SecondsAndNanos(const std::optional<absl::Time>& time) {
  const int64_t micros = absl::ToUnixMicros(time.value_or(absl::UnixEpoch()));
  return boost::json::object{{"seconds", micros / 1'000'000},
                             {"nanos", micros % 1'000'000 * 1'000}};
}

boost::json::value IsoText(const std::optional<absl::Time>& time) {
  if (!time) return boost::json::string();
  const std::string text =
      absl::FormatTime("%Y-%m-%dT%H:%M:%S.000000Z", *time, absl::UTCTimeZone());
  return boost::json::string(text);
}

boost::json::value SpacedText(const std::optional<absl::Time>& time) {
  const std::string text = absl::FormatTime("%Y-%m-%d %H:%M:%E6SZ",
                                            time.value_or(absl::UnixEpoch()), absl::UTCTimeZone());
  return boost::json::string(text);
}

}  // namespace semaphore::simulator
