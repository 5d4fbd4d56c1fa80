// The collection of CI facts as the gateway runs it: ledger, its thread, and collector, put
// together from the configuration. Here the durable events and the state of the moment become one
// snapshot for the pages.
#ifndef SEMAPHORE_GATEWAY_COLLECTION_H_
#define SEMAPHORE_GATEWAY_COLLECTION_H_

#include <boost/asio/any_io_executor.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "client/clock.h"
#include "client/upstream.h"
#include "gateway/ci_series.h"
#include "gateway/config.h"
#include "gateway/log.h"
#include "gateway/metrics.h"

namespace semaphore::gateway {

class Collection {
 public:
  // Collects when it returns. `config` has a metrics section; `upstreams` are in the order of its
  // organizations. Fails where the ledger cannot be opened, for example because another gateway has
  // it. All references outlive this; Stop comes before `executor` ends.
  static absl::StatusOr<std::unique_ptr<Collection>> Start(
      const Config& config, const std::vector<client::Upstream*>& upstreams,
      const boost::asio::any_io_executor& executor, const client::Clock& clock, Log& log,
      Metrics& metrics);
  ~Collection();
  Collection(const Collection&) = delete;
  Collection& operator=(const Collection&) = delete;

  // What /metrics/ci shows. Any thread; waits for nothing and asks nobody.
  std::shared_ptr<const CiSnapshot> Snapshot() const;
  // The whole of the page of this generation has been sent to a scraper; see Ledger.
  void Scraped(uint64_t generation, std::string_view scraper);

  // What is not well, for /readyz.
  std::vector<std::string> Notes() const;

  void BeginStop();
  // Ends what is under way within `limit`, and the ledger's thread. Any number of times.
  void Stop(absl::Duration limit);

 private:
  struct Parts;
  explicit Collection(std::unique_ptr<Parts> parts);
  const std::unique_ptr<Parts> parts_;
};

}  // namespace semaphore::gateway

#endif  // SEMAPHORE_GATEWAY_COLLECTION_H_
