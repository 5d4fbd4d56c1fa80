// Certificates made on the spot with OpenSSL: an authority and whatever it (or nobody) vouches for.
// Tests only; the keys live as long as the process.
#ifndef SEMAPHORE_TESTS_CLIENT_TEST_CERTIFICATES_H_
#define SEMAPHORE_TESTS_CLIENT_TEST_CERTIFICATES_H_

#include <memory>
#include <string>

namespace semaphore::client {

struct TestCertificate {
  std::string certificate_pem;
  std::string key_pem;
};

class TestAuthority final {
 public:
  explicit TestAuthority(const std::string& name = "Test Authority");
  ~TestAuthority();

  const std::string& certificate_pem() const { return certificate_pem_; }

  // `subject` is a subjectAltName as OpenSSL writes it: "DNS:upstream.test" or "IP:127.0.0.1".
  TestCertificate Issue(const std::string& subject) const;
  TestCertificate IssueExpired(const std::string& subject) const;
  // Valid from an hour from now on.
  TestCertificate IssueEarly(const std::string& subject) const;
  // With a common name ("Test Server") and no subjectAltName.
  TestCertificate IssueNameless() const;
  static TestCertificate SelfSigned(const std::string& subject);

 private:
  struct Identity;

  struct Period {  // relative to now
    long begin_s = -86400;
    long end_s = 86400;
  };
  static TestCertificate Make(const std::string& subject, const Identity* issuer, Period period);

  std::unique_ptr<Identity> identity_;
  std::string certificate_pem_;
};

}  // namespace semaphore::client

#endif  // SEMAPHORE_TESTS_CLIENT_TEST_CERTIFICATES_H_
