#!/usr/bin/env bash
# From a fresh Debian 12 to a running gateway: installs, builds, starts, makes real calls, shows them.
# Without a token it starts a simulated Semaphore too; docs/configuration.md is for running it for good.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
SEMAPHORE_GATEWAY=build/release/gateway/semaphore-gateway  # as printed; the working folder is ROOT

usage() {
  cat <<'USAGE'
usage: deploy/quickstart.sh [--once] [--grpc-port N] [--rest-port N] [--admin-port N]
Builds the gateway, runs it against a simulated Semaphore and makes some calls. Then it stays until Ctrl-C.
  --once          stop after the calls
  --grpc-port N   50051 unless given; 0 takes any free port
  --rest-port N   8080 unless given; 0 takes any free port
  --admin-port N  9464 unless given; 0 takes any free port
With SEMAPHORE_ORGANIZATION and SEMAPHORE_API_TOKEN in the environment it fronts the real service and only reads.
USAGE
}

main() {
  local once=false grpc_port=50051 rest_port=8080 admin_port=9464
  while (($# > 0)); do
    case $1 in
      --once) once=true ;;
      --grpc-port | --rest-port | --admin-port)
        [[ ${2:-} =~ ^[0-9]{1,5}$ ]] || fail "$1 needs a port number"
        case $1 in
          --grpc-port) grpc_port=$2 ;;
          --rest-port) rest_port=$2 ;;
          --admin-port) admin_port=$2 ;;
        esac
        shift
        ;;
      --help | -h) usage && return ;;
      *) usage >&2 && fail "unknown option: $1" ;;
    esac
    shift
  done
  [[ -n ${SEMAPHORE_ORGANIZATION:-} && -n ${SEMAPHORE_API_TOKEN:-} ]] && real=true || real=false
  $real || [[ -z ${SEMAPHORE_ORGANIZATION:-}${SEMAPHORE_API_TOKEN:-} ]] ||
    fail "only one of SEMAPHORE_ORGANIZATION and SEMAPHORE_API_TOKEN is set." \
      "Set both for the real service, none for the simulated one."

  need_free_port "$grpc_port" --grpc-port
  need_free_port "$rest_port" --rest-port
  need_free_port "$admin_port" --admin-port
  install_packages
  local targets=(semaphore-gateway)
  $real || targets+=(semaphore-simulator)
  build release "${targets[@]}"

  private=$(umask 077 && mktemp -d)
  trap clean_up EXIT
  trap 'exit 130' INT TERM
  $real || start_simulator
  start_gateway "$grpc_port" "$rest_port" "$admin_port"
  if $real; then calls_to_the_service; else calls_to_the_simulator; fi
  show_metrics
  $once && return
  say_how_to_go_on
  tail -n 0 -f --pid="$gateway" "$private/gateway.log" &
  wait "$gateway" || fail "the gateway ended by itself; its last words:" "$(tail -n 5 "$private/gateway.log")"
}

# ---- The two programs

# The programs end before their folder goes. Errors do not matter any more.
clean_up() {
  set +e
  [[ -z ${gateway:-} ]] || { kill "$gateway" && wait "$gateway"; } 2>/dev/null
  [[ -z ${simulator:-} ]] || { kill "$simulator" && wait "$simulator"; } 2>/dev/null
  rm -rf "$private"
}

# wait_for PID LOG CONDITION... - until the condition holds; a program that ends first has failed.
wait_for() {
  local pid=$1 log=$2 tries
  shift 2
  for ((tries = 0; tries < 300; ++tries)); do
    "$@" && return
    kill -0 "$pid" 2>/dev/null || break
    sleep 0.1
  done
  fail "$(basename "$log" .log) did not start; its last words:" "$(tail -n 10 "$log")"
}

