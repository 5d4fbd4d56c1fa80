#include "client/timestamp.h"

#include <charconv>
#include <chrono>
#include <cmath>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "client/quote.h"
#include "client/string_view.h"

namespace semaphore::client {
namespace {

constexpr int64_t kMinSeconds = -62135596800;  // 0001-01-01T00:00:00Z
constexpr int64_t kMaxSeconds = 253402300799;  // 9999-12-31T23:59:59Z
constexpr int32_t kNanosPerSecond = 1000000000;

absl::Status NotATime(std::string_view what) {
  return absl::InvalidArgumentError(absl::StrCat("not a time: ", Quote(what)));
}

absl::StatusOr<Instant> FromParts(int64_t seconds, int64_t nanos) {
  if (seconds < kMinSeconds || seconds > kMaxSeconds || nanos < 0 || nanos >= kNanosPerSecond) {
    return absl::InvalidArgumentError(
        absl::StrCat("time out of range: ", seconds, " s, ", nanos, " ns"));
  }
  return Instant{seconds != 0 || nanos != 0, seconds, static_cast<int32_t>(nanos)};
}

// Takes exactly `count` digits off the front.
std::optional<int> TakeDigits(std::string_view& text, size_t count) {
  if (text.size() < count) return std::nullopt;
  int number = 0;
  for (size_t i = 0; i < count; ++i) {
    if (text[i] < '0' || text[i] > '9') return std::nullopt;
    number = number * 10 + (text[i] - '0');
  }
  text.remove_prefix(count);
  return number;
}

bool TakeChar(std::string_view& text, char expected) {
  if (text.empty() || text.front() != expected) return false;
  text.remove_prefix(1);
  return true;
}

// ".824128" gives 824128000; digits beyond nanoseconds are cut. nullopt for a point without digits.
std::optional<int32_t> TakeFraction(std::string_view& text) {
  if (!TakeChar(text, '.')) return 0;
  int32_t nanos = 0;
  int digits = 0;
  while (!text.empty() && text.front() >= '0' && text.front() <= '9') {
    if (digits < 9) nanos = nanos * 10 + (text.front() - '0');
    ++digits;
    text.remove_prefix(1);
  }
  if (digits == 0) return std::nullopt;
  for (; digits < 9; ++digits) nanos *= 10;
  return nanos;
}

// "Z" gives 0, "+02:00" gives 7200; nullopt for anything else.
std::optional<int> TakeOffset(std::string_view& text) {
  if (TakeChar(text, 'Z') || TakeChar(text, 'z')) return 0;
  int sign = 0;
  if (TakeChar(text, '+')) {
    sign = 1;
  } else if (TakeChar(text, '-')) {
    sign = -1;
  } else {
    return std::nullopt;
  }
  const std::optional<int> hours = TakeDigits(text, 2);
  if (!hours || *hours > 23 || !TakeChar(text, ':')) return std::nullopt;
  const std::optional<int> minutes = TakeDigits(text, 2);
  if (!minutes || *minutes > 59) return std::nullopt;
  return sign * (*hours * 3600 + *minutes * 60);
}

// "2019-10-14" and a separator.
std::optional<std::chrono::sys_days> TakeDate(std::string_view& text) {
  const std::optional<int> year = TakeDigits(text, 4);
  if (!year || *year == 0 || !TakeChar(text, '-')) return std::nullopt;
  const std::optional<int> month = TakeDigits(text, 2);
  if (!month || !TakeChar(text, '-')) return std::nullopt;
  const std::optional<int> day = TakeDigits(text, 2);
  if (!day) return std::nullopt;
  const std::chrono::year_month_day date{std::chrono::year(*year),
                                         std::chrono::month(static_cast<unsigned>(*month)),
                                         std::chrono::day(static_cast<unsigned>(*day))};
  if (!date.ok()) return std::nullopt;
  if (!TakeChar(text, ' ') && !TakeChar(text, 'T') && !TakeChar(text, 't')) return std::nullopt;
  return std::chrono::sys_days(date);
}

// "12:11:47" as seconds of the day.
std::optional<int> TakeTimeOfDay(std::string_view& text) {
  const std::optional<int> hour = TakeDigits(text, 2);
  if (!hour || *hour > 23 || !TakeChar(text, ':')) return std::nullopt;
  const std::optional<int> minute = TakeDigits(text, 2);
  if (!minute || *minute > 59 || !TakeChar(text, ':')) return std::nullopt;
  const std::optional<int> second = TakeDigits(text, 2);
  if (!second || *second > 59) return std::nullopt;
  return *hour * 3600 + *minute * 60 + *second;
}

absl::StatusOr<Instant> FromCalendar(std::string_view whole) {
  std::string_view text = whole;
  const std::optional<std::chrono::sys_days> date = TakeDate(text);
  if (!date) return NotATime(whole);
  const std::optional<int> time_of_day = TakeTimeOfDay(text);
  if (!time_of_day) return NotATime(whole);
  const std::optional<int32_t> nanos = TakeFraction(text);
  if (!nanos) return NotATime(whole);
  const std::optional<int> offset = TakeOffset(text);
  if (!offset || !text.empty()) return NotATime(whole);
  const int64_t days = date->time_since_epoch().count();
  return FromParts(days * 86400 + *time_of_day - *offset, *nanos);
}

absl::StatusOr<int64_t> IntegerMember(const boost::json::object& object, std::string_view key) {
  const boost::json::value* member = object.if_contains(key);
  if (member == nullptr || member->is_null()) return 0;
  if (const int64_t* number = member->if_int64()) return *number;
  if (const boost::json::string* text = member->if_string()) {
    int64_t number = 0;
    const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (error == std::errc() && end == text->data() + text->size()) return number;
  }
  return absl::InvalidArgumentError(
      absl::StrCat("not a time: \"", ToAbsl(key), "\" is not an integer"));
}

absl::StatusOr<Instant> FromDouble(double seconds) {
  if (!(seconds >= static_cast<double>(kMinSeconds) &&
        seconds <= static_cast<double>(kMaxSeconds))) {
    return absl::InvalidArgumentError("time out of range");
  }
  const double whole = std::floor(seconds);
  const int64_t nanos =
      std::min<int64_t>(std::llround((seconds - whole) * 1e9), kNanosPerSecond - 1);
  return FromParts(static_cast<int64_t>(whole), nanos);
}

}  // namespace

absl::StatusOr<Instant> ParseInstantText(std::string_view text) {
  if (text.empty()) return Instant{};
  int64_t seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  if (end == text.data() + text.size()) {
    if (error == std::errc()) return FromParts(seconds, 0);
    return NotATime(text);
  }
  return FromCalendar(text);
}

absl::StatusOr<Instant> ParseInstant(const boost::json::value& value) {
  switch (value.kind()) {
    case boost::json::kind::null:
      return Instant{};
    case boost::json::kind::int64:
      return FromParts(value.get_int64(), 0);
    case boost::json::kind::double_:
      return FromDouble(value.get_double());
    case boost::json::kind::string: {
      const boost::json::string& text = value.get_string();
      return ParseInstantText(std::string_view(text.data(), text.size()));
    }
    case boost::json::kind::object: {
      const boost::json::object& object = value.get_object();
      const absl::StatusOr<int64_t> seconds = IntegerMember(object, "seconds");
      if (!seconds.ok()) return seconds.status();
      const absl::StatusOr<int64_t> nanos = IntegerMember(object, "nanos");
      if (!nanos.ok()) return nanos.status();
      return FromParts(*seconds, *nanos);
    }
    default:
      return absl::InvalidArgumentError(
          "not a time: expected a string, a number or {seconds, nanos}");
  }
}

int64_t FloorSeconds(const google::protobuf::Timestamp& time) { return time.seconds(); }

int64_t CeilingSeconds(const google::protobuf::Timestamp& time) {
  return time.seconds() + (time.nanos() > 0 ? 1 : 0);
}

bool IsValid(const google::protobuf::Timestamp& time) {
  return time.seconds() >= kMinSeconds && time.seconds() <= kMaxSeconds && time.nanos() >= 0 &&
         time.nanos() < kNanosPerSecond;
}

}  // namespace semaphore::client
