# One image, two commands: `rayroom serve` (default) and `python -m room_agent start`.
FROM python:3.11-slim AS build
WORKDIR /app
RUN pip install --no-cache-dir 'uv>=0.9'
ENV UV_LINK_MODE=copy UV_COMPILE_BYTECODE=1 UV_PYTHON_DOWNLOADS=never
COPY pyproject.toml uv.lock README.md LICENSE ./
RUN uv sync --frozen --no-dev --extra agent --no-install-project
COPY cluster cluster
COPY deployments deployments
COPY room_agent room_agent
COPY routing routing
RUN uv sync --frozen --no-dev --extra agent --no-editable

FROM python:3.11-slim
RUN useradd --create-home --uid 10001 rayroom
WORKDIR /app
COPY --from=build --chown=rayroom /app/.venv .venv
COPY --chown=rayroom serve_config.yaml ./
# A container answers its network, which is the operator's to close; the file itself binds loopback.
RUN sed -i 's/^  host: 127\.0\.0\.1$/  host: 0.0.0.0/' serve_config.yaml
RUN mkdir .rayroom && chown rayroom .rayroom
ENV PATH=/app/.venv/bin:$PATH PYTHONUNBUFFERED=1
USER rayroom
# The journals of costs and of speech: keep them on a volume that outlives the container.
VOLUME /app/.rayroom
EXPOSE 8000
CMD ["rayroom", "serve"]
