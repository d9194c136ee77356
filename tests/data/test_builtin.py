from __future__ import annotations

import datetime
import random
import re
from collections import defaultdict

import pytest

from heedful.data.builtin import BUILTIN, dates, load_builtin, numbers
from heedful.data.builtin.corpus import Corpus
from heedful.data.words import normalise
from heedful.errors import OptionError

SMALL = {"train_size": 700, "valid_size": 60, "test_size": 90}
FORMS = [(locale, form) for locale, forms in dates.FORMATS.items() for form in forms]

names = pytest.mark.parametrize("name", BUILTIN)


@names
def test_sizes_and_texts_are_as_asked(name: str) -> None:
    corpus = BUILTIN[name](**SMALL)
    parts = (corpus.train, corpus.valid, corpus.test)
    assert tuple(map(len, parts)) == (700, 60, 90)
    for part in parts:
        for text in [*part.source, *part.target]:
            assert text == normalise(text)
            assert text


@names
def test_the_seed_decides_everything(name: str) -> None:
    assert BUILTIN[name](3, **SMALL) == BUILTIN[name](3, **SMALL)
    assert BUILTIN[name](3, **SMALL).test != BUILTIN[name](4, **SMALL).test


@names
def test_no_source_has_two_answers(name: str) -> None:
    corpus = BUILTIN[name](**SMALL)
    answers = dict(corpus.train)
    assert all(answers[source] == target for source, target in corpus.train)


@names
def test_no_answer_of_the_test_was_seen(name: str) -> None:
    # The answer names the question's date or (with its language) number, so this covers every form.
    corpus = BUILTIN[name](**SMALL)
    seen, valid, test = (set(part.target) for part in (corpus.train, corpus.valid, corpus.test))
    assert not seen & test
    assert not seen & valid
    assert not valid & test


@names
def test_the_description_says_how_it_is_split(name: str) -> None:
    assert "validation and test are in no training pair" in BUILTIN[name](**SMALL).description


def test_a_corpus_is_found_by_name() -> None:
    corpus = load_builtin("dates", seed=5)
    assert isinstance(corpus, Corpus)
    # The dates kept for the test do not hang on how many training pairs are made.
    assert corpus.test.target == dates.build(5, train_size=1).test.target
    assert len(corpus.train) == 20_000
    with pytest.raises(
        OptionError, match="unknown built-in corpus 'number'; did you mean 'numbers'"
    ):
        load_builtin("number")


@pytest.mark.parametrize(
    ("locale", "form", "expected"),
    [
        ("en", "full", "Sunday, March 5, 2023"),
        ("en_GB", "medium", "5 Mar 2023"),
        ("fr", "full", "dimanche 5 mars 2023"),
        ("de", "short", "05.03.23"),
        ("de", "long", "5. März 2023"),
        ("es", "long", "5 de marzo de 2023"),
        ("zh", "full", "2023年3月5日星期日"),
        ("zh", "short", "2023/3/5"),
    ],
)
def test_dates_as_people_write_them(locale: str, form: str, expected: str) -> None:
    assert dates.format_date(datetime.date(2023, 3, 5), locale, form)[0] == expected


def test_no_text_means_two_dates() -> None:
    # All forms of every second day of three years: 51, 12 and 49 are days, months or neither, too.
    meanings = defaultdict(set)
    for year in (1951, 2012, 2049):
        for day in range(0, 365, 2):
            date = datetime.date(year, 1, 1) + datetime.timedelta(day)
            for locale, form in FORMS:
                meanings[dates.format_date(date, locale, form)[0]].add(date)
    assert [text for text, found in meanings.items() if len(found) > 1] == []


def test_no_form_puts_a_numeric_month_beside_slashes_day_first() -> None:
    for locale, form in FORMS:
        text = dates.format_date(datetime.date(2023, 3, 5), locale, form)[0]
        assert not re.search(r"\b0?[35][/-]0?[35][/-]", text), (locale, form)


def test_every_form_is_met_and_the_issue_s_languages_are_there() -> None:
    assert {"en", "fr", "de", "zh"} <= set(dates.FORMATS)
    assert len(set(FORMS)) == len(FORMS) >= 40


def test_answers_are_the_dates() -> None:
    corpus = dates.build(**SMALL)
    for source, target in corpus.train:
        date = datetime.date.fromisoformat(target)
        assert dates.FIRST_DAY <= date <= dates.LAST_DAY
        assert str(date.year % 100) in source
        assert str(date.day) in source


