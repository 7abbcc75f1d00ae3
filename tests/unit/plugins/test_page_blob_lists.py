"""Page lists as XML: what is read from them, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.vmguard.azure.plugins.module_utils._clock import SystemClock
from ansible_collections.vmguard.azure.plugins.module_utils._disk.page_ranges import (
    BadPageList,
    DiffUnavailable,
    PageRanges,
    parse_page_list,
)
from ansible_collections.vmguard.azure.plugins.module_utils._disk.ranges import Range
from azure.core.pipeline.transport import HttpTransport
from hypothesis import given
from hypothesis import strategies as st

HEAD = '\ufeff<?xml version="1.0" encoding="utf-8"?>'
Ranges = list[tuple[int, int, bool]]


def xml(ranges: Ranges, marker: str | None = None, gap: str = "") -> bytes:
    parts = [HEAD, gap, "<PageList>", gap]
    for start, end, cleared in ranges:
        name = "ClearRange" if cleared else "PageRange"
        parts += [f"<{name}>{gap}<Start>{start}</Start>{gap}<End>{end - 1}</End></{name}>", gap]
    if marker is not None:
        parts.append(f"<NextMarker>{marker}</NextMarker>")
    return "".join([*parts, "</PageList>"]).encode()


numbers = st.integers(0, 2**45)
any_ranges = st.lists(
    st.tuples(numbers, numbers, st.booleans()).map(lambda it: (it[0], it[1] + 1, it[2]))
)
plain_text = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1)


@given(any_ranges, st.none() | plain_text, st.sampled_from(["", "\r\n  "]))
def test_order_and_kind_are_the_documents(ranges: Ranges, marker: str | None, gap: str) -> None:
    assert parse_page_list(xml(ranges, marker, gap)) == (ranges, marker or "")


@given(any_ranges, st.data())
def test_a_list_that_is_cut_short_is_refused(ranges: Ranges, data: st.DataObject) -> None:
    whole = xml(ranges, "more")
    cut = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises(ValueError, match="no complete XML"):
        parse_page_list(whole[:cut])


def test_without_byte_order_mark_and_empty() -> None:
    assert parse_page_list(b"<PageList/>") == ([], "")
    assert parse_page_list(xml([], "")) == ([], "")


ONE = "<PageRange><Start>0</Start><End>511</End></PageRange>"


@pytest.mark.parametrize(
    ("inner", "said"),
    [
        ("<PageRange><Start>0</Start></PageRange>", "without beginning or end"),
        ("<PageRange/>", "without beginning or end"),
        ("<PageRange><Start>0</Start><Start>0</Start><End>1</End></PageRange>", "'0'"),
        ("<PageRange><Start>-512</Start><End>511</End></PageRange>", "'-512'"),
        ("<PageRange><Start>0x0</Start><End>511</End></PageRange>", "'0x0'"),
        ("<PageRange><Start>٣</Start><End>511</End></PageRange>", "Start is"),
        ("<PageRange><Start/><End>511</End></PageRange>", "Start is ''"),
        (f"<PageRange><Start>0</Start><End>{'9' * 4000}</End></PageRange>", "beyond every disk"),
        (f"<PageRange>{ONE}</PageRange>", "none belongs"),
        ("<SomeRange><Start>0</Start><End>511</End></SomeRange>", "'SomeRange'"),
        ("<Start>0</Start>", "'Start'"),
        (f"{ONE}stray", "text in an element"),
        ("<NextMarker>a</NextMarker><NextMarker>b</NextMarker>", "two markers"),
    ],
)
def test_what_is_malformed_is_refused(inner: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse_page_list(f"{HEAD}<PageList>{inner}</PageList>".encode())


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"<Error><Code>X</Code></Error>", b"<PageList></PageList><PageList/>",
     b'<!DOCTYPE a [<!ENTITY x "1">]><PageList>&x;</PageList>'],
)  # fmt: skip
def test_what_is_no_page_list_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        parse_page_list(body)


# -- answers that no real service gives


class Scripted(HttpTransport):
    """Gives answers that local Azure cannot be made to give."""

    def __init__(self, *bodies: bytes) -> None:
        self._bodies = list(bodies)
        self.urls: list[str] = []

    def send(self, request: Any, **_options: Any) -> Any:
        self.urls.append(request.url)
        return ScriptedAnswer(self._bodies.pop(0))

    def open(self) -> None:
        pass

    def close(self) -> None:
        pass

    def __enter__(self) -> Any:
        return self

    def __exit__(self, *_error: object) -> None:
        pass


class ScriptedAnswer:
    """As much of an answer as the pipeline's client looks at."""

    status_code = 200

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.headers = {"Content-Length": str(len(body))}

    def read(self) -> bytes:
        return self._body

    def close(self) -> None: ...


