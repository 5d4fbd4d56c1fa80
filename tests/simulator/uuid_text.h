// Tells whether a text is a UUID, as the service asks before it looks anything up.
#ifndef SEMAPHORE_TESTS_SIMULATOR_UUID_TEXT_H_
#define SEMAPHORE_TESTS_SIMULATOR_UUID_TEXT_H_

#include <cstddef>
#include <string_view>

#include "absl/strings/ascii.h"

namespace semaphore::simulator {

// 8-4-4-4-12 hexadecimal digits, in either case.
inline bool IsUuidText(std::string_view text) {
  if (text.size() != 36) return false;
  for (size_t i = 0; i < text.size(); i++) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash ? text[i] != '-' : !absl::ascii_isxdigit(static_cast<unsigned char>(text[i]))) {
      return false;
    }
  }
  return true;
}

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_UUID_TEXT_H_
