#!/usr/bin/env bash
# A check for developers, not part of tests/run.sh: buf's rules for the protos, and that they break
# nothing of a commit (HEAD, or the one given). Needs npx (nodejs, npm) and protoc; buf gets images that
# protoc made, so that imports come from the same Debian package as in the build.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

base=${1:-HEAD}
googleapis=${GOOGLEAPIS_DIR:-/usr/share/gocode/src/github.com/gogo/googleapis}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

buf() { npx --yes @bufbuild/buf@1 "$@"; }

# image FOLDER FILE - all protos of the folder and what they import.
image() {
  (cd "$1" && find semaphore -name '*.proto' | sort) >"$work/names"
  protoc -I"$1" -I"$googleapis" --include_imports --include_source_info -o "$2" $(cat "$work/names")
}

image proto "$work/now.binpb"
buf lint "$work/now.binpb" --config proto/buf.yaml
echo "buf lint: clean"

git archive "$base" proto | tar -x -C "$work"
image "$work/proto" "$work/before.binpb"
buf breaking "$work/now.binpb" --against "$work/before.binpb" --config proto/buf.yaml
echo "buf breaking: nothing broken since $(git describe --always "$base")"
