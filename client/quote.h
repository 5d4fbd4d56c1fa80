// How a value that somebody else chose is shown in a message: in quotes, cut short, with nothing in
// it that could break a log line or a terminal. Values that may be secret are never passed here.
#ifndef SEMAPHORE_CLIENT_QUOTE_H_
#define SEMAPHORE_CLIENT_QUOTE_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace semaphore::client {

// At most `max_bytes` bytes of `text` in double quotes, control characters, quotes and bytes that
// are no UTF-8 escaped as \xNN, with "…" inside the quotes where it was cut. Quote("a\nb") is
// "\"a\\x0ab\"".
std::string Quote(std::string_view text, size_t max_bytes = 64);

// The longest prefix of `text` of at most `max_bytes` bytes that ends on a character border.
std::string_view Utf8Prefix(std::string_view text, size_t max_bytes);

// `text` with every byte that is no part of a well-formed UTF-8 character replaced by U+FFFD.
std::string ReplaceInvalidUtf8(std::string_view text);

// Length of the well-formed UTF-8 character (no surrogates, no overlong form, at most U+10FFFF) at
// the front of `text`; 0 if there is none.
size_t Utf8CharacterLength(std::string_view text);

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_QUOTE_H_
