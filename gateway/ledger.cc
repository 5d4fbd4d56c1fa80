#include "gateway/ledger.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <set>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "gateway/ci_catalog.h"
#include "gateway/label_value.h"
#include "gateway/ledger_lock.h"
#include "gateway/ledger_waiting.h"
#include "gateway/sqlite.h"

namespace semaphore::gateway {
namespace {

// "SemL", so that no other program's file is taken for ours.
constexpr int64_t kApplicationId = 0x53656D4C;
// Cleaned label values hold no control character.
constexpr char kSeparator[] = "\x1f";
constexpr absl::Duration kTouchInterval = absl::Hours(24);
constexpr std::chrono::hours kExpiryInterval{1};

// What a commit deletes at most, so that each is short.
constexpr int kDeletedPerCommit = 2000;

constexpr std::array<const char*, 9> kSchema = {
    "CREATE TABLE seen (organization TEXT NOT NULL, project_id TEXT NOT NULL, kind TEXT NOT NULL, "
    "key BLOB NOT NULL, done_at INTEGER NOT NULL, first_seen INTEGER NOT NULL, "
    "UNIQUE (organization, kind, key))",
    "CREATE INDEX seen_by_age ON seen (organization, project_id, kind, max(done_at, first_seen))",
    "CREATE TABLE totals (family TEXT NOT NULL, labels TEXT NOT NULL, value REAL NOT NULL, "
    "bounds TEXT NOT NULL, buckets TEXT NOT NULL, sum REAL NOT NULL, exemplars TEXT NOT NULL, "
    "last_active INTEGER NOT NULL, published INTEGER NOT NULL, PRIMARY KEY (family, labels)) "
    "WITHOUT ROWID",
    "CREATE TABLE memory (key BLOB PRIMARY KEY, value BLOB NOT NULL, expires INTEGER NOT NULL) "
    "WITHOUT ROWID",
    "CREATE INDEX memory_by_age ON memory (expires)",
    "CREATE TABLE watermarks (organization TEXT NOT NULL, project_id TEXT NOT NULL, "
    "name TEXT NOT NULL, at INTEGER NOT NULL, PRIMARY KEY (organization, project_id, name)) "
    "WITHOUT ROWID",
    "CREATE TABLE last_runs (organization TEXT NOT NULL, project_id TEXT NOT NULL, file TEXT NOT "
    "NULL, ref TEXT NOT NULL, result INTEGER NOT NULL, decided INTEGER NOT NULL, done INTEGER NOT "
    "NULL, duration INTEGER NOT NULL, PRIMARY KEY (organization, project_id, file, ref)) WITHOUT "
    "ROWID",
    "PRAGMA application_id = 1399156044",
    "PRAGMA user_version = 1",
};
static_assert(kApplicationId == 1399156044 && Ledger::kSchemaVersion == 1);

// Kinds of seen things.
constexpr char kPipelineKind[] = "pipeline";
constexpr char kPromotionKind[] = "promotion";
constexpr char kDeploymentKind[] = "deployment";

// Labels whose values are words of the catalogue, or configured; the others come from upstream.
bool IsClosedLabel(std::string_view label) {
  constexpr std::array<std::string_view, 8> kClosed = {
      "organization", "ref_type", "result", "reason", "phase", "kind", "trigger", "status"};
  return std::find(kClosed.begin(), kClosed.end(), label) != kClosed.end();
}

struct Series {
  std::vector<std::string> labels;
  double value = 0;
  std::vector<uint64_t> buckets;
  double sum = 0;
  std::vector<std::optional<Exemplar>> exemplars;
  absl::Time last_active;  // increment, or sight of its pipeline
  bool published = false;  // its zero was scraped or waited long enough
  // Of this process: since when its zero is on the page; generation 0: not yet.
  uint64_t zero_generation = 0;
  client::MonotonicTime zero_since;
};

// In the order of the labels' values.
using SeriesMap = std::map<std::string, Series, std::less<>>;
using SeriesKey = std::pair<size_t, std::string>;  // family by index, labels joined

struct Family {
  const CiFamilySpec* spec = nullptr;
  std::string bounds;  // as stored, to see when the catalogue changes them
  SeriesMap series;
};

// What a transaction changes; becomes true in memory after its COMMIT.
struct Change {
  std::map<SeriesKey, Series> series;
  std::vector<size_t> added;  // by family
  std::map<std::string, MemoryChange> memory;
  std::vector<SeriesKey> expired;
  uint64_t counted = 0;
  uint64_t duplicates = 0;
  uint64_t overflow = 0;
};

std::string JoinLabels(const std::vector<std::string>& labels) {
  return absl::StrJoin(labels, kSeparator);
}

// One line for each exemplar there is; what it holds is clean.
std::string ToText(const std::vector<std::optional<Exemplar>>& exemplars) {
  std::string out;
  for (size_t i = 0; i < exemplars.size(); ++i) {
    if (!exemplars[i].has_value()) continue;
    const Exemplar& each = *exemplars[i];
    absl::StrAppend(&out, i, kSeparator, each.pipeline_id, kSeparator, each.workflow_id, kSeparator,
                    absl::StrFormat("%.17g", each.value), kSeparator, absl::ToUnixMicros(each.time),
                    "\n");
  }
  return out;
}

std::vector<std::optional<Exemplar>> ParseExemplars(const std::string& text, size_t most) {
  std::vector<std::optional<Exemplar>> out;
  for (const absl::string_view line : absl::StrSplit(text, '\n', absl::SkipEmpty())) {
    const std::vector<std::string> parts = absl::StrSplit(line, kSeparator);
    size_t index = 0;
    double value = 0;
    int64_t time_us = 0;
    if (parts.size() != 5 || !absl::SimpleAtoi(parts[0], &index) || index >= most ||
        !absl::SimpleAtod(parts[3], &value) || !absl::SimpleAtoi(parts[4], &time_us)) {
      continue;
    }
    if (out.size() <= index) out.resize(index + 1);
    out[index] = Exemplar{parts[1], parts[2], value, absl::FromUnixMicros(time_us)};
  }
  return out;
}

bool ParseBuckets(const std::string& text, std::vector<uint64_t>* out) {
  for (const absl::string_view part : absl::StrSplit(text, ',', absl::SkipEmpty())) {
    uint64_t count = 0;
    if (!absl::SimpleAtoi(part, &count)) return false;
    out->push_back(count);
  }
  return true;
}

absl::Time DoneOf(const v1::Pipeline& pipeline, absl::Time otherwise) {
  const auto& time = pipeline.has_done_time() ? pipeline.done_time() : pipeline.create_time();
  if (!pipeline.has_done_time() && !pipeline.has_create_time()) return otherwise;
  return absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos());
}

}  // namespace

