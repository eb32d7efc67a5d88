#!/usr/bin/env bash
# Prints the folder that holds `prometheus` and `promtool`: the one on PATH, else Debian's package, unpacked once into .tools/.
# Nothing is installed on the machine.
set -euo pipefail
cd "$(dirname "$0")/.."
folder="$PWD/.tools/prometheus"

die() {
    printf '✗ %s\n' "$1" >&2
    exit 1
}

if command -v prometheus >/dev/null && command -v promtool >/dev/null; then
    dirname "$(command -v promtool)"
    exit
fi
if [ ! -x "$folder/usr/bin/promtool" ]; then
    command -v apt-get >/dev/null || die "Prometheus is needed: brew install prometheus (macOS), or your system's package."
    mkdir -p .tools
    parts="$(mktemp -d .tools/prometheus.XXXXXX)"
    trap 'rm -rf "$parts"' EXIT
    download() { (cd "$parts" && apt-get download -qq -o APT::Sandbox::User=root prometheus >&2); }
    # A fresh machine has no package lists yet.
    download || { apt-get update -qq >&2 && download; } || die "Debian's package prometheus could not be fetched; see above."
    dpkg -x "$parts"/prometheus_*.deb "$parts/root"
    # Another process may have been here first; its copy is as good.
    mv -T "$parts/root" "$folder" 2>/dev/null || [ -x "$folder/usr/bin/promtool" ]
fi
printf '%s\n' "$folder/usr/bin"
