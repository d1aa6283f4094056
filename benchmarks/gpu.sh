#!/usr/bin/env bash
# Everything that only a GPU can tell, in one go within MINUTES (10 by default), from a plain checkout, with no network:
#
#     bash benchmarks/gpu.sh OUT [MINUTES]
#
# OUT/checks.json: the same numbers on the device as on the CPU. OUT/throughput.json: images per second by depth, eager,
# compiled, and as CUDA graphs. OUT/cifar10, OUT/cifar100: the paper's recipe (SOC, LLN, HH1, CR) in the minutes left,
# certified. Each part writes what it has at once, so that a time-out loses nothing. The data sets are those of
# LIPSCOPE_DATA, or of the parts (`lipscope data pack`) in LIPSCOPE_PACKS; without either only the first two parts run.
# DEVICE=cpu MINI=1 goes through it in miniature. PYTHON names the interpreter.
set -u
out=${1:?usage: bash benchmarks/gpu.sh OUT [MINUTES]}
minutes=${2:-10}
device=${DEVICE:-cuda}
python=${PYTHON:-python3}
cd "$(dirname "$0")/.." || exit 1
export PYTHONPATH=$PWD${PYTHONPATH:+:$PYTHONPATH}
mkdir -p "$out"
started=$(date +%s)
left() { echo $((minutes * 60 - ($(date +%s) - started))); }

mini=(); sizes=(); dataset=(cifar10 cifar100); width=32
if [ -n "${MINI:-}" ]; then
  mini=(--mini)
  sizes=(--channels 4 --blocks 1 --images 10 --repeats 1)
  dataset=(synthetic)
  width=4
fi

"$python" benchmarks/gpu_checks.py --device "$device" --out "$out/checks.json" "${mini[@]}" 2>&1 | tee "$out/checks.log"
"$python" benchmarks/gpu_throughput.py --device "$device" --out "$out/throughput.json" "${sizes[@]}" \
  --seconds "$(($(left) * 2 / 5))" 2>&1 | tee "$out/throughput.log"

if [ -n "${LIPSCOPE_PACKS:-}" ]; then
  for name in "${dataset[@]}"; do
    "$python" -m lipscope data unpack "$LIPSCOPE_PACKS/$name".*.pack --data-dir "$out/data"
  done
  export LIPSCOPE_DATA=$out/data
fi
# Half of what is left for each data set, and a minute of it to certify.
parts=${#dataset[@]}
for name in "${dataset[@]}"; do
  seconds=$(($(left) / parts - 45))
  parts=$((parts - 1))
  [ "$seconds" -ge 20 ] || { echo "no time left for $name" | tee -a "$out/skipped.log"; continue; }
  "$python" -m lipscope train --dataset "$name" --channels "$width" --conv soc --head lln --activation hh1 \
    --recipe fast --gamma 0.1 --minutes "$(awk "BEGIN { print $seconds / 60 }")" --device "$device" --out "$out/$name" \
    2>&1 | tee "$out/$name.log"
  "$python" -m lipscope certify "$out/$name/model.safetensors" --device "$device" --json > "$out/$name.json" 2>> "$out/$name.log"
done
echo "done in $(($(date +%s) - started)) s; results in $out"