class Ledger::State {
 public:
  State(Options options, RunCounter counter, const client::Clock& clock)
      : options_(std::move(options)), counter_(std::move(counter)), clock_(clock) {
    for (const CiFamilySpec& spec : CiCatalog()) {
      if (!spec.event || spec.level > counter_.level()) continue;
      index_[spec.name] = families_.size();
      families_.push_back({&spec, absl::StrJoin(spec.buckets, ","), {}});
    }
  }

  absl::Status Open();

  absl::StatusOr<std::optional<absl::Time>> Watermark(const std::string& organization,
                                                      const std::string& project_id,
                                                      const std::string& name);
  absl::Status SetWatermark(const std::string& organization, const std::string& project_id,
                            const std::string& name, absl::Time at);
  absl::StatusOr<bool> Knows(const std::string& organization, const std::string& id);
  absl::StatusOr<std::vector<LastRunOf>> LastRuns(const std::string& organization,
                                                  const std::string& project_id);
  absl::StatusOr<CommitOutcome> Commit(const CollectedBatch& batch);
  absl::Status Discover(const RunCounter::Project& project,
                        const std::vector<Discovered>& pipelines);
  absl::Status Settle();
  LedgerWaiting Waiting() { return LedgerWaiting(*file_); }

  Published View() const {
    const std::lock_guard lock(mutex_);
    return published_;
  }
  Stats GetStats() const {
    const std::lock_guard lock(mutex_);
    return stats_;
  }
  void SeriesScraped(uint64_t generation, std::string_view scraper);

 private:
  // Opening.
  absl::Status CheckFile();
  absl::Status Create();
  absl::Status Load();
  void LoadRow(const Sqlite::Query& row);

  // Runs `work` in a transaction and makes `change` true once that is durable.
  template <typename Work>
  absl::Status Transact(Change& change, Work work);
  absl::Status Write(const Change& change);
  absl::Status WriteSeries(const SeriesKey& key, const Series& series);
  void Adopt(Change& change);
  void Publish();

  // Deciding.
  absl::Status ApplyPipelines(const CollectedBatch& batch, Change& change);
  absl::Status ApplyPromotions(const CollectedBatch& batch, Change& change);
  absl::Status ApplyDeployments(const CollectedBatch& batch, Change& change);
  absl::Status KeepLastRuns(const CollectedBatch& batch);
  absl::Status ApplyWaiting(const CollectedBatch& batch, CommitOutcome& outcome);
  absl::StatusOr<bool> Remember(const CollectedBatch& batch, const char* kind, std::string_view key,
                                absl::Time done);
  absl::Status Forget(const CollectedBatch& batch);
  std::optional<std::string> Recall(const std::string& key, const Change& change,
                                    absl::Status& status);
  void Take(Counted counted, bool count, Change& change);
  void AddZeros(std::vector<ZeroSeries> zeros, Change& change);
  void Add(Increment increment, Change& change);
  const Series* Find(const SeriesKey& key, const Change& change) const;
  SeriesKey Place(size_t family, std::vector<std::string>& labels, Change& change, bool* folded);
  Series& Stage(const SeriesKey& key, std::vector<std::string> labels, Change& change);
  uint64_t ScrapedByAll(client::MonotonicTime now) const;
  void PromoteZeros(Change& change);
  void Expire(Change& change);
  Change NewChange() const {
    Change change;
    change.added.resize(families_.size());
    return change;
  }

  const Options options_;
  const RunCounter counter_;
  const client::Clock& clock_;

  std::unique_ptr<LedgerLock> lock_;  // outlives the connection
  std::unique_ptr<Sqlite> file_;
  std::vector<Family> families_;  // in the catalogue's order
  std::map<std::string_view, size_t> index_;
  std::set<SeriesKey> waiting_;  // not published with their value yet
  std::optional<client::MonotonicTime> expiry_checked_;
  uint64_t generation_ = 0;

