#!/usr/bin/env bash
# Tests the deployment on a real Docker engine. Builds the image, starts Compose with three workers, plans and
# sends a day's mails, restarts each service in turn meanwhile, and compares the database with the mail sink.
#     deploy/test.sh            in a Compose project of its own, removed at the end (KEEP=1 leaves it running)
#     CELERY=1 deploy/test.sh   the same with Dagster's runs on two Celery workers
# Without CELERY and KEEP, deploy/test_release.sh follows.
# Requires docker with compose and buildx, and takes 25 minutes. CONTACTS (600) is the number of mails,
# MINUTES (9) the time until the planning day ends.
set -euo pipefail
cd "$(dirname "$0")/.."
export CONTACTS=${CONTACTS:-600}
export COMPOSE_PROJECT_NAME=sequences-test COMPOSE_ENV_FILES=/dev/null
export API_PORT=18000 DAGSTER_PORT=13000 MAIL_PORT=18025 POSTGRES_PORT=15432 PGADMIN_PORT=15050
scale=(--scale worker=3)
services=(sqs worker valkey mail-sink postgres code daemon webserver api inbox webhooks pgadmin)
if [ -n "${CELERY:-}" ]; then
    export COMPOSE_FILE=docker-compose.yaml:deploy/docker-compose.celery.yaml VALKEY_PORT=16379
    scale+=(--scale runs=2) services+=(runs)
fi
log=$(mktemp)
began=$SECONDS

say() { printf '%4d s  %s\n' "$((SECONDS - began))" "$*"; }
say_lines() { while read -r line; do say "$line"; done; }
day() {
    docker compose run --rm --no-deps --quiet-pull -T --env CONTACTS migrations \
        python - "$@" < deploy/test_day.py
}
# Waits until every container of a service is healthy, or running if it has no health check.
await() {
    local format state container until=$((SECONDS + 240))
    format='{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}'
    for container in $(docker compose ps --all --quiet "$1"); do
        while :; do
            state=$(docker inspect --format "$format" "$container")
            case $state in healthy | running) break ;; esac
            [ "$SECONDS" -lt "$until" ] || { say "$1 is $state"; return 1; }
            sleep 1
        done
    done
}
finish() {
    status=$?
    [ "$status" = 0 ] || { docker compose ps --all; docker compose logs --tail 15 --no-color; }
    [ -n "${KEEP:-}" ] || docker compose down --volumes --timeout 20 > /dev/null 2>&1
    rm -f "$log"
    say "$([ "$status" = 0 ] && echo passed || echo "FAILED ($status)")"
}
trap finish EXIT

docker compose down --volumes --timeout 5 > /dev/null 2>&1 || true
docker compose build --quiet
say "built: $(docker image inspect --format '{{.Size}}' sequence-pipelines | awk '{print int($1 / 1e6)}') MB"

# The planning day ends in a few minutes, so all its mails are sent before then.
PLAN_AT=$(date --utc --date "+${MINUTES:-9} minutes" +%H:%M)
export PLAN_AT
docker compose up --detach --wait --wait-timeout 400 "${scale[@]}" 2> "$log" || { cat "$log"; exit 1; }
say "up: $(docker compose ps --format '{{.Health}}' | grep -c '^healthy') services healthy, \
$(docker compose ps --status running --quiet | wc -l) containers running; \
migrations exited with $(docker compose ps --all migrations --format '{{.ExitCode}}')"
user=$(docker compose exec -T worker sh -c 'id -u; touch /opt/x 2>&1 | tail -1' | tr '\n' ' ')
say "user and read-only root: $user"
loaded=$(docker compose exec -T code python - <<'PYTHON'
import importlib.util, os, sys
import sequence_cli.main, sequence_pipelines.definitions, step_mailing_worker.main
files = [m.__file__ for m in sys.modules.values() if str(getattr(m, "__file__", "")).endswith(".py")]
late = [file for file in files if not os.path.exists(importlib.util.cache_from_source(file))]
print(f"{len(files)} modules, {len(late)} without bytecode", *late[:3])
sys.exit(bool(late))
PYTHON
) || { say "loaded: $loaded"; exit 1; }
say "loaded: $loaded"
say "pgAdmin's servers: $(docker compose exec -T pgadmin sh -c 'PATH=/venv/bin:$PATH python3 -' <<'PYTHON'
import sqlite3
pgadmin = sqlite3.connect("/var/lib/pgadmin/pgadmin4.db")
print(*pgadmin.execute("SELECT name, host, username FROM server").fetchall())
PYTHON
)"

day enter | say_lines
day plan | say_lines

for service in "${services[@]}"; do
    from=$SECONDS
    docker compose restart --timeout 30 "$service" 2> /dev/null
    await "$service"
    say "restarted $service in $((SECONDS - from)) s"
done
day wait "$((${MINUTES:-9} * 60 + 60))" | say_lines
sent=$(docker compose logs --no-color worker | awk '/event=sent/ {print $1}' | sort | uniq -c)
say "sent per worker: $(echo "$sent" | tr -s '\n ' ' ')"
[ "$(echo "$sent" | wc -l)" = 3 ]
if [ -n "${CELERY:-}" ]; then
    say "successful runs as Celery tasks: $(docker compose exec -T postgres psql -U postgres -d dagster -Atc "
        SELECT count(*) FROM run_tags t JOIN runs USING (run_id)
        WHERE t.key = 'dagster-celery/task_id' AND status = 'SUCCESS'")"
fi
day account | say_lines

# The rest is a project of its own: an upgrade, refusals, health checks, a restore, and from a trial to
# production.
if [ -z "${CELERY:-}" ] && [ -z "${KEEP:-}" ]; then
    docker compose down --volumes --timeout 20 > /dev/null 2>&1
    CONTACTS=60 deploy/test_release.sh | say_lines
fi
