#!/bin/sh
# Installs Debian packages without removing any, and without starting the services among them
# (the package with promtool would start a Prometheus server). Needs root.
#   xtask/install-packages.sh PACKAGE...
set -eu

# One at a time, or one would take away what keeps the other's services from starting.
mkdir -p /run/lock # what the system makes at its start may not be there in a container
exec 9> /run/lock/digital-actors-install-packages
flock 9

policy=/usr/sbin/policy-rc.d # Debian asks it before it starts a service; 101 means no.
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive LC_ALL=C
set -x
if [ -z "${NO_UPDATE:-}" ]; then
    # One source that can't be reached, of several, is no reason to stop.
    apt-get update --quiet=2 || echo "apt-get update failed: going on with the lists that are here" >&2
fi
apt-get install --yes --quiet=2 --no-install-recommends --no-remove \
    --option DPkg::Lock::Timeout=300 "$@"
