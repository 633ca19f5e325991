#!/usr/bin/env bash
# PostgreSQL's driver for Java before the port $1: fetches the driver with Maven where it is not
# there, compiles the program beside this script and runs it.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
version=42.7.10
cache=${XDG_CACHE_HOME:-$HOME/.cache}/tradewind
jars=$cache/jars/postgresql-$version
mkdir -p "$cache/jars"

exec 9>"$jars.lock"
flock 9
if [ ! -d "$jars" ]; then
    # Through a file, so that half a download is never taken for the whole.
    mvn -q -B dependency:copy -Dartifact="org.postgresql:postgresql:$version" \
        -DoutputDirectory="$jars.partial" >&2
    mv "$jars.partial" "$jars"
fi
classes=$(mktemp -d)
trap 'rm -rf "$classes"' EXIT
javac -nowarn -cp "$jars/*" -d "$classes" "$here/Jdbc.java"
flock -u 9
java -cp "$jars/*:$classes" Jdbc "$1"
