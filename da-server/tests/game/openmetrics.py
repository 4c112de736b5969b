"""Reads an exposition in OpenMetrics from standard input; writes each sample as a line of JSON."""

import json
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

for family in text_string_to_metric_families(sys.stdin.read()):
    for sample in family.samples:
        print(json.dumps([{"__name__": sample.name, **sample.labels}, sample.value]))
