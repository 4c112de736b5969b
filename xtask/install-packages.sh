#!/bin/sh
# Installs Debian packages without removing any, and without starting the services among them
# (the package with promtool would start a Prometheus server). Without any it only has apt read its
# lists again. Needs root.
#   xtask/install-packages.sh [PACKAGE...]
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C

# apt waits for others that install, by the option below, and not for others that read the lists.
update_lists() {
    for _ in $(seq 60); do
        if said=$(apt-get update --quiet=2 2>&1); then
            return
        fi
        case $said in
        *"Could not get lock"*) sleep 5 ;;
        *) break ;;
        esac
    done
    # One source that can't be reached, of several, is no reason to stop.
    printf '%s\napt-get update failed: going on with the lists that are here\n' "$said" >&2
}

# One at a time, or one would take away what keeps the other's services from starting.
mkdir -p /run/lock # what the system makes at its start may not be there in a container
exec 9> /run/lock/digital-actors-install-packages
flock 9

if [ -z "${NO_UPDATE:-}" ]; then
    update_lists
fi
if [ $# -eq 0 ]; then
    exit
fi

policy=/usr/sbin/policy-rc.d # Debian asks it before it starts a service; 101 means no.
mark='# digital-actors: here while its tests install packages'
# One of ours is what a killed run has left: nobody else has the lock.
if [ ! -e "$policy" ] || grep --quiet --line-regexp --fixed-strings "$mark" "$policy"; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" > "$policy"
    chmod 755 "$policy"
fi

set -x
apt-get install --yes --quiet=2 --no-install-recommends --no-remove \
    --option DPkg::Lock::Timeout=300 "$@"
