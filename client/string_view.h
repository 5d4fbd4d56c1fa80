// Debian builds Abseil with a string_view of its own. The bridge, in one place.
#ifndef SEMAPHORE_CLIENT_STRING_VIEW_H_
#define SEMAPHORE_CLIENT_STRING_VIEW_H_

#include <string_view>

#include "absl/strings/string_view.h"

namespace semaphore::client {

inline absl::string_view ToAbsl(std::string_view text) { return {text.data(), text.size()}; }
inline std::string_view ToStd(absl::string_view text) { return {text.data(), text.size()}; }

}  // namespace semaphore::client

#endif  // SEMAPHORE_CLIENT_STRING_VIEW_H_
