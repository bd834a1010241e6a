#!/usr/bin/env bash
# The deployment on a real Docker engine: builds the image, brings Compose up with three workers, has a day planned and
# mailed, restarts each service in turn meanwhile, and accounts for every mail by the database and the sink.
#     deploy/test.sh            in a project of its own, which it removes at the end (KEEP=1: leaves it running)
#     CELERY=1 deploy/test.sh   the same with Dagster's runs on two Celery workers
# Needs docker with compose and buildx, and ten minutes. CONTACTS (600) says how many mails, MINUTES (9) for how long.
set -euo pipefail
cd "$(dirname "$0")"
export CONTACTS=${CONTACTS:-600}
export COMPOSE_PROJECT_NAME=sequences-test COMPOSE_ENV_FILES=/dev/null
export API_PORT=18000 DAGSTER_PORT=13000 MAIL_PORT=18025 POSTGRES_PORT=15432 PGADMIN_PORT=15050
scale=(--scale worker=3)
services=(sqs worker valkey mail-sink postgres code daemon webserver api inbox pgadmin)
if [ -n "${CELERY:-}" ]; then
    export COMPOSE_FILE=docker-compose.yaml:docker-compose.celery.yaml VALKEY_PORT=16379
    scale+=(--scale runs=2) services+=(runs)
fi
began=$SECONDS

say() { printf '%4d s  %s\n' "$((SECONDS - began))" "$*"; }
day() { docker compose run --rm --no-deps --quiet-pull -T --env CONTACTS migrations python - "$@" < test_day.py; }
# Waits until a service's containers are healthy, or run where nobody asks them.
await() {
    local state container until=$((SECONDS + 240))
    for container in $(docker compose ps --all --quiet "$1"); do
        while :; do
            state=$(docker inspect --format '{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' \
                "$container")
            case $state in healthy | running) break ;; esac
            [ "$SECONDS" -lt "$until" ] || { say "$1 is $state"; return 1; }
            sleep 1
        done
    done
}
tell() { while read -r line; do say "$line"; done; }
finish() {
    status=$?
    [ "$status" = 0 ] || { docker compose ps --all; docker compose logs --tail 15 --no-color; }
    [ -n "${KEEP:-}" ] || docker compose down --volumes --timeout 20 > /dev/null 2>&1
    say "$([ "$status" = 0 ] && echo 'all holds' || echo "FAILED ($status)")"
}
trap finish EXIT

docker compose down --volumes --timeout 5 > /dev/null 2>&1 || true
docker compose build --quiet
say "built: $(docker image inspect --format '{{.Size}}' sequence-pipelines | awk '{printf "%d MB", $1 / 1e6}')"

# The planning day ends in some minutes, so that all of its mails leave within them.
PLAN_AT=$(date --utc --date "+${MINUTES:-9} minutes" +%H:%M)
export PLAN_AT
docker compose up --detach --wait --wait-timeout 400 "${scale[@]}" 2> up.log || { cat up.log; exit 1; }
rm -f up.log
say "up: $(docker compose ps --format '{{.Health}}' | grep -c '^healthy') services healthy, \
$(docker compose ps --status running --quiet | wc -l) containers running; \
migrations ended with $(docker compose ps --all migrations --format '{{.ExitCode}}')"
say "not root, read-only: $(docker compose exec -T worker sh -c 'id -u; touch /opt/x 2>&1 | tail -1' | tr '\n' ' ')"
loaded=$(docker compose exec -T code python - <<'PYTHON'
import importlib.util, os, sys
import sequence_cli.main, sequence_pipelines.definitions, step_mailing_worker.main
files = [m.__file__ for m in sys.modules.values() if str(getattr(m, "__file__", "")).endswith(".py")]
late = [file for file in files if not os.path.exists(importlib.util.cache_from_source(file))]
print(f"{len(files)} modules, {len(late)} of them without their bytecode", *late[:3])
sys.exit(bool(late))
PYTHON
) || { say "loaded: $loaded"; exit 1; }
say "loaded: $loaded"
say "pgAdmin knows: $(docker compose exec -T pgadmin sh -c 'PATH=/venv/bin:$PATH python3 -' <<'PYTHON'
import sqlite3
print(*sqlite3.connect("/var/lib/pgadmin/pgadmin4.db").execute("SELECT name, host, username FROM server").fetchall())
PYTHON
)"

day enter | tell
day plan | tell

for service in "${services[@]}"; do
    from=$SECONDS
    docker compose restart --timeout 30 "$service" 2> /dev/null
    await "$service"
    say "restarted $service in $((SECONDS - from)) s"
done
day wait "$((${MINUTES:-9} * 60 + 60))" | tell
say "by worker: $(docker compose logs --no-color worker | awk '/event=sent/ {n[$1]++} END {for (w in n) printf "%s %d  ", w, n[w]}')"
[ "$(docker compose logs --no-color worker | awk '/event=sent/ {print $1}' | sort -u | wc -l)" = 3 ]
[ -z "${CELERY:-}" ] || say "runs that succeeded as Celery's tasks: $(docker compose exec -T postgres psql -U postgres -d dagster -Atc \
    "SELECT count(*) FROM run_tags t JOIN runs USING (run_id) WHERE t.key = 'dagster-celery/task_id' AND status = 'SUCCESS'")"
day account | tell
