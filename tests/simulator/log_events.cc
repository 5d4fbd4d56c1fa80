#include "tests/simulator/log_events.h"

#include <algorithm>
#include <array>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <utility>

#include "absl/strings/ascii.h"

namespace semaphore::simulator {
namespace {

constexpr int64_t kMaxOutputPieces = 10'000;

std::string Event(const char* kind, int64_t time, const boost::json::object& fields = {}) {
  boost::json::object event{{"event", kind}, {"timestamp", time}};
  for (const auto& [name, value] : fields) event[name] = value;
  return boost::json::serialize(event);
}

std::string OutputAt(int64_t second) {
  constexpr std::array<const char*, 5> kPieces = {
      "Running test suite\r\n", "\x1b[32m.\x1b[0m", "3 examples, 0 fai", "lures\r\n",
      "Downloading \xe2\x9c\x93 42%\rDownloading \xe2\x9c\x93 100%\n"};
  return kPieces[static_cast<size_t>(second) % kPieces.size()];
}

// The first lines of every log, all at the moment the job started.
std::vector<std::string> FirstEvents(int64_t start) {
  const char* const export_directive = "Exporting environment variables";
  return {Event("job_started", start),
          Event("cmd_started", start, {{"directive", export_directive}}),
          Event("cmd_output", start, {{"output", "Exporting CI\n"}}),
          Event("cmd_finished", start,
                {{"directive", export_directive},
                 {"exit_code", 0},
                 {"started_at", start},
                 {"finished_at", start}}),
          Event("cmd_started", start, {{"directive", "make test"}})};
}

std::vector<std::string> LastEvents(int64_t start, int64_t end, const std::string& result) {
  return {Event("cmd_finished", end,
                {{"directive", "make test"},
                 {"exit_code", result == "passed" ? 0 : 1},
                 {"started_at", start},
                 {"finished_at", end}}),
          Event("job_finished", end, {{"result", result}})};
}

}  // namespace

JobLogText LogOf(const Job& job, absl::Time now) {
  const JobProgress progress = job.ProgressAt(now);
  const int64_t start = absl::ToUnixSeconds(progress.started_at.value_or(now));
  const int64_t end = absl::ToUnixSeconds(progress.finished_at.value_or(now));
  JobLogText log{.events = FirstEvents(start), .final = progress.finished_at.has_value()};
  const int64_t pieces = std::clamp<int64_t>(end - start, 0, kMaxOutputPieces);
  for (int64_t second = 0; second < pieces; second++) {
    log.events.push_back(Event("cmd_output", start + second, {{"output", OutputAt(second)}}));
  }
  if (log.final) {
    const std::string result = absl::AsciiStrToLower(std::string(progress.result));
    for (std::string& event : LastEvents(start, end, result)) {
      log.events.push_back(std::move(event));
    }
  }
  return log;
}

std::string HugeLogBody(const Job& job, absl::Time now, size_t bytes) {
  const JobProgress progress = job.ProgressAt(now);
  const int64_t start = absl::ToUnixSeconds(progress.started_at.value_or(now));
  const int64_t end = absl::ToUnixSeconds(progress.finished_at.value_or(now));
  std::string tail;
  for (const std::string& event : LastEvents(start, end, "passed")) tail += "," + event;
  tail += "]}";

  std::string body;
  body.reserve(bytes);
  body = "{\"events\":[";
  for (const std::string& event : FirstEvents(start)) body += event + ",";
  // What an event of output costs beside its text and the comma before it.
  const size_t frame = Event("cmd_output", start, {{"output", ""}}).size();
  constexpr size_t kTextBytes = 1000;
  for (;;) {
    const size_t left = bytes - std::min(bytes, body.size() + tail.size());
    // The last piece takes what is left, so that no remainder is too small for an event of its own.
    const bool last = left < 2 * (frame + kTextBytes);
    const size_t text_bytes = last ? left - std::min(left, frame) : kTextBytes;
    body += Event("cmd_output", start, {{"output", std::string(text_bytes, 'x')}});
    if (last) break;
    body += ",";
  }
  return body + tail;
}

}  // namespace semaphore::simulator
