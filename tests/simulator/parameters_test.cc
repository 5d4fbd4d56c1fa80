#include "tests/simulator/parameters.h"

#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>

namespace semaphore::simulator {
namespace {

TEST(ParametersTest, AFormIsDecoded) {
  EXPECT_EQ(ParseForm("a=1&b=x%20y+z&c&=d&&e=%zz%"),
            (Pairs{{"a", "1"}, {"b", "x y z"}, {"c", ""}, {"", "d"}, {"e", "%zz%"}}));
}

TEST(ParametersTest, FormTextIsEncoded) {
  EXPECT_EQ(EncodeFormText("a b&c/é~"), "a+b%26c%2F%C3%A9~");
}

TEST(ParametersTest, BracketsNest) {
  EXPECT_EQ(
      boost::json::serialize(
          Nest({{"p[A]", "1"}, {"p[B]", "2"}, {"k[]", "x"}, {"k[]", "y"}, {"a", "1"}, {"a", "2"}})),
      R"({"p":{"A":"1","B":"2"},"k":["x","y"],"a":"2"})");
}

TEST(ParametersTest, AMultipartBodyGivesItsFieldsWithoutItsFiles) {
  const std::string body =
      "preamble\r\n--xYz\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\none\r\ntwo\r\n"
      "--xYz\r\nContent-Disposition: form-data; name=\"f\"; filename=\"f.txt\"\r\n"
      "Content-Type: text/plain\r\n\r\nfile\r\n"
      "--xYz\r\ncontent-disposition: form-data;name=p[B]\r\n\r\n\r\n--xYz--\r\nafter";
  const Pairs fields = {{"a", "one\r\ntwo"}, {"p[B]", ""}};
  for (const char* type : {"multipart/form-data; boundary=xYz", "multipart/form-data;boundary=xYz",
                           "multipart/form-data; charset=utf-8; boundary=\"xYz\""}) {
    EXPECT_EQ(ParseMultipart(body, type), fields) << type;
  }
  EXPECT_TRUE(ParseMultipart(body, "multipart/form-data").empty());
  EXPECT_TRUE(ParseMultipart("--xYz", "multipart/form-data; boundary=xYz").empty());
  EXPECT_TRUE(ParseMultipart("--xYz\r\nname=a\r\n\r\n", "x; boundary=xYz").empty());
  const Request request{.method = "POST",
                        .target = "/x?a=query",
                        .headers = {{"content-type", "multipart/form-data; boundary=xYz"}},
                        .body = body};
  EXPECT_EQ(boost::json::serialize(*ParseParameters(request)),
            R"({"a":"one\r\ntwo","p":{"B":""}})");
}

TEST(ParametersTest, TheBodyOverridesTheQueryAndOtherTypesAreIgnored) {
  Request request{.method = "POST",
                  .target = "/x?a=query&b=query",
                  .headers = {{"content-type", "application/json; charset=utf-8"}},
                  .body = R"({"a": true})"};
  EXPECT_EQ(boost::json::serialize(*ParseParameters(request)), R"({"a":true,"b":"query"})");
  request.headers = {{"content-type", "text/plain"}};
  EXPECT_EQ(boost::json::serialize(*ParseParameters(request)), R"({"a":"query","b":"query"})");
}

}  // namespace
}  // namespace semaphore::simulator
