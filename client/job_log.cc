#include "client/job_log.h"

#include <google/protobuf/timestamp.pb.h>

#include <algorithm>
#include <boost/json/basic_parser_impl.hpp>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "client/error.h"
#include "client/quote.h"
#include "client/string_view.h"
#include "client/timestamp.h"
#include "client/wire_plan.h"
#include "semaphore/v1/job.pb.h"

namespace semaphore::client {
namespace {

namespace json = boost::json;

constexpr size_t kBlockBytes = 1 << 20;
constexpr size_t kMaxOutputBytes = 1 << 20;  // a longer output becomes several events
constexpr size_t kMaxEvents = 5000000;
constexpr size_t kMaxDepth = 16;

// The keys of an event; anything else is counted and dropped.
enum class Key {
  kUnknown,
  kEvent,
  kTimestamp,
  kDirective,
  kOutput,
  kExitCode,
  kStartedAt,
  kFinishedAt,
  kResult
};

Key KeyOf(std::string_view name) {
  if (name == "event") return Key::kEvent;
  if (name == "timestamp") return Key::kTimestamp;
  if (name == "directive") return Key::kDirective;
  if (name == "output") return Key::kOutput;
  if (name == "exit_code") return Key::kExitCode;
  if (name == "started_at") return Key::kStartedAt;
  if (name == "finished_at") return Key::kFinishedAt;
  if (name == "result") return Key::kResult;
  return Key::kUnknown;
}

absl::Status Malformed(absl::string_view what) {
  return MakeError(Reason::kUpstreamMalformedResponse,
                   absl::StrCat("Semaphore's job log is malformed: ", what));
}

// The words of the two enums in an event; built once per parser, which lives as long as a download.
struct Words {
  std::unique_ptr<EnumPlan> kinds = *EnumPlan::Build(v1::JobLogEventKind_descriptor());
  std::unique_ptr<EnumPlan> results = *EnumPlan::Build(v1::JobResult_descriptor());
};

// The prefix of `text` of at most kMaxOutputBytes that ends on a character border.
std::string_view TakePiece(std::string_view& text) {
  const std::string_view piece = Utf8Prefix(text, kMaxOutputBytes);
  text.remove_prefix(piece.size());
  return piece;
}

}  // namespace

void JobLogEvents::Append(std::string_view record) {
  if (blocks_.empty() || blocks_.back().size() + record.size() > kBlockBytes) {
    blocks_.emplace_back();
    blocks_.back().reserve(std::max(kBlockBytes, record.size()));
    block_bytes_ += blocks_.back().capacity();
  }
  index_.push_back({static_cast<uint32_t>(blocks_.size() - 1),
                    static_cast<uint32_t>(blocks_.back().size()),
                    static_cast<uint32_t>(record.size())});
  blocks_.back() += record;
}

size_t JobLogEvents::bytes() const {
  return block_bytes_ + blocks_.capacity() * sizeof(std::string) +
         index_.capacity() * sizeof(Place);
}

std::string JobLogEvents::Page(size_t first, size_t max_events, size_t max_bytes,
                               size_t& end) const {
  end = first;
  size_t bytes = 0;
  while (end < index_.size() && end - first < max_events &&
         (end == first || bytes + index_[end].size <= max_bytes)) {
    bytes += index_[end++].size;
  }
  std::string page;
  page.reserve(bytes);
  for (size_t i = first; i < end; ++i) {
    page.append(blocks_[index_[i].block], index_[i].offset, index_[i].size);
  }
  return page;
}

// What boost::json::basic_parser calls. Depth 1 is the document's object, 2 its "events" array, 3
// an event.
class JobLogParser::Handler {
 public:
  static constexpr size_t max_object_size = std::numeric_limits<size_t>::max();
  static constexpr size_t max_array_size = kMaxEvents;
  static constexpr size_t max_key_size = 256;
  static constexpr size_t max_string_size = 64 << 20;

  using Error = boost::system::error_code;

  bool on_document_begin(Error&) { return true; }
  bool on_document_end(Error&) { return true; }

  bool on_object_begin(Error& error) {
    ++depth_;
    if (depth_ == 1 || InEvent()) {
      if (depth_ == 3) event_.Clear();
      return true;
    }
    return Skip(error);
  }
  bool on_object_end(size_t, Error& error) {
    if (depth_ == 3 && InEvent() && !Emit(error)) return false;
    --depth_;
    return true;
  }
  bool on_array_begin(Error& error) {
    ++depth_;
    if (depth_ == 1) return Fail("expected an object with \"events\"", error);
    if (depth_ == 2 && top_key_ == "events") {
      in_events_ = true;
      seen_events_ = true;
      return true;
    }
    if (InEvent()) return Fail("expected an object", error);
    return Skip(error);
  }
  bool on_array_end(size_t, Error&) {
    if (depth_ == 2) in_events_ = false;
    --depth_;
    return true;
  }