  struct Scraper {
    uint64_t generation = 0;
    client::MonotonicTime seen;
  };

  mutable std::mutex mutex_;  // of what follows
  std::map<std::string, Scraper, std::less<>> scrapers_;
  Published published_;
  Stats stats_;
};

absl::StatusOr<std::unique_ptr<Ledger>> Ledger::Open(Options options, RunCounter counter,
                                                     const client::Clock& clock) {
  auto state = std::make_unique<State>(std::move(options), std::move(counter), clock);
  if (absl::Status status = state->Open(); !status.ok()) return status;
  return std::unique_ptr<Ledger>(new Ledger(std::move(state)));
}

Ledger::Ledger(std::unique_ptr<State> state) : state_(std::move(state)) {}
Ledger::~Ledger() = default;

absl::StatusOr<std::optional<absl::Time>> Ledger::Watermark(const std::string& organization,
                                                            const std::string& project_id,
                                                            const std::string& name) {
  return state_->Watermark(organization, project_id, name);
}

absl::Status Ledger::SetWatermark(const std::string& organization, const std::string& project_id,
                                  const std::string& name, absl::Time at) {
  return state_->SetWatermark(organization, project_id, name, at);
}

absl::StatusOr<std::vector<std::string>> Ledger::Unknown(const std::string& organization,
                                                         const std::string& project_id,
                                                         std::vector<std::string> ids) {
  (void)project_id;  // ids are global
  std::vector<std::string> unknown;
  for (std::string& id : ids) {
    const absl::StatusOr<bool> known = state_->Knows(organization, id);
    if (!known.ok()) return known.status();
    if (!*known) unknown.push_back(std::move(id));
  }
  return unknown;
}

absl::StatusOr<std::vector<LastRunOf>> Ledger::LastRuns(const std::string& organization,
                                                        const std::string& project_id) {
  return state_->LastRuns(organization, project_id);
}

absl::StatusOr<std::vector<WaitingPromotion>> Ledger::DuePromotions(const std::string& organization,
                                                                    const std::string& project_id,
                                                                    absl::Time now) {
  return state_->Waiting().DuePromotions(organization, project_id, now);
}

absl::StatusOr<std::vector<WaitingDeployment>> Ledger::DueDeployments(
    const std::string& organization, const std::string& project_id, absl::Time now,
    const std::string& after) {
  return state_->Waiting().DueDeployments(organization, project_id, now, after);
}

absl::StatusOr<std::vector<WaitingDeployment>> Ledger::PendingDeployments(
    const std::string& organization, const std::string& project_id, absl::Time now) {
  return state_->Waiting().PendingDeployments(organization, project_id, now);
}

absl::StatusOr<CommitOutcome> Ledger::Commit(const CollectedBatch& batch) {
  return state_->Commit(batch);
}

absl::Status Ledger::Discover(const RunCounter::Project& project,
                              const std::vector<Discovered>& pipelines) {
  return state_->Discover(project, pipelines);
}

absl::Status Ledger::Settle() { return state_->Settle(); }
Ledger::Published Ledger::View() const { return state_->View(); }
void Ledger::SeriesScraped(uint64_t generation, std::string_view scraper) {
  state_->SeriesScraped(generation, scraper);
}
Ledger::Stats Ledger::GetStats() const { return state_->GetStats(); }

absl::Status Ledger::State::Open() {
  const std::string path = absl::StrCat(options_.state_dir, "/ledger.sqlite3");
  absl::StatusOr<std::unique_ptr<LedgerLock>> lock =
      LedgerLock::Take(options_.state_dir, "ledger.sqlite3.lock");
  if (!lock.ok()) return lock.status();
  lock_ = *std::move(lock);
  struct stat info = {};
  const bool there = stat(path.c_str(), &info) == 0 && info.st_size > 0;
  if (!there && lock_->marked())
    return CorruptLedger(path, "is gone or empty although it was used");
  absl::StatusOr<std::unique_ptr<Sqlite>> file =
      Sqlite::Open(path, options_.busy_timeout, options_.on_statement);
  if (!file.ok()) return file.status();
  file_ = *std::move(file);
  if (absl::Status status = CheckFile(); !status.ok()) return status;
  if (absl::Status status = lock_->Mark(); !status.ok()) return status;
  if (absl::Status status = Load(); !status.ok()) return status;
  Publish();
  return absl::OkStatus();
}

