"""The Prometheus text format, read line by line."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fm_client import MetricSample, parse_metrics

TEXT = r"""# HELP request_latency_ms How long.
# TYPE request_latency_ms histogram
request_latency_ms_bucket{endpoint_name="e",le="+Inf"} 3 1700000000000
request_latency_ms_sum{endpoint_name="e"} 12.5
# TYPE cpu gauge
cpu{served="a, \"b\"\\\n}"} NaN

no_labels 1e3
# TYPE size histogram
size_bucket{le="5"} 3 # {trace_id="t"} 0.5
this is no sample
# EOF
"""


def test_samples_have_name_labels_value_kind_and_time() -> None:
    bucket, total, cpu, bare, exemplar = parse_metrics(TEXT)

    assert bucket == MetricSample(
        "request_latency_ms_bucket", 3.0, {"endpoint_name": "e", "le": "+Inf"}, "histogram", 1.7e12
    )
    assert (total.value, total.kind) == (12.5, "histogram")
    assert (cpu.kind, cpu.labels) == ("gauge", {"served": 'a, "b"\\\n}'})
    assert math.isnan(cpu.value)
    assert bare == MetricSample("no_labels", 1000.0)
    assert exemplar == MetricSample("size_bucket", 3.0, {"le": "5"}, "histogram")


@pytest.mark.parametrize("text", ["", "\n\n", "# only a comment", "<html>proxy</html>", "{}", "x{ 1", "1x 2"])
def test_what_is_no_sample_is_passed_over(text: str) -> None:
    assert parse_metrics(text) == []


@given(st.text())
def test_no_text_breaks_the_parser(text: str) -> None:
    assert isinstance(parse_metrics(text), list)


@given(
    st.dictionaries(
        st.from_regex(r"\A[a-z_][a-z0-9_]{0,9}\Z"),
        st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])),
        max_size=4,
    )
)
def test_labels_are_read_as_they_were_written(labels: dict[str, str]) -> None:
    escaped = {key: value.replace("\\", r"\\").replace('"', r"\"") for key, value in labels.items()}
    line = "m{" + ",".join(f'{key}="{value}"' for key, value in escaped.items()) + "} 1"

    assert [dict(sample.labels) for sample in parse_metrics(line)] == [labels]


@pytest.mark.parametrize("char", ["\u2028", "\x0b", "\x85"])
def test_only_a_line_feed_ends_a_line(char: str) -> None:
    (sample,) = parse_metrics(f'calls{{name="a{char}b"}} 1\r\n')
    assert {"name": f"a{char}b"} == sample.labels
