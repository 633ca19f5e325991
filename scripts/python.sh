#!/usr/bin/env bash
# Prints the path of a Python that has tests/requirements.txt, or the file of requirements that is
# named, making its environment first where it is not there or not up to date. Each file has an
# environment of its own, outside the target folder: it survives `cargo clean`.
#
#   scripts/python.sh [tests/dbt/requirements.txt]
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
venv=${TRADEWIND_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/tradewind/venv}
requirements=$root/tests/requirements.txt
if [ $# -gt 0 ]; then
    requirements=$root/$1
    venv=$venv-$(basename "$(dirname "$1")")
fi
stamp=$venv/requirements.txt

if ! cmp -s "$requirements" "$stamp"; then
    mkdir -p "$(dirname "$venv")"
    # Two runs at once make it once.
    exec 9>"$venv.lock"
    flock 9
    if ! cmp -s "$requirements" "$stamp"; then
        {
            [ -x "$venv/bin/python" ] || python3 -m venv "$venv"
            "$venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
        } >&2
        cp "$requirements" "$stamp"
    fi
fi
echo "$venv/bin/python"
