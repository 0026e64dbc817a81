"""Regular expressions of filters: what they take is what Python's `re` takes, and they never hang."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sflab.asl.regex import Regex, RegexSyntaxError

atoms = st.sampled_from(["a", "b", ".", "[ab]", "[^a]", r"\w", r"\d", r"\.", "[a-c1]", r"[\]a]"])
anchors = st.sampled_from(["^", "$", r"\A", ""])
quantifiers = st.sampled_from(["*", "+", "?", "{2}", "{1,2}", "{1,}", "*?", "+?"])


def larger(inner):
    return st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map(lambda p: f"({p[0]}|{p[1]})"),
        inner.map(lambda p: f"(?:{p})"),
        st.tuples(inner, quantifiers).map(lambda p: f"({p[0]}){p[1]}"),
        st.tuples(anchors, inner, anchors.filter(lambda a: a != "^" and "A" not in a)).map("".join),
    )


patterns = st.recursive(atoms, larger, max_leaves=6)
texts = st.text("ab1.]c", max_size=6)


@given(patterns, st.lists(texts, min_size=1, max_size=8))
def test_a_pattern_takes_the_whole_of_the_texts_that_re_takes(pattern, texts):
    ours, theirs = Regex(pattern), re.compile(pattern)
    for text in texts:
        assert ours.matches(text) == bool(theirs.fullmatch(text)), (pattern, text)


@pytest.mark.parametrize(
    ("pattern", "taken", "refused"),
    [
        ("foo.*", "foobar", "barfoo"),
        ("", "", "a"),
        ("a|", "", "b"),
        ("(?i)ABC", "abc", "abd"),
        ("(?is)a.c", "A\nc", "ab"),
        ("(?<name>a)b", "ab", "a"),
        (r"\d{3}-\d{4}", "555-1234", "5555-123"),
        (r"[\w.+-]+@[\w-]+\.[a-z]{2,}", "a.b+c@d-e.org", "a@b"),
        (r"\s*\S+\s*", "  x ", "x y"),
        ("[^\\n]+", "ab", "a\n"),
        ("ü+", "üü", "u"),
        ("a{0}b", "b", "ab"),
        ("a{0,1}b", "ab", "aab"),
        ("(a*)*", "aaa", "b"),
        ("(|a)+", "aa", "b"),
    ],
)
def test_what_a_pattern_takes_and_what_it_does_not(pattern, taken, refused):
    assert Regex(pattern).matches(taken)
    assert not Regex(pattern).matches(refused)


def test_flags_of_the_filter():
    assert Regex("abc", ignore_case=True).matches("ABC")
    assert not Regex("a.c").matches("a\nc")
    assert Regex("a.c", dot_all=True).matches("a\nc")


@pytest.mark.parametrize(
    "pattern",
    ["(?=a)", "(?!a)b", "(?<=a)b", r"(a)\1", "(a", "a)", "[a", "*a", "a{3,2}", "a++", "a**", "{", "a{", "]", r"\b",
     "\\", r"\p{Alpha}", "(" * 60 + ")" * 60, "(a{1000}){1000}", "[z-a]", "(?P<n>a)", "(?#c)"],
)  # fmt: skip
def test_what_is_wrong_or_needs_backtracking_is_refused(pattern):
    with pytest.raises(RegexSyntaxError, match=r"not supported|repeats too much"):
        Regex(pattern)


@pytest.mark.parametrize("pattern", ["(a+)+b", "(a|a)*b", "(a|aa)+b", "(a*)*b", "a*a*a*a*a*a*a*b", "(a?){50}a{50}b"])
def test_time_grows_with_the_text_and_not_with_the_ways_to_match_it(pattern):
    regex, begun = Regex(pattern), time.perf_counter()
    assert not regex.matches("a" * 100_000)
    assert time.perf_counter() - begun < 30


def test_many_different_characters_cost_no_memory_without_bound():
    regex = Regex(".*x")
    assert regex.matches("".join(map(chr, range(0x4E00, 0x4E00 + 20_000))) + "x")
    assert len(regex._known) <= 2_001