  bool on_key_part(json::string_view part, size_t, Error&) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool on_key(json::string_view part, size_t, Error&) {
    text_.append(part.data(), part.size());
    if (depth_ == 1) {
      top_key_ = text_;
    } else if (depth_ == 3 && in_events_) {
      key_ = KeyOf(text_);
      if (key_ == Key::kUnknown) ++drift_.unknown_fields;
    }
    text_.clear();
    return true;
  }

  bool on_string_part(json::string_view part, size_t, Error&) {
    text_.append(part.data(), part.size());
    return true;
  }
  bool on_string(json::string_view part, size_t, Error& error) {
    text_.append(part.data(), part.size());
    const bool good = Text(text_, error);
    text_.clear();
    return good;
  }
  bool on_number_part(json::string_view, Error&) { return true; }
  bool on_int64(int64_t number, json::string_view, Error& error) { return Number(number, error); }
  bool on_uint64(uint64_t, json::string_view, Error& error) { return LargeNumber(error); }
  bool on_double(double number, json::string_view, Error& error) {
    constexpr double kExact = 9007199254740992.0;  // 2^53
    if (!(number > -kExact && number < kExact)) return LargeNumber(error);
    if (InEvent() && key_ == Key::kExitCode && std::trunc(number) != number)
      return Fail("exit_code is no whole number", error);
    return Number(static_cast<int64_t>(number), error);
  }
  bool on_bool(bool, Error& error) {
    if (in_events_ && depth_ == 2) return Fail("expected an object", error);
    return InEvent() && key_ != Key::kUnknown ? Fail("an unexpected boolean", error) : true;
  }
  bool on_null(Error&) {
    if (depth_ == 1 && top_key_ == "events") seen_events_ = true;
    if (depth_ == 1 && top_key_ == "next") events_->set_complete();
    return true;
  }
  bool on_comment_part(json::string_view, Error&) { return true; }
  bool on_comment(json::string_view, Error&) { return true; }

  bool seen_events() const { return seen_events_; }
  const std::string& problem() const { return problem_; }
  const Drift& drift() const { return drift_; }
  std::shared_ptr<JobLogEvents> events() const { return events_; }

 private:
  bool InEvent() const { return in_events_ && depth_ == 3; }

  // A nested value that no key of ours has; it is read over.
  bool Skip(Error& error) {
    if (in_events_ && key_ != Key::kUnknown)
      return Fail("an event holds an unexpected nested value", error);
    return true;
  }

  bool Fail(std::string_view what, Error& error) {
    problem_ = absl::StrCat("event ", events_->size(), ": ", ToAbsl(what));
    error = json::error::syntax;
    return false;
  }

  bool Text(std::string& text, Error& error) {
    if (in_events_ && depth_ == 2) return Fail("expected an object", error);
    if (!InEvent()) return true;
    switch (key_) {
      case Key::kEvent:
        return Word(text, *words_.kinds, [this](int value) {
          event_.set_kind(static_cast<v1::JobLogEventKind>(value));
        });
      case Key::kResult:
        return Word(text, *words_.results,
                    [this](int value) { event_.set_result(static_cast<v1::JobResult>(value)); });
      case Key::kDirective:
        // A page holds whole events, and a directive cannot be split as an output can.
        if (text.size() > kMaxOutputBytes) return Fail("a directive is longer than 1 MiB", error);
        event_.set_directive(ReplaceInvalidUtf8(text));
        return true;
      case Key::kOutput:
        output_ = ReplaceInvalidUtf8(text);
        return true;
      case Key::kExitCode: {
        int64_t number = 0;
        if (text.empty()) return true;
        return absl::SimpleAtoi(text, &number) ? Number(number, error)
                                               : Fail("exit_code is no number", error);
      }
      case Key::kTimestamp:
      case Key::kStartedAt:
      case Key::kFinishedAt: {
        const absl::StatusOr<Instant> instant = ParseInstantText(text);
        return instant.ok() ? Time(*instant) : Fail(ToStd(instant.status().message()), error);
      }
      case Key::kUnknown:
        return true;
    }
    return true;
  }

  template <typename Set>
  bool Word(const std::string& text, const EnumPlan& plan, Set set) {
    if (text.empty()) return true;
    const std::optional<int> value = plan.FromWord(text);
    if (value) {
      set(*value);
    } else {
      ++drift_.unknown_words;
    }
    return true;
  }

