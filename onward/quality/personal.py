"""Personal data in a text: addresses, phone, card and account numbers.

>>> found("Write to ana.li@example.org or call +44 20 7031 3000.")
{'email': ['ana.li@example.org'], 'phone': ['+44 20 7031 3000']}
>>> found("It was fought from 1914 to 1918 by 65,038,810 men.")
{}

By kept libraries, all offline: email-validator (its form, never its mail server), phonenumbers
(numbers that exist in their country's plan; without a country code only where they are written as
one), python-stdnum (card numbers by their check digit and length, IBANs by theirs).

What it cannot see: names, postal addresses, birthdays and other things that are personal by what
they mean. presidio finds some of these with a model that has to be fetched.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from onward.quality.words import seen
from onward.recipes.scripts import SPACELESS

_SOME, _OTHER = rf"[^\W_{SPACELESS}]", rf"[\d{SPACELESS}]"
_LABEL = rf"(?:{_SOME}(?:[^\W{SPACELESS}]|-)*(?<![_-])|{_OTHER}(?:{_OTHER}|-)*(?<!-))"
"""Of one kind of script: after the last one, Chinese follows without a space."""
_ADDRESS = re.compile(rf"[a-zA-Z0-9_][a-zA-Z0-9_.!#$%&*+/=?^`{{|}}~-]*@{_LABEL}(?:\.{_LABEL})+")
"""Beside a letter, quotation mark or full stop of any script, too."""
_DIGITS = re.compile(
    r"(?<![\w.])\d+(?:[ -]\d+)*(?!\w|\.\d)|(?<![\w.])\d{4}(?:\.\d{4}){3}(?!\w|\.\d)"
)
_CARD = re.compile(r"\d{13,19}|\d{4}( \d{4}){2} \d{1,4}( \d{1,3})?|\d{4} \d{6} \d{4,5}")
"""How a card number is grouped."""
_IBAN = re.compile(r"(?<![^\W_])[a-z]{2}\d{2}(?:[ -]?[a-z0-9])+", re.IGNORECASE)
_LONGEST = 34
"""Letters and digits of an IBAN."""
_LOCAL = re.compile(r"(?<![\w.,-])(?:\(\d{3}\)[ .-]?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])")
_CARDS = ("2", "3", "4", "5", "6")
"""First digits of the large card schemes."""


def found(text: str) -> dict[str, list[str]]:
    """Kind -> what was found, in plain letters; kinds without a finding are left out."""
    text = seen(text)
    kinds = {"email": _emails(text), "iban": _ibans(text), "card": _cards(text)}
    taken = [one for some in kinds.values() for one in some]
    kinds["phone"] = [
        one for one in _phones(text) if not any(one in other or other in one for other in taken)
    ]
    return {kind: some for kind, some in kinds.items() if some}


def bare(one: str) -> str:
    """A finding however it is written: letters and digits, without case.

    >>> bare("+44 20 7031-3000") == bare("+442070313000")
    True
    """
    return re.sub(r"[\W_]", "", one).casefold()


def stands(one: str, text: str) -> bool:
    """Whether a finding stands in a text as it is, and not as a part of a longer one.

    >>> stands("ana@corp.org", "joana@corp.org"), stands("ana@corp.org", "Ask ana@corp.org.")
    (False, True)
    """
    return bool(re.search(rf"(?<![\w.+-]){re.escape(one)}(?![\w-]|[.-]\w)", seen(text)))


def _emails(text: str) -> list[str]:
    from email_validator import EmailNotValidError, validate_email

    kept = []
    for match in _ADDRESS.finditer(text):
        one = match[0]
        try:
            validate_email(one, check_deliverability=False, test_environment=True)
        except EmailNotValidError as error:
            if "special-use" not in str(error):
                continue
        kept.append(one)
    return kept


def _cards(text: str) -> list[str]:
    from stdnum import luhn

    def valid(digits: str) -> bool:
        return digits[0] in _CARDS and len(set(digits)) > 1 and luhn.is_valid(digits)

    kept = []
    for match in _DIGITS.finditer(text):
        groups, at = re.findall(r"\d+", match[0]), 0
        if 13 <= len("".join(groups)) <= 19 and valid("".join(groups)):
            kept.append(match[0])  # however it is grouped
            continue
        # Beside a security code, a date or a number before it.
        while at < len(groups):
            ends = (end for end in range(len(groups), at, -1) if _card(groups[at:end], valid))
            if end := next(ends, 0):
                kept.append(" ".join(groups[at:end]))
            at = end or at + 1
    return kept


def _card(groups: list[str], valid: Callable[[str], bool]) -> bool:
    return bool(_CARD.fullmatch(" ".join(groups))) and valid("".join(groups))


def _ibans(text: str) -> list[str]:
    from stdnum import iban

    kept = []
    for match in _IBAN.finditer(text):
        # Words may follow it: it ends where one ends, at its country's own length.
        ends = [end.start() for end in re.finditer(r"(?=[ -])|$", match[0])]
        whole = (match[0][:end] for end in ends if len(bare(match[0][:end])) <= _LONGEST)
        kept += [one for one in whole if iban.is_valid(one)][:1]
    return kept


def _phones(text: str) -> list[str]:
    import phonenumbers

    if sum(character.isdigit() for character in text) < 7:
        return []
    abroad = [match.raw_string for match in phonenumbers.PhoneNumberMatcher(text, None)]
    local = [match[0] for match in _LOCAL.finditer(text) if not any(match[0] in a for a in abroad)]
    return [*abroad, *local]
