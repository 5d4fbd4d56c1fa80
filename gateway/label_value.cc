#include "gateway/label_value.h"

#include <algorithm>
#include <cstddef>

#include "gateway/json_text.h"

namespace semaphore::gateway {
namespace {

constexpr size_t kMaxLabelBytes = 128;

}  // namespace

std::string CleanLabelValue(std::string_view value) {
  const std::string cleaned = RepairUtf8(value, kMaxLabelBytes);
  std::string out;
  for (const char c : cleaned) {
    const bool control = static_cast<unsigned char>(c) < 0x20 || c == 0x7F;
    out += control ? std::string_view("\xEF\xBF\xBD") : std::string_view(&c, 1);
  }
  return RepairUtf8(out, kMaxLabelBytes);
}

bool IsCleanLabelValue(std::string_view value) {
  if (value.size() > kMaxLabelBytes) return false;
  const bool plain =
      std::all_of(value.begin(), value.end(), [](char c) { return c >= 0x20 && c < 0x7F; });
  return plain || CleanLabelValue(value) == value;
}

}  // namespace semaphore::gateway
