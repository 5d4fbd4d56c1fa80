// Tokens of callers and how they are kept: as SHA-256. A plain hash, neither salted nor slow, is
// right for them because they are long and random, so that nobody can try them out; it would be
// wrong for passwords. Knows nothing of callers.
#ifndef SEMAPHORE_GATEWAY_TOKEN_HASH_H_
#define SEMAPHORE_GATEWAY_TOKEN_HASH_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace semaphore::gateway {

inline constexpr size_t kMinCallerTokenBytes = 32;
inline constexpr size_t kMaxCallerTokenBytes = 4096;

using TokenHash = std::array<uint8_t, 32>;

// Nothing when the library fails, which takes an end of memory.
std::optional<TokenHash> HashToken(std::string_view token);

// In a time that does not depend on where they differ.
bool SameHash(const TokenHash& a, const TokenHash& b);

// 64 hexadecimal digits, in either letter case.
std::optional<TokenHash> ParseTokenHash(std::string_view text);
std::string FormatTokenHash(const TokenHash& hash);

// "sgw_" and 32 random bytes in base64url: 47 characters. The prefix lets scanners of leaked
// secrets recognise one. Nothing when there is no randomness to be had.
std::optional<std::string> NewCallerToken();

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_TOKEN_HASH_H_
