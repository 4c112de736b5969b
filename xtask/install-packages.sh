#!/bin/sh
# Installs Debian packages without removing any, and without starting the services among them
# (the package with promtool would start a Prometheus server). Needs root.
#   xtask/install-packages.sh PACKAGE...
set -eu

policy=/usr/sbin/policy-rc.d # Debian asks it before it starts a service; 101 means no.
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 1' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' > "$policy"
    chmod 755 "$policy"
fi

export DEBIAN_FRONTEND=noninteractive
set -x
apt-get update --quiet=2
apt-get install --yes --quiet=2 --no-install-recommends --no-remove "$@"
