#include "gateway/certificate_names.h"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace semaphore::gateway {
namespace {

using std::string_literals::operator""s;

TEST(CertificateNames, ADnsNameIsTakenInLowerCase) {
  EXPECT_EQ(DnsCallerName("web.internal"), "dns:web.internal");
  EXPECT_EQ(DnsCallerName("WEB.Internal"), "dns:web.internal");
  EXPECT_EQ(DnsCallerName("ci_bot-1"), "dns:ci_bot-1");
  EXPECT_EQ(DnsCallerName(std::string(63, 'a') + ".b"), "dns:" + std::string(63, 'a') + ".b");
}

TEST(CertificateNames, WhatNamesNoSingleHostIsNoName) {
  for (const std::string& bad :
       {""s, "."s, "*.internal"s, "*"s, "web..internal"s, "web.internal."s, ".web"s,
        "web internal"s, "web\0.internal"s, "web,internal"s, "web/internal"s, "dns:web"s,
        "w\xC3\xA9"s, "web\n"s, std::string(64, 'a'),
        std::string(127, 'a') + "." + std::string(127, 'a')}) {
    EXPECT_EQ(DnsCallerName(bad), "") << bad;
  }
}

TEST(CertificateNames, ASpiffeIdIsTakenAsItIs) {
  for (const char* good : {"spiffe://example.org/web", "spiffe://example.org",
                           "spiffe://prod.example.org/ns/ci/sa/Bot_1", "spiffe://td/a.b/...c"}) {
    EXPECT_EQ(SpiffeCallerName(good), good);
  }
}

TEST(CertificateNames, WhatIsNoSpiffeIdIsNoName) {
  for (const std::string& bad :
       {""s, "spiffe://"s, "spiffe:///web"s, "SPIFFE://example.org/web"s,
        "https://example.org/web"s, "spiffe://Example.org/web"s, "spiffe://example.org:80/web"s,
        "spiffe://user@example.org/web"s, "spiffe://example.org/"s, "spiffe://example.org//web"s,
        "spiffe://example.org/web/"s, "spiffe://example.org/../web"s, "spiffe://example.org/./web"s,
        "spiffe://example.org/web?x=1"s, "spiffe://example.org/web#x"s,
        "spiffe://example.org/%77eb"s, "spiffe://example.org/web bot"s,
        "spiffe://example.org/web\0"s, "spiffe://example.org/" + std::string(2048, 'a')}) {
    EXPECT_EQ(SpiffeCallerName(bad), "") << bad;
  }
}

}  // namespace
}  // namespace semaphore::gateway
