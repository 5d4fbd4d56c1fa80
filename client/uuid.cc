#include "client/uuid.h"

#include <cstdint>
#include <random>

namespace semaphore::client {

std::string MakeUuid() {
  std::random_device device;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text = "xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx";
  uint32_t bits = 0;
  int left = 0;
  for (char& c : text) {
    if (c != 'x' && c != 'y') continue;
    if (left == 0) {
      bits = device();
      left = 8;
    }
    const uint32_t nibble = bits & 15;
    bits >>= 4;
    --left;
    c = kDigits[c == 'y' ? (nibble & 3) | 8 : nibble];
  }
  return text;
}

}  // namespace semaphore::client
