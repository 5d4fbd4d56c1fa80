#include "gateway/collector.h"

#include <algorithm>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/this_coro.hpp>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gateway/collection_plan.h"
#include "gateway/collector_reads.h"
#include "gateway/poll_schedule.h"
#include "gateway/project_collector.h"

namespace semaphore::gateway {
namespace {

namespace asio = boost::asio;
using client::MonotonicTime;

// Of an organization: enough to use its share of the budget at a second per reply, too few to be
// felt.
constexpr int kWorkers = 4;
constexpr size_t kMaxProjects = 10'000;  // of an organization
// Names in the schedule that no project has: theirs follow "project ".
constexpr char kProjectsTask[] = "projects";
constexpr char kAgentsTask[] = "agents";
constexpr char kProjectPrefix[] = "project ";
// So many intervals without a success are worth a note.
constexpr int kStaleIntervals = 5;
// A project that is found later may have been made since the projects were last looked at: twice
// kProjectsInterval.
constexpr absl::Duration kSinceFound = absl::Hours(2);

client::MonotonicDuration ToMonotonic(absl::Duration duration) {
  return std::chrono::duration_cast<client::MonotonicDuration>(absl::ToChronoNanoseconds(duration));
}

}  // namespace

struct Collector::Shared {
  Options options;
  asio::any_io_executor executor;
  asio::any_io_executor ledger_thread;
  CollectorLedger& ledger;
  const client::Clock& clock;
  Log& log;

  mutable std::mutex mutex{};  // of the next two
  std::condition_variable ended{};
  int workers = 0;
};

// Everything but what `mutex_` guards belongs to the strand.
class Collector::Branch : public std::enable_shared_from_this<Collector::Branch> {
 public:
  Branch(std::shared_ptr<Shared> shared, Organization organization, size_t index)
      : shared_(std::move(shared)),
        organization_(std::move(organization)),
        index_(index),
        strand_(asio::make_strand(shared_->executor)),
        reads_(*organization_.upstream, shared_->clock, shared_->options.sleeper),
        collecting_{
            .organization = organization_.name,
            .level = shared_->options.level,
            .interval = shared_->options.poll_interval,
            .listed_ref = shared_->options.listed_ref,
            .reads = reads_,
            .ledger = shared_->ledger,
            .ledger_thread = shared_->ledger_thread,
            .clock = shared_->clock,
            .log = shared_->log,
            .discover = shared_->options.discovered,
            .committed =
                [this](const CommitOutcome& outcome, const std::vector<absl::Duration>& lags) {
                  OnCommitted(outcome, lags);
                }},
        schedule_(shared_->options.random) {
    picture_.name = organization_.name;
    truth_.organization = organization_.name;
    truth_.interval = shared_->options.poll_interval;
    organization_state_ = std::make_shared<OrganizationState>(picture_);
  }

  void Start() {
    const MonotonicTime now = shared_->clock.Now();
    schedule_.Add(kProjectsTask, now, client::MonotonicDuration::zero());
    schedule_.Add(kAgentsTask, now, Interval());
    for (int i = 0; i < kWorkers; ++i) {
      signals_.emplace_back();
      asio::co_spawn(strand_, Work(shared_from_this()),
                     asio::bind_cancellation_slot(signals_.back().slot(),
                                                  [shared = shared_](std::exception_ptr) {
                                                    const std::lock_guard lock(shared->mutex);
                                                    --shared->workers;
                                                    shared->ended.notify_all();
                                                  }));
    }
  }

  void BeginStop() {
    asio::post(strand_, [self = shared_from_this()] {
      self->stopping_ = true;
      for (asio::cancellation_signal& signal : self->signals_) {
        signal.emit(asio::cancellation_type::terminal);
      }
    });
  }

  static constexpr int workers() { return kWorkers; }

  void AppendState(CollectionState& out) const {
    const std::lock_guard lock(mutex_);
    out.organizations.push_back(organization_state_);
    for (const auto& [id, state] : project_states_) out.projects.push_back(state);
  }

  Truth GetTruth() const {
    const std::lock_guard lock(mutex_);
    Truth truth = truth_;
    for (const auto& [id, state] : project_states_) {
      const auto watermark = watermarks_.find(id);
      const auto success = successes_.find(id);
      Truth::Project& project = truth.projects.emplace_back();
      project.name = state->name;
      if (watermark != watermarks_.end()) project.watermark = watermark->second;
      if (success != successes_.end()) project.last_success = success->second;
    }
    return truth;
  }

