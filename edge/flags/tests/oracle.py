"""Asks flagd's provider for Python what the test asks ours.

Reads {"definition": TEXT, "asks": [{"key", "targeting_key", "attributes"}]} from standard input and writes a list of
[variant, value, reason] for string flags, or [error code] where the provider raises one.
"""

import json
import logging
import os
import sys
import tempfile

from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import OpenFeatureError

logging.disable(logging.CRITICAL)


def answer(provider, ask):
    context = EvaluationContext(ask["targeting_key"], ask["attributes"])
    try:
        details = provider.resolve_string_details(ask["key"], "own", context)
    except OpenFeatureError as error:
        return [error.error_code.value]
    return [details.variant, details.value, details.reason.value]


def main():
    question = json.load(sys.stdin)
    with tempfile.NamedTemporaryFile("w", suffix=".json", delete=False) as file:
        file.write(question["definition"])
    provider = FlagdProvider(resolver_type=ResolverType.FILE, offline_flag_source_path=file.name)
    try:
        provider.initialize(EvaluationContext())
        answers = [answer(provider, ask) for ask in question["asks"]]
    finally:
        provider.shutdown()
        os.unlink(file.name)
    json.dump(answers, sys.stdout)


main()
