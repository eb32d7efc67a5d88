#!/usr/bin/env bash
# Brings a checkout to a runnable state: pinned tools into .tools/, locked packages into each member.
# A step whose inputs have not changed since it last succeeded is skipped.
set -euo pipefail
cd "$(dirname "$0")/.."
unset VIRTUAL_ENV # uv would warn about an unrelated active environment
export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-120}" # seconds; MLX wheels are large

# Which MLX to install on Linux: "cpu" (default) or "cuda". From the environment, else from .env.
build="${MLX_BUILD:-$(sed -n 's/^MLX_BUILD=//p' .env 2>/dev/null || true)}"
build="${build:-cpu}"

members=""
for member in inference-server backend frontend; do
    if [ -f "$member/pyproject.toml" ] || [ -f "$member/package.json" ]; then members="$members $member"; fi
done
# shellcheck disable=SC2086 # names without spaces
num_steps=$(($(set -- $members && echo $#) + 1))
step=0

begin() {
    step=$((step + 1))
    printf '[%d/%d] %s\n' "$step" "$num_steps" "$1"
}
done_() { printf '      ✓ %s\n' "$1"; }
die() {
    printf '\n✗ %s\n' "$1" >&2
    exit 1
}

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11}; do
        if is_new_enough "$candidate"; then
            command -v "$candidate"
            return
        fi
    done
    die "Python 3.11 or newer is needed; ${PYTHON:-python3} is $("${PYTHON:-python3}" --version 2>&1 || echo missing).
  Install one (Debian: apt-get install python3 python3-venv; macOS: brew install python@3.12),
  or let uv fetch one: python3 -m pip install uv && python3 -m uv python install 3.12
  and name it: make start PYTHON=\"\$(python3 -m uv python find 3.12)\""
}

install_tools() {
    begin "tools (uv, honcho) → .tools"
    local key
    key="$(cksum <scripts/requirements-tools.txt) $PWD"
    if [ -x .tools/bin/uv ] && [ "$(cat .tools/stamp 2>/dev/null)" = "$key" ]; then
        done_ "up to date"
        return
    fi
    rm -rf .tools
    "$python" -m venv .tools ||
        die "python3 cannot make a virtual environment (Debian: apt-get install python3-venv), then run this again."
    .tools/bin/python -m pip install --disable-pip-version-check --require-hashes -r scripts/requirements-tools.txt ||
        die "The tools could not be installed; the lines above say why. Run this again when it is mended."
    printf '%s' "$key" >.tools/stamp
    done_ "$(.tools/bin/uv --version)"
}

sync_python() {
    local member=$1 groups="" key
    if [ "$build" = cuda ] && grep -q '^cuda = ' "$member/pyproject.toml"; then groups="--no-group cpu --group cuda"; fi
    key="$(cat "$member/pyproject.toml" "$member/uv.lock" | cksum) $build $PWD"
    if [ -x "$member/.venv/bin/python" ] && [ "$(cat "$member/.venv/stamp" 2>/dev/null)" = "$key" ]; then
        done_ "up to date"
        return
    fi
    if [ ! -x "$member/.venv/bin/python" ]; then groups="$groups --python $python"; fi
    # shellcheck disable=SC2086 # words on purpose
    (cd "$member" && ../.tools/bin/uv sync --locked $groups) ||
        die "$member could not be set up; the lines above say why. Run this again when it is mended."
    printf '%s' "$key" >"$member/.venv/stamp"
    done_ "installed"
}

sync_node() {
    local member=$1 key
    node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' 2>/dev/null ||
        die "Node 20 or newer is needed for $member; node is $(node --version 2>/dev/null || echo missing)."
    key="$(cksum <"$member/package-lock.json") $PWD"
    if [ "$(cat "$member/node_modules/.stamp" 2>/dev/null)" = "$key" ]; then
        done_ "up to date"
        return
    fi
    (cd "$member" && npm ci --no-fund --no-audit) ||
        die "$member could not be set up; the lines above say why. Run this again when it is mended."
    printf '%s' "$key" >"$member/node_modules/.stamp"
    done_ "installed"
}

case "$build" in cpu | cuda) ;; *) die "MLX_BUILD is '$build'; it can be cpu or cuda." ;; esac
python="$(find_python)"
install_tools
for member in $members; do
    if [ -f "$member/pyproject.toml" ]; then
        begin "$member: Python packages → $member/.venv"
        sync_python "$member"
    else
        begin "$member: Node packages → $member/node_modules"
        sync_node "$member"
    fi
done
