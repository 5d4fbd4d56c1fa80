#include "gateway/accept.h"

#include <gtest/gtest.h>

namespace semaphore::gateway {
namespace {

TEST(Accept, KnowsWhetherGzipIsTaken) {
  for (const char* header :
       {"gzip", "GZIP", "deflate, GZIP;q=0.5", "*", "br;q=1, gzip", "br, gzip ; q=1"}) {
    EXPECT_TRUE(AcceptsGzip(header)) << header;
  }
  for (const char* header :
       {"", "identity", "gzip;q=0", "gzip;q=0.000, *", "*;q=0", "deflate", "gzipped", "xgzip"}) {
    EXPECT_FALSE(AcceptsGzip(header)) << header;
  }
}

TEST(Accept, TheMostExactNameDecides) {
  EXPECT_EQ(AcceptedQuality("a/*;q=0.1, a/b;q=0.5, */*", {"a/b", "a/*", "*/*"}), 0.5);
  EXPECT_EQ(AcceptedQuality("a/*;q=0.1, */*", {"a/b", "a/*", "*/*"}), 0.1);
  EXPECT_EQ(AcceptedQuality("c/d", {"a/b", "a/*", "*/*"}), std::nullopt);
}

TEST(Accept, AnotherVersionIsAnotherName) {
  EXPECT_EQ(AcceptedQuality("a/b;version=2", {"a/b"}, "1"), std::nullopt);
  EXPECT_EQ(AcceptedQuality("a/b;version=2;q=0.5, a/b; version=\"1\"", {"a/b"}, "1"), 1);
  EXPECT_EQ(AcceptedQuality("a/b;version=2", {"a/b"}), 1);
}

}  // namespace
}  // namespace semaphore::gateway
