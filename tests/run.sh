#!/usr/bin/env bash
# Installs, builds and runs every test, plain and under the sanitizers. Ends with ctest's own summary.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT"
. deploy/build.sh
. deploy/packages.sh

usage() {
  cat <<'USAGE'
usage: tests/run.sh [--all | --preset NAME] [-- CTEST_ARGUMENT...]
  (nothing)       presets release and asan
  --all           also ubsan and tsan, and pages in a real browser
  --preset NAME   only that one: dev, release, asan, ubsan, tsan
  --              what follows goes to ctest: tests/run.sh --preset dev -- -R Token
USAGE
}

# ThreadSanitizer covers everything below the gRPC surface: Debian's gRPC is not instrumented, which
# looks like races.
TSAN_TARGETS=(client_tests counting_tests simulator_tests)

main() {
  local presets=(release asan)
  while (($# > 0)); do
    case $1 in
      --all)
        presets=(release asan ubsan tsan)
        PACKAGES+=("${BROWSER_PACKAGES[@]}")
        ;;
      --preset)
        [[ ${2:-} =~ ^(dev|release|asan|ubsan|tsan|coverage)$ ]] || fail "--preset needs the name of a preset"
        presets=("$2")
        shift
        ;;
      --help | -h) usage && return ;;
      --) shift && break ;;
      *) usage >&2 && fail "unknown option: $1" ;;
    esac
    shift
  done
  PACKAGES+=("${MONITORING_PACKAGES[@]}")
  install_packages
  # Preset by preset, and the first that fails ends it: its summary is then the last that is said.
  local preset
  for preset in "${presets[@]}"; do run_preset "$preset" "$@"; done
}

run_preset() {
  local preset=$1 targets=() filter=()
  shift
  case $preset in
    asan) prepare_asan ;;
    ubsan) export UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1 ;;
    tsan)
      prepare_tsan
      targets=("${TSAN_TARGETS[@]}")
      # What is not built for it, ctest knows under a name of its own.
      filter=(-E '_NOT_BUILT' -LE 'end_to_end|fuzz|source')
      ;;
  esac
  build "$preset" "${targets[@]}"
  test_built "$preset" "${filter[@]}" "$@"
}

test_built() {
  local preset=$1 log=$LOGS/test-$1.log start=$SECONDS
  shift
  echo "test $preset …"
  if run_logged "$log" "${build_with[@]}" ctest --preset "$preset" --parallel "$(nproc)" \
    --no-tests=error "$@"; then
    printf 'test %s: %s s\n' "$preset" $((SECONDS - start))
    sed -n '/tests passed/,$p' "$log"
  else
    echo "test $preset failed; the whole log is in $log"
    grep -vE '^ *Start +[0-9]+: |Test +#[0-9]+: .* Passed +[0-9.]+ sec$' "$log" | tail -n 400
    exit 1
  fi
}

# Leaks are looked for at the end of each process, which some containers do not let it do.
prepare_asan() {
  export ASAN_OPTIONS=detect_leaks=1:detect_stack_use_after_return=1:strict_string_checks=1
  local probe=$ROOT/build/asan/leak_probe
  mkdir -p "${probe%/*}"
  [[ -x $probe ]] || echo 'int main() {}' | g++ -fsanitize=address -x c++ -o "$probe" - ||
    fail "g++ cannot link with AddressSanitizer"
  if ! "$probe" 2>"$LOGS/leak_probe.log"; then
    ASAN_OPTIONS+=:detect_leaks=0
    echo "note: LeakSanitizer cannot work here ($(grep -m 1 -oE 'LeakSanitizer.*' "$LOGS/leak_probe.log" ||
      echo 'it ends with an error'), perhaps for want of ptrace), so leaks are not looked for"
  fi
}

# g++ 12's ThreadSanitizer does not start where the kernel scatters mappings over more bits than it
# knows.
prepare_tsan() {
  export TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1
  local bits
  bits=$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 28)
  ((bits > 28)) || return 0
  setarch "$(uname -m)" -R true 2>/dev/null ||
    fail "ThreadSanitizer needs less address randomization than this kernel has ($bits bits)." \
      "As root on the host: sysctl vm.mmap_rnd_bits=28, or allow the container personality(2)."
  # Also for the build, which runs the test programs to list their tests.
  build_with=(setarch "$(uname -m)" -R)
}

main "$@"
