// A valid request of any method with every field populated, and the places in it where a text
// stands: what tests that are driven by the table of methods put their own values into.
#ifndef SEMAPHORE_TESTS_CLIENT_FULL_REQUEST_H_
#define SEMAPHORE_TESTS_CLIENT_FULL_REQUEST_H_

#include <google/protobuf/message.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "client/method_table.h"

namespace semaphore::client {

constexpr char kCallersToken[] = "6063dd03-ecfb-11ed-b539-0045e2f582b7";

// Everything but page_token, update_mask and output-only fields is populated, the idempotency token
// with kCallersToken.
std::unique_ptr<google::protobuf::Message> FullRequest(const MethodSpec& spec);

enum class TextPlace {
  kPathId,     // goes into a path, ours or upstream's
  kToken,      // idempotency token
  kPageToken,  //
  kMask,       // a path of an update mask
  kText,       // any other text, or an item of a list of texts
  kCommaItem,  // an item of a list that upstream knows as one text
  kMapKey,
  kMapValue,
  kBytes,
};

struct TextField {
  std::string path;  // as errors name it: "deployment_target.env_vars[0].value"
  std::string name;  // full name of the field, "semaphore.v1.EnvVar.value"
  TextPlace place = TextPlace::kText;
  bool required = false;
  std::function<void(const std::string&)> set;  // in the message it was found in
};

// Every string and bytes field of a full request, through messages, lists and maps. `request` must
// outlive the result, and its lists and maps must not change.
std::vector<TextField> TextFields(const MethodSpec& spec, google::protobuf::Message& request);

}  // namespace semaphore::client

#endif  // SEMAPHORE_TESTS_CLIENT_FULL_REQUEST_H_