// Nothing is written to a file that is not known to be ours.
absl::Status Ledger::State::CheckFile() {
  const absl::StatusOr<int64_t> tables = file_->Integer("SELECT count(*) FROM sqlite_master");
  if (!tables.ok()) return tables.status();
  const absl::StatusOr<int64_t> application = file_->Integer("PRAGMA application_id");
  if (!application.ok()) return application.status();
  const absl::StatusOr<int64_t> version = file_->Integer("PRAGMA user_version");
  if (!version.ok()) return version.status();
  const bool empty = *tables == 0 && *application == 0 && *version == 0;
  if (empty && lock_->marked())
    return CorruptLedger(file_->path(), "is empty although it was used");
  if (!empty && *application != kApplicationId) {
    return CorruptLedger(file_->path(), "is another program's file");
  }
  if (*version > kSchemaVersion) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the ledger ", file_->path(), " has schema ", *version, ", and this version knows ",
        kSchemaVersion, ": a newer version wrote it; run that one, or restore an older file"));
  }
  const absl::StatusOr<std::string> mode = file_->Text("PRAGMA journal_mode = WAL");
  if (!mode.ok()) return mode.status();
  if (*mode != "wal") {
    return absl::FailedPreconditionError(
        absl::StrCat("the ledger ", file_->path(),
                     " cannot have a write-ahead log: its folder must be on a local disk"));
  }
  if (absl::Status status = file_->Run("PRAGMA synchronous = FULL"); !status.ok()) return status;
  if (options_.max_pages > 0) {
    const std::string sql = absl::StrCat("PRAGMA max_page_count = ", options_.max_pages);
    if (absl::Status status = file_->Run(sql); !status.ok()) return status;
  }
  if (empty) return Create();
  const absl::StatusOr<std::string> check = file_->Text("PRAGMA quick_check(1)");
  if (!check.ok()) return check.status();
  if (*check != "ok")
    return CorruptLedger(file_->path(), absl::StrCat("is corrupt (", *check, ")"));
  return absl::OkStatus();
}

absl::Status Ledger::State::Create() {
  absl::Status status = file_->Run("BEGIN IMMEDIATE");
  for (const char* sql : kSchema) {
    if (status.ok()) status = file_->Run(sql);
  }
  for (const char* sql : LedgerWaiting::kSchema) {
    if (status.ok()) status = file_->Run(sql);
  }
  if (status.ok()) status = file_->Run("COMMIT");
  if (!status.ok()) file_->Rollback();
  return status;
}

absl::Status Ledger::State::Load() {
  Sqlite::Query query = file_->Prepare(
      "SELECT family, labels, value, bounds, buckets, sum, exemplars, last_active, published FROM "
      "totals");
  while (true) {
    const absl::StatusOr<bool> row = query.Next();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
    LoadRow(query);
  }
}

// Series of a family that is gone, or of a level that is off, stay in the file.
void Ledger::State::LoadRow(const Sqlite::Query& row) {
  const std::string name = row.Column(0);
  const auto found = index_.find(name);
  if (found == index_.end()) return;
  Family& family = families_[found->second];
  const std::string key = row.Column(1);
  Series series;
  series.labels = absl::StrSplit(key, kSeparator);
  series.value = row.RealColumn(2);
  series.sum = row.RealColumn(5);
  series.last_active = absl::FromUnixMicros(row.IntegerColumn(7));
  series.published = row.IntegerColumn(8) != 0;
  bool readable = series.labels.size() == family.spec->labels.size() &&
                  row.Column(3) == family.bounds && ParseBuckets(row.Column(4), &series.buckets);
  const bool histogram = family.spec->type == CiType::kHistogram;
  readable &= series.buckets.size() == (histogram ? family.spec->buckets.size() + 1 : 0);
  if (!readable) {
    ++stats_.unreadable;
    return;
  }
  series.exemplars = ParseExemplars(row.Column(6), histogram ? series.buckets.size() : 1);
  if (!series.published) waiting_.insert({found->second, key});
  family.series.emplace(key, std::move(series));
}

absl::StatusOr<std::optional<absl::Time>> Ledger::State::Watermark(const std::string& organization,
                                                                   const std::string& project_id,
                                                                   const std::string& name) {
  Sqlite::Query query = file_->Prepare(
      "SELECT at FROM watermarks WHERE organization = ? AND project_id = ? AND name = ?");
  const absl::StatusOr<bool> row = query.Text(organization).Text(project_id).Text(name).Next();
  if (!row.ok()) return row.status();
  if (!*row) return std::nullopt;
  return absl::FromUnixMicros(query.IntegerColumn(0));
}

// One statement, so a transaction of its own outside of one.
absl::Status Ledger::State::SetWatermark(const std::string& organization,
                                         const std::string& project_id, const std::string& name,
                                         absl::Time at) {
  if (at == absl::InfinitePast() || at == absl::InfiniteFuture()) return absl::OkStatus();
  return file_
      ->Prepare(
          "INSERT INTO watermarks (organization, project_id, name, at) VALUES (?, ?, ?, ?) "
          "ON CONFLICT DO UPDATE SET at = max(at, excluded.at)")
      .Text(organization)
      .Text(project_id)
      .Text(name)
      .Integer(absl::ToUnixMicros(at))
      .Run();
}

absl::StatusOr<bool> Ledger::State::Knows(const std::string& organization, const std::string& id) {
  return file_
      ->Prepare(
          "SELECT 1 FROM seen WHERE organization = ? AND kind IN ('pipeline', 'deployment') AND "
          "key = ?")
      .Text(organization)
      .Bytes(id)
      .Next();
}

template <typename Work>
absl::Status Ledger::State::Transact(Change& change, Work work) {
  absl::Status status = file_->Run("BEGIN IMMEDIATE");
  if (status.ok()) status = work();
  if (status.ok()) status = Write(change);
  if (status.ok()) status = file_->Run("COMMIT");
  if (!status.ok()) {
    file_->Rollback();
    return status;
  }
  if (options_.on_statement) options_.on_statement("committed");
  Adopt(change);
  Publish();
  if (options_.on_statement) options_.on_statement("published");
  return absl::OkStatus();
}