 private:
  using Doing = asio::awaitable<absl::Status>;

  client::MonotonicDuration Interval() const {
    return PollInterval(ToMonotonic(shared_->options.poll_interval),
                        RoundRequests(static_cast<double>(projects_.size())),
                        shared_->options.requests_per_second);
  }

  static asio::awaitable<void> Work(std::shared_ptr<Branch> self);
  Doing Poll(std::string task);
  Doing PollProjects();
  Doing PollAgents();
  void Adopt(const std::vector<v1::Project>& all);
  void AdoptOne(const std::string& id, const std::string& name);
  void Drop(const std::string& id);
  void Concluded(const std::string& task, const absl::Status& status);
  void Publish(const ProjectCollector& project);
  void OnCommitted(const CommitOutcome& outcome, const std::vector<absl::Duration>& lags);

  const std::shared_ptr<Shared> shared_;
  const Organization organization_;
  const size_t index_;
  const asio::strand<asio::any_io_executor> strand_;
  CollectorReads reads_;
  const CollectingFor collecting_;
  PollSchedule schedule_;
  std::map<std::string, std::unique_ptr<ProjectCollector>> projects_;  // by id
  std::map<std::string, std::string> configured_;                      // id by configured name
  std::set<std::string> missing_;                                      // configured names, told
  std::set<std::string> busy_;                                         // ids under way
  OrganizationState picture_;
  bool adopted_ = false;  // the projects that were there at the start
  bool agents_forbidden_ = false;
  std::optional<client::MonotonicTime> last_answer_;  // of upstream, to any task
  bool failing_ = false;                              // as last told in the log
  bool stopping_ = false;
  std::deque<asio::cancellation_signal> signals_;

