#!/usr/bin/env bash
# Upgrades a Compose deployment while it works: migrates first, then replaces the API, then Dagster, then
# drains the workers. In the root of the repository, with the deployment's `.env` and COMPOSE_FILE:
#     git pull && deploy/upgrade.sh       builds the image from this folder
#     deploy/upgrade.sh IMAGE             uses an image that exists (and IMAGE-local, if there is one)
#     deploy/upgrade.sh --back            goes back to the image before, without migrating
# If a setting is invalid or the migration fails, nothing is replaced: the old release keeps running and
# keeps its tag. New workers start before the old ones stop, and the old ones finish their mails. The old
# image keeps the tag `previous`.
set -euo pipefail
cd "$(dirname "$0")/.."

began=$SECONDS
say() { printf '%4d s  %s\n' "$((SECONDS - began))" "$*"; }
services=" $(docker compose config --services | tr '\n' ' ')"
has() { case $services in *" $1 "*) return 0 ;; *) return 1 ;; esac; }
running() { docker compose ps --quiet "$1"; }
# Names the variable of a port that another program uses: Docker's message has only the number.
up() {
    local status=0 said
    said=$(docker compose up --detach --no-build --no-deps "$@" 2>&1) || status=$?
    [ "$status" = 0 ] && return
    echo "$said" >&2
    case $said in
        *"port is already allocated"* | *"address already in use"*)
            echo "A port is in use. Set API_PORT, DAGSTER_PORT, MAIL_PORT, PGADMIN_PORT, POSTGRES_PORT or" \
                "VALKEY_PORT in .env, by the service that the message names." >&2 ;;
    esac
    return "$status"
}

image=${SEQUENCE_IMAGE:-$(sed -n 's/^SEQUENCE_IMAGE=//p' .env 2> /dev/null | tail -1)}
image=${image:-sequence-pipelines}
case ${image##*/} in *:*) name=${image%:*} ;; *) name=$image ;; esac
next=$name:next previous=$name:previous
id_of() { docker image inspect --format '{{.Id}}' "$1" 2> /dev/null || true; }
back=
if [ "${1:-}" = --back ]; then
    [ -n "$(id_of "$previous")" ] || { echo "There is no image $previous to go back to." >&2; exit 2; }
    back=1
    set -- "$previous"
fi

if [ -n "${1:-}" ]; then
    docker image inspect "$1" > /dev/null 2>&1 || docker pull --quiet "$1"
    docker tag "$1" "$next"
    if [ -n "$(id_of "$1-local")" ]; then docker tag "$1-local" "$next-local"; fi
else
    SEQUENCE_IMAGE=$next docker compose build --quiet
fi
say "$next is ready"

# Each program of the new release reads its settings, and Dagster's definitions load, before anything
# changes.
for check in api:ApiSettings worker:WorkerSettings code:PipelineSettings; do
    SEQUENCE_IMAGE=$next docker compose run --rm --no-deps --quiet-pull -T "${check%%:*}" python -c "
import sys
from sequence_store import settings
from sequence_store.errors import SettingsError
try:
    read = settings.read_settings(getattr(settings, '${check##*:}'))
    getattr(settings, 'refuse_default_passwords', lambda _: None)(read)  # a release before may lack it
except SettingsError as error:
    sys.exit(f'Error: {error}')" || {
        say "the new release refuses the settings of ${check%%:*}; nothing was changed"
        exit 1
    }
done
SEQUENCE_IMAGE=$next docker compose run --rm --no-deps --quiet-pull -T code \
    python -c "import sequence_pipelines.definitions" || {
    say "the definitions of the new release do not load; nothing was changed"
    exit 1
}

# Does nothing unless their configuration changed.
for service in postgres valkey; do if has "$service"; then up --wait "$service"; fi; done

if [ -n "$back" ]; then
    say "not migrated: the release before works on the newer schema"
elif ! SEQUENCE_IMAGE=$next docker compose run --rm --no-deps -T migrations; then
    say "the migration failed; the old release keeps running as $image, the new image is $next"
    exit 1
else
    say "migrated"
fi

trap '[ "$?" = 0 ] ||
    say "stopped half way. Correct the cause and repeat it, or go back: deploy/upgrade.sh --back"' EXIT
# A repeated upgrade to the same image keeps the one before.
if [ -n "$(id_of "$image")" ] && [ "$(id_of "$image")" != "$(id_of "$next")" ]; then
    docker tag "$image" "$previous"
    if [ -n "$(id_of "$image-local")" ]; then docker tag "$image-local" "$previous-local"; fi
fi
docker tag "$next" "$image"
if [ -n "$(id_of "$next-local")" ]; then docker tag "$next-local" "$image-local"; fi

up --wait api
say "the API is replaced"
for service in sqs mail-sink code webserver daemon inbox webhooks pgadmin; do
    if has "$service"; then up --wait "$service"; fi
done
say "Dagster, the inbox and the webhooks are replaced"
if has runs; then up --scale "runs=$(running runs | grep --count . || true)" runs; fi

# New workers start beside the old ones; old ones that finish their mails leave nothing undone.
mapfile -t old < <(running worker)
count=${#old[@]}
up --no-recreate --scale "worker=$((count > 0 ? 2 * count : 1))" worker
new=()
while read -r container; do
    case " ${old[*]-} " in *" $container "*) ;; *) new+=("$container") ;; esac
done < <(running worker)
for container in "${new[@]}"; do
    until docker exec "$container" python -c "import urllib.request as u
u.urlopen('http://127.0.0.1:9109/readyz')" > /dev/null 2>&1; do
        if [ "$((SECONDS - began))" -gt "${UPGRADE_SECONDS:-900}" ] || [ "$(docker inspect --format \
            '{{.RestartCount}}' "$container")" -gt 3 ]; then
            docker logs --tail 5 "$container" >&2
            docker rm --force "${new[@]}" > /dev/null
            say "the new workers are not ready and were removed; the old ones keep sending"
            exit 1
        fi
        sleep 1
    done
done
say "${#new[@]} new workers are ready; ${count} old ones finish their mails, for up to 11 minutes"
if [ "$count" -gt 0 ]; then
    docker update --restart no "${old[@]}" > /dev/null
    docker stop --time 660 "${old[@]}" > /dev/null
    docker rm "${old[@]}" > /dev/null
fi
say "upgraded: the image is $image, the one before is $previous"
