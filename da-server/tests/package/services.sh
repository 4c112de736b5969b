#!/bin/bash
# What the services of a freshly installed machine do, for services.rs to judge: each file in out/ is
# one thing that was seen. Runs under the machine's service manager.
cd /acceptance/out || exit 1
# What is run is noted, for guide.rs.
exec {BASH_XTRACEFD}> ../trace
set -x

# get PORT PATH
get() {
    exec 3<> "/dev/tcp/127.0.0.1/$1" || return 1
    printf 'GET %s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$2" >&3
    cat <&3
    exec 3>&-
}

# until_it_says FILE PORT PATH WORDS: asks until the answer holds the words, and keeps the last one.
until_it_says() {
    for _ in $(seq 600); do
        get "$2" "$3" > "$1" 2> /dev/null
        grep -q -- "$4" "$1" && return
        sleep 0.1
    done
}

# privileges UNIT: of its main process, as proc_pid_status(5) has them.
privileges() {
    grep -E '^(Uid|Cap|NoNewPrivs|Seccomp:)' "/proc/$(systemctl show --property=MainPID --value "$1")/status"
}

# The collector's own address is an endpoint, so that whoever asks it is measured.
cat >> /etc/digital-actors/collector.toml <<'TOML'

[[endpoint]]
name = "itself"
kind = "other"
addresses = ["127.0.0.1:9464"]
TOML
systemctl enable --now digital-actors-collector 2> collector.start
until_it_says collector.page 9464 /health '200 OK'
da-server health --config /etc/digital-actors/collector.toml > collector.health
until_it_says collector.metrics 9464 /metrics 'socket_connections_total{.*process="bash"'
privileges digital-actors-collector > collector.privileges

sed -i 's/"itself"/"renamed"/' /etc/digital-actors/collector.toml
systemctl reload digital-actors-collector 2> collector.reload
until_it_says collector.reloaded 9464 /metrics 'provider="renamed"'

install -m 600 /dev/stdin /etc/digital-actors/keys/anthropic <<< no-real-key
systemctl enable --now digital-actors 2> game.start
until_it_says game.page 8888 / '200 OK'
da-server health --config /etc/digital-actors/digital-actors.toml > game.health
get 8888 /metrics > game.metrics
privileges digital-actors > game.privileges
stat --format='%a %u' /var/lib/private/digital-actors/digital-actors.sqlite > game.state

systemctl daemon-reload
systemctl try-restart digital-actors digital-actors-collector 2> again.start
until_it_says again.page 9464 /health '200 OK'

main_processes() {
    systemctl show --property=MainPID --value digital-actors digital-actors-collector
}

# The same version once more, on a machine that does not let packages restart services.
printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
chmod 755 /usr/sbin/policy-rc.d
main_processes > policy.before
dpkg --install /acceptance/same.deb &> policy.log
main_processes > policy.after
rm /usr/sbin/policy-rc.d

# An upgrade while both run.
main_processes > upgrade.before
(cd /acceptance && apt install ./digital-actors_*.deb < /dev/null) &> upgrade.log
main_processes > upgrade.after
until_it_says upgrade.page 9464 /health '200 OK'
until_it_says upgrade.page 8888 /health '200 OK'

for service in digital-actors digital-actors-collector; do
    systemctl stop "$service"
    systemctl show --property=Result,ExecMainStatus "$service" > "$service.stopped"
    journalctl --no-pager --unit "$service" > "$service.journal"
    systemctl start "$service"
done

# A removal while both run, of which one is masked.
systemctl disable digital-actors-collector &> remove.mask
systemctl mask digital-actors-collector &>> remove.mask
yes | apt remove digital-actors &> remove.log
grep -l da-server /proc/[0-9]*/comm > remove.left
ls /etc/systemd/system/multi-user.target.wants > remove.enabled
dpkg-query --show --showformat='${Status}' digital-actors > remove.status
systemctl unmask digital-actors-collector &>> remove.mask
