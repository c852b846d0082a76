"""Deploy the embedding models: one attempt a call, scaled apart from the other deployments."""

from ray import serve

from deployments.model_replica import ServedReplica

Embeddings = serve.deployment(name="embeddings")(ServedReplica)
