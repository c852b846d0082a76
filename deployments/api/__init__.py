"""The HTTP schemas, authentication and request checks of the application."""
