#!/usr/bin/env bash
# Holds the sources to the rules of docs/architecture.md that a compiler does not see: who may include
# what. Prints each line that breaks one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

broken=0

# refuse RULE PATTERN FILE... - none of the files may have a line that matches.
refuse() {
  local rule=$1 pattern=$2 found
  shift 2
  (($# > 0)) || { echo "no files are left for the rule: $rule" >&2 && exit 2; }
  found=$(grep -HnE "$pattern" "$@") || return 0
  printf 'broken rule: %s\n%s\n' "$rule" "$found"
  broken=1
}

# sources FIND_ARGUMENT... - C++ files, by name.
sources() { find "$@" -type f \( -name '*.h' -o -name '*.cc' \) | sort; }

include() { printf '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<](%s)' "$1"; }

mapfile -t client < <(sources client)
mapfile -t gateway < <(sources gateway)
mapfile -t simulator < <(sources tests/simulator)
mapfile -t headers < <(find client gateway tests -type f -name '*.h' | sort)
mapfile -t without_grpc < <(sources client gateway tests |
  grep -vE '^gateway/(service|server|status|call_command)[a-z_]*\.(h|cc)$|^tests/(gateway|bench)/')
mapfile -t texts < <({ find . -maxdepth 1 -type f ! -name .git; find .ci client deploy docs gateway proto tests -type f; } |
  grep -vE '\.pyc$|^tests/layering\.sh$' | sort)

refuse "client/ knows nothing of gRPC or of gateway/" "$(include 'grpc|gateway/|tests/')" "${client[@]}"
refuse "grpcpp stays in gateway/service*, server*, status* and call_command*" "$(include grpcpp/)" \
  "${without_grpc[@]}"
refuse "gRPC service stubs stay where grpcpp is" '\.grpc\.pb\.h' "${without_grpc[@]}"
refuse "Beast and OpenSSL stay in the .cc files that do I/O" \
  "$(include 'boost/beast|boost/asio/ssl|openssl/')" "${headers[@]}"
refuse "the simulator shares no code with what is tested against it" \
  "$(include 'client/|gateway/|semaphore/')" "${simulator[@]}"
refuse "the program uses no test code" "$(include 'tests/')" "${gateway[@]}"
refuse "no path of somebody's machine" '(^|[^[:alnum:]_./~-])/(home|root|work|Users)/' "${texts[@]}"

((broken == 0)) && echo "all rules hold"
exit "$broken"
