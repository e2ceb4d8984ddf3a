"""The service's version, for its API's document and what its workers report. Imports nothing of ours."""

VERSION = "0.1.0"
