// Reads JSON (RFC 8259) one token at a time, for a caller that knows from a message type what may
// come next and refuses the rest. Stricter than most parsers: text must be well-formed UTF-8, also
// behind \u escapes. Numbers are handed out as they are written, so that none is rounded before its
// type is known. It builds nothing and does not recurse.
#ifndef SEMAPHORE_GATEWAY_JSON_CURSOR_H_
#define SEMAPHORE_GATEWAY_JSON_CURSOR_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "absl/status/status.h"
#include "absl/status/statusor.h"

namespace semaphore::gateway {

enum class JsonKind { kObject, kArray, kString, kNumber, kTrue, kFalse, kNull, kNone };

// "an object", "a number"; for messages.
std::string_view JsonKindName(JsonKind kind);

// Errors are INVALID_ARGUMENT and say what is wrong at which byte, never what stands there.
class JsonCursor {
 public:
  explicit JsonCursor(std::string_view text) : text_(text) {}

  // What the next value is, after white space; kNone where no value begins.
  JsonKind Peek();

  // Takes the value that Peek has announced.
  absl::StatusOr<std::string> TakeString();
  absl::StatusOr<std::string_view> TakeNumber();  // as written: "-1.5e3"
  void TakeWord(JsonKind kind);                   // true, false, null

  // Takes the bracket that Peek has announced. Then More before each member or element, until it is
  // false.
  void TakeOpening() { ++position_; }
  // Takes the comma before all but the first, or the closing bracket: false.
  absl::StatusOr<bool> More(bool first, char closing);
  // A member's name with the colon behind it.
  absl::StatusOr<std::string> TakeName();

  // Nothing but white space is left.
  absl::Status CheckEnd();

  // For a value that is expected where Peek says kNone.
  absl::Status NoValue() const;

 private:
  absl::Status Wrong(std::string_view what) const;
  void SkipSpace();
  bool At(char c) const { return position_ < text_.size() && text_[position_] == c; }
  size_t SkipDigits();
  absl::Status TakeEscape(std::string& out);
  absl::StatusOr<unsigned> TakeHex();

  const std::string_view text_;
  size_t position_ = 0;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_JSON_CURSOR_H_
