#!/usr/bin/env bash
# Lays out the file system of the container image: the program, the shared libraries that it needs and
# the certificates that it trusts. Dockerfile calls it; docs/adr/0006-image-from-debian-files.md says why.
set -euo pipefail

main() {
  (($# == 2)) || { echo "usage: deploy/image_files.sh PROGRAM FOLDER" >&2 && exit 2; }
  local program=$1 folder=$2 libraries file
  install -D --strip "$program" "$folder/usr/bin/semaphore-gateway"

  # As on Debian itself, where /lib is /usr/lib.
  mkdir -p "$folder/usr/lib" "$folder/usr/lib64"
  ln -s usr/lib usr/lib64 "$folder/"
  libraries=$(libraries_of "$program")
  for file in $libraries; do
    install -D "$file" "$folder/usr${file#/usr}"
    record_package "$file" "$folder"
  done

  # OpenSSL looks into /usr/lib/ssl, operators and other programs into /etc/ssl/certs.
  install -D --mode=644 /etc/ssl/certs/ca-certificates.crt "$folder/etc/ssl/certs/ca-certificates.crt"
  mkdir -p "$folder/usr/lib/ssl"
  ln -s /etc/ssl/certs/ca-certificates.crt "$folder/usr/lib/ssl/cert.pem"
  record_package /usr/sbin/update-ca-certificates "$folder"

  # Without it, libc asks DNS before it looks into /etc/hosts.
  echo 'hosts: files dns' >"$folder/etc/nsswitch.conf"
  install --mode=644 /etc/os-release /etc/debian_version "$folder/etc/"
}

# libraries_of PROGRAM - their paths, the loader's too; fails when one is missing.
libraries_of() {
  ldd "$1" | awk '
    /not found/ {print "missing: " $1 >"/dev/stderr"; missing = 1}
    $2 == "=>" && $3 ~ /^\// {print $3}
    $1 ~ /^\// {print $1}
    END {exit missing}'
}

# record_package FILE FOLDER - notes the Debian package of a file where scanners for known
# vulnerabilities look when there is no dpkg, and brings its licence.
record_package() {
  local file=$1 folder=$2 package
  package=$({ dpkg-query --search "$file" || dpkg-query --search "/usr$file"; } 2>/dev/null) || true
  package=${package%%:*}
  [[ -n $package ]] || { echo "no Debian package has $file" >&2 && return 1; }
  mkdir -p "$folder/var/lib/dpkg/status.d"
  dpkg-query --status "$package" >"$folder/var/lib/dpkg/status.d/$package"
  install -D --mode=644 "/usr/share/doc/$package/copyright" "$folder/usr/share/doc/$package/copyright"
}

main "$@"
