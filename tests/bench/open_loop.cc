#include "tests/bench/open_loop.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <google/rpc/error_details.pb.h>
#include <google/rpc/status.pb.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel_posix.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"

namespace semaphore::bench {
namespace {

constexpr double kWindowSeconds = 5;
constexpr double kGoodShare = 0.99;
constexpr double kSlotSeconds = 0.1;  // windows begin at multiples of it

double SecondsBetween(SteadyTime begin, SteadyTime end) {
  return std::chrono::duration<double>(end - begin).count();
}

sockaddr_in Loopback(uint8_t host, uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(0x7f000000U | host);
  return address;
}

double Percentile(std::vector<float>& sorted, double share) {
  if (sorted.empty()) return 0;
  const auto at = static_cast<size_t>(std::ceil(share * static_cast<double>(sorted.size())));
  return sorted[std::clamp<size_t>(at, 1, sorted.size()) - 1];
}

}  // namespace

std::shared_ptr<grpc::Channel> ChannelFrom(uint8_t host, uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const sockaddr_in from = Loopback(host, 0);
  const sockaddr_in to = Loopback(1, port);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&from), sizeof from) != 0 ||
      connect(fd, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) {
    close(fd);
    return nullptr;
  }
  const int on = 1;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
  return grpc::CreateInsecureChannelFromFd(absl::StrCat("127.0.0.1:", port), fd);
}

std::string OutcomeOf(const grpc::Status& status) {
  if (status.ok()) return "OK";
  google::rpc::Status details;
  details.ParseFromString(status.error_details());
  google::rpc::ErrorInfo info;
  for (const auto& any : details.details()) {
    if (any.UnpackTo(&info)) return info.reason();
  }
  return absl::StrCat("without a reason: ", static_cast<int>(status.error_code()));
}

// One call under way; deletes itself when it is answered.
struct OpenLoop::Ongoing {
  size_t record = 0;
  SteadyTime planned;
  grpc::ClientContext context;
  v1::GetPipelineRequest pipeline_request;
  v1::Pipeline pipeline;
  v1::GetJobRequest job_request;
  v1::Job job;
};

OpenLoop::OpenLoop(Options options) : options_(std::move(options)), random_(options_.seed) {
  for (const Caller& caller : options_.callers) {
    const std::shared_ptr<grpc::Channel> channel = ChannelFrom(caller.host, options_.port);
    stubs_.push_back({.pipelines = v1::PipelineService::NewStub(channel),
                      .jobs = v1::JobService::NewStub(channel)});
  }
}

OpenLoop::~OpenLoop() { Stop(); }

bool OpenLoop::ReadEachOnce() {
  bool good = true;
  size_t turn = 0;  // the callers', for it is more than the quota of one
  for (const std::string& id : options_.pipelines) {
    grpc::ClientContext context;
    v1::GetPipelineRequest request;
    request.set_pipeline_id(id);
    v1::Pipeline reply;
    good &= stubs_[turn++ % stubs_.size()].pipelines->GetPipeline(&context, request, &reply).ok();
  }
  for (const std::string& id : options_.jobs) {
    grpc::ClientContext context;
    v1::GetJobRequest request;
    request.set_job_id(id);
    v1::Job reply;
    good &= stubs_[turn++ % stubs_.size()].jobs->GetJob(&context, request, &reply).ok();
  }
  return good;
}

void OpenLoop::Start() {
  thread_ = std::thread([this] { Run(); });
}

void OpenLoop::Stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return ongoing_ == 0; });
}

void OpenLoop::Run() {
  std::exponential_distribution<double> gap(options_.calls_per_second);
  SteadyTime next = std::chrono::steady_clock::now();
  while (!stopping_) {
    next += std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double>(gap(random_)));
    std::this_thread::sleep_until(next);
    Begin(next);
  }
}