class Fixed:
    """Access with one URL."""

    def __init__(self, name: str) -> None:
        self.name = name

    def url(self) -> str:
        return f"https://example.invalid/{self.name}?sig=secret"

    def renew(self, seen: str) -> str:
        return seen

    def headers(self) -> dict[str, str]:
        return {}

    def challenged(self, seen: dict[str, str]) -> bool:
        return seen != {}


def changes(*bodies: bytes, window: int = 1 << 20, upto: int = 1 << 20) -> list[Any]:
    lister = PageRanges(SystemClock(), transport=Scripted(*bodies), window=window)
    return list(lister.changed(Fixed("now"), Fixed("base"), Range(0, upto)))


def test_pages_and_windows_are_put_together() -> None:
    bodies = [
        xml([(0, 512, False)], "m1"),
        xml([], "m2"),
        xml([(512, 1024, True)]),
        xml([(1 << 20, (1 << 20) + 512, False)], "m1"),
        xml([]),
    ]
    assert [one[:2] for one in changes(*bodies, upto=2 << 20)] == [
        (0, 512), (512, 1024), (1 << 20, (1 << 20) + 512),
    ]  # fmt: skip


def test_markers_are_encoded() -> None:
    transport = Scripted(xml([], "2!8!MD+w/A=="), xml([]))
    lister = PageRanges(SystemClock(), transport=transport, max_results=7)
    assert list(lister.allocated(Fixed("now"), Range(0, 512))) == []
    first, second = transport.urls
    assert first.endswith("sig=secret&comp=pagelist&maxresults=7")
    assert second == f"{first}&marker=2%218%21MD%2Bw%2FA%3D%3D"


def test_a_range_across_the_edge_of_a_window_is_clipped() -> None:
    edge = 1 << 20
    body = xml([(edge - 512, edge + 512, False)])
    assert changes(body, body, upto=2 << 20) == [
        (edge - 512, edge, False), (edge, edge + 512, False)
    ]  # fmt: skip
    footer = xml([(edge - 512, edge + 512, False)])
    assert changes(footer) == [(edge - 512, edge, False)]


@pytest.mark.parametrize(
    ("bodies", "said"),
    [
        ([xml([(512, 1024, False), (0, 512, False)])], "out of order"),
        ([xml([(0, 1024, False), (512, 2048, True)])], "overlaps"),
        ([xml([(0, 512, False), (0, 512, False)])], "overlaps"),
        ([xml([(512, 1024, False)], "m"), xml([(0, 512, False)])], "out of order"),
        ([xml([(1 << 21, 1 << 22, False)])], "outside of what was asked for"),
        ([xml([(1 << 20, (1 << 20) + 512, False)])], "outside of what was asked for"),
        ([xml([(1, 512, False)])], "not of whole pages"),
        ([xml([(0, 511, False)])], "not of whole pages"),
        ([xml([(1024, 512, False)])], "not of whole pages"),
        ([xml([], "m"), xml([], "m")], "already given"),
        ([xml([], "m"), xml([], "n"), xml([], "m")], "already given"),
        ([xml([(0, 512, False)])[:-4]], "no complete XML"),
        ([xml([], "m"), b""], "no complete XML"),
    ],
)
def test_a_list_that_cannot_be_right_is_no_difference(bodies: list[bytes], said: str) -> None:
    with pytest.raises(DiffUnavailable, match=said) as caught:
        changes(*bodies)
    assert caught.value.code == "InvalidPageList" and "secret" not in str(caught.value)
    assert "changes of now since base cannot be told" in caught.value.message


def test_a_cleared_range_that_nobody_asked_for() -> None:
    lister = PageRanges(SystemClock(), transport=Scripted(xml([(0, 512, True)])))
    with pytest.raises(BadPageList, match="cleared range"):
        list(lister.allocated(Fixed("now"), Range(0, 1024)))


@pytest.mark.parametrize("options", [{"window": 0}, {"window": 100}, {"max_results": 0}])
def test_settings_that_make_no_sense(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="No window"):
        PageRanges(SystemClock(), **options)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="whole pages"):
        list(PageRanges(SystemClock()).allocated(Fixed("now"), Range(1, 512)))