  mutable std::mutex mutex_;  // of what follows
  std::shared_ptr<const OrganizationState> organization_state_;
  std::map<std::string, std::shared_ptr<const ProjectState>> project_states_;  // by id
  std::map<std::string, std::optional<absl::Time>> watermarks_;                // by id
  std::map<std::string, absl::Time> successes_;                                // by id
  Truth truth_;
};

asio::awaitable<void> Collector::Branch::Work(std::shared_ptr<Branch> self) {
  co_await asio::this_coro::throw_if_cancelled(false);
  while (!self->stopping_) {
    const MonotonicTime now = self->shared_->clock.Now();
    const std::optional<std::string> task = self->schedule_.Take(now);
    if (task.has_value()) {
      const absl::Status status = co_await self->Poll(*task);
      if (self->stopping_) break;
      self->Concluded(*task, status);
      continue;
    }
    // New projects may come in meanwhile.
    const MonotonicTime latest =
        now + std::min<client::MonotonicDuration>(self->Interval(), std::chrono::seconds(30));
    const MonotonicTime wake = std::min(self->schedule_.NextDue().value_or(latest), latest);
    const bool woken = co_await self->shared_->options.sleeper(wake);
    if (!woken) break;
  }
}

Collector::Branch::Doing Collector::Branch::Poll(std::string task) {
  co_await asio::this_coro::throw_if_cancelled(false);
  if (task == kProjectsTask) co_return co_await PollProjects();
  if (task == kAgentsTask) co_return co_await PollAgents();
  const std::string id = task.substr(sizeof(kProjectPrefix) - 1);
  const auto found = projects_.find(id);
  if (found == projects_.end()) co_return absl::OkStatus();
  ProjectCollector& project = *found->second;
  busy_.insert(id);
  const absl::Status status = co_await project.Poll();
  busy_.erase(id);
  if (projects_.count(id) == 0) co_return absl::OkStatus();
  Publish(project);
  co_return status;
}

Collector::Branch::Doing Collector::Branch::PollProjects() {
  co_await asio::this_coro::throw_if_cancelled(false);
  const absl::StatusOr<std::vector<v1::Project>> all = co_await reads_.Projects();
  if (!all.ok()) co_return all.status();
  Adopt(*all);
  co_return absl::OkStatus();
}

// A configured project that was renamed is followed by its id; one that is gone is told once.
void Collector::Branch::Adopt(const std::vector<v1::Project>& all) {
  std::map<std::string, std::string> name_by_id;
  std::map<std::string, std::string> id_by_name;
  for (const v1::Project& project : all) {
    if (project.project_id().empty()) continue;
    name_by_id[project.project_id()] = project.name();
    id_by_name[project.name()] = project.project_id();
  }
  std::set<std::string> wanted;
  if (shared_->options.discover) {
    for (const auto& [id, name] : name_by_id) {
      if (wanted.size() < kMaxProjects) wanted.insert(id);
    }
  }
  for (const std::string& name : organization_.projects) {
    const auto known = configured_.find(name);
    const auto named = id_by_name.find(name);
    std::string id;
    if (known != configured_.end() && name_by_id.count(known->second) > 0) {
      id = known->second;
    } else if (named != id_by_name.end()) {
      id = named->second;
    }
    if (id.empty()) {
      configured_.erase(name);
      if (missing_.insert(name).second) {
        shared_->log.Warning("project_not_found", {{"organization", organization_.name},
                                                   {"project", name},
                                                   {"message",
                                                    "no such project, or the token does "
                                                    "not see it"}});
      }
      continue;
    }
    missing_.erase(name);
    configured_[name] = id;
    wanted.insert(id);
  }
  std::vector<std::string> gone;
  for (const auto& [id, project] : projects_) {
    if (wanted.count(id) == 0) gone.push_back(id);
  }
  for (const std::string& id : gone) Drop(id);
  for (const std::string& id : wanted) AdoptOne(id, name_by_id[id]);
  adopted_ = true;
  const std::lock_guard lock(mutex_);
  truth_.missing.assign(missing_.begin(), missing_.end());
}

void Collector::Branch::AdoptOne(const std::string& id, const std::string& name) {
  const auto found = projects_.find(id);
  if (found == projects_.end()) {
    const absl::Duration configured = shared_->options.backfill;
    projects_.emplace(
        id, std::make_unique<ProjectCollector>(
                collecting_, id, name, adopted_ ? std::max(configured, kSinceFound) : configured));
    schedule_.Add(absl::StrCat(kProjectPrefix, id), shared_->clock.Now(), Interval());
    Publish(*projects_[id]);
    return;
  }
  if (found->second->name() == name) return;
  shared_->log.Warning(
      "project_renamed",
      {{"organization", organization_.name}, {"from", found->second->name()}, {"to", name}});
  found->second->Rename(name);
  Publish(*found->second);
}

// One that is being polled goes with the next look at the projects.
void Collector::Branch::Drop(const std::string& id) {
  if (busy_.count(id) > 0) return;
  shared_->log.Warning("project_gone",
                       {{"organization", organization_.name}, {"project", projects_[id]->name()}});
  schedule_.Remove(absl::StrCat(kProjectPrefix, id));
  projects_.erase(id);
  const std::lock_guard lock(mutex_);
  project_states_.erase(id);
  watermarks_.erase(id);
  successes_.erase(id);
}

// Where the token may not see agents, or the edition has none, there are none to show.
Collector::Branch::Doing Collector::Branch::PollAgents() {
  co_await asio::this_coro::throw_if_cancelled(false);
  const absl::StatusOr<std::vector<std::string>> types = co_await reads_.AgentTypes();
  if (!types.ok() && !IsAbsence(types.status())) co_return types.status();
  agents_forbidden_ = !types.ok();
  if (agents_forbidden_) co_return absl::OkStatus();
  const absl::StatusOr<std::vector<v1::Agent>> agents = co_await reads_.Agents();
  if (!agents.ok()) co_return agents.status();
  picture_.SetAgents(*types, *agents);
  co_return absl::OkStatus();
}

void Collector::Branch::Concluded(const std::string& task, const absl::Status& status) {
  const MonotonicTime now = shared_->clock.Now();
  // What is missing or forbidden is no sign of an upstream in trouble, and one project that fails
  // among others that do not is told by its last success.
  if (status.ok() || IsAbsence(status)) last_answer_ = now;
  picture_.up = last_answer_.has_value() && now - *last_answer_ < Interval();
  client::MonotonicDuration interval = Interval();
  if (task == kProjectsTask && status.ok()) interval = ToMonotonic(kProjectsInterval);
  if (task == kAgentsTask && agents_forbidden_) interval = ToMonotonic(kProjectsInterval);
  schedule_.Done(task, status.ok(), interval, now);
  if (!status.ok()) {
    shared_->log.Warning("collection_failed", {{"organization", organization_.name},
                                               {"task", task},
                                               {"message", std::string(status.message())}});
  } else if (failing_) {
    shared_->log.Info("collection_recovered", {{"organization", organization_.name}});
  }
  failing_ = !status.ok();
  auto state = std::make_shared<OrganizationState>(picture_);
  const std::lock_guard lock(mutex_);
  organization_state_ = std::move(state);
  truth_.interval = absl::FromChrono(Interval());
  ++(status.ok() ? truth_.polls_ok : truth_.polls_failed);
  if (status.ok() && absl::StartsWith(task, kProjectPrefix)) {
    truth_.last_success = shared_->clock.WallNow();
    successes_[task.substr(sizeof(kProjectPrefix) - 1)] = *truth_.last_success;
  }
}

void Collector::Branch::Publish(const ProjectCollector& project) {
  auto state = std::make_shared<ProjectState>(project.state());
  const std::lock_guard lock(mutex_);
  project_states_[project.project_id()] = std::move(state);
  watermarks_[project.project_id()] = project.watermark();
}

void Collector::Branch::OnCommitted(const CommitOutcome& outcome,
                                    const std::vector<absl::Duration>& lags) {
  for (const absl::Duration lag : lags) shared_->options.lag(index_, lag);
  const std::lock_guard lock(mutex_);
  truth_.pipelines_counted += outcome.counted;
  truth_.duplicates += outcome.duplicates;
}

Collector::Collector(Options options, asio::any_io_executor executor,
                     asio::any_io_executor ledger_thread, std::vector<Organization> organizations,
                     CollectorLedger& ledger, const client::Clock& clock, Log& log)
    : shared_(new Shared{.options = std::move(options),
                         .executor = std::move(executor),
                         .ledger_thread = std::move(ledger_thread),
                         .ledger = ledger,
                         .clock = clock,
                         .log = log}) {
  for (Organization& organization : organizations) {
    if (!shared_->options.discover && organization.projects.empty()) continue;
    branches_.push_back(
        std::make_shared<Branch>(shared_, std::move(organization), branches_.size()));
  }
}

Collector::~Collector() = default;

void Collector::Start() {
  {
    const std::lock_guard lock(shared_->mutex);
    shared_->workers = static_cast<int>(branches_.size()) * Branch::workers();
  }
  for (const std::shared_ptr<Branch>& branch : branches_) branch->Start();
}

void Collector::BeginStop() {
  for (const std::shared_ptr<Branch>& branch : branches_) branch->BeginStop();
}

void Collector::Stop(absl::Duration limit) {
  BeginStop();
  std::unique_lock lock(shared_->mutex);
  shared_->ended.wait_for(lock, absl::ToChronoNanoseconds(limit),
                          [this] { return shared_->workers == 0; });
}

CollectionState Collector::State() const {
  CollectionState state;
  for (const std::shared_ptr<Branch>& branch : branches_) branch->AppendState(state);
  return state;
}

std::vector<Collector::Truth> Collector::GetTruth() const {
  std::vector<Truth> truths;
  for (const std::shared_ptr<Branch>& branch : branches_) truths.push_back(branch->GetTruth());
  return truths;
}

std::vector<std::string> Collector::Notes() const {
  std::vector<std::string> notes;
  const absl::Time now = shared_->clock.WallNow();
  for (const Truth& truth : GetTruth()) {
    for (const std::string& name : truth.missing) {
      notes.push_back(absl::StrCat("organization ", truth.organization, " has no project ", name,
                                   " to collect, or the token does not see it"));
    }
    if (!truth.last_success.has_value()) {
      notes.push_back(
          absl::StrCat("nothing was collected from organization ", truth.organization, " yet"));
      continue;
    }
    const absl::Duration bound = std::max(kStaleIntervals * truth.interval, absl::Minutes(2));
    size_t stale = 0;
    const Truth::Project* oldest = nullptr;
    for (const Truth::Project& project : truth.projects) {
      if (!project.last_success.has_value() || now - *project.last_success < bound) continue;
      ++stale;
      if (oldest == nullptr || *project.last_success < *oldest->last_success) oldest = &project;
    }
    if (oldest == nullptr) continue;
    notes.push_back(absl::StrCat(
        "the CI metrics of ", stale, " of ", truth.projects.size(), " projects of organization ",
        truth.organization, " are old; those of ", oldest->name, ": ",
        absl::FormatDuration(absl::Trunc(now - *oldest->last_success, absl::Seconds(1)))));
  }
  return notes;
}

}  // namespace semaphore::gateway
