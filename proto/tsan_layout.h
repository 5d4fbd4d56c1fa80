// Included first into every file of the tsan preset. Under ThreadSanitizer protobuf's map fields get one more member,
// which Debian's library, built without it, does not have; so those headers are read as if there were no sanitizer.
#ifndef SEMAPHORE_PROTO_TSAN_LAYOUT_H_
#define SEMAPHORE_PROTO_TSAN_LAYOUT_H_

// What the standard library makes of the sanitizer stays as it is.
#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#pragma push_macro("__SANITIZE_THREAD__")
#undef __SANITIZE_THREAD__
#include <google/protobuf/map_field.h>
#pragma pop_macro("__SANITIZE_THREAD__")

#endif  // SEMAPHORE_PROTO_TSAN_LAYOUT_H_
