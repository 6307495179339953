#!/usr/bin/env bash
# Run one gate. Print one line if it passes, and its whole output if it fails.
# usage: gate.sh NAME COMMAND...
set -uo pipefail

name=$1
shift
logs=.cache/gates
mkdir -p "$logs"
log=$logs/$name.log
started=$(date +%s.%N)
"$@" >"$log" 2>&1 </dev/null
status=$?
elapsed=$(awk -v from="$started" -v to="$(date +%s.%N)" 'BEGIN { printf "%.1f", to - from }')
if [ "$status" -eq 0 ]; then
    printf 'ok    %-12s %6s s\n' "$name" "$elapsed"
    grep -E '^=+ .*(passed|failed|error|no tests ran).* in .*=+$' "$log" | tail -n 1
    exit 0
fi
printf 'FAIL  %-12s %6s s: %s\n' "$name" "$elapsed" "$*"
cat "$log"
exit "$status"
