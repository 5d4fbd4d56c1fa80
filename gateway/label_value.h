// What a label value may be, whoever chose it: one hostile branch name must not make Prometheus
// refuse a whole page.
#ifndef SEMAPHORE_GATEWAY_LABEL_VALUE_H_
#define SEMAPHORE_GATEWAY_LABEL_VALUE_H_

#include <string>
#include <string_view>

namespace semaphore::gateway {

// At most 128 bytes of valid UTF-8; control characters and malformed bytes become U+FFFD.
std::string CleanLabelValue(std::string_view value);

// True when CleanLabelValue would change nothing; quick for plain ASCII.
bool IsCleanLabelValue(std::string_view value);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_LABEL_VALUE_H_
