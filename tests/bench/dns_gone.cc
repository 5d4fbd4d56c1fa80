// Loaded before the C library into a gateway under test: while the file that DNS_GONE_FILE names
// exists, no name resolves. The rest of the machine's name service stays as it is.
#include <dlfcn.h>
#include <netdb.h>
#include <unistd.h>

#include <cstdlib>

extern "C" int getaddrinfo(const char* name, const char* service, const addrinfo* hints,
                           addrinfo** result) {
  const char* const file = std::getenv("DNS_GONE_FILE");
  if (file != nullptr && access(file, F_OK) == 0 &&
      (hints == nullptr || (hints->ai_flags & AI_NUMERICHOST) == 0)) {
    return EAI_AGAIN;
  }
  using Function = int (*)(const char*, const char*, const addrinfo*, addrinfo**);
  static const auto real = reinterpret_cast<Function>(dlsym(RTLD_NEXT, "getaddrinfo"));
  return real(name, service, hints, result);
}
