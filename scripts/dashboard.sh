#!/usr/bin/env bash
# The dashboard: `build` makes web/dist where it is not up to date, `test` checks and tests it
# first, `node` says by its exit code whether this Node can. Without a Node that can, `build` says so
# and leaves it: the binary then has a page that says how the dashboard is made.
set -euo pipefail
cd "$(dirname "$0")/.."
what=${1:?"usage: scripts/dashboard.sh build|test|node"}

# What Vite asks for.
node_can() {
    command -v npm >/dev/null 2>&1 && node -e '
        const [major, minor] = process.versions.node.split(".").map(Number);
        process.exit(major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19) ? 0 : 1);
    ' 2>/dev/null
}

case $what in
node)
    node_can
    exit
    ;;
build)
    if ! node_can; then
        echo "The dashboard is left out: it is built with Node 20.19 or newer and npm" >&2
        exit 0
    fi
    newest=$(find web -newer web/dist/index.html -type f \
        -not -path 'web/node_modules/*' -not -path 'web/dist/*' -print -quit 2>/dev/null || echo all)
    [ -f web/dist/index.html ] && [ -z "$newest" ] && exit 0
    ;;
test) ;;
*)
    echo "usage: scripts/dashboard.sh build|test|node" >&2
    exit 2
    ;;
esac

cd web
if [ ! -f node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    echo "fetching what the dashboard is made of"
    npm ci --no-audit --no-fund
fi
if [ "$what" = test ]; then
    npm test
fi
npm run --silent build