absl::StatusOr<CommitOutcome> Ledger::State::Commit(const CollectedBatch& batch) {
  Change change = NewChange();
  CommitOutcome outcome;
  absl::Status status = Transact(change, [&] {
    PromoteZeros(change);
    absl::Status applied = ApplyPipelines(batch, change);
    // Promotions and deployments are counted too, but are not pipelines.
    outcome.counted = change.counted;
    outcome.duplicates = change.duplicates;
    if (applied.ok()) applied = ApplyPromotions(batch, change);
    if (applied.ok()) applied = ApplyDeployments(batch, change);
    if (applied.ok()) applied = KeepLastRuns(batch);
    if (applied.ok()) applied = ApplyWaiting(batch, outcome);
    if (applied.ok() && batch.watermark.has_value()) {
      applied =
          SetWatermark(batch.organization, batch.project_id, kPipelinesMark, *batch.watermark);
    }
    if (applied.ok()) applied = Forget(batch);
    return applied;
  });
  if (!status.ok()) return status;
  return outcome;
}

absl::Status Ledger::State::Discover(const RunCounter::Project& project,
                                     const std::vector<Discovered>& pipelines) {
  Change change = NewChange();
  for (const Discovered& each : pipelines) {
    AddZeros(counter_.PipelineZeros(project, each.pipeline, each.branch_name), change);
  }
  if (change.series.empty()) return absl::OkStatus();
  return Transact(change, [] { return absl::OkStatus(); });
}

absl::Status Ledger::State::Settle() {
  Change change = NewChange();
  PromoteZeros(change);
  Expire(change);
  if (change.series.empty() && change.expired.empty()) return absl::OkStatus();
  return Transact(change, [] { return absl::OkStatus(); });
}

// In the order in which they were done, so that a batch counts the same whatever its order.
absl::Status Ledger::State::ApplyPipelines(const CollectedBatch& batch, Change& change) {
  const RunCounter::Project project = {batch.organization, batch.project_id, batch.project};
  const absl::Time now = clock_.WallNow();
  std::vector<const CollectedPipeline*> ordered;
  ordered.reserve(batch.pipelines.size());
  for (const CollectedPipeline& each : batch.pipelines) ordered.push_back(&each);
  std::stable_sort(ordered.begin(), ordered.end(), [now](const auto* a, const auto* b) {
    return DoneOf(a->pipeline, now) < DoneOf(b->pipeline, now);
  });
  std::set<std::string> zeroed;
  for (const CollectedPipeline* each : ordered) {
    const v1::Pipeline& pipeline = each->pipeline;
    const absl::StatusOr<bool> is_new =
        Remember(batch, kPipelineKind, PipelineKey(pipeline), DoneOf(pipeline, now));
    if (!is_new.ok()) return is_new.status();
    if (!*is_new) {
      ++change.duplicates;
      continue;
    }
    const std::string kind_of_run =
        absl::StrCat(pipeline.working_directory(), kSeparator, pipeline.yaml_file_name(),
                     kSeparator, pipeline.branch_name());
    if (pipeline.blocks_size() > 0 || zeroed.insert(kind_of_run).second) {
      AddZeros(counter_.PipelineZeros(project, *each), change);
    }
    absl::Status status;
    Take(counter_.CountPipeline(
             project, *each, [&](const std::string& key) { return Recall(key, change, status); },
             now),
         batch.count, change);
    if (!status.ok()) return status;
    if (batch.count) ++change.counted;
  }
  return absl::OkStatus();
}

// They have no id; the same person cannot trigger the same promotion twice in one moment.
absl::Status Ledger::State::ApplyPromotions(const CollectedBatch& batch, Change& change) {
  const RunCounter::Project project = {batch.organization, batch.project_id, batch.project};
  for (const CollectedPromotion& each : batch.promotions) {
    const v1::Promotion& promotion = each.promotion;
    const std::string key = absl::StrJoin(
        {each.pipeline_id, promotion.name(), promotion.triggered_by(),
         absl::StrCat(promotion.trigger_time().seconds(), ".", promotion.trigger_time().nanos())},
        kSeparator);
    const absl::StatusOr<bool> is_new = Remember(batch, kPromotionKind, key, clock_.WallNow());
    if (!is_new.ok()) return is_new.status();
    change.counted += *is_new && batch.count ? 1 : 0;
    change.duplicates += *is_new ? 0 : 1;
    if (*is_new) Take(counter_.CountPromotion(project, each), batch.count, change);
  }
  return absl::OkStatus();
}

absl::Status Ledger::State::ApplyDeployments(const CollectedBatch& batch, Change& change) {
  const RunCounter::Project project = {batch.organization, batch.project_id, batch.project};
  for (const CollectedDeployment& each : batch.deployments) {
    const absl::StatusOr<bool> is_new =
        Remember(batch, kDeploymentKind, each.deployment.deployment_id(), each.done);
    if (!is_new.ok()) return is_new.status();
    change.counted += *is_new && batch.count ? 1 : 0;
    change.duplicates += *is_new ? 0 : 1;
    if (!*is_new) continue;
    AddZeros(counter_.TargetZeros(project, each.target), change);
    Take(counter_.CountDeployment(project, each), batch.count, change);
  }
  return absl::OkStatus();
}

