#include "tests/simulator/fault_json.h"

#include <limits>
#include <string>

#include "absl/status/status.h"

namespace semaphore::simulator {
namespace {

absl::Status Refused(std::string_view key, std::string_view expected) {
  return absl::InvalidArgumentError("\"" + std::string(key) + "\" must be " +
                                    std::string(expected));
}

absl::Status ReadText(std::string_view key, const boost::json::value& value, std::string& into) {
  if (!value.is_string()) return Refused(key, "a text");
  into = std::string(value.get_string());
  return absl::OkStatus();
}

template <typename Number>
absl::Status ReadNumber(std::string_view key, const boost::json::value& value, int64_t most,
                        Number& into) {
  if (!value.is_int64() || value.get_int64() < 0 || value.get_int64() > most) {
    return Refused(key, "a whole number from 0 to " + std::to_string(most));
  }
  into = static_cast<Number>(value.get_int64());
  return absl::OkStatus();
}

absl::Status ReadMilliseconds(std::string_view key, const boost::json::value& value, int64_t most,
                              absl::Duration& into) {
  int64_t milliseconds = 0;
  absl::Status status = ReadNumber(key, value, most, milliseconds);
  into = absl::Milliseconds(milliseconds);
  return status;
}

absl::Status ReadHeaders(const boost::json::value& value, Headers& into) {
  if (!value.is_object()) return Refused("headers", "an object of texts");
  for (const auto& [name, text] : value.get_object()) {
    const std::string header(name);
    if (!text.is_string()) return Refused("headers", "an object of texts");
    const std::string line(text.get_string());
    if ((header + line).find_first_of("\r\n") != std::string::npos) {
      return Refused("headers", "without line breaks");
    }
    into.emplace_back(header, line);
  }
  return absl::OkStatus();
}

absl::Status ReadField(std::string_view key, const boost::json::value& value, Fault& fault) {
  constexpr int64_t kMaxCount = std::numeric_limits<int>::max();
  if (key == "method") return ReadText(key, value, fault.method);
  if (key == "target_prefix") return ReadText(key, value, fault.target_prefix);
  if (key == "connection") return ReadNumber(key, value, kMaxCount, fault.connection);
  if (key == "skip") return ReadNumber(key, value, kMaxCount, fault.skip);
  if (key == "times") return ReadNumber(key, value, kMaxCount, fault.times);
  if (key == "every") return ReadNumber(key, value, kMaxCount, fault.every);
  if (key == "delay_ms") return ReadMilliseconds(key, value, 3'600'000, fault.delay);
  if (key == "status") {
    absl::Status read = ReadNumber(key, value, 999, fault.status);
    return read.ok() && fault.status < 200 ? Refused(key, "a status from 200 to 999") : read;
  }
  if (key == "headers") return ReadHeaders(value, fault.headers);
  if (key == "body") return ReadText(key, value, fault.body);
  if (key == "piece_bytes") return ReadNumber(key, value, kMaxCount, fault.piece_bytes);
  if (key == "piece_delay_ms") return ReadMilliseconds(key, value, 60'000, fault.piece_delay);
  if (key == "megabytes") return ReadNumber(key, value, 512, fault.megabytes);
  if (key == "depth") return ReadNumber(key, value, 1'000'000, fault.depth);
  if (key == "carry_out") {
    if (!value.is_bool()) return Refused(key, "true or false");
    fault.carry_out = value.get_bool();
    return absl::OkStatus();
  }
  std::string word;
  if (key == "action" || key == "stage") {
    absl::Status read = ReadText(key, value, word);
    if (!read.ok()) return read;
    const auto action = FaultActionFromWord(word);
    const auto stage = FaultStageFromWord(word);
    if (key == "action" ? !action : !stage) return Refused(key, "one of the known words");
    if (key == "action") fault.action = *action;
    if (key == "stage") fault.stage = *stage;
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError("unknown key \"" + std::string(key) + "\"");
}

}  // namespace

absl::StatusOr<Fault> FaultFromJson(const boost::json::value& json) {
  if (!json.is_object()) return absl::InvalidArgumentError("a fault must be a JSON object");
  Fault fault;
  for (const auto& [key, value] : json.get_object()) {
    absl::Status read = ReadField(std::string(key), value, fault);
    if (!read.ok()) return read;
  }
  if (!json.get_object().contains("action")) return Refused("action", "given");
  if (json.get_object().contains("stage") && !StrikesAtStage(fault.action)) {
    return absl::InvalidArgumentError("action \"" + std::string(FaultActionWord(fault.action)) +
                                      "\" has no stage");
  }
  return fault;
}

}  // namespace semaphore::simulator
