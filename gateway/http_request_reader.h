// HTTP/1.1 requests out of a stream of bytes, for the REST listener: Beast's parser behind a check
// that refuses everything about whose meaning two programs could differ (RFC 9112, section 11.2):
// two lengths, bare line ends, folded lines. Pure: no sockets and no time.
#ifndef SEMAPHORE_GATEWAY_HTTP_REQUEST_READER_H_
#define SEMAPHORE_GATEWAY_HTTP_REQUEST_READER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace semaphore::gateway {

struct HttpLimits {
  size_t head_bytes = 16 << 10;   // request line and fields
  size_t target_bytes = 8 << 10;  // of them, the target
  size_t body_bytes = 4 << 20;
};

struct HttpRequest {
  std::string verb;
  std::string target;
  std::vector<std::pair<std::string, std::string>> fields;  // names in lower case, as they came
  std::string body;
  bool keep_alive = true;

  std::string_view First(std::string_view name) const;  // empty when there is none
  std::vector<std::string> All(std::string_view name) const;
};

// Why bytes are no request that is taken. The connection ends after the answer.
struct HttpRefusal {
  int status = 400;  // 400, 413, 414, 417, 431, 501 or 505
  std::string message;
};

class HttpRequestReader {
 public:
  explicit HttpRequestReader(const HttpLimits& limits);
  ~HttpRequestReader();
  HttpRequestReader(const HttpRequestReader&) = delete;
  HttpRequestReader& operator=(const HttpRequestReader&) = delete;

  enum class State { kNeedsMore, kDone, kRefused };

  // `bytes` is what has been received and not consumed. Sets how much of it is used up; the head is
  // taken as a whole or not at all. After kDone the reader is at the next request.
  State Feed(std::string_view bytes, size_t& consumed);

  HttpRequest TakeRequest();            // after kDone
  const HttpRefusal& refusal() const;  // after kRefused

  // In the middle of a body; how many bytes it is known to need, if it said so.
  bool InBody() const;
  std::optional<uint64_t> body_length() const;
  // The client waits for a word before it sends its body; true once for each request.
  bool TakeExpectation();

 private:
  struct Parser;  // keeps Beast out of this header

  State FeedHead(std::string_view bytes, size_t& consumed);
  State FeedBody(std::string_view bytes, size_t& consumed);
  State Refuse(int status, std::string message);
  State TakeHead();

  const HttpLimits limits_;
  std::unique_ptr<Parser> parser_;  // null between requests
  HttpRequest request_;
  HttpRefusal refusal_;
  bool expectation_ = false;
};

// The length of the head at the front of `bytes`, its empty line included; 0 when it is not whole.
size_t HeadLength(std::string_view bytes);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_HTTP_REQUEST_READER_H_
