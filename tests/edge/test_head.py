"""A request's headers by name: the first value counts, and what was sent twice is not hidden."""

from gateway.edge.head import Head


def test_a_name_has_its_value() -> None:
    head = Head([(b"host", b"a.example"), (b"x-word", "é".encode("latin-1"))])
    assert (head["host"], head["x-word"], head.get("accept", "")) == ("a.example", "é", "")
    assert head.every("host") == ["a.example"]
    assert head.every("accept") == []


def test_what_was_sent_twice_is_there_twice_in_its_order() -> None:
    head = Head([(b"accept", b"a"), (b"host", b"one"), (b"host", b"two"), (b"host", b"one")])
    assert head["host"] == "one"
    assert head.every("host") == ["one", "two", "one"]
    assert head.every("accept") == ["a"]
