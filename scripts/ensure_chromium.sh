#!/usr/bin/env bash
# Sees to a Chromium for the browser tests: the one named by CHROMIUM_PATH, the system's, Debian's package, or Playwright's download.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -n "${CHROMIUM_PATH:-}" ]; then
    [ -x "$CHROMIUM_PATH" ] && exit 0
    printf '✗ CHROMIUM_PATH is %s, and no program is there.\n' "$CHROMIUM_PATH" >&2
    exit 1
fi
for candidate in /usr/bin/chromium /usr/bin/chromium-browser; do
    [ -x "$candidate" ] && exit 0
done

if command -v apt-get >/dev/null && [ "$(id -u)" = 0 ]; then
    printf 'Chromium for the browser tests is missing: apt-get install chromium\n'
    export DEBIAN_FRONTEND=noninteractive
    # Ubuntu's package of that name only points to a snap, so what counts is the program.
    if apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium >/dev/null && [ -x /usr/bin/chromium ]; then
        exit 0
    fi
fi
printf "Chromium for the browser tests: Playwright's own\n"
(cd frontend && npx playwright install chromium)
