# Builds the product as one image with the command `sequences` and Dagster's programs.
#     docker build --tag sequence-pipelines .
# The target `local` adds the servers that only a local deployment needs: an SQS endpoint and a mail sink.

FROM python:3.13-slim-trixie AS base
ENV PATH=/opt/product/bin:/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    DAGSTER_DISABLE_TELEMETRY=yes \
    DAGSTER_EVENT_LOG_CONSUMER_DAEMON_INTERVAL_SECONDS=30 \
    FRESHNESS_DAEMON_INTERVAL_SECONDS=300 \
    DAGSTER_HOME=/opt/dagster/home \
    ASSET_STORE=/var/lib/sequences/assets \
    HOME=/tmp

# Installs the packages that requirements.lock pins, and verifies their hashes.
FROM base AS build
ENV UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy UV_CACHE_DIR=/var/cache/uv
WORKDIR /src
RUN python -m venv /opt/uv \
    && /opt/uv/bin/pip install --quiet --no-cache-dir --disable-pip-version-check uv==0.13.9 \
    && /opt/uv/bin/uv venv --quiet /opt/venv \
    && site=$(/opt/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))') \
    && echo /opt/product > "$site/product.pth"
COPY pyproject.toml requirements.lock ./
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/uv/bin/uv pip install --quiet --python /opt/venv --constraint requirements.lock \
        --requirements pyproject.toml --extra kubernetes --extra celery
COPY deploy/slim.py ./
RUN /opt/venv/bin/python slim.py cut

FROM build AS wheel
COPY . .
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/uv/bin/uv build --quiet --wheel --build-constraint requirements.lock --out-dir /wheel \
    && /opt/uv/bin/uv pip install --quiet --python /opt/venv --no-deps \
        --target /opt/product /wheel/*.whl

# A fixed hash seed makes the bytecode reproducible: a change of code does not change the layer of packages.
# -P makes Python import and compile the installed product instead of the files beside slim.py.
FROM wheel AS product-packages
RUN PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE="" python -P /src/slim.py load

FROM wheel AS local-packages
RUN --mount=type=cache,target=/var/cache/uv \
    /opt/uv/bin/uv pip install --quiet --python /opt/venv --constraint requirements.lock \
        aiosmtpd flask flask-cors moto
RUN PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE="" python -P /src/slim.py load

# The image runs as an unprivileged user, and only the folders of volumes are writable.
# PYTHONSAFEPATH keeps Python from importing modules of the working directory. A .pth file makes the product
# importable, not PYTHONPATH, because Dagster imports nothing from the first entry of sys.path.
FROM base AS runtime
ENV PYTHONSAFEPATH=1
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin sequences \
    && install -d -o sequences -g sequences \
        /opt/dagster/home/storage /var/lib/sequences/assets /var/lib/sequences/mail
WORKDIR /opt/sequences
COPY deploy/dagster.yaml workspace.yaml /opt/dagster/home/
COPY examples ./examples
USER 10001:10001
CMD ["sequences", "--help"]

FROM runtime AS local
COPY --from=local-packages /opt/venv /opt/venv
COPY --from=local-packages /opt/product /opt/product

FROM runtime AS product
COPY --from=product-packages /opt/venv /opt/venv
COPY --from=product-packages /opt/product /opt/product
