# Makes the last stage of the image in a chroot, and runs its entry point as Docker would: each step prints one line.
# /tmp/given has what the Dockerfile says: run.sh, env, entrypoint, healthcheck, and the files to copy under files/.
set -eu
port=$1
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
cd /tmp/given
rm -f /usr/local/bin/redis-* /usr/local/bin/ferrite*
sh run.sh
cp files/* /usr/local/bin/
user=$(cat user)
mapfile -t environment <env
mapfile -t entrypoint <entrypoint
mapfile -t healthcheck <healthcheck
cd "$(cat workdir)"

# As the user of the image, with its environment and nothing else.
as_image=(setpriv --reuid="${user%:*}" --regid="${user#*:}" --clear-groups --no-new-privs --bounding-set=-all
  env -i "PATH=$PATH" "${environment[@]}")
# The health check asks process 1; here the server is another one.
healthy() { "${as_image[@]}" "${healthcheck[@]/%1/$server}"; }
# A server that still loads its data is healthy, but answers LOADING.
serves() { [ "$(redis-cli -p "$port" -a secret --no-auth-warning PING)" = PONG ]; }
up() {
  for _ in $(seq 600); do
    if healthy && serves; then return; fi
    if ! kill -0 "$server" 2>/dev/null; then cat /tmp/log; exit 1; fi
    sleep 0.1
  done
  cat /tmp/log; exit 1
}
run() { : >/tmp/log; "${as_image[@]}" "${entrypoint[@]}" "$@" >/tmp/log 2>&1 & server=$!; up; }
stop() { kill -TERM "$server"; wait "$server"; }

run --port "$port" --requirepass secret
echo "options: user $(ps -o uid= -p "$server" | tr -d ' '), $(redis-cli -p "$port" -a secret --no-auth-warning SET key value), $(cat "/proc/$server/comm")"
stop
run redis-server --port "$port" --appendonly yes --requirepass secret
echo "redis-server: $(redis-cli -p "$port" -a secret --no-auth-warning GET key), $(grep -c '\* Ready to accept connections' /tmp/log) line"
kill -STOP "$server"
healthy && echo "a stopped server is healthy" || echo "stopped: unhealthy"
kill -CONT "$server"
stop
printf 'port %s\nrequirepass secret\n' "$port" >/tmp/given.conf
run /tmp/given.conf
echo "redis.conf: $(redis-cli -p "$port" -a secret --no-auth-warning GET key), from elsewhere $(redis-cli -h "$(hostname -I | cut -d' ' -f1)" -p "$port" -a secret --no-auth-warning PING)"
stop
echo "command: $("${as_image[@]}" "${entrypoint[@]}" sh -c 'echo hello')"
