"""The table of generation settings: what it accepts, what it refuses and how it says so."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tv2tv_core.errors import InputError
from tv2tv_core.settings import BY_NAME, SETTINGS, GenerationSettings, resolve, shorten, validate

ROWS = st.sampled_from(SETTINGS)


def test_the_table_and_the_value_have_the_same_fields():
    assert [row.name for row in SETTINGS] == [field.name for field in dataclasses.fields(GenerationSettings)]


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
def test_defaults_and_both_bounds_are_allowed(row):
    for value in (row.default, row.minimum, row.maximum):
        assert validate(row.name, value) == value == validate(row.name, str(value))
        assert type(validate(row.name, str(value))) is row.type


@pytest.mark.parametrize("row", SETTINGS, ids=lambda row: row.name)
@pytest.mark.parametrize("value", ["", " ", "four", "nan", "inf", "-inf", "1e999", True, None, [], b"4", "9" * 5000])
def test_what_is_no_number_in_range_is_refused_in_one_line(row, value):
    with pytest.raises(InputError) as caught:
        validate(row.name, value)
    text = str(caught.value)
    assert row.name in text and row.allowed in text and "\n" not in text and len(text) < 300


@given(ROWS, st.one_of(st.floats(), st.integers(), st.text(max_size=200)))
def test_every_value_is_in_range_or_an_input_error(row, value):
    try:
        got = validate(row.name, value)
    except InputError as error:
        assert str(error).isprintable()
    else:
        assert type(got) is row.type and row.minimum <= got <= row.maximum


def test_a_fraction_is_no_whole_number():
    assert validate("steps", 4.0) == 4
    for value in ("4.5", 4.5, "4.0"):
        with pytest.raises(InputError, match="whole number"):
            validate("steps", value)


def test_the_largest_seed_keeps_every_bit():
    assert validate("seed", str(2**63 - 1)) == 2**63 - 1
    with pytest.raises(InputError):
        validate("seed", 2**63)


def test_later_layers_win_and_none_overrides_nothing():
    assert resolve() == GenerationSettings(**{row.name: row.default for row in SETTINGS})
    got = resolve({"steps": 2, "guidance": 3}, {"steps": "8", "guidance": None})
    assert (got.steps, got.guidance, got.seconds) == (8, 3.0, BY_NAME["seconds"].default)
    assert resolve(got.as_dict()) == got


def test_an_unknown_setting_lists_the_known_ones():
    with pytest.raises(InputError, match=r"'stpes'.*steps"):
        resolve({"stpes": 3})


@given(st.text())
def test_shortened_text_is_printable_and_short(text):
    assert shorten(text).isprintable() and len(shorten(text)) <= 12 * 62
