# syntax=docker/dockerfile:1
# Variants from one file:
#   docker build --target cpu -t estimator-service:cpu .
#   docker build --target gpu -t estimator-service:gpu .
#   docker build --target ray -t estimator-service:ray .      nodes of Ray, and the part that places jobs there
# One image runs every part: the API (default), a worker, the reconciler; see docker-compose.yml.

FROM python:3.12-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 TF_CPP_MIN_LOG_LEVEL=2

FROM base AS install-cpu
COPY requirements-cpu.lock /tmp/requirements.lock
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r /tmp/requirements.lock

FROM base AS install-gpu
COPY requirements-gpu.lock /tmp/requirements.lock
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r /tmp/requirements.lock

FROM install-cpu AS install-ray
COPY requirements-ray.lock /tmp/requirements-ray.lock
RUN /opt/venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r /tmp/requirements-ray.lock

FROM base AS guide
COPY requirements-docs.lock /tmp/requirements.lock
RUN python -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r /tmp/requirements.lock
WORKDIR /srv
COPY *.md ./
COPY docs docs
COPY estimator_client estimator_client
COPY scripts/guide.py scripts/guide_reference.py scripts/
RUN /opt/venv/bin/python scripts/guide.py /guide

FROM base AS service
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin estimator \
    && mkdir /data && chown estimator:estimator /data
WORKDIR /srv
COPY --chown=root:root app app
COPY --chown=root:root tf_estimator tf_estimator
COPY --chown=root:root estimator_client estimator_client
COPY --chown=root:root workers workers
COPY --chown=root:root migrations migrations
COPY --chown=root:root --from=guide /guide app/web/guide
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/srv DATA_DIR=/data HOST=0.0.0.0 PORT=8000
VOLUME /data
USER estimator
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["python", "-m", "app.lanes"]

FROM service AS ray
COPY --from=install-ray /opt/venv /opt/venv

FROM service AS gpu
COPY --from=install-gpu /opt/venv /opt/venv

FROM service AS cpu
COPY --from=install-cpu /opt/venv /opt/venv
