#include "gateway/sqlite.h"

#include <sqlite3.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "client/string_view.h"

namespace semaphore::gateway {

absl::Status CorruptLedger(std::string_view path, std::string_view what) {
  return absl::DataLossError(absl::StrCat(
      "the ledger ", client::ToAbsl(path), " ", client::ToAbsl(what),
      ": restore the file from a backup, or move it away with every file beside it whose name "
      "begins the same, to count anew from 0"));
}

Sqlite::Query::Query(Query&& other) noexcept
    : owner_(other.owner_),
      sql_(other.sql_),
      statement_(std::exchange(other.statement_, nullptr)),
      code_(other.code_),
      bound_(other.bound_),
      told_(other.told_) {}

Sqlite::Query::~Query() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

Sqlite::Query& Sqlite::Query::Text(std::string_view text) {
  // A null pointer would bind NULL.
  const char* data = text.data() == nullptr ? "" : text.data();
  if (code_ == SQLITE_OK) {
    code_ =
        sqlite3_bind_text64(statement_, ++bound_, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8);
  }
  return *this;
}

Sqlite::Query& Sqlite::Query::Bytes(std::string_view bytes) {
  const char* data = bytes.data() == nullptr ? "" : bytes.data();
  if (code_ == SQLITE_OK) {
    code_ = sqlite3_bind_blob64(statement_, ++bound_, data, bytes.size(), SQLITE_TRANSIENT);
  }
  return *this;
}

Sqlite::Query& Sqlite::Query::Integer(int64_t value) {
  if (code_ == SQLITE_OK) code_ = sqlite3_bind_int64(statement_, ++bound_, value);
  return *this;
}

Sqlite::Query& Sqlite::Query::Real(double value) {
  if (code_ == SQLITE_OK) code_ = sqlite3_bind_double(statement_, ++bound_, value);
  return *this;
}

absl::StatusOr<bool> Sqlite::Query::Next() {
  if (code_ != SQLITE_OK) return owner_.ToStatus(code_);
  if (!std::exchange(told_, true) && owner_.on_statement_) owner_.on_statement_(sql_);
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return owner_.ToStatus(code);
}

absl::Status Sqlite::Query::Run() {
  while (true) {
    const absl::StatusOr<bool> row = Next();
    if (!row.ok()) return row.status();
    if (!*row) return absl::OkStatus();
  }
}

std::string Sqlite::Query::Column(int index) const {
  const void* data = sqlite3_column_blob(statement_, index);
  const int size = sqlite3_column_bytes(statement_, index);
  if (data == nullptr) return "";
  return {static_cast<const char*>(data), static_cast<size_t>(size)};
}

int64_t Sqlite::Query::IntegerColumn(int index) const {
  return sqlite3_column_int64(statement_, index);
}

double Sqlite::Query::RealColumn(int index) const {
  return sqlite3_column_double(statement_, index);
}

absl::StatusOr<std::unique_ptr<Sqlite>> Sqlite::Open(
    std::string path, absl::Duration busy_timeout,
    std::function<void(std::string_view)> on_statement) {
  std::unique_ptr<Sqlite> out(new Sqlite(std::move(path), std::move(on_statement)));
  const int code = sqlite3_open_v2(
      out->path_.c_str(), &out->connection_,
      SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_EXRESCODE,
      nullptr);
  if (code != SQLITE_OK) return out->ToStatus(code);
  sqlite3_busy_timeout(out->connection_, static_cast<int>(absl::ToInt64Milliseconds(busy_timeout)));
  return out;
}

Sqlite::~Sqlite() {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  sqlite3_close(connection_);
}

Sqlite::Query Sqlite::Prepare(std::string_view sql) {
  auto found = statements_.find(sql);
  if (found == statements_.end()) found = statements_.emplace(sql, nullptr).first;
  int code = SQLITE_OK;
  if (found->second == nullptr) {
    code = sqlite3_prepare_v3(connection_, found->first.c_str(), -1, SQLITE_PREPARE_PERSISTENT,
                              &found->second, nullptr);
  }
  return {*this, found->first, found->second, code};
}

absl::StatusOr<int64_t> Sqlite::Integer(std::string_view sql) {
  Query query = Prepare(sql);
  const absl::StatusOr<bool> row = query.Next();
  if (!row.ok()) return row.status();
  return *row ? query.IntegerColumn(0) : 0;
}

absl::StatusOr<std::string> Sqlite::Text(std::string_view sql) {
  Query query = Prepare(sql);
  const absl::StatusOr<bool> row = query.Next();
  if (!row.ok()) return row.status();
  if (!*row) return std::string();
  return query.Column(0);
}

int64_t Sqlite::changes() const { return sqlite3_changes64(connection_); }

// Some errors have ended the transaction already; then there is nothing to do.
void Sqlite::Rollback() {
  if (sqlite3_get_autocommit(connection_) == 0) Run("ROLLBACK").IgnoreError();
}

absl::Status Sqlite::ToStatus(int code) const {
  const char* message = connection_ == nullptr ? sqlite3_errstr(code) : sqlite3_errmsg(connection_);
  const std::string ledger = absl::StrCat("the ledger ", path_);
  switch (code & 0xFF) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return absl::UnavailableError(absl::StrCat(ledger, " is locked by another process (", message,
                                                 "): end whatever has it open"));
    case SQLITE_FULL:
      return absl::ResourceExhaustedError(absl::StrCat(
          ledger, " cannot grow (", message, "): make room on its disk; nothing counted is lost"));
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return CorruptLedger(path_, absl::StrCat("is corrupt (", message, ")"));
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_CANTOPEN:
      return absl::PermissionDeniedError(
          absl::StrCat(ledger, " cannot be opened and written (", message,
                       "): give this process's user the folder and the files in it"));
    // Also a quota or a limit on the size of files; a full disk is SQLITE_FULL.
    case SQLITE_IOERR:
      return absl::InternalError(
          absl::StrCat(ledger, " cannot be read or written (", message,
                       "): look at its disk, its quota and the system's log"));
    default:
      return absl::InternalError(
          absl::StrCat("SQLite refused an operation on ", ledger, " (", message, ")"));
  }
}

}  // namespace semaphore::gateway