start_simulator() {
  SEMAPHORE_API_TOKEN=$(od -An -tx1 -N20 /dev/urandom | tr -d ' \n')
  export SEMAPHORE_API_TOKEN SEMAPHORE_ORGANIZATION=demo
  : >"$private/simulator.txt"
  build/release/tests/simulator/semaphore-simulator --ca-out "$private/ca.pem" \
    >"$private/simulator.txt" 2>"$private/simulator.log" &
  simulator=$!
  wait_for "$simulator" "$private/simulator.log" grep -q '^self_hosted_job_id=' "$private/simulator.txt"
  SEMAPHORE_BASE_URL=$(head -n 1 "$private/simulator.txt")
  export SEMAPHORE_BASE_URL SEMAPHORE_CA_FILE=$private/ca.pem
  echo "A simulated Semaphore is at $SEMAPHORE_BASE_URL"
}

# simulated NAME - one of the simulator's well-known ids.
simulated() { sed -n "s/^$1=//p" "$private/simulator.txt"; }

# The organization and its token stay in the environment; the file says only where to listen.
start_gateway() {
  cat >"$private/gateway.yaml" <<CONFIG
grpc: {address: 127.0.0.1:$1}
rest: {address: 127.0.0.1:$2}
admin: {address: 127.0.0.1:$3}
CONFIG
  : >"$private/gateway.log"
  "$SEMAPHORE_GATEWAY" serve --config "$private/gateway.yaml" 2>"$private/gateway.log" &
  gateway=$!
  wait_for "$gateway" "$private/gateway.log" grep -q '"event":"serving"' "$private/gateway.log"
  grpc_address=127.0.0.1:$(sed -n 's/.*"event":"serving".*"grpc_port":\([0-9]*\).*/\1/p' "$private/gateway.log")
  rest_address=127.0.0.1:$(sed -n 's/.*"event":"serving".*"rest_port":\([0-9]*\).*/\1/p' "$private/gateway.log")
  admin_address=127.0.0.1:$(sed -n 's/.*"event":"serving".*"admin_port":\([0-9]*\).*/\1/p' "$private/gateway.log")
  echo "The gateway serves gRPC on $grpc_address, REST on $rest_address and metrics on $admin_address"
}

