// Turns a reply into the bytes that go over the wire and knows where its parts end, so that a fault
// can stop in the middle of any of them.
#ifndef SEMAPHORE_TESTS_SIMULATOR_REPLY_TEXT_H_
#define SEMAPHORE_TESTS_SIMULATOR_REPLY_TEXT_H_

#include <cstddef>
#include <string>
#include <string_view>

#include "tests/simulator/fault.h"
#include "tests/simulator/http_message.h"

namespace semaphore::simulator {

struct ReplyForm {
  std::string_view reason;    // of the status line
  bool chunked = false;       // instead of Content-Length
  bool last_chunk = true;     // false: the body never ends
  bool keep_alive = true;     // false: says `connection: close`
  bool without_body = false;  // the reply to a HEAD
};

struct ReplyText {
  std::string bytes;
  size_t status_line_bytes = 0;
  size_t head_bytes = 0;  // status line, headers and the empty line

  // How much has gone out when a fault strikes at that stage.
  size_t BytesBefore(FaultStage stage) const;
};

ReplyText ToText(const Reply& reply, const ReplyForm& form);

}  // namespace semaphore::simulator

#endif  // SEMAPHORE_TESTS_SIMULATOR_REPLY_TEXT_H_
