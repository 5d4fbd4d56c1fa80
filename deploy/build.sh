# How both commands work: steps with a name, a time and a log, and builds that fit this machine.
# Sourced by deploy/quickstart.sh and tests/run.sh; needs ROOT and makes LOGS.

LOGS=$ROOT/build/logs
mkdir -p "$LOGS"

# Another clone of the same source finds what this one compiled.
export CCACHE_BASEDIR=$ROOT CCACHE_NOHASHDIR=1

# fail LINE... - says why and what to do, and ends the program.
fail() {
  printf '%s: %s\n' "${0##*/}" "$1" >&2
  shift
  (($# == 0)) || printf '  %s\n' "$@" >&2
  exit 1
}

# From lines like "[3/120] Building …" and " 3/120 Test #3: …": how far a long step is.
show_progress() {
  local line shown=0 tenth
  while IFS= read -r line; do
    [[ $line =~ ^[[:space:]]*\[?([0-9]+)/([0-9]+)[]\ ] ]] || continue
    if [[ -t 1 ]]; then
      printf '\r  %s of %s ' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
      continue
    fi
    tenth=$((10#${BASH_REMATCH[1]} * 10 / 10#${BASH_REMATCH[2]}))
    ((tenth > shown && tenth < 10 && BASH_REMATCH[2] >= 20)) || continue
    shown=$tenth
    printf '  %s of %s\n' "${BASH_REMATCH[1]}" "${BASH_REMATCH[2]}"
  done
  [[ ! -t 1 ]] || printf '\r\033[K'
}

# run_logged LOG COMMAND... - the command's output goes to the log, its progress to the terminal.
run_logged() {
  local log=$1
  shift
  "$@" 2>&1 </dev/null | tee "$log" | show_progress
  return "${PIPESTATUS[0]}"
}

# step NAME LOG COMMAND... - says what is done and how long it took; a failure shows the log's end.
step() {
  local name=$1 log=$2 start=$SECONDS
  shift 2
  printf '%s …\n' "$name"
  if ! run_logged "$log" "$@"; then
    # What failed first is worth more than what was still running then.
    grep -n -m 5 -A 12 -E '^FAILED:|^CMake Error|^E: |error:' "$log" >&2 || tail -n 30 "$log" >&2
    fail "\"$name\" failed after $((SECONDS - start)) s; the whole log is in $log"
  fi
  printf '%s: %s s\n' "$name" $((SECONDS - start))
}

# A compile job takes up to 2 GB, so memory bounds their number as well as processors do.
compile_jobs() {
  local processors kilobytes limit
  processors=$(nproc)
  kilobytes=$(awk '/^MemAvailable:/ {print $2}' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [[ $limit =~ ^[0-9]+$ ]] && ((limit / 1024 < kilobytes)); then kilobytes=$((limit / 1024)); fi
  local jobs=$((kilobytes / 2000000))
  ((jobs < processors)) || jobs=$processors
  ((jobs >= 1)) || jobs=1
  echo "$jobs"
}

# build PRESET [TARGET...] - all targets when none is named. `build_with` stands before ninja.
build_with=()
build() {
  local preset=$1 directory=$ROOT/build/$1
  shift
  cd "$ROOT"
  # ninja configures again by itself when a CMake file changed.
  [[ -f $directory/build.ninja ]] ||
    step "configure $preset" "$LOGS/configure-$preset.log" cmake --preset "$preset"
  step "build $preset" "$LOGS/build-$preset.log" \
    "${build_with[@]}" ninja -C "$directory" -j "$(compile_jobs)" "$@"
}
