"""Deploy the language models: one attempt a call, scaled apart from the other deployments."""

from ray import serve

from deployments.model_replica import ServedReplica

Llm = serve.deployment(name="llm")(ServedReplica)
