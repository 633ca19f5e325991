#!/usr/bin/env bash
# Prints the path of a Python that has tests/requirements.txt, making its environment first where
# it is not there or not up to date. Kept outside the target folder: it survives `cargo clean`.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
requirements=$root/tests/requirements.txt
venv=${TRADEWIND_VENV:-${XDG_CACHE_HOME:-$HOME/.cache}/tradewind/venv}
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
