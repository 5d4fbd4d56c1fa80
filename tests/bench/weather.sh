#!/usr/bin/env bash
# How the gateway weathers what goes wrong upstream: a table for docs/benchmarks.md, or a long mixed run whose end is
# checked. Not part of tests/run.sh.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
cd "$ROOT"
. deploy/packages.sh
. deploy/build.sh

usage() {
  cat <<'USAGE'
usage: tests/bench/weather.sh [ARGUMENT...]               all scenarios on the release build, a quarter of an hour
       tests/bench/weather.sh soak [--asan] [ARGUMENT...] ten minutes of everything; release unless --asan
  --scale X        scenarios: of their lengths; below 1 to try the bench itself
  --only TEXT      scenarios: those whose name has TEXT in it
  --fresh          scenarios: calls ask for answers that are not from a cache
  --seconds N      soak: its length, 600
  --seed N         of callers, faults and the simulator; 1
The exit status is 1 when a check fails: the gateway ends or writes what is no log line, upstream requests exceed the
budget, retries exceed theirs; after a soak also when changes and what callers were told differ, when memory grew
(release) or leaked (--asan).
USAGE
}

preset=release mode=weather
case ${1:-} in
  --help | -h) usage && exit ;;
  soak) mode=soak && shift ;;
esac
if [[ ${1:-} == --asan ]]; then
  [[ $mode == soak ]] || fail "--asan is for soak: its scenarios are measured, and that is slow"
  preset=asan
  shift
fi

install_packages
build "$preset" weather_bench semaphore-gateway
arguments=("$mode" "$@")
if [[ $mode == soak && $preset == release ]]; then arguments+=(--check-memory); fi
if [[ $preset == asan ]]; then export ASAN_OPTIONS=detect_leaks=1:${ASAN_OPTIONS:-}; fi

echo "Machine: $(nproc) processors, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
echo "Date: $(date +%F), commit $(git describe --always --dirty 2>/dev/null || echo unknown), $preset build"
echo
exec "build/$preset/tests/bench/weather_bench" "${arguments[@]}"
