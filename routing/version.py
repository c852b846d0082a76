"""The version of rayroom: the package, the command and the API's document read it here."""

VERSION = "1.0.0"
