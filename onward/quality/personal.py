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

_LABEL = r"[^\W_](?:[\w-]*[^\W_])?"
_ADDRESS = re.compile(rf"[a-zA-Z0-9_][a-zA-Z0-9_.!#$%&*+/=?^`{{|}}~-]*@{_LABEL}(?:\.{_LABEL})+")
"""Beside a letter, quotation mark or full stop of any script, too."""
_DIGITS = re.compile(r"(?<![\w.])\d(?:[ -]?\d){12,18}(?![\w.]*\d)")
_IBAN = re.compile(r"\b[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,4})?\b")
_LOCAL = re.compile(r"(?<![\w.,-])(?:\(\d{3}\)[ .-]?|\d{3}[ .-])\d{3}[ .-]\d{4}(?![\w-])")
_CARDS = ("2", "3", "4", "5", "6")
"""First digits of the large card schemes."""


def found(text: str) -> dict[str, list[str]]:
    """Kind -> what was found, as it is written; kinds without a finding are left out."""
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

    return [
        match[0]
        for match in _DIGITS.finditer(text)
        if (bare := re.sub(r"\D", "", match[0]))[0] in _CARDS
        and len(set(bare)) > 1
        and luhn.is_valid(bare)
    ]


def _ibans(text: str) -> list[str]:
    from stdnum import iban

    return [match[0] for match in _IBAN.finditer(text) if iban.is_valid(match[0])]


def _phones(text: str) -> list[str]:
    import phonenumbers

    if sum(character.isdigit() for character in text) < 7:
        return []
    abroad = [match.raw_string for match in phonenumbers.PhoneNumberMatcher(text, None)]
    local = [match[0] for match in _LOCAL.finditer(text) if not any(match[0] in a for a in abroad)]
    return [*abroad, *local]
