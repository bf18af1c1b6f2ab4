FROM python:3.12-slim-bookworm AS build
WORKDIR /src
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
# All that the lock names is fetched and checked by hash, this layer anew only when the lock changes; of it the image
# gets what the core install and minting need.
COPY requirements.lock .
# /wheels holds one version of each: the lock's.
# hadolint ignore=DL3013
RUN pip download --require-hashes --requirement requirements.lock --dest /wheels \
    && pip install --no-index --find-links /wheels hatchling
COPY pyproject.toml README.md LICENSE ./
COPY jobrunner ./jobrunner
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && python -m venv /opt/jobrunner \
    && /opt/jobrunner/bin/pip install --no-index --find-links /wheels 'jobrunner[mint]'

FROM python:3.12-slim-bookworm
# Debian patches ffmpeg within a release and drops the old build from its mirrors: a pinned version would not install.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends ffmpeg \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --create-home jobrunner \
    && install --directory --owner=jobrunner --group=jobrunner --mode=0700 /var/lib/jobrunner
COPY --from=build /opt/jobrunner /opt/jobrunner
ENV PATH=/opt/jobrunner/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    JOBRUNNER_DATA_DIR=/var/lib/jobrunner
USER 10001
WORKDIR /home/jobrunner
VOLUME /var/lib/jobrunner
EXPOSE 8080
# For the default command; a worker answers on a port of its own, if it is given one (see compose.yml).
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/readyz', timeout=4)"]
CMD ["jobrunner", "serve"]
