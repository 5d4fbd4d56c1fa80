// Compresses a body piece by piece as gzip, at zlib's quickest level: what it is for is text that
// is made faster than a network takes it.
#ifndef SEMAPHORE_GATEWAY_GZIP_STREAM_H_
#define SEMAPHORE_GATEWAY_GZIP_STREAM_H_

#include <memory>
#include <string>
#include <string_view>

namespace semaphore::gateway {

class GzipStream {
 public:
  GzipStream();
  ~GzipStream();
  GzipStream(const GzipStream&) = delete;
  GzipStream& operator=(const GzipStream&) = delete;

  // Appends what is ready of it to `out`; the rest comes with later pieces, at the latest with the
  // one that is the last.
  void Add(std::string_view piece, bool last, std::string* out);

 private:
  struct Zlib;
  const std::unique_ptr<Zlib> zlib_;
};

std::string Gzip(std::string_view text);

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_GZIP_STREAM_H_
