#include "tests/simulator/reply_text.h"

#include <algorithm>

#include "absl/strings/str_format.h"

namespace semaphore::simulator {
namespace {

constexpr size_t kChunkBytes = 16 << 10;

void AppendChunked(const std::string& body, bool last_chunk, std::string& bytes) {
  // Small bodies go in two chunks, so that every chunked reply has to be put together.
  const size_t chunk_bytes = std::clamp<size_t>(body.size() / 2, 1, kChunkBytes);
  for (size_t begin = 0; begin < body.size(); begin += chunk_bytes) {
    const std::string chunk = body.substr(begin, chunk_bytes);
    bytes += absl::StrFormat("%x\r\n", chunk.size()) + chunk + "\r\n";
  }
  if (last_chunk) bytes += "0\r\n\r\n";
}

}  // namespace

size_t ReplyText::BytesBefore(FaultStage stage) const {
  switch (stage) {
    case FaultStage::kStatusLine:
      return status_line_bytes / 2;
    case FaultStage::kHead:
      return head_bytes / 2;
    case FaultStage::kBody:
      return head_bytes + (bytes.size() - head_bytes) / 2;
    case FaultStage::kAfterReply:
      return bytes.size();
    default:
      return 0;
  }
}

ReplyText ToText(const Reply& reply, const ReplyForm& form) {
  ReplyText text;
  text.bytes = "HTTP/1.1 " + std::to_string(reply.status) + " " + std::string(form.reason) + "\r\n";
  text.status_line_bytes = text.bytes.size();
  text.bytes += "server: envoy\r\n";
  for (const auto& [name, value] : reply.headers) {
    text.bytes.append(name).append(": ").append(value).append("\r\n");
  }
  if (!form.keep_alive) text.bytes += "connection: close\r\n";
  if (form.chunked) {
    text.bytes += "transfer-encoding: chunked\r\n\r\n";
  } else if (reply.status == 204 || reply.status == 304) {
    text.bytes += "\r\n";
  } else {
    text.bytes += "content-length: " + std::to_string(reply.body.size()) + "\r\n\r\n";
  }
  text.head_bytes = text.bytes.size();
  if (form.without_body || reply.status == 204 || reply.status == 304) return text;
  if (form.chunked) {
    AppendChunked(reply.body, form.last_chunk, text.bytes);
  } else {
    text.bytes += reply.body;
  }
  return text;
}

}  // namespace semaphore::simulator
