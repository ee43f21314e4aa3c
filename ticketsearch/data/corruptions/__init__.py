"""Image corruptions of Hendrycks & Dietterich (2019), made here or read from the published files."""

from ticketsearch.data.corruptions.cache import corrupted
from ticketsearch.data.corruptions.frost import fingerprint, frost_is_procedural, missing
from ticketsearch.data.corruptions.generate import corrupt, refusal
from ticketsearch.data.corruptions.official import official, official_labels
from ticketsearch.data.corruptions.tables import EXTRA, KINDS, SEVERITIES, Table

__all__ = [
    "EXTRA",
    "KINDS",
    "SEVERITIES",
    "Table",
    "corrupt",
    "corrupted",
    "fingerprint",
    "frost_is_procedural",
    "missing",
    "official",
    "official_labels",
    "refusal",
]
