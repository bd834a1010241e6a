#!/bin/sh
# Generates every secret of a deployment and prints them as lines for `.env`: sh deploy/secrets.sh >> .env
# Also prints the day of the installation as the first planning day, unless `.env` has one: it never changes.
set -eu
for name in POSTGRES OWNER API PIPELINE WORKER READONLY DAGSTER VALKEY PGADMIN; do
    echo "${name}_PASSWORD=$(openssl rand -hex 24)"
done
echo "ADDRESS_KEY=$(openssl rand -hex 32)"
echo "LINK_KEYS=$(openssl rand -hex 32)"
echo "SECRET_KEYS=$(openssl rand -base64 32 | tr +/ -_)"
if ! grep -qs '^FIRST_PLANNING_DAY=' .env; then
    echo "FIRST_PLANNING_DAY=$(date -u +%Y-%m-%d)"
fi
