// JSON string escaping and UTF-8 repair, for text that others write (branch names, upstream
// messages) and that must not be able to break a log line, a metrics page or a readiness report. It
// only writes strings; it parses nothing.
#ifndef SEMAPHORE_GATEWAY_JSON_TEXT_H_
#define SEMAPHORE_GATEWAY_JSON_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace semaphore::gateway {

// At most `max_bytes` of `text`, cut between characters, with each malformed byte replaced by
// U+FFFD.
std::string RepairUtf8(std::string_view text, size_t max_bytes);

// Appends `text` as a JSON string with its quotes: control characters escaped, malformed bytes
// replaced by U+FFFD.
void AppendJsonString(std::string* out, std::string_view text);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_JSON_TEXT_H_
