"""Deploy the vision models: one attempt a call, scaled apart from the other deployments."""

from ray import serve

from deployments.model_replica import ServedReplica

Vision = serve.deployment(name="vision")(ServedReplica)
