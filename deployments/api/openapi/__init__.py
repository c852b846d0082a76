"""The OpenAPI document of the routes, and the schemas of their responses."""