void OpenLoop::Begin(SteadyTime at) {
  const size_t index = std::uniform_int_distribution<size_t>(0, stubs_.size() - 1)(random_);
  const Caller& caller = options_.callers[index];
  auto* const ongoing = new Ongoing;
  ongoing->planned = at;
  {
    const std::lock_guard lock(mutex_);
    ongoing->record = records_.size();
    records_.push_back(
        {.kind = caller.kind, .began = static_cast<float>(SecondsBetween(options_.epoch, at))});
    ++ongoing_;
  }
  ongoing->context.set_deadline(std::chrono::system_clock::now() + caller.patience);
  if (options_.fresh) ongoing->context.AddMetadata("cache-control", "no-cache");
  if (caller.kind == Kind::kBatch) ongoing->context.AddMetadata("x-priority", "batch");
  const auto done = [this, ongoing](const grpc::Status& status) {
    End(*ongoing, status);
    delete ongoing;
  };
  const size_t keys = options_.pipelines.size() + options_.jobs.size();
  const size_t key = std::uniform_int_distribution<size_t>(0, keys - 1)(random_);
  if (key < options_.pipelines.size()) {
    ongoing->pipeline_request.set_pipeline_id(options_.pipelines[key]);
    stubs_[index].pipelines->async()->GetPipeline(&ongoing->context, &ongoing->pipeline_request,
                                                  &ongoing->pipeline, done);
  } else {
    ongoing->job_request.set_job_id(options_.jobs[key - options_.pipelines.size()]);
    stubs_[index].jobs->async()->GetJob(&ongoing->context, &ongoing->job_request, &ongoing->job,
                                        done);
  }
}

void OpenLoop::End(const Ongoing& ongoing, const grpc::Status& status) {
  const double took = SecondsBetween(ongoing.planned, std::chrono::steady_clock::now());
  const std::string outcome = OutcomeOf(status);
  const std::lock_guard lock(mutex_);
  auto found = std::find(outcomes_.begin(), outcomes_.end(), outcome);
  if (found == outcomes_.end()) found = outcomes_.insert(outcomes_.end(), outcome);
  Record& record = records_[ongoing.record];
  record.took_ms = static_cast<float>(took * 1000);
  record.outcome = static_cast<int>(found - outcomes_.begin());
  if (--ongoing_ == 0) idle_.notify_all();
}

double OpenLoop::Summary::OkPercent() const {
  return calls == 0 ? 0 : 100 * static_cast<double>(ok) / static_cast<double>(calls);
}

OpenLoop::Summary OpenLoop::Summarize(Kind kind, Span span) const {
  const std::lock_guard lock(mutex_);
  Summary summary;
  std::vector<float> times;
  for (const Record& record : records_) {
    if (record.kind != kind || record.began < span.begin || record.began >= span.end) continue;
    ++summary.calls;
    if (record.outcome < 0) continue;
    if (record.outcome == 0) ++summary.ok;
    ++summary.outcomes[outcomes_[static_cast<size_t>(record.outcome)]];
    times.push_back(record.took_ms);
  }
  std::sort(times.begin(), times.end());
  summary.p50_ms = Percentile(times, 0.5);
  summary.p99_ms = Percentile(times, 0.99);
  return summary;
}

size_t OpenLoop::calls() const {
  const std::lock_guard lock(mutex_);
  return records_.size();
}

std::optional<double> OpenLoop::FirstGoodFiveSeconds(Span span) const {
  constexpr auto kSlots = static_cast<size_t>(kWindowSeconds / kSlotSeconds);
  if (span.end - span.begin < kWindowSeconds) return std::nullopt;
  const auto count = static_cast<size_t>((span.end - span.begin) / kSlotSeconds);
  struct Slot {
    size_t calls = 0;
    size_t ok = 0;
  };
  std::vector<Slot> slots(count);
  {
    const std::lock_guard lock(mutex_);
    for (const Record& record : records_) {
      if (record.began < span.begin) continue;
      const auto slot = static_cast<size_t>((record.began - span.begin) / kSlotSeconds);
      if (slot >= count) continue;
      ++slots[slot].calls;
      slots[slot].ok += record.outcome == 0 ? 1 : 0;
    }
  }
  Slot window;
  for (size_t i = 0; i < count; ++i) {
    window.calls += slots[i].calls;
    window.ok += slots[i].ok;
    if (i + 1 < kSlots) continue;
    if (window.calls > 0 &&
        static_cast<double>(window.ok) >= kGoodShare * static_cast<double>(window.calls)) {
      return span.begin + static_cast<double>(i + 1 - kSlots) * kSlotSeconds;
    }
    window.calls -= slots[i + 1 - kSlots].calls;
    window.ok -= slots[i + 1 - kSlots].ok;
  }
  return std::nullopt;
}

}  // namespace semaphore::bench
