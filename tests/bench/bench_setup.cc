#include "tests/bench/bench_setup.h"

#include <boost/json/value.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/simulator/test_client.h"

namespace semaphore::bench {

TemporaryFolder::TemporaryFolder() {
  path_ = (std::filesystem::temp_directory_path() / "weather_bench_XXXXXX").string();
  if (mkdtemp(path_.data()) == nullptr) std::abort();
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code error;
  std::filesystem::remove_all(path_, error);
}

std::string BuiltFile(const std::string& name) {
  // This program is tests/bench/weather_bench there.
  const std::filesystem::path self = std::filesystem::read_symlink("/proc/self/exe");
  return (self.parent_path().parent_path().parent_path() / name).string();
}

absl::StatusOr<std::unique_ptr<GatewayProcess>> StartGateway(
    const simulator::Simulator& upstream, const std::string& folder, const std::string& yaml,
    const std::map<std::string, std::string>& environment) {
  const std::string ca_file = absl::StrCat(folder, "/ca.pem");
  std::ofstream(ca_file) << upstream.ca_pem();
  GatewayProcess::Options options{
      .program = BuiltFile("gateway/semaphore-gateway"),
      .folder = folder,
      .yaml = absl::StrCat("grpc: {address: \"127.0.0.1:0\"}\nadmin: {address: \"127.0.0.1:0\"}\n",
                           "shutdown: {grace: 2s}\n", yaml),
      .environment = environment};
  options.environment.insert({{"SEMAPHORE_API_TOKEN", "simulator-token"},
                              {"SEMAPHORE_ORGANIZATION", "bench"},
                              {"SEMAPHORE_BASE_URL", upstream.base_url()},
                              {"SEMAPHORE_CA_FILE", ca_file}});
  for (const char* const name : {"ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS"}) {
    if (const char* const value = std::getenv(name)) options.environment[name] = value;
  }
  return GatewayProcess::Start(options);
}

Keys KeysOf(const simulator::Simulator& upstream, size_t pipelines, size_t jobs) {
  Keys keys;
  simulator::TestClient client(upstream);
  const boost::json::value list =
      client
          .Get(absl::StrCat("/pipelines?project_id=", upstream.ids().project,
                            "&page_size=", pipelines))
          .Json();
  for (const boost::json::value& pipeline : list.as_array()) {
    const std::string id(pipeline.at("ppl_id").as_string());
    keys.pipelines.push_back(id);
    if (keys.jobs.size() >= jobs) continue;
    const boost::json::value detailed =
        client.Get(absl::StrCat("/pipelines/", id, "?detailed=true")).Json();
    for (const boost::json::value& block : detailed.at("blocks").as_array()) {
      for (const boost::json::value& job : block.at("jobs").as_array()) {
        const std::string job_id(job.at("job_id").as_string());
        if (!job_id.empty() && keys.jobs.size() < jobs) keys.jobs.push_back(job_id);
      }
    }
  }
  return keys;
}

}  // namespace semaphore::bench
