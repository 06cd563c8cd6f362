"""The protocols of the data sets of a run as one phrase, which the error file keeps and pages take apart."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:  # reports take phrases apart without torch
    from pmnet.evaluation.protocols import Protocol

OF_DATASET: Final = re.compile(r"(\S+) by (\S+) \[([^\]]*)\](?:, )?")


def phrase_of(protocols: "Mapping[str, Protocol]", gendered: bool = False) -> str:
    """Return how data sets were measured, as one phrase; `protocols` are by data set.

    `gendered` says that body.file has male and female bodies.
    """
    words = {dataset: protocol.in_words(gendered) for dataset, protocol in protocols.items()}
    if len(set(words.values())) == 1:
        return next(iter(words.values()))
    return ", ".join(f"{name} by {protocols[name].name} [{text}]" for name, text in words.items())


def by_dataset(phrase: str) -> dict[str, tuple[str, str]]:
    """Return the name and the words of each data set's protocol; nothing where all have one protocol."""
    return {match[1]: (match[2], match[3]) for match in OF_DATASET.finditer(phrase)}


def of_dataset(phrase: str, dataset: str) -> str:
    """Return all that a phrase says of one data set, without the name of its protocol."""
    own = by_dataset(phrase)
    if not own:
        return phrase
    rest = besides(phrase)
    return own.get(dataset, ("", ""))[1] + f", {rest}" * bool(rest)


def besides(phrase: str) -> str:
    """Return what a phrase says beside the protocols of data sets."""
    return OF_DATASET.sub("", phrase)