absl::Status Ledger::State::KeepLastRuns(const CollectedBatch& batch) {
  for (const LastRunOf& each : batch.last_runs) {
    absl::Status status = file_
                              ->Prepare(
                                  "INSERT OR REPLACE INTO last_runs (organization, project_id, "
                                  "file, ref, result, decided, done, duration) VALUES (?, ?, ?, ?, "
                                  "?, ?, ?, ?)")
                              .Text(batch.organization)
                              .Text(batch.project_id)
                              .Text(each.file)
                              .Text(each.ref)
                              .Integer(each.run.result)
                              .Integer(absl::ToUnixMicros(each.run.decided))
                              .Integer(absl::ToUnixMicros(each.run.done))
                              .Integer(absl::ToInt64Microseconds(each.run.duration))
                              .Run();
    if (!status.ok()) return status;
  }
  if (batch.last_runs.empty()) return absl::OkStatus();
  return file_
      ->Prepare("DELETE FROM last_runs WHERE organization = ? AND project_id = ? AND done < ?")
      .Text(batch.organization)
      .Text(batch.project_id)
      .Integer(absl::ToUnixMicros(clock_.WallNow() - kLastRunMemory))
      .Run();
}

absl::StatusOr<std::vector<LastRunOf>> Ledger::State::LastRuns(const std::string& organization,
                                                               const std::string& project_id) {
  Sqlite::Query query = file_->Prepare(
      "SELECT file, ref, result, decided, done, duration FROM last_runs WHERE organization = ? AND "
      "project_id = ? AND done >= ?");
  query.Text(organization)
      .Text(project_id)
      .Integer(absl::ToUnixMicros(clock_.WallNow() - kLastRunMemory));
  std::vector<LastRunOf> runs;
  while (true) {
    const absl::StatusOr<bool> row = query.Next();
    if (!row.ok()) return row.status();
    if (!*row) return runs;
    LastRunOf& each = runs.emplace_back();
    each.file = query.Column(0);
    each.ref = query.Column(1);
    each.run.result = static_cast<v1::PipelineResult>(query.IntegerColumn(2));
    each.run.decided = absl::FromUnixMicros(query.IntegerColumn(3));
    each.run.done = absl::FromUnixMicros(query.IntegerColumn(4));
    each.run.duration = absl::Microseconds(query.IntegerColumn(5));
  }
}

