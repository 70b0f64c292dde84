# The life of the Debian package, in a chroot: each step prints one line. The packages are /tmp/given/{old,new}.deb.
set -eu
port=$1
export DEBIAN_FRONTEND=noninteractive PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
unit=/usr/lib/systemd/system/ferrite.service

# Starts the server as the unit does: its command line, user and folder.
start() {
  local command
  command=$(sed -n 's/^ExecStart=//p' "$unit")
  cd "$(sed -n 's/^WorkingDirectory=//p' "$unit")"
  # shellcheck disable=SC2086
  setpriv --reuid=ferrite --regid=ferrite --init-groups --pdeathsig KILL $command >>/tmp/log 2>&1 &
  server=$!
  for _ in $(seq 600); do
    if setpriv --reuid=ferrite --regid=ferrite --init-groups ferrite health -q --ready --config /etc/ferrite/ferrite.toml; then return; fi
    if ! kill -0 "$server" 2>/dev/null; then cat /tmp/log; exit 1; fi
    sleep 0.1
  done
  echo "no answer"; cat /tmp/log; exit 1
}
stop() { kill -TERM "$server"; wait "$server"; }
# Other packages' triggers (the index of manual pages) and the disk's speed are not what this is about.
package() { dpkg --no-triggers --force-unsafe-io "$@" >/dev/null; }
cli() { redis-cli -p "$port" "$@"; }

package --install /tmp/given/old/*.deb
echo "installed: $(dpkg-query -W -f '${Version} ${Status}' ferrite), $(ferrite --version | cut -d' ' -f1), $(/usr/lib/ferrite/redis/redis-server -v | cut -d' ' -f1-2)"
echo "owners: $(stat -c '%U:%G %a %n' /var/lib/ferrite /var/log/ferrite /etc/ferrite /etc/ferrite/ferrite.toml | tr '\n' ' ')"
sed -i "s/^port = 6379/port = $port/; /^\\[metrics\\]/,/^\\[/ s/^# enabled = .*/enabled = false/" /etc/ferrite/ferrite.toml
start
echo "runs: $(ps -o user= -p "$server"), $(cli SET key value), $(cli CONFIG SET maxclients 77), $(cli CONFIG REWRITE)"
package --install /tmp/given/new/*.deb
echo "upgraded while it runs: $(dpkg-query -W -f '${Version}' ferrite), $(cli GET key)"
stop
start
echo "restarted: $(cli GET key), maxclients $(cli CONFIG GET maxclients | tail -1), configuration $(grep -c "^port = $port" /etc/ferrite/ferrite.toml)"
echo "diagnostics: $(OUTPUT=/tmp/report.tar.gz ferrite-diagnostics.sh --config /etc/ferrite/ferrite.toml | tail -1), $(tar -tzf /tmp/report.tar.gz | grep -c '/info.txt$')"
stop
ls /var/lib/ferrite >/tmp/before
package --remove ferrite
echo "removed: $(command -v ferrite || echo no program), $(ls /var/lib/ferrite | diff - /tmp/before && echo data is there), $(ls /etc/ferrite)"
package --install /tmp/given/new/*.deb
start
echo "installed again: $(cli GET key), maxclients $(cli CONFIG GET maxclients | tail -1)"
stop
package --purge ferrite
echo "purged: $(ls -d /var/lib/ferrite /var/log/ferrite /etc/ferrite /usr/bin/ferrite* /usr/lib/ferrite /usr/lib/systemd/system/ferrite* 2>/dev/null | wc -l) left, user $(getent passwd ferrite || echo gone), $(dpkg-query -W ferrite 2>/dev/null || echo unknown to dpkg)"
