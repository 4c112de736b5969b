#!/bin/sh
# Runs a test program for cargo: as root if it loads BPF programs or makes networks of its own, else as
# whoever asks.
case "$1" in
*/kernel-* | */shipped-* | */documents-*) exec sudo --non-interactive --preserve-env "$@" ;;
*) exec "$@" ;;
esac
