#!/usr/bin/env bash
# Makes the clips anew from the stand-in's own PCM. Needs curl and lame (Debian packages of that
# name). Run it after changing voice.rs.
set -eu
cd "$(dirname "$0")"
cargo build --quiet --package da-standin
target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
folder=$(mktemp -d)
"$target/debug/da-standin" --tls plain >"$folder/ready" &
standin=$!
trap 'kill "$standin"; rm -r "$folder"' EXIT
until [ -s "$folder/ready" ]; do sleep 0.1; done
url=http://$(sed 's/.*"listening":"\([^"]*\)".*/\1/' "$folder/ready")
# 36 characters are 2.4 s, the length of the babble.
text=$(printf 'x%.0s' {1..36})
for format in 22050_32 24000_48 44100_{32,64,96,128,192}; do
    rate=${format%_*} kbps=${format#*_}
    curl -sSf "$url/v1/text-to-speech/clip/stream?output_format=pcm_$rate" \
        -H 'xi-api-key: none' -d "{\"text\":\"$text\"}" |
        lame --quiet -r -s "$rate" --bitwidth 16 --signed --little-endian -m m \
            --cbr -b "$kbps" --resample "$rate" --nores -t - "mp3_$format.mp3"
done
