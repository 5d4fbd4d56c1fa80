#include "gateway/gzip_stream.h"

#include <zlib.h>

#include <cstddef>
#include <new>

namespace semaphore::gateway {

struct GzipStream::Zlib {
  z_stream stream{};
};

GzipStream::GzipStream() : zlib_(std::make_unique<Zlib>()) {
  constexpr int kGzip = 16;  // added to the window's size: a gzip header instead of zlib's
  constexpr int kUsualMemory = 8;
  const int made = deflateInit2(&zlib_->stream, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + kGzip,
                                kUsualMemory, Z_DEFAULT_STRATEGY);
  if (made != Z_OK) throw std::bad_alloc();
}

GzipStream::~GzipStream() { deflateEnd(&zlib_->stream); }

void GzipStream::Add(std::string_view piece, bool last, std::string* out) {
  constexpr size_t kStepBytes = 16 << 10;
  z_stream& stream = zlib_->stream;
  // zlib promises not to write there.
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
  stream.avail_in = static_cast<uInt>(piece.size());
  for (;;) {
    const size_t before = out->size();
    out->resize(before + kStepBytes);
    stream.next_out = reinterpret_cast<Bytef*>(out->data() + before);
    stream.avail_out = kStepBytes;
    deflate(&stream, last ? Z_FINISH : Z_NO_FLUSH);
    out->resize(out->size() - stream.avail_out);
    if (stream.avail_out > 0) return;  // it has nothing more to say
  }
}

std::string Gzip(std::string_view text) {
  std::string out;
  GzipStream().Add(text, /*last=*/true, &out);
  return out;
}

}  // namespace semaphore::gateway
