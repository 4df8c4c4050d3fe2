"""Plays one scenario: `run.py <file> <function>`."""

import importlib
import sys

from kit import play

module, function = sys.argv[1:3]
play(f"{module}-{function}", getattr(importlib.import_module(module), function))
print("done", flush=True)