def test_test_dates_are_all_different() -> None:
    corpus = dates.build(**SMALL)
    assert len(set(corpus.test.target)) == 90
    assert len(set(corpus.valid.target)) == 60


@pytest.mark.parametrize(("locale", "form"), FORMS)
def test_links_join_each_field_of_the_answer_to_what_says_it(locale: str, form: str) -> None:
    date = datetime.date(2023, 12, 25)
    text, links = dates.format_date(date, locale, form)
    answer = date.isoformat()
    assert {j for _, j in links} == {0, 1, 2, 3, 5, 6, 8, 9}
    assert all(0 <= i < len(text) for i, _ in links)
    for i, j in links:
        if j in (8, 9):
            assert text[i] == answer[j]
    year = "".join(text[i] for i in sorted({i for i, j in links if j == 3}))
    assert year in ("3", "23")


def test_links_of_one_text_in_full() -> None:
    text, links = dates.format_date(datetime.date(2023, 3, 15), "zh", "long")
    assert text == "2023年3月15日"
    assert links == {(0, 0), (1, 1), (2, 2), (3, 3), (5, 5), (5, 6), (7, 8), (8, 9)}


def test_links_come_with_the_test_pairs() -> None:
    corpus = dates.build(**SMALL)
    assert corpus.test_links is not None
    assert len(corpus.test_links) == len(corpus.test)
    for source, links in zip(corpus.test.source, corpus.test_links, strict=True):
        assert max(i for i, _ in links) < len(source)


@pytest.mark.parametrize(
    "sizes",
    [
        {"train_size": 0},
        {"valid_size": 0},
        {"test_size": 0},
        {"valid_size": 30_000, "test_size": 6_525},
    ],
)
def test_sizes_of_dates_that_do_not_work(sizes: dict[str, int]) -> None:
    with pytest.raises(OptionError, match=r"do not work: each must be 1 or more, .* than 36,525"):
        dates.build(**sizes)


def test_numbers_as_words() -> None:
    corpus = numbers.build(train_size=600, valid_size=5, test_size=5, languages=("fr", "de", "es"))
    answers = dict(corpus.train)
    assert answers["fr: twenty-one"] == "vingt et un"
    assert answers["de: twenty-one"] == "einundzwanzig"
    assert answers["es: twenty-one"] == "veintiuno"


def test_small_numbers_are_asked_in_training_only() -> None:
    corpus = numbers.build(**SMALL)
    asked = set(corpus.train.source)
    assert {f"{code}: seven" for code in ("fr", "de", "es")} <= asked
    for source in [*corpus.valid.source, *corpus.test.source]:
        assert "hundred" in source or "thousand" in source


def test_a_number_kept_for_the_test_is_trained_in_no_language() -> None:
    corpus = numbers.build(**SMALL)
    kept = {source.partition(": ")[2] for source in [*corpus.valid.source, *corpus.test.source]}
    assert len(kept) == 150
    assert not kept & {source.partition(": ")[2] for source in corpus.train.source}


@pytest.mark.parametrize("code", numbers.LANGUAGES)
def test_every_language_works(code: str) -> None:
    corpus = numbers.build(train_size=120, valid_size=1, test_size=1, languages=(code,))
    assert all(source.startswith(f"{code}: ") for source in corpus.train.source)
    assert len(set(corpus.train.target)) > 100
    assert numbers.LANGUAGES[code] in corpus.description


def test_options_of_numbers_that_do_not_work() -> None:
    with pytest.raises(OptionError, match="unknown language 'frr'; did you mean 'fr'"):
        numbers.build(languages=("frr",))
    for change in (
        {"train_size": 299},
        {"valid_size": 0},
        {"test_size": 100_000},
        {"languages": ()},
    ):
        with pytest.raises(OptionError, match="languages do not work: train must be"):
            numbers.build(**change)  # type: ignore[arg-type]


def test_any_number_has_three_to_six_digits_equally_often() -> None:
    corpus = numbers.build(train_size=1_300, valid_size=1, test_size=1, languages=("fr",))
    thousands = sum("thousand" in source for source in corpus.train.source)
    assert 0.7 < thousands / 1_200 < 0.8


def test_python_s_own_chance_is_left_alone() -> None:
    random.seed(1)
    expected = random.random()
    random.seed(1)
    dates.build(train_size=5, valid_size=1, test_size=1)
    assert random.random() == expected
