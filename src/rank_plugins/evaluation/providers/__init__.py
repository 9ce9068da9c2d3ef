"""Evaluation inside other libraries, one module for each; a module imports its host, so import the one you want."""