  // A number that none of our fields can hold; where it is read over it does no harm.
  bool LargeNumber(Error& error) {
    const bool read_over = !InEvent() ? !(in_events_ && depth_ == 2) : key_ == Key::kUnknown;
    return read_over || Fail("a number is too large", error);
  }

  bool Number(int64_t number, Error& error) {
    if (in_events_ && depth_ == 2) return Fail("expected an object", error);
    if (!InEvent()) return true;
    switch (key_) {
      case Key::kExitCode:
        if (number < std::numeric_limits<int32_t>::min() ||
            number > std::numeric_limits<int32_t>::max()) {
          return Fail("exit_code is out of range", error);
        }
        event_.set_exit_code(static_cast<int32_t>(number));
        return true;
      case Key::kTimestamp:
      case Key::kStartedAt:
      case Key::kFinishedAt: {
        const absl::StatusOr<Instant> instant = ParseInstant(json::value(number));
        return instant.ok() ? Time(*instant) : Fail(ToStd(instant.status().message()), error);
      }
      case Key::kUnknown:
        return true;
      default:
        return Fail("a number where a text is expected", error);
    }
  }

  bool Time(const Instant& instant) {
    if (!instant.present) return true;
    google::protobuf::Timestamp* time = key_ == Key::kTimestamp   ? event_.mutable_time()
                                        : key_ == Key::kStartedAt ? event_.mutable_start_time()
                                                                  : event_.mutable_finish_time();
    time->set_seconds(instant.seconds);
    time->set_nanos(instant.nanos);
    return true;
  }

  // Appends the event, in several pieces if its output is long.
  bool Emit(Error& error) {
    if (events_->size() >= kMaxEvents) return Fail("too many events", error);
    if (event_.kind() == v1::JOB_LOG_EVENT_KIND_JOB_FINISHED) events_->set_complete();
    std::string_view rest = output_;
    do {
      page_.Clear();
      const std::string_view piece = TakePiece(rest);
      v1::JobLogEvent* event = page_.add_events();
      event->CopyFrom(event_);
      event->set_output(piece.data(), piece.size());
      page_.SerializeToString(&record_);
      events_->Append(record_);
    } while (!rest.empty());
    output_.clear();
    return true;
  }

  Words words_;
  std::shared_ptr<JobLogEvents> events_ = std::make_shared<JobLogEvents>();
  Drift drift_;
  size_t depth_ = 0;
  bool in_events_ = false;
  bool seen_events_ = false;
  std::string top_key_;
  Key key_ = Key::kUnknown;
  std::string text_;    // the key or string being read
  std::string output_;  // of the event being read
  v1::JobLogEvent event_;
  v1::JobLog page_;  // reused to encode one event as a field of JobLog
  std::string record_;
  std::string problem_;
};

struct JobLogParser::State {
  State() : parser(Options()) {}

  static json::parse_options Options() {
    json::parse_options options;
    options.max_depth = kMaxDepth;
    options.allow_invalid_utf8 =
        true;  // programs print what they like; it is replaced, not refused
    return options;
  }

  json::basic_parser<Handler> parser;
};

JobLogParser::JobLogParser() : state_(std::make_unique<State>()) {}
JobLogParser::~JobLogParser() = default;

absl::Status JobLogParser::Write(std::string_view chunk) {
  boost::system::error_code error;
  const size_t used = state_->parser.write_some(true, chunk.data(), chunk.size(), error);
  if (!error && used < chunk.size()) {
    // Only white space may follow the document.
    if (chunk.find_first_not_of(" \t\r\n", used) == std::string_view::npos) return absl::OkStatus();
    return Malformed("something follows the document");
  }
  if (!error) return absl::OkStatus();
  const std::string& problem = state_->parser.handler().problem();
  if (error == json::error::too_deep) {
    return MakeError(Reason::kUpstreamResponseTooLarge, "Semaphore's job log is nested too deep");
  }
  return Malformed(problem.empty() ? error.message() : problem);
}

absl::StatusOr<std::shared_ptr<const JobLogEvents>> JobLogParser::Finish() {
  boost::system::error_code error;
  state_->parser.write_some(false, "", 0, error);
  if (error) return Malformed("it is not whole");
  if (!state_->parser.handler().seen_events()) return Malformed("it has no \"events\"");
  return std::shared_ptr<const JobLogEvents>(state_->parser.handler().events());
}

const Drift& JobLogParser::drift() const { return state_->parser.handler().drift(); }

}  // namespace semaphore::client
