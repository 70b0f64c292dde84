#!/bin/sh
set -e

# Options and configuration files are for the server; anything else is a command: redis-server, ferrite, sh.
case "${1:-}" in
  '' | -* | *.conf | *.toml) set -- ferrite "$@" ;;
esac
exec "$@"
