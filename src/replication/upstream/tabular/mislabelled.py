"""Rows as they are, with planted wrong labels."""

from replication.upstream.identity import Identity
from replication.upstream.planted import Planted


class Mislabelled(Planted):
    upstream = Identity
