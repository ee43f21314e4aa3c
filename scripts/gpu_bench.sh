#!/usr/bin/env bash
# What a machine with a GPU does, as a markdown table: bash scripts/gpu_bench.sh [OUT] [SECONDS]
#
# OUT keeps the runs (default: outputs-gpu); the paper's preset goes on there where the last call ended. SECONDS is the
# time limit of that part (default: 1800). Images a second are those that the rows say. FAST is what is typed to train
# fast, in all rows but those of float32; EPOCHS is for how long each is trained: in a wave the first of them record the
# graphs of all but one. Exit code 3: there is no GPU.
set -euo pipefail

out=${1:-outputs-gpu}
limit=${2:-1800}
python=${PYTHON:-$(test -x .venv/bin/python && echo .venv/bin/python || echo python)}
epochs=${EPOCHS:-20}
read -ra fast <<< "${FAST:-precision=bfloat16 recipe.channels_last=true}"

if ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())' 2> /dev/null; then
  echo "not run on a GPU"
  exit 3
fi

# The engines that this version has besides `auto`.
engines() {
  "$python" - << 'END'
from typing import get_args, get_type_hints
from ticketsearch.config import Options
for name in get_args(get_type_hints(Options)["engine"]):
    if name != "auto":
        print(name)
END
}

# Median images a second of the trained rounds below a folder, and their sum over runs.
rate() {
  "$python" - "$1" << 'END'
import sys
import ticketsearch
rows = ticketsearch.load_results(sys.argv[1])
rows = rows[(rows.metric == "images_per_second") & (rows.variant == "")].drop_duplicates(["dense", "seed", "round"])
print(f"{rows.value.median():,.0f} | {rows.groupby(['dense', 'seed']).value.median().sum():,.0f}")
END
}

run() { # FOLDER WORDS ...: a fresh sweep of dense models in a folder of its own
  local folder=$1
  shift
  rm -rf "$folder"
  mkdir -p "$folder"
  "$python" -m ticketsearch run --yes pruner=dense dataset=cifar10 recipe=cifar recipe.batch_size=128 \
    "recipe.epochs=$epochs" 'metrics=[accuracy]' "out=$folder" "$@" > "$folder.log" 2>&1
}

row() { # NAME FOLDER WORDS ...
  local name=$1 folder=$2
  shift 2
  if run "$folder" "$@"; then
    echo "| $name | $(rate "$folder") |"
  else
    echo "| $name | failed: $(tail -n 1 "$folder.log") | |"
  fi
}

mkdir -p "$out/bench"
echo "$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader | head -n 1), torch $("$python" -c 'import torch; print(torch.__version__)'), $(date -u +%Y-%m-%d)"
echo
echo "| what | images/s of a run | of all at once |"
echo "|---|---|---|"
mapfile -t ladder < <(engines)
for model in resnet20 resnet18; do
  row "$model, float32" "$out/bench/$model-float32" device=cuda "model=$model"
  row "$model, as by default" "$out/bench/$model" device=cuda "model=$model" "${fast[@]}"
  for engine in "${ladder[@]}"; do
    row "$model, engine=$engine" "$out/bench/$model-$engine" device=cuda "model=$model" "engine=$engine" "${fast[@]}"
  done
done
for wave in 2 4 8; do
  row "resnet20, $wave seeds in a wave" "$out/bench/wave-$wave" device=cuda model=resnet20 "replicates=$wave" "wave=$wave" \
    "${fast[@]}"
done
for share in 1 2 4; do
  row "resnet20, $share runs on a GPU at a time" "$out/bench/share-$share" -m model=resnet20 "${fast[@]}" \
    "seed=$(seq -s, 0 $((share - 1)))" hydra/launcher=devices hydra.launcher.devices=cuda "hydra.launcher.per_device=$share"
done

echo
"$python" -m benchmarks.engines --device cuda | sed 's/^/- /' || echo "The engines alone: failed"

echo
began=$SECONDS
if "$python" -m ticketsearch evaluate 'metrics=[corruption]' "out=$out/bench/resnet20" > "$out/bench/grid.log" 2>&1; then
  echo "Every corruption and severity of the dense ResNet-20: $((SECONDS - began)) s, making the images included."
else
  echo "Every corruption and severity of the dense ResNet-20: failed: $(tail -n 1 "$out/bench/grid.log" 2> /dev/null)"
fi

began=$SECONDS
code=0
timeout --signal=INT --kill-after=60 "$limit" "$python" -m ticketsearch run --yes experiment=paper_c10_r20s metrics=all device=cuda \
  wave=3 "${fast[@]}" "out=$out/paper" > "$out/paper.log" 2>&1 || code=$?
case $code in
  0) echo "The paper's preset with ${fast[*]}, every metric: done, $((SECONDS - began)) s in this call." ;;
  75 | 124 | 130) echo "The paper's preset with ${fast[*]}, every metric: not done after $((SECONDS - began)) s; call again to go on." ;;
  *) echo "The paper's preset, every metric: failed ($code): $(tail -n 1 "$out/paper.log")" ;;
esac