# need_free_port PORT OPTION
need_free_port() {
  (($1 != 0)) && (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null || return 0
  fail "port $1 is taken by $(listener_of "$1")." \
    "Stop that program, or choose another port: $0 $2 N"
}

# The program that listens on a port, as far as this user may know.
listener_of() {
  local inode process
  inode=$(awk -v port=":$(printf '%04X' "$1")" \
    '$4 == "0A" && substr($2, length($2) - 4) == port {print $10; exit}' /proc/net/tcp /proc/net/tcp6 2>/dev/null) || true
  for process in /proc/[0-9]*; do
    [[ -n $inode ]] || break
    if ls -l "$process/fd" 2>/dev/null | grep -qF "socket:[$inode]"; then
      echo "process ${process#/proc/} ($(cat "$process/comm"))"
      return
    fi
  done
  echo "another program"
}

# ---- The calls

address_option() { [[ $grpc_address == 127.0.0.1:50051 ]] || echo " --address $grpc_address"; }

# call EXPECTED METHOD JSON - prints the command and the beginning of its reply; EXPECTED is "ok" or
# the code of an error.
call() {
  local expected=$1 method=$2 request=$3 got=ok address
  read -ra address <<<"$(address_option)"
  printf '\n$ %s call%s %s '\''%s'\''\n' "$SEMAPHORE_GATEWAY" "$(address_option)" "$method" "$request"
  "$SEMAPHORE_GATEWAY" call "${address[@]}" "$method" "$request" >"$private/reply" 2>&1 || got=failed
  if [[ $expected != ok ]] && grep -q "^$expected:" "$private/reply"; then got=$expected; fi
  shorten 16 <"$private/reply"
  [[ $got == "$expected" ]] || fail "that call should have ended as $expected. The gateway says:" \
    "$(tail -n 3 "$private/gateway.log")"
}

# get PATH - the same over REST.
get() {
  printf '\n$ curl http://%s%s\n' "$rest_address" "$1"
  curl --silent --show-error --fail --noproxy '*' "http://$rest_address$1" >"$private/reply" ||
    fail "that request should have succeeded. The gateway says:" "$(tail -n 3 "$private/gateway.log")"
  cut -c 1-400 "$private/reply" && echo
}

# shorten LINES - the first lines of standard input, and how many more there are.
shorten() { awk -v most="$1" 'NR <= most {print} END {if (NR > most) print "… and " NR - most " more lines"}'; }

calls_to_the_simulator() {
  call ok PipelineService.GetPipeline "{\"pipelineId\": \"$(simulated done_pipeline_id)\"}"
  call ok WorkflowService.ListWorkflows "{\"projectId\": \"$(simulated project_id)\", \"pageSize\": 2}"
  call ok PipelineService.StopPipeline "{\"pipelineId\": \"$(simulated running_pipeline_id)\"}"
  call ok WorkflowService.RunWorkflow \
    "{\"projectId\": \"$(simulated project_id)\", \"reference\": \"refs/heads/master\"}"
  call ok JobService.GetJobLog "{\"jobId\": \"$(simulated cloud_job_id)\", \"pageSize\": 3}"
  call NOT_FOUND PipelineService.GetPipeline '{"pipelineId": "no-such-pipeline"}'
  get "/v1/pipelines/$(simulated done_pipeline_id)"
}

calls_to_the_service() {
  get '/v1/projects?pageSize=2'
  call ok ProjectService.ListProjects '{"pageSize": 10}'
  local project
  project=$(sed -n 's/^ *"projectId": "\([^"]*\)".*/\1/p' "$private/reply" | head -n 1)
  [[ -z $project ]] || call ok WorkflowService.ListWorkflows "{\"projectId\": \"$project\", \"pageSize\": 2}"
}

show_metrics() {
  printf '\n$ curl http://%s/metrics\n' "$admin_address"
  curl --silent --show-error --fail --noproxy '*' "http://$admin_address/metrics" >"$private/metrics" ||
    fail "the metrics cannot be read"
  grep -E '^(grpc_server_handled_total|semaphoreci_gateway_upstream_requests_total)\{.* [1-9]' "$private/metrics" |
    shorten 8 || true
  echo "… of $(wc -l <"$private/metrics") lines"
}

say_how_to_go_on() {
  local pipeline=YOUR-PIPELINE-ID project=YOUR-PROJECT-ID
  if ! $real; then
    pipeline=$(simulated done_pipeline_id)
    project=$(simulated project_id)
  fi
  cat <<TEXT

The gateway is running: gRPC on $grpc_address, REST and a page to try it at http://$rest_address/,
http://$admin_address/metrics. Ctrl-C stops it. In another terminal:

  cd $ROOT
  $SEMAPHORE_GATEWAY call$(address_option) PipelineService.GetPipeline '{"pipelineId": "$pipeline", "view": "PIPELINE_VIEW_FULL"}'
  $SEMAPHORE_GATEWAY call$(address_option) WorkflowService.RunWorkflow '{"projectId": "$project", "reference": "refs/heads/master"}'
  $SEMAPHORE_GATEWAY health$(address_option)
  curl http://$rest_address/v1/pipelines/$pipeline
  curl http://$admin_address/metrics

Any gRPC client will do, the gateway describes itself (reflection):

  grpcurl -plaintext -d '{"pipelineId": "$pipeline"}' $grpc_address semaphore.v1.PipelineService/GetPipeline

README.md shows calls from Python and Go.
TEXT
  $real || cat <<'TEXT'
For your own organization instead of the simulated one, Ctrl-C and:

  read -rsp 'API token: ' SEMAPHORE_API_TOKEN && export SEMAPHORE_API_TOKEN
  SEMAPHORE_ORGANIZATION=your-organization deploy/quickstart.sh
TEXT
  printf '\nThe log of the gateway from here on:\n'
}

. "$ROOT/deploy/build.sh"
. "$ROOT/deploy/packages.sh"
cd "$ROOT"
main "$@"
