#include "gateway/token_hash.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace semaphore::gateway {
namespace {

struct FreeContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};

}  // namespace

std::optional<TokenHash> HashToken(std::string_view token) {
  // Fetching the algorithm by its name costs more than hashing a token, so it is done once; and a
  // context is made once for each thread.
  static const EVP_MD* const sha256 = EVP_MD_fetch(nullptr, "SHA256", nullptr);
  thread_local const std::unique_ptr<EVP_MD_CTX, FreeContext> context(EVP_MD_CTX_new());
  TokenHash hash;
  if (sha256 == nullptr || context == nullptr ||
      EVP_DigestInit_ex(context.get(), sha256, nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), token.data(), token.size()) != 1 ||
      EVP_DigestFinal_ex(context.get(), hash.data(), nullptr) != 1) {
    return std::nullopt;
  }
  return hash;
}

bool SameHash(const TokenHash& a, const TokenHash& b) {
  return CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

std::optional<TokenHash> ParseTokenHash(std::string_view text) {
  TokenHash hash;
  if (text.size() != 2 * hash.size() || !std::all_of(text.begin(), text.end(), [](char c) {
        return absl::ascii_isxdigit(static_cast<unsigned char>(c));
      })) {
    return std::nullopt;
  }
  const std::string bytes = absl::HexStringToBytes(std::string(text));
  std::copy(bytes.begin(), bytes.end(), hash.begin());
  return hash;
}

std::string FormatTokenHash(const TokenHash& hash) {
  return absl::BytesToHexString(std::string(hash.begin(), hash.end()));
}

std::optional<std::string> NewCallerToken() {
  std::array<unsigned char, 32> random;
  if (RAND_bytes(random.data(), static_cast<int>(random.size())) != 1) return std::nullopt;
  std::string text;
  absl::WebSafeBase64Escape(std::string(random.begin(), random.end()), &text);
  while (!text.empty() && text.back() == '=') text.pop_back();
  return absl::StrCat("sgw_", text);
}

}  // namespace semaphore::gateway
