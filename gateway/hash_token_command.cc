#include "gateway/hash_token_command.h"

#include <istream>
#include <ostream>
#include <string>

#include "gateway/token_hash.h"
#include "gateway/token_source.h"

namespace semaphore::gateway {
namespace {

// The first line without its end; a file that has no line end is one line. Never more than is
// needed to see that it is too long.
std::string FirstLine(std::istream& in) {
  std::string line;
  char c = 0;
  while (line.size() <= kMaxCallerTokenBytes + 1 && in.get(c) && c != '\n') line += c;
  if (!line.empty() && line.back() == '\r') line.pop_back();
  return line;
}

}  // namespace

int RunHashToken(bool make_new, std::istream& in, std::ostream& out, std::ostream& errors) {
  const std::optional<std::string> made = make_new ? NewCallerToken() : std::nullopt;
  if (make_new && !made.has_value()) {
    errors << "hash-token: the system gives no random bytes\n";
    return 2;
  }
  const std::string token = make_new ? *made : FirstLine(in);
  if (token.size() < kMinCallerTokenBytes) {
    errors << "hash-token: expected a token of at least " << kMinCallerTokenBytes
           << " bytes on the first line of standard input, got " << token.size()
           << "; --new makes one\n";
    return 2;
  }
  if (const absl::Status valid = ValidateToken(token, "standard input"); !valid.ok()) {
    errors << "hash-token: " << valid.message() << '\n';
    return 2;
  }
  const std::optional<TokenHash> hash = HashToken(token);
  if (!hash.has_value()) {
    errors << "hash-token: SHA-256 failed\n";
    return 2;
  }
  if (make_new) out << token << '\n';
  out << "token_sha256: [\"" << FormatTokenHash(*hash) << "\"]\n";
  return 0;
}

}  // namespace semaphore::gateway
