"""The version of clew."""

VERSION = "0.1.0"
