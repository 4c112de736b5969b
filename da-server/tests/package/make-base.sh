#!/bin/sh
# Makes a clean Debian with a service manager and a reader of man pages, as a tarball. Needs root and,
# since it mounts something, a mount namespace of its own.
#   unshare --mount sh make-base.sh RELEASE MIRROR TARBALL
set -eu
root=$(mktemp -d)
# In memory: dpkg waits for each file to be on the disk.
mount -t tmpfs -o mode=755 base "$root"
debootstrap --variant=minbase --include=systemd,mandoc "$1" "$root" "$2"
rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
tar --create --numeric-owner --file "$3" --directory "$root" .
umount "$root"
rmdir "$root"
