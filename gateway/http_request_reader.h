// HTTP/1.1 requests out of a stream of bytes, for the REST listener: Beast's parser for heads
// behind a check that refuses everything about whose meaning two programs could differ (RFC 9112,
// section 11.2): two lengths, bare line ends, folded lines. Bodies are framed here and not by
// Beast, whose verdict on chunks and trailers depends on how the bytes happen to arrive. Pure: no
// sockets and no time.
#ifndef SEMAPHORE_GATEWAY_HTTP_REQUEST_READER_H_
#define SEMAPHORE_GATEWAY_HTTP_REQUEST_READER_H_

#include <cstddef>
#include <cstdint>
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
  std::string target;  // of "GET http://host/path" the path and the query
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
  HttpRequestReader(const HttpRequestReader&) = delete;
  HttpRequestReader& operator=(const HttpRequestReader&) = delete;

  enum class State { kNeedsMore, kDone, kRefused };

  // `bytes` is what has been received and not consumed. Sets how much of it is used up; the head is
  // taken as a whole or not at all. After kDone the reader is at the next request.
  State Feed(std::string_view bytes, size_t& consumed);

  HttpRequest TakeRequest();           // after kDone
  const HttpRefusal& refusal() const;  // after kRefused

  // In the middle of a body; how many bytes it is known to need, if it said so.
  bool InBody() const;
  std::optional<uint64_t> body_length() const;
  // The client waits for a word before it sends its body; true once for each request.
  bool TakeExpectation();

 private:
  // What comes next of a request.
  enum class Part { kHead, kLength, kChunkSize, kChunkData, kChunkEnd, kTrailers };

  struct Head;  // keeps Beast out of this header

  State FeedHead(std::string_view bytes, size_t& consumed);
  State TakeHead(const Head& head);
  State TakeFraming();
  State FeedBody(std::string_view bytes, size_t& consumed);
  // Each takes a piece of `rest`, or nothing when it is not whole.
  State TakeData(std::string_view rest, size_t& used, Part next);
  State TakeChunkSize(std::string_view rest, size_t& used);
  State TakeChunkEnd(std::string_view rest, size_t& used);
  State TakeTrailer(std::string_view rest, size_t& used);
  State BodyTooLong();
  State Refuse(int status, std::string message);

  const HttpLimits limits_;
  Part part_ = Part::kHead;
  HttpRequest request_;
  std::optional<uint64_t> length_;  // as the head said it
  uint64_t left_ = 0;               // of the body, or of a chunk
  size_t trailer_bytes_ = 0;
  HttpRefusal refusal_;
  bool expectation_ = false;
};

// The length of the head at the front of `bytes`, its empty line included; 0 when it is not whole.
size_t HeadLength(std::string_view bytes);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_HTTP_REQUEST_READER_H_
