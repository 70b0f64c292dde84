#!/bin/bash
# Collects what is needed to find out why a Ferrite server misbehaves, into one archive. Needs no root.
#
#   ferrite-diagnostics.sh [options of the server, such as --config FILE]
#
# FERRITE    the executable (default: ferrite on PATH)
# OUTPUT     the archive (default: ./ferrite-diagnostics-<time>.tar.gz)
#
# `ferrite diagnostics` does the work: configuration without secrets, log without what clients sent, figures of the server.
# This script adds what other tools of the system say. A tool that is not there, or fails, is noted and left out: there is
# no `set -e`, because a server that is down is when this is needed most.

FERRITE="${FERRITE:-ferrite}"
NAME="ferrite-diagnostics-$(date +%Y%m%d-%H%M%S)"
OUTPUT="${OUTPUT:-$PWD/$NAME.tar.gz}"
umask 077
WORK="$(mktemp -d)" || exit 1
trap 'rm -rf "$WORK"' EXIT
OUT="$WORK/$NAME"
mkdir "$OUT"

echo "Collecting diagnostics..."

# Exactly this name: plain `pgrep ferrite` would find this script.
PID="$(pgrep -o -x ferrite 2>/dev/null)"
if [ -n "$PID" ]; then echo "ferrite runs as process $PID"; else echo "ferrite is not running"; fi

# note FILE COMMAND...: the output of a tool, if it is there
note() {
  local file="$OUT/$1"
  shift
  if command -v "$1" >/dev/null 2>&1; then
    timeout 10 "$@" >>"$file" 2>&1 || echo "($1 ended with $?)" >>"$file"
  else
    echo "($1 is not installed)" >>"$file"
  fi
}

if ! "$FERRITE" diagnostics --output "$WORK/ferrite.tar.gz" "$@" >"$OUT/ferrite.txt" 2>&1; then
  echo "ferrite diagnostics failed: see ferrite.txt in the archive"
fi
[ -f "$WORK/ferrite.tar.gz" ] && tar -xzf "$WORK/ferrite.tar.gz" -C "$OUT" --strip-components=1

note uname.txt uname -a
note bun.txt bun --version
note free.txt free -h
note df.txt df -h
note mpstat.txt mpstat 1 2
note netstat.txt netstat -s
note unit.txt systemctl show ferrite --property=ActiveState,SubState,Result,NRestarts,MemoryMax,LimitNOFILE
if [ -n "$PID" ]; then
  note threads.txt top -H -b -n 1 -w 160 -p "$PID"
  note descriptors.txt ls "/proc/$PID/fd"
fi

if tar -czf "$OUTPUT" -C "$WORK" "$NAME"; then
  echo "wrote $OUTPUT"
else
  echo "the archive $OUTPUT could not be written" >&2
  exit 1
fi
