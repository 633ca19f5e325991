#!/usr/bin/env bash
# What must be on the machine before building ("build") or testing ("test"): installs what is
# missing where it may (root, apt), and otherwise names everything that is missing at once, with
# what to do. A test that cannot get its tool fails here, before anything is built; none is skipped.
set -euo pipefail

wanted=${1:?"usage: scripts/prerequisites.sh build|test"}

# command:Debian package:what it is for
tools=("cc:build-essential:compiling the C parts of zstd and TLS")
if [ "$wanted" = test ]; then
    tools+=(
        "kcat:kcat:the tests of the Kafka port"
        "psql:postgresql-client:the tests of the Postgres port"
        "python3:python3:the tests that read our tables with DuckDB and deltalake"
        "javac:default-jdk-headless:the tests with Apache Kafka's Java client"
        "mvn:maven:the tests with Java's clients of Kafka and PostgreSQL"
        "go:golang-go:the tests with franz-go"
        "node:nodejs:the tests with KafkaJS"
        "npm:npm:the tests with KafkaJS"
        "chromium:chromium:the tests of the dashboard"
    )
fi

missing() {
    local tool
    for tool in "${tools[@]}"; do
        command -v "${tool%%:*}" >/dev/null 2>&1 || echo "$tool"
    done
    # Debian splits what `python3 -m venv` needs from Python itself.
    if [ "$wanted" = test ] && command -v python3 >/dev/null 2>&1 &&
        ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "python3 -m venv:python3-venv:the tests that read our tables with DuckDB and deltalake"
    fi
}

install() {
    local packages
    mapfile -t packages < <(missing | cut -d: -f2 | sort -u)
    echo "installing with apt: ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q && apt-get install -q -y --no-install-recommends "${packages[@]}"
}

if [ -n "$(missing)" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    install || echo "apt could not install everything" >&2
    # Twice, because python3-venv is asked for only once python3 is there.
    if [ -n "$(missing)" ]; then install || true; fi
fi

status=0
while IFS=: read -r command package purpose; do
    [ -n "$command" ] || continue
    echo "MISSING: $command (Debian: apt-get install $package). Without it these cannot run: $purpose" >&2
    status=1
done < <(missing)

if ! command -v cargo >/dev/null 2>&1; then
    echo "MISSING: cargo. Install Rust from https://rustup.rs" >&2
    status=1
elif [ "$wanted" = test ]; then
    for component in rustfmt clippy; do
        command=cargo-$([ "$component" = rustfmt ] && echo fmt || echo clippy)
        "$command" --version >/dev/null 2>&1 || rustup component add "$component" || {
            echo "MISSING: $component (rustup component add $component)" >&2
            status=1
        }
    done
    if command -v python3 >/dev/null 2>&1 &&
        ! python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "MISSING: Python 3.11 or newer; this is $(python3 --version)" >&2
        status=1
    fi
    if command -v node >/dev/null 2>&1 && ! scripts/dashboard.sh node; then
        echo "MISSING: Node 20.19 or newer, which the dashboard is built with; this is $(node --version)" >&2
        status=1
    fi
    # From 1.21 on it gets the newer Go by itself that a module asks for.
    if command -v go >/dev/null 2>&1 && ! go version | grep -qE ' go1\.(2[1-9]|[3-9][0-9])'; then
        echo "MISSING: Go 1.21 or newer; this is $(go version)" >&2
        status=1
    fi
fi
exit $status
