#include "tests/simulator/simulator.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <utility>

#include "absl/status/status.h"
#include "tests/simulator/api.h"
#include "tests/simulator/certificates.h"
#include "tests/simulator/server.h"

namespace semaphore::simulator {
namespace {

absl::Status Check(const SimulatorOptions& options) {
  if (options.token.empty()) return absl::InvalidArgumentError("the API token must not be empty");
  if (options.projects < 1 || options.projects > 5000) {
    return absl::InvalidArgumentError("the number of projects must be 1 to 5000");
  }
  if (options.workflows_per_project < 4 || options.workflows_per_project > 10'000) {
    return absl::InvalidArgumentError("the number of workflows must be 4 to 10000");
  }
  if (std::min(options.projects, SimulatorOptions::kMaxProjectsWithWorkflows) *
          options.workflows_per_project >
      50'000) {
    return absl::InvalidArgumentError("there must be at most 50000 workflows in all projects");
  }
  if (options.promotions < 0 || options.promotions > 5'000) {
    return absl::InvalidArgumentError("the number of promotions must be 0 to 5000");
  }
  if (options.deployment_targets < 5 || options.deployment_targets > 5000) {
    return absl::InvalidArgumentError("the number of deployment targets must be 5 to 5000");
  }
  if (options.deployments < 0 || options.deployments > 5000) {
    return absl::InvalidArgumentError("the number of deployments must be 0 to 5000");
  }
  if (options.huge_log_bytes < 1024 || options.huge_log_bytes > (512U << 20)) {
    return absl::InvalidArgumentError("the huge log must have 1 KiB to 512 MiB");
  }
  if (options.agent_types < 3 || options.agent_types > 5000) {
    return absl::InvalidArgumentError("the number of agent types must be 3 to 5000");
  }
  if (options.agents < 3 || options.agents > 5000) {
    return absl::InvalidArgumentError("the number of agents must be 3 to 5000");
  }
  if (options.agents_per_millisecond < 1 || options.agents_per_millisecond > 1000) {
    return absl::InvalidArgumentError("the number of agents per millisecond must be 1 to 1000");
  }
  if (options.later_agents < 0 || options.later_agents > 5000) {
    return absl::InvalidArgumentError("the number of later agents must be 0 to 5000");
  }
  if (options.certificate_file.empty() != options.key_file.empty()) {
    return absl::InvalidArgumentError("a certificate file needs a key file and the reverse");
  }
  if (!options.now) return absl::InvalidArgumentError("there must be a clock");
  return absl::OkStatus();
}

absl::StatusOr<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (!file || !(text << file.rdbuf())) {
    return absl::NotFoundError("cannot read the file " + path);
  }
  return text.str();
}

absl::StatusOr<CertificateFiles> CertificatesFor(const SimulatorOptions& options) {
  if (options.certificate_file.empty()) return MakeCertificates(options.certificate);
  auto certificate = ReadFile(options.certificate_file);
  if (!certificate.ok()) return certificate.status();
  auto key = ReadFile(options.key_file);
  if (!key.ok()) return key.status();
  return CertificateFiles{
      .ca_pem = *certificate, .certificate_pem = *certificate, .key_pem = *std::move(key)};
}

}  // namespace

struct Simulator::Impl {
  explicit Impl(SimulatorOptions simulator_options)
      : options(std::move(simulator_options)),
        world(options, options.now()),
        controls{.faults = faults,
                 .ledger = ledger,
                 .world = world,
                 .release_held = [this] { server->ReleaseHeld(); },
                 .set_access = [this](Access access) { api.SetAccess(access); }},
        api(options, world, controls) {}

  const SimulatorOptions options;
  std::string ca_pem;
  FaultScript faults;
  Ledger ledger;
  World world;  // the server's thread only, but for the ids, which never change
  Controls controls;
  Api api;
  std::unique_ptr<Server> server;  // last: its thread uses everything above
};

absl::StatusOr<std::unique_ptr<Simulator>> Simulator::Start(SimulatorOptions options) {
  absl::Status checked = Check(options);
  if (!checked.ok()) return checked;
  auto certificates = CertificatesFor(options);
  if (!certificates.ok()) return certificates.status();

  auto impl = std::make_unique<Impl>(std::move(options));
  impl->ca_pem = certificates->ca_pem;
  auto server = Server::Start(
      {.address = impl->options.address,
       .port = impl->options.port,
       .certificate_pem = certificates->certificate_pem,
       .key_pem = certificates->key_pem,
       .chunked_replies = impl->options.chunked_replies,
       .idle_timeout = impl->options.idle_timeout},
      {.faults = impl->faults,
       .ledger = impl->ledger,
       .answer = [api = &impl->api](const Request& request) { return api->Answer(request); },
       .describe = [api = &impl->api](const Request& request) { return api->Describe(request); }});
  if (!server.ok()) return server.status();
  impl->server = *std::move(server);
  return std::unique_ptr<Simulator>(new Simulator(std::move(impl)));
}

Simulator::Simulator(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Simulator::~Simulator() = default;

uint16_t Simulator::port() const { return impl_->server->port(); }

std::string Simulator::base_url() const {
  return "https://localhost:" + std::to_string(port()) + "/api/v1alpha";
}

const std::string& Simulator::ca_pem() const { return impl_->ca_pem; }
const WellKnownIds& Simulator::ids() const { return impl_->world.ids(); }

void Simulator::AddFault(Fault fault) { impl_->faults.Add(std::move(fault)); }
void Simulator::ClearFaults() { impl_->faults.Clear(); }
void Simulator::ReleaseHeld() { impl_->server->ReleaseHeld(); }
uint64_t Simulator::held() const { return impl_->ledger.held(); }

std::vector<RecordedRequest> Simulator::Requests() const { return impl_->ledger.Requests(); }

std::vector<RecordedRequest> Simulator::RequestsTo(std::string_view target_prefix) const {
  std::vector<RecordedRequest> requests = impl_->ledger.Requests();
  std::erase_if(requests, [&](const RecordedRequest& request) {
    return !request.target.starts_with(target_prefix);
  });
  return requests;
}

void Simulator::ClearRequests() { impl_->ledger.Clear(); }
uint64_t Simulator::open_connections() const { return impl_->ledger.open_connections(); }
uint64_t Simulator::last_request_number() const { return impl_->ledger.last_request_number(); }

uint64_t Simulator::total_connections() const { return impl_->ledger.total_connections(); }

bool Simulator::WaitUntil(const std::function<bool()>& condition, absl::Duration limit) const {
  return impl_->ledger.WaitUntil(condition, limit);
}

void Simulator::SetAccess(Access access) { impl_->api.SetAccess(access); }

void Simulator::SetToken(std::string token) { impl_->api.SetToken(std::move(token)); }

}  // namespace semaphore::simulator
