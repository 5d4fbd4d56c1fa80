#!/usr/bin/env bash
# Measures the release build and prints a table for docs/benchmarks.md. Figures are ratios between things run in turn in
# one go, because machines differ and are noisy. Not part of tests/run.sh.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
cd "$ROOT"
. deploy/packages.sh
. deploy/build.sh
PACKAGES+=(nghttp2-client nginx wrk)      # the first has h2load
install_packages

build release decode_bench store_bench echo_server semaphore-gateway semaphore-simulator

echo "Machine: $(nproc) processors, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
echo "Date: $(date +%F), commit $(git describe --always --dirty 2>/dev/null || echo unknown)"
echo

# --- Decoding: medians of nine interleaved repetitions. ---
build/release/tests/bench/decode_bench --benchmark_repetitions=9 --benchmark_enable_random_interleaving=true \
  --benchmark_report_aggregates_only=true --benchmark_format=json 2>/dev/null |
  /usr/bin/python3 -c '
import json, sys
median = {b["run_name"]: b for b in json.load(sys.stdin)["benchmarks"] if b["aggregate_name"] == "median"}
ours, theirs, log = (median[n] for n in ("DecodeByDescriptors", "DecodeByJsonUtil", "DecodeJobLog"))
print("| decoding | median |")
print("|---|---|")
print("| BASIC describe, ours | %.1f µs |" % (ours["cpu_time"] / 1000))
print("| the same message, json_util | %.1f µs |" % (theirs["cpu_time"] / 1000))
print("| ours / json_util | %.3f |" % (ours["cpu_time"] / theirs["cpu_time"]))
print("| job log | %.0f MB/s |" % (log["bytes_per_second"] / 1e6))
'
echo

# --- Cached reads against what gRPC alone costs. ---
/usr/bin/python3 -B tests/bench/cached_reads.py build/release
echo

# --- The same over REST against nginx's cache. ---
/usr/bin/python3 -B tests/bench/rest_reads.py build/release
echo

# --- Scrapes of a big page, beside calls and while Semaphore is away. ---
/usr/bin/python3 -B tests/bench/scrapes.py build/release
echo

# --- Memory: a log of 50 MB through the whole gateway, over TLS, read in pages. ---
WORK=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null; rm -rf "$WORK"' EXIT
export SEMAPHORE_API_TOKEN=bench-token SEMAPHORE_ORGANIZATION=bench
BYTES=50000000
build/release/tests/simulator/semaphore-simulator --port 0 --ca-out "$WORK/ca.pem" --huge-log-bytes $BYTES \
  >"$WORK/simulator" &
until grep -q huge_log_job_id "$WORK/simulator" 2>/dev/null; do kill -0 $!; done
value() { sed -n "s/^$1=//p" "$WORK/simulator"; }
SEMAPHORE_BASE_URL=$(head -n 1 "$WORK/simulator")
export SEMAPHORE_BASE_URL SEMAPHORE_CA_FILE=$WORK/ca.pem
printf 'grpc: {address: "127.0.0.1:0"}\nadmin: {address: "127.0.0.1:0"}\nupstream: {requests_per_second: 1000, burst: 1000}\n' \
  >"$WORK/gateway.yaml"
build/release/gateway/semaphore-gateway --config "$WORK/gateway.yaml" 2>"$WORK/gateway.log" &
GATEWAY=$!
until grep -q '"serving"' "$WORK/gateway.log" 2>/dev/null; do kill -0 $GATEWAY; done
ADDRESS=127.0.0.1:$(sed -n 's/.*"grpc_port":\([0-9]*\).*/\1/p' "$WORK/gateway.log" | head -n 1)
call() { build/release/gateway/semaphore-gateway call --address "$ADDRESS" "$@"; }
peak() { awk '/^VmHWM:/ {print $2 * 1024}' /proc/$GATEWAY/status; }

for _ in 1 2 3; do call JobService.GetJobLog "{\"jobId\": \"$(value cloud_job_id)\"}" >/dev/null; done
BEFORE=$(peak)
TOKEN= PAGES=0 EVENTS=0
while :; do
  call JobService.GetJobLog "{\"jobId\": \"$(value huge_log_job_id)\", \"pageSize\": 10000, \"pageToken\": \"$TOKEN\"}" \
    >"$WORK/page"
  PAGES=$((PAGES + 1))
  EVENTS=$((EVENTS + $(grep -c '"kind"' "$WORK/page")))
  TOKEN=$(sed -n 's/^ "nextPageToken": "\(.*\)".*/\1/p' "$WORK/page")
  [[ -n $TOKEN ]] || break
done
AFTER=$(peak)
grep -q '"complete": true' "$WORK/page" || fail "the last page of the log is not complete"
echo "| job log of $((BYTES / 1000000)) MB through the gateway | |"
echo "|---|---|"
echo "| pages, events | $PAGES, $EVENTS |"
awk -v before="$BEFORE" -v after="$AFTER" -v size="$BYTES" 'BEGIN {
  printf "| peak memory before, after | %.0f MB, %.0f MB |\n", before / 1e6, after / 1e6
  printf "| growth / size of the log | %.2f |\n", (after - before) / size }'
