"""The table that the demo's GeoIP databases are made of, and that the seed takes its addresses from.

The mapping is invented. The ranges are ordinary public ones, because private and documentation addresses must stay
unlocated; the AS numbers are of the private-use range (RFC 6996), so that nobody mistakes a name here for the
network's real holder.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """A city as MaxMind's City databases describe one; the accuracy radius is in kilometres."""

    city: str
    city_de: str
    country_code: str
    country: str
    country_de: str
    latitude: float
    longitude: float
    accuracy_radius: int = 20


@dataclass(frozen=True)
class Network:
    """A range of addresses, where it is used, and by whom it is run."""

    cidr: str
    place: Place
    asn: int
    organisation: str


LONDON = Place("London", "London", "GB", "United Kingdom", "Vereinigtes Königreich", 51.5074, -0.1278)
BERLIN = Place("Berlin", "Berlin", "DE", "Germany", "Deutschland", 52.52, 13.405)
MUNICH = Place("Munich", "München", "DE", "Germany", "Deutschland", 48.1372, 11.5755)
FRANKFURT = Place("Frankfurt am Main", "Frankfurt am Main", "DE", "Germany", "Deutschland", 50.1109, 8.6821)
VIENNA = Place("Vienna", "Wien", "AT", "Austria", "Österreich", 48.2082, 16.3738)
PARIS = Place("Paris", "Paris", "FR", "France", "Frankreich", 48.8566, 2.3522)
LISBON = Place("Lisbon", "Lissabon", "PT", "Portugal", "Portugal", 38.7223, -9.1393)
AMSTERDAM = Place("Amsterdam", "Amsterdam", "NL", "Netherlands", "Niederlande", 52.3676, 4.9041)
RIYADH = Place("Riyadh", "Riad", "SA", "Saudi Arabia", "Saudi-Arabien", 24.7136, 46.6753)
CAIRO = Place("Cairo", "Kairo", "EG", "Egypt", "Ägypten", 30.0444, 31.2357)
DUBAI = Place("Dubai", "Dubai", "AE", "United Arab Emirates", "Vereinigte Arabische Emirate", 25.2048, 55.2708)
NEW_YORK = Place("New York", "New York", "US", "United States", "USA", 40.7128, -74.006)
SAN_FRANCISCO = Place("San Francisco", "San Francisco", "US", "United States", "USA", 37.7749, -122.4194)
ASHBURN = Place("Ashburn", "Ashburn", "US", "United States", "USA", 39.0438, -77.4874)
SAO_PAULO = Place("São Paulo", "São Paulo", "BR", "Brazil", "Brasilien", -23.5505, -46.6333)
SYDNEY = Place("Sydney", "Sydney", "AU", "Australia", "Australien", -33.8688, 151.2093)
TOKYO = Place("Tokyo", "Tokio", "JP", "Japan", "Japan", 35.6762, 139.6503)
SINGAPORE = Place("Singapore", "Singapur", "SG", "Singapore", "Singapur", 1.3521, 103.8198)

NETWORKS: dict[str, Network] = {
    "office-london": Network("81.130.64.0/24", LONDON, 64601, "Example Org Offices"),
    "office-berlin": Network("5.45.112.0/24", BERLIN, 64601, "Example Org Offices"),
    "office-new-york": Network("66.114.32.0/24", NEW_YORK, 64601, "Example Org Offices"),
    "office-riyadh": Network("5.42.240.0/24", RIYADH, 64601, "Example Org Offices"),
    "home-london": Network("81.157.0.0/18", LONDON, 64610, "Riverside Broadband"),
    "home-berlin": Network("5.146.0.0/18", BERLIN, 64611, "Spree Breitband"),
    "home-munich": Network("5.147.0.0/18", MUNICH, 64611, "Spree Breitband"),
    "home-vienna": Network("81.217.0.0/18", VIENNA, 64612, "Donau Kabel"),
    "home-cairo": Network("41.32.0.0/18", CAIRO, 64613, "Delta Fibre"),
    "home-riyadh": Network("5.82.0.0/18", RIYADH, 64614, "Palm Fibre"),
    "home-dubai": Network("5.194.0.0/18", DUBAI, 64615, "Creek Fibre"),
    "home-new-york": Network("66.65.0.0/18", NEW_YORK, 64616, "Hudson Cable"),
    "home-san-francisco": Network("73.162.0.0/18", SAN_FRANCISCO, 64617, "Bay Cable"),
    "home-sao-paulo": Network("177.32.0.0/18", SAO_PAULO, 64618, "Ipiranga Net"),
    "home-sydney": Network("203.12.0.0/18", SYDNEY, 64619, "Harbour Net"),
    "home-tokyo": Network("203.136.0.0/18", TOKYO, 64620, "Sumida Hikari"),
    "home-singapore": Network("203.116.0.0/18", SINGAPORE, 64621, "Merlion Fibre"),
    "mobile-london": Network("2a01:4c80::/32", LONDON, 64630, "Beacon Mobile"),
    "mobile-berlin": Network("2a01:5980::/32", BERLIN, 64631, "Funkturm Mobil"),
    "mobile-cairo": Network("41.44.0.0/18", CAIRO, 64632, "Nile Mobile"),
    "mobile-riyadh": Network("5.110.0.0/18", RIYADH, 64633, "Dune Mobile"),
    "mobile-new-york": Network("66.94.0.0/18", NEW_YORK, 64634, "Empire Wireless"),
    "mobile-sydney": Network("203.63.0.0/18", SYDNEY, 64635, "Southern Cross Mobile"),
    "mobile-tokyo": Network("203.180.0.0/18", TOKYO, 64636, "Fuji Mobile"),
    "travel-paris": Network("81.48.0.0/18", PARIS, 64640, "Lumiere Hotel Net"),
    "travel-lisbon": Network("81.193.0.0/18", LISBON, 64641, "Tejo Telecom"),
    "travel-frankfurt": Network("5.56.0.0/18", FRANKFURT, 64642, "Airport Lounge Net"),
    "hosting-amsterdam": Network("5.79.64.0/20", AMSTERDAM, 64650, "Windmill Cheap Hosting"),
    "hosting-ashburn": Network("66.151.0.0/20", ASHBURN, 64651, "Bargain Cloud Servers"),
}