absl::Status Ledger::State::ApplyWaiting(const CollectedBatch& batch, CommitOutcome& outcome) {
  const absl::StatusOr<uint64_t> dropped = Waiting().Apply(batch);
  if (!dropped.ok()) return dropped.status();
  outcome.dropped = *dropped;
  for (const auto& [name, at] : batch.marks) {
    absl::Status status = SetWatermark(batch.organization, batch.project_id, name, at);
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

// False: it was known.
absl::StatusOr<bool> Ledger::State::Remember(const CollectedBatch& batch, const char* kind,
                                             std::string_view key, absl::Time done) {
  absl::Status status =
      file_
          ->Prepare(
              "INSERT INTO seen (organization, project_id, kind, key, done_at, first_seen) VALUES "
              "(?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING")
          .Text(batch.organization)
          .Text(batch.project_id)
          .Text(kind)
          .Bytes(key)
          .Integer(absl::ToUnixMicros(done))
          .Integer(absl::ToUnixMicros(clock_.WallNow()))
          .Run();
  if (!status.ok()) return status;
  return file_->changes() > 0;
}

// A walk asks for what finished after the watermark less a day, however old that is by our clock;
// so a key is only forgotten when it is old by both. Both in one number, which is indexed: after a
// backfill millions of keys are old by one of them only.
absl::Status Ledger::State::Forget(const CollectedBatch& batch) {
  const absl::Time now = clock_.WallNow();
  const absl::StatusOr<std::optional<absl::Time>> mark =
      Watermark(batch.organization, batch.project_id, kPipelinesMark);
  if (!mark.ok()) return mark.status();
  absl::Status status;
  const auto forget = [&](const char* kind, absl::Time before) {
    if (!status.ok()) return;
    status = file_
                 ->Prepare(
                     "DELETE FROM seen WHERE rowid IN (SELECT rowid FROM seen WHERE organization = "
                     "? AND project_id = ? AND kind = ? AND max(done_at, first_seen) < ? LIMIT ?)")
                 .Text(batch.organization)
                 .Text(batch.project_id)
                 .Text(kind)
                 .Integer(absl::ToUnixMicros(before))
                 .Integer(kDeletedPerCommit)
                 .Run();
  };
  if (mark->has_value()) forget(kPipelineKind, std::min(**mark, now) - kKeyRetention);
  if (!batch.promotions.empty()) {
    forget(kPromotionKind, now - kPromotionRetention);
  }
  // None is asked for again that was triggered a week before its target's mark.
  if (!batch.deployments.empty()) {
    forget(kDeploymentKind, now - kDeploymentRetention);
  }
  if (!status.ok()) return status;
  return file_
      ->Prepare(
          "DELETE FROM memory WHERE key IN (SELECT key FROM memory WHERE expires < ? LIMIT ?)")
      .Integer(absl::ToUnixMicros(now))
      .Integer(kDeletedPerCommit)
      .Run();
}

std::optional<std::string> Ledger::State::Recall(const std::string& key, const Change& change,
                                                 absl::Status& status) {
  const auto changed = change.memory.find(key);
  if (changed != change.memory.end()) {
    if (changed->second.value.empty()) return std::nullopt;
    return changed->second.value;
  }
  Sqlite::Query query = file_->Prepare("SELECT value FROM memory WHERE key = ?");
  const absl::StatusOr<bool> row = query.Bytes(key).Next();
  if (!row.ok()) {
    status.Update(row.status());
    return std::nullopt;
  }
  if (!*row) return std::nullopt;
  return query.Column(0);
}

// What only becomes known is remembered too: a main branch that was red before counting began does
// recover.
void Ledger::State::Take(Counted counted, bool count, Change& change) {
  for (MemoryChange& each : counted.memory) {
    std::string key = each.key;
    change.memory.insert_or_assign(std::move(key), std::move(each));
  }
  if (!count) return;
  for (Increment& each : counted.increments) Add(std::move(each), change);
}

const Series* Ledger::State::Find(const SeriesKey& key, const Change& change) const {
  const auto staged = change.series.find(key);
  if (staged != change.series.end()) return &staged->second;
  const SeriesMap& series = families_[key.first].series;
  const auto found = series.find(key.second);
  return found == series.end() ? nullptr : &found->second;
}

// Where a label set is counted: its own series, or once its family is full the one that all such
// share.
SeriesKey Ledger::State::Place(size_t family, std::vector<std::string>& labels, Change& change,
                               bool* folded) {
  SeriesKey key = {family, JoinLabels(labels)};
  const CiFamilySpec& spec = *families_[family].spec;
  *folded = false;
  if (Find(key, change) != nullptr || families_[family].series.size() + change.added[family] <
                                          SeriesCap(spec, options_.max_series)) {
    return key;
  }
  for (size_t i = 0; i < labels.size(); ++i) {
    if (!IsClosedLabel(spec.labels[i])) labels[i] = std::string(kOtherLabel);
  }
  *folded = true;
  key.second = JoinLabels(labels);
  return key;
}

Series& Ledger::State::Stage(const SeriesKey& key, std::vector<std::string> labels,
                             Change& change) {
  const auto staged = change.series.find(key);
  if (staged != change.series.end()) return staged->second;
  Family& family = families_[key.first];
  const auto found = family.series.find(key.second);
  if (found != family.series.end()) return change.series.emplace(key, found->second).first->second;
  Series series;
  series.labels = std::move(labels);
  if (family.spec->type == CiType::kHistogram) {
    series.buckets.resize(family.spec->buckets.size() + 1);
  }
  series.last_active = clock_.WallNow();
  ++change.added[key.first];
  return change.series.emplace(key, std::move(series)).first->second;
}

void Ledger::State::AddZeros(std::vector<ZeroSeries> zeros, Change& change) {
  const absl::Time now = clock_.WallNow();
  for (ZeroSeries& zero : zeros) {
    const auto family = index_.find(zero.family);
    if (family == index_.end()) continue;
    bool folded = false;
    const SeriesKey key = Place(family->second, zero.labels, change, &folded);
    const Series* known = Find(key, change);
    if (known != nullptr && now - known->last_active < kTouchInterval) continue;
    Stage(key, std::move(zero.labels), change).last_active = now;
  }
}

void Ledger::State::Add(Increment increment, Change& change) {
  const auto index = index_.find(increment.family);
  if (index == index_.end()) return;
  const CiFamilySpec& spec = *families_[index->second].spec;
  bool folded = false;
  const SeriesKey key = Place(index->second, increment.labels, change, &folded);
  change.overflow += folded ? 1 : 0;
  Series& series = Stage(key, std::move(increment.labels), change);
  series.last_active = clock_.WallNow();
  size_t slot = 0;
  if (spec.type == CiType::kHistogram) {
    slot = static_cast<size_t>(
        std::lower_bound(spec.buckets.begin(), spec.buckets.end(), increment.value) -
        spec.buckets.begin());
    ++series.buckets[slot];
    series.sum += increment.value;
  } else {
    series.value += increment.value;
  }
  if (!increment.exemplar.has_value()) return;
  if (series.exemplars.size() <= slot) series.exemplars.resize(slot + 1);
  series.exemplars[slot] = std::move(increment.exemplar);
}

void Ledger::State::SeriesScraped(uint64_t generation, std::string_view scraper) {
  const client::MonotonicTime now = clock_.Now();
  const std::lock_guard lock(mutex_);
  std::erase_if(scrapers_, [now](const auto& each) {
    return now - each.second.seen >= absl::ToChronoNanoseconds(kZeroWait);
  });
  auto found = scrapers_.find(scraper);
  if (found == scrapers_.end()) {
    found = scrapers_.emplace(std::string(scraper), Scraper()).first;
    // A stranger too many: as one that has seen nothing, so that zeros wait for their time.
    if (scrapers_.size() > kMaxScrapers) generation = 0;
  }
  found->second = {std::max(found->second.generation, generation), now};
}

// The generation that everybody who scrapes has seen; 0 where nobody does.
uint64_t Ledger::State::ScrapedByAll(client::MonotonicTime now) const {
  const std::lock_guard lock(mutex_);
  std::optional<uint64_t> least;
  for (const auto& [name, scraper] : scrapers_) {
    if (now - scraper.seen >= absl::ToChronoNanoseconds(kZeroWait)) continue;
    least = std::min(least.value_or(scraper.generation), scraper.generation);
  }
  return least.value_or(0);
}

void Ledger::State::PromoteZeros(Change& change) {
  const client::MonotonicTime now = clock_.Now();
  const uint64_t scraped = ScrapedByAll(now);
  for (const SeriesKey& key : waiting_) {
    const Series& series = families_[key.first].series.at(key.second);
    if (series.zero_generation == 0) continue;
    const bool waited = now - series.zero_since >= absl::ToChronoNanoseconds(kZeroWait);
    if (series.zero_generation > scraped && !waited) continue;
    Stage(key, {}, change).published = true;
  }
}

void Ledger::State::Expire(Change& change) {
  const client::MonotonicTime now = clock_.Now();
  if (expiry_checked_.has_value() && now - *expiry_checked_ < kExpiryInterval) return;
  expiry_checked_ = now;
  const absl::Time wall = clock_.WallNow();
  for (size_t family = 0; family < families_.size(); ++family) {
    const absl::Duration expiry = families_[family].spec->expiry;
    for (const auto& [key, series] : families_[family].series) {
      if (wall - series.last_active < expiry) continue;
      if (change.expired.size() >= static_cast<size_t>(kDeletedPerCommit)) return;
      change.expired.emplace_back(family, key);
      change.series.erase({family, key});
    }
  }
}

absl::Status Ledger::State::Write(const Change& change) {
  for (const auto& [key, series] : change.series) {
    if (absl::Status status = WriteSeries(key, series); !status.ok()) return status;
  }
  for (const auto& [family, key] : change.expired) {
    absl::Status status = file_->Prepare("DELETE FROM totals WHERE family = ? AND labels = ?")
                              .Text(families_[family].spec->name)
                              .Text(key)
                              .Run();
    if (!status.ok()) return status;
  }
  for (const auto& [key, memory] : change.memory) {
    absl::Status status =
        memory.value.empty()
            ? file_->Prepare("DELETE FROM memory WHERE key = ?").Bytes(key).Run()
            : file_->Prepare("INSERT OR REPLACE INTO memory (key, value, expires) VALUES (?, ?, ?)")
                  .Bytes(key)
                  .Bytes(memory.value)
                  .Integer(absl::ToUnixMicros(memory.expires))
                  .Run();
    if (!status.ok()) return status;
  }
  return absl::OkStatus();
}

absl::Status Ledger::State::WriteSeries(const SeriesKey& key, const Series& series) {
  const Family& family = families_[key.first];
  return file_
      ->Prepare(
          "INSERT OR REPLACE INTO totals (family, labels, value, bounds, buckets, sum, exemplars, "
          "last_active, published) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)")
      .Text(family.spec->name)
      .Text(key.second)
      .Real(series.value)
      .Text(family.bounds)
      .Text(absl::StrJoin(series.buckets, ","))
      .Real(series.sum)
      .Text(ToText(series.exemplars))
      .Integer(absl::ToUnixMicros(series.last_active))
      .Integer(series.published ? 1 : 0)
      .Run();
}

void Ledger::State::Adopt(Change& change) {
  for (auto& [key, series] : change.series) {
    if (series.published) {
      waiting_.erase(key);
    } else {
      waiting_.insert(key);
    }
    families_[key.first].series.insert_or_assign(key.second, std::move(series));
  }
  for (const SeriesKey& key : change.expired) {
    waiting_.erase(key);
    families_[key.first].series.erase(key.second);
  }
  const std::lock_guard lock(mutex_);
  stats_.counted += change.counted;
  stats_.duplicates += change.duplicates;
  stats_.overflow += change.overflow;
  stats_.expired += change.expired.size();
}

void Ledger::State::Publish() {
  ++generation_;
  const client::MonotonicTime now = clock_.Now();
  for (const SeriesKey& key : waiting_) {
    Series& series = families_[key.first].series.at(key.second);
    if (series.zero_generation != 0) continue;
    series.zero_generation = generation_;
    series.zero_since = now;
  }
  auto snapshot = std::make_shared<CiSnapshot>();
  snapshot->collected = clock_.WallNow();
  std::vector<std::pair<std::string_view, uint64_t>> sizes;
  for (const Family& family : families_) {
    CiFamily& out = snapshot->families.emplace_back();
    out.name = family.spec->name;
    out.series.reserve(family.series.size());
    for (const auto& [key, series] : family.series) {
      CiSeries& each = out.series.emplace_back();
      each.labels = series.labels;
      if (!series.published) {
        each.buckets.resize(series.buckets.size());
        continue;
      }
      each.value = series.value;
      each.buckets = series.buckets;
      each.sum = series.sum;
      each.exemplars = series.exemplars;
    }
    sizes.emplace_back(family.spec->name, family.series.size());
  }
  const std::lock_guard lock(mutex_);
  published_ = {std::move(snapshot), generation_};
  stats_.series = std::move(sizes);
  stats_.waiting = waiting_.size();
}

}  // namespace semaphore::gateway
