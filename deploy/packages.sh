# The Debian 12 packages that building, running and testing need, and how the missing ones get
# installed. Sourced by deploy/quickstart.sh and tests/run.sh; does nothing by itself.

PACKAGES=(
  # To build.
  g++ cmake ninja-build ccache pkg-config
  libgrpc++-dev protobuf-compiler protobuf-compiler-grpc libprotobuf-dev
  golang-github-gogo-googleapis-dev       # google/api and google/rpc, which protoc compiles
  libboost1.81-dev libboost-json1.81-dev libboost-program-options1.81-dev
  libabsl-dev libssl-dev zlib1g-dev libyaml-cpp-dev libspdlog-dev prometheus-cpp-dev
  libgtest-dev libgmock-dev libbenchmark-dev
  # To run and to look at it.
  ca-certificates curl
  # To test: a gRPC client that is not ours, a validator of JSON schemas, and certificates.
  python3-grpcio python3-protobuf python3-jsonschema openssl
)

# To test pages in a real browser; big, so only where all is tested.
BROWSER_PACKAGES=(chromium chromium-driver python3-selenium)

missing_packages() {
  local package status
  for package in "${PACKAGES[@]}"; do
    status=$(dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null) || status=
    [[ $status == "install ok installed" ]] || echo "$package"
  done
}

# Says nothing when nothing is missing.
install_packages() {
  [[ -z ${SEMAPHORE_SKIP_PACKAGES:-} ]] || return 0
  local system=unknown
  [[ -r /etc/os-release ]] && system=$(. /etc/os-release && echo "${ID:-} ${VERSION_ID:-}")
  if [[ $system != "debian 12" ]]; then
    fail "this installs and builds on Debian 12, and this system is \"$system\"." \
      "A container will do: docker run -it -v \"\$PWD\":/src -w /src debian:12 $0" \
      "Or install what Debian calls ${PACKAGES[*]} yourself and set SEMAPHORE_SKIP_PACKAGES=1."
  fi
  local missing as_root=()
  mapfile -t missing < <(missing_packages)
  ((${#missing[@]} > 0)) || return 0
  if ((EUID != 0)); then
    command -v sudo >/dev/null || fail "packages are missing and this is neither root nor is there sudo." \
      "As root: apt-get update && apt-get install --no-install-recommends ${missing[*]}"
    as_root=(sudo)
    echo "Some packages are missing; sudo may ask for your password to install them."
    sudo true || fail "sudo did not work." \
      "As root: apt-get update && apt-get install --no-install-recommends ${missing[*]}"
  fi
  as_root+=(env DEBIAN_FRONTEND=noninteractive)
  step "look up ${#missing[@]} missing packages" "$LOGS/apt.log" \
    "${as_root[@]}" apt-get update --quiet
  # Nothing of the user's is removed to make room: plain libboost-dev, for one, excludes 1.81.
  step "install them" "$LOGS/apt.log" \
    "${as_root[@]}" apt-get install --quiet --yes --no-install-recommends --no-remove \
    -o DPkg::Lock::Timeout=300 "${missing[@]}"
}
